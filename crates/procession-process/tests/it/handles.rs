//! What a handle tells and does, and who is related to whom.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Duration;

use procession_channel::pipe::{Receiver, simplex};
use procession_process::{
    Exit, Failure, Process, ProcessHandle, StartMethod, active_children, current, parent, spawn,
};
use procession_shm::wait_any;

use super::role::{self, command, play, say};

pub(crate) const ROLES: &[(&str, fn())] = &[
    ("parent of an orphan", || drop(spawn!(outlives_its_parent()).unwrap().join())),
    ("names", || {
        fn family() -> Result<Vec<String>, Failure> {
            let own = current().name().to_owned();
            let above = parent().map(|parent| parent.name().to_owned()).unwrap_or_default();
            let mut names = vec![format!("{own} of {above}")];
            if procession_process::depth() < 3 {
                let below = [spawn!(family())?, spawn!(family())?];
                for process in below {
                    names.extend(process.join()?);
                }
            }
            Ok(names)
        }
        let first = spawn!(family()).unwrap();
        let second = Process::builder().name("special").spawn(|()| family(), ()).unwrap();
        say(&format!("first {}", first.join().unwrap().join(", ")));
        say(&format!("second {}", second.join().unwrap().join(", ")));
    }),
    ("active children", || {
        assert!(active_children().is_empty());
        let children: Vec<_> = (0..3).map(|_| spawn!(sleeps()).unwrap()).collect();
        let pids =
            |handles: &[ProcessHandle]| handles.iter().map(|one| one.pid()).collect::<Vec<_>>();
        let expected: Vec<u32> = children.iter().map(|child| child.pid()).collect();
        assert_eq!(pids(&active_children()), expected);
        children[1].kill().unwrap();
        children[1].wait();
        assert_eq!(pids(&active_children()), [expected[0], expected[2]]);
        // A handle that was dropped does not matter.
        drop(children);
        let left = active_children();
        assert_eq!(pids(&left), [expected[0], expected[2]]);
        left.iter().for_each(|child| child.terminate().unwrap());
        left.iter().for_each(|child| assert_eq!(child.wait(), Exit::Signal(libc::SIGTERM)));
        assert!(active_children().is_empty());
    }),
];

fn sleeps() {
    std::thread::sleep(role::GUARD);
}

#[test]
fn a_handle_tells_of_life_and_death() {
    let process = Process::builder().name("told").spawn(|()| sleeps(), ()).unwrap();
    let handle: ProcessHandle = (*process).clone();
    assert_eq!((handle.pid(), handle.name()), (process.pid(), "told"));
    assert!(handle.is_alive());
    assert_eq!(handle.exit_status(), None);
    assert_eq!(handle.wait_timeout(Duration::from_millis(1)), None);
    drop(process);
    handle.kill().unwrap();
    let killed = Exit::Signal(libc::SIGKILL);
    assert_eq!(handle.wait(), killed);
    assert!(!handle.is_alive());
    assert_eq!(handle.exit_status(), Some(killed));
    assert_eq!(handle.wait_timeout(Duration::ZERO), Some(killed));
    assert_eq!(handle.wait(), killed);
}

#[test]
fn each_signal_does_what_it_says() {
    role::heed_interrupts();
    type Send = fn(&ProcessHandle) -> std::io::Result<()>;
    let cases: [(Send, i32); 4] = [
        (ProcessHandle::terminate, libc::SIGTERM),
        (ProcessHandle::kill, libc::SIGKILL),
        (ProcessHandle::interrupt, libc::SIGINT),
        (|handle| handle.signal(libc::SIGUSR1), libc::SIGUSR1),
    ];
    for (send, signal) in cases {
        let process = spawn!(sleeps()).unwrap();
        send(&process).unwrap();
        assert_eq!(process.wait(), Exit::Signal(signal));
        // To the dead, any number of times.
        send(&process).unwrap();
        send(&process).unwrap();
    }
}

#[test]
fn signals_that_do_not_exist_are_refused() {
    let process = spawn!(sleeps()).unwrap();
    for number in [0, -1, 33, 65] {
        let error = process.signal(number).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{number}");
        assert!(error.to_string().contains(&format!("no signal {number}")), "{error}");
    }
    process.kill().unwrap();
}

#[test]
fn all_threads_may_use_a_handle_at_once() {
    let process = spawn!(sleeps()).unwrap();
    std::thread::scope(|scope| {
        let waiters: Vec<_> = (0..4).map(|_| scope.spawn(|| process.wait())).collect();
        for _ in 0..4 {
            scope.spawn(|| {
                process.kill().unwrap();
                process.terminate().unwrap();
                assert!(process.wait_timeout(role::GUARD).is_some());
                assert!(!process.is_alive());
                process.kill().unwrap();
            });
        }
        for waiter in waiters {
            assert!(matches!(waiter.join().unwrap(), Exit::Signal(libc::SIGKILL | libc::SIGTERM)));
        }
    });
}

