//! What a child gets.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;

use procession_process::{Child, Exit, Launcher, SpawnError, Start, depth, is_child};

fn echo(start: Start) {
    assert!(is_child());
    assert_eq!((depth(), start.name.as_str()), (1, "echo"));
    let mut fds = start.fds.into_iter().map(File::from);
    let mut back = fds.next().unwrap();
    let mut extra = fds.next().unwrap();
    let mut said = String::new();
    extra.read_to_string(&mut said).unwrap();
    back.write_all(&start.payload).unwrap();
    back.write_all(said.as_bytes()).unwrap();
}

fn round_trip(payload: Vec<u8>) -> Vec<u8> {
    let (mut result, back) = std::io::pipe().unwrap();
    let (extra, mut say) = std::io::pipe().unwrap();
    say.write_all(b" and descriptors").unwrap();
    drop(say);
    let fds = vec![OwnedFd::from(back), OwnedFd::from(extra)];
    let child = Launcher::new(echo).name("echo").payload(payload).fds(fds).launch().unwrap();
    let mut arrived = Vec::new();
    result.read_to_end(&mut arrived).unwrap();
    assert_eq!(child.wait(), Exit::Code(0));
    arrived
}

#[test]
fn payload_and_descriptors_arrive() {
    assert_eq!(round_trip(b"payload".to_vec()), b"payload and descriptors");
    assert_eq!(round_trip(Vec::new()), b" and descriptors");
}

#[test]
fn payloads_around_the_limit_of_a_packet_and_large_ones_arrive() {
    for size in [(16 << 10) - 1, 16 << 10, (16 << 10) + 1, 5 << 20] {
        let payload: Vec<u8> = (0..=250).cycle().take(size).collect();
        let arrived = round_trip(payload.clone());
        assert!(arrived.strip_suffix(b" and descriptors") == Some(&payload[..]), "{size}");
    }
}

#[test]
fn a_closure_that_captures_nothing_is_a_function() {
    let child = Launcher::new(|start| std::process::exit(i32::from(start.payload[0])));
    assert_eq!(child.payload(vec![9]).launch().unwrap().wait(), Exit::Code(9));
}

#[test]
fn the_most_descriptors_arrive_and_one_more_is_refused() {
    let count = |start: Start| std::process::exit(i32::try_from(start.fds.len()).unwrap());
    let some = |number| (0..number).map(|_| File::open("/dev/null").unwrap().into()).collect();
    let child = Launcher::new(count).fds(some(251)).launch().unwrap();
    assert_eq!(child.wait(), Exit::Code(251));
    let refused = Launcher::new(count).fds(some(252)).launch().unwrap_err();
    assert!(matches!(refused, SpawnError::TooManyDescriptors { given: 252, max: 251 }));
}

#[test]
fn a_hundred_children_live_at_once() {
    fn wait_for_the_end(start: Start) {
        let mut line = File::from(start.fds.into_iter().next().unwrap());
        assert_eq!(line.read(&mut [0]).unwrap(), 0);
    }
    let (line, hold) = std::io::pipe().unwrap();
    let children: Vec<Child> = std::thread::scope(|scope| {
        let launchers: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let launch = |_| {
                        let fds = vec![line.try_clone().unwrap().into()];
                        Launcher::new(wait_for_the_end).fds(fds).launch().unwrap()
                    };
                    (0..25).map(launch).collect::<Vec<Child>>()
                })
            })
            .collect();
        launchers.into_iter().flat_map(|launcher| launcher.join().unwrap()).collect()
    });
    assert_eq!(children.len(), 100);
    assert!(children.iter().all(Child::is_alive));
    drop(hold);
    assert!(children.iter().all(|child| child.wait() == Exit::Code(0)));
}

#[test]
fn children_nest_to_the_depth_that_is_allowed() {
    fn nest(start: Start) {
        let own = start.fds.into_iter().next().unwrap();
        let next = vec![own.try_clone().unwrap()];
        let mut report = File::from(own);
        writeln!(report, "{}", depth()).unwrap();
        match Launcher::new(nest).fds(next).launch() {
            Ok(child) => assert_eq!(child.wait(), Exit::Code(0)),
            Err(SpawnError::TooDeep { depth }) => writeln!(report, "refused {depth}").unwrap(),
            Err(other) => panic!("{other}"),
        }
    }
    let (mut reports, report) = std::io::pipe().unwrap();
    let child = Launcher::new(nest).fds(vec![report.into()]).launch().unwrap();
    let mut said = String::new();
    reports.read_to_string(&mut said).unwrap();
    assert_eq!(child.wait(), Exit::Code(0));
    let expected: Vec<String> =
        (1..=16).map(|depth| depth.to_string()).chain(["refused 17".to_owned()]).collect();
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn types_may_go_where_they_are_needed() {
    fn anywhere<T: Send + Sync + 'static>() {}
    fn any_thread<T: Send + 'static>() {}
    anywhere::<Child>();
    anywhere::<SpawnError>();
    any_thread::<Launcher>();
    any_thread::<Start>();
    assert!(size_of::<SpawnError>() < 128);
}