#[test]
fn processes_are_waited_for_together() {
    needs_pidfds!();
    for method in [StartMethod::Spawn, StartMethod::Zygote, StartMethod::Inline] {
        let builder = Process::builder().start_method(method);
        let (to_first, first) = simplex::<u8>().unwrap();
        let (to_second, second) = simplex::<u8>().unwrap();
        let relay = |from: Receiver<u8>| from.recv().unwrap();
        let (first, second) =
            (builder.spawn(relay, first).unwrap(), builder.spawn(relay, second).unwrap());
        assert!(wait_any(&[&first, &second], Duration::ZERO).unwrap().is_empty());
        std::thread::scope(|scope| {
            scope.spawn(move || to_second.send(2).unwrap());
            let ready = wait_any(&[&first, &second], role::GUARD).unwrap();
            assert!(ready.has(&second) && !ready.has(&first), "{method:?}");
        });
        assert_eq!(second.join().unwrap(), 2);
        to_first.send(1).unwrap();
        let handle: ProcessHandle = (*first).clone();
        assert!(wait_any(&[&handle], role::GUARD).unwrap().has(&handle));
        assert_eq!(first.join().unwrap(), 1);
    }
    let this = current();
    assert!(wait_any(&[&this], Duration::from_millis(1)).unwrap().is_empty());
}

#[test]
fn this_process_has_a_handle() {
    let this = current();
    assert_eq!((this.pid(), this.name()), (std::process::id(), "main"));
    assert!(this.is_alive());
    assert_eq!(this.exit_status(), None);
    assert_eq!(this.wait_timeout(Duration::from_millis(1)), None);
    assert!(parent().is_none());
    let ends_itself = Process::spawn(|()| current().terminate().unwrap(), ()).unwrap();
    assert_eq!(ends_itself.wait(), Exit::Signal(libc::SIGTERM));
}

#[test]
fn a_process_knows_its_parent() {
    type Seen = (u32, String, bool, bool);
    fn ask() -> Seen {
        let parent = parent().unwrap();
        let waited = parent.wait_timeout(Duration::from_millis(1));
        let runs = waited.is_none() && parent.exit_status().is_none();
        (parent.pid(), parent.name().to_owned(), parent.is_alive(), runs)
    }
    let here = std::process::id();
    assert_eq!(spawn!(ask()).unwrap().join().unwrap(), (here, "main".to_owned(), true, true));
    fn ask_below() -> Result<(u32, Seen), Failure> {
        Ok((std::process::id(), spawn!(ask())?.join()?))
    }
    let middle = Process::builder().name("middle");
    let (pid, seen) = middle.spawn(|()| ask_below(), ()).unwrap().join().unwrap();
    assert_eq!(seen, (pid, "middle".to_owned(), true, true));
}

/// As a daemon does, or who has taken on the rights of another user: the kernel forgets the signal then.
fn outlives_its_parent() {
    // SAFETY: the call takes a number.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, 0) }, 0);
    let before = parent().unwrap();
    say(&format!("orphan {}", before.pid()));
    before.wait();
    let after = parent().unwrap();
    let ended = after.wait_timeout(Duration::ZERO).is_some() && !after.is_alive();
    say(&format!("parent {} {} {ended}", after.pid(), after.name()));
}

/// Who takes its place is another process, and must not be hit by what is meant for the parent.
#[test]
fn a_parent_that_has_ended_is_still_the_parent() {
    let mut program = command("parent of an orphan").stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines();
    let mut answer = |key: &str| {
        lines.find_map(|line| Some(line.unwrap().strip_prefix(key)?.to_owned())).unwrap()
    };
    assert_eq!(answer("orphan "), program.id().to_string());
    program.kill().unwrap();
    program.wait().unwrap();
    assert_eq!(answer("parent "), format!("{} main true", program.id()));
}

#[test]
fn names_count_and_nest() {
    let finished = play("names").succeed();
    assert_eq!(
        finished.answer("first "),
        "Process-1 of main, Process-1:1 of Process-1, Process-1:1:1 of Process-1:1, \
         Process-1:1:2 of Process-1:1, Process-1:2 of Process-1, Process-1:2:1 of Process-1:2, \
         Process-1:2:2 of Process-1:2"
    );
    let second = finished.answer("second ");
    assert!(second.starts_with("special of main, Process-2:1 of special, "), "{second}");
}

#[test]
fn active_children_are_those_that_live() {
    play("active children").succeed();
}
