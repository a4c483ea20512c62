//! Processes by fork: what a zygote adds to what all processes do, and its death at each stage.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

use procession_process::{
    Exit, Launcher, Process, ProcessBuilder, ProcessError, SpawnError, Start, StartMethod, Stdio,
};
use procession_shm::SharedBuf;
use seccompiler::SeccompAction;

use super::role::{self, children_of, command, eventually, play, runs, say};

pub(crate) const ROLES: &[(&str, fn())] = &[
    ("1000 forks", fork_1000),
    ("1000 forks by a zygote that reaps", || {
        let refuse = SeccompAction::Errno(u32::try_from(libc::ENOTTY).unwrap());
        // The kernel is asked for the status of a process that was reaped by this call.
        super::status::forbid(&[libc::SYS_ioctl], refuse);
        fork_1000();
        assert!(reaps(zygote_of(&zygote())));
        let killed = zygote().spawn(|()| sleep(), ()).unwrap();
        killed.kill().unwrap();
        assert_eq!(killed.wait(), Exit::Signal(libc::SIGKILL));
        let left_behind = zygote().spawn(|()| sleep(), ()).unwrap();
        kill(zygote_of(&zygote()));
        assert!(matches!(left_behind.wait(), Exit::Signal(libc::SIGKILL) | Exit::Unknown));
    }),
    ("leave zygote children", || {
        let below = zygote().spawn(|()| sleep_with_a_child(), ()).unwrap();
        let spawned = Process::spawn(|()| sleep(), ()).unwrap();
        say(&format!("pids {} {}", below.pid(), spawned.pid()));
        std::thread::sleep(role::GUARD);
    }),
    ("environment of a zygote", || {
        // SAFETY: this program has no other thread that looks at the environment.
        let set = |name: &str, value: &str| unsafe { std::env::set_var(name, value) };
        let see = |name: String| std::env::var(name).unwrap_or_default();
        let builder = zygote().preload(set_variables);
        let seen =
            |builder: &ProcessBuilder, name| builder.spawn(see, name).unwrap().join().unwrap();
        set("LATER", "1");
        assert_eq!(seen(&builder, "LATER"), "1");
        set("LATER", "2");
        assert_eq!(
            (seen(&builder, "LATER"), seen(&builder, "PRELOADED")),
            ("2".into(), "p".into())
        );
        let given = builder.clone().env("PRELOADED", "g").env_remove("LATER");
        assert_eq!((seen(&given, "PRELOADED"), seen(&given, "LATER")), ("g".into(), String::new()));
        let long = "l".repeat(100_000);
        assert_eq!(seen(&builder.clone().env("LONG", long.as_str()), "LONG"), long);
        let all = |()| -> Vec<String> { std::env::vars().map(|(name, _)| name).collect() };
        let cleared = builder.env_clear().env("ONE", "1").spawn(all, ()).unwrap();
        assert_eq!(cleared.join().unwrap(), ["ONE"]);
    }),
    ("directory of a zygote", || {
        let here = |()| std::env::current_dir().unwrap();
        let first = zygote().spawn(here, ()).unwrap().join().unwrap();
        assert_eq!(first, std::env::current_dir().unwrap());
        std::env::set_current_dir("/proc").unwrap();
        assert_eq!(
            zygote().spawn(here, ()).unwrap().join().unwrap(),
            std::path::Path::new("/proc")
        );
    }),
    ("preload that closes standard descriptors", || {
        let builder = zygote().preload(|| {
            for number in 0..3 {
                // SAFETY: this program does not use its standard descriptors after this.
                unsafe { libc::close(number) };
            }
        });
        for number in 0..3 {
            let process = builder.clone().stdin(Stdio::null()).stdout(Stdio::piped());
            let say = |n: u32| say(&n.to_string());
            let mut process = process.spawn(say, number).unwrap();
            let said = std::io::read_to_string(process.take_stdout().unwrap()).unwrap();
            process.join().unwrap();
            assert_eq!(said.trim(), number.to_string());
        }
    }),
    ("closed standard descriptors of a zygote", || {
        let leads =
            |()| [0, 1].map(|number| fs::read_link(format!("/proc/self/fd/{number}")).unwrap());
        // What is opened from here on takes these numbers, and is not meant for anybody else.
        for number in [0, 1] {
            // SAFETY: nothing in this process uses them any more.
            unsafe { libc::close(number) };
        }
        for builder in [Process::builder(), zygote(), zygote()] {
            let found = builder.spawn(leads, ()).unwrap().join().unwrap();
            assert_eq!(found, [std::path::Path::new("/dev/null"); 2]);
        }
    }),
    ("no pidfds for a zygote", || {
        let refuse = SeccompAction::Errno(u32::try_from(libc::ENOSYS).unwrap());
        super::status::forbid(&[libc::SYS_pidfd_open], refuse);
        match zygote().spawn(|()| (), ()) {
            Err(error @ ProcessError::Spawn(SpawnError::System { .. })) => {
                assert!(error.to_string().contains("open a pidfd"), "{error}");
            }
            other => panic!("{other:?}"),
        }
    }),
    ("no unshare", || {
        let refuse = SeccompAction::Errno(u32::try_from(libc::EPERM).unwrap());
        super::status::forbid(&[libc::SYS_unshare], refuse);
        assert_eq!(Process::spawn(|n: u32| n + 1, 1).unwrap().join().unwrap(), 2);
        assert_eq!(zygote().spawn(|n: u32| n + 1, 2).unwrap().join().unwrap(), 3);
        let with_a_thread = || drop(std::thread::spawn(|| std::thread::sleep(role::GUARD)));
        match zygote().preload(with_a_thread).spawn(|()| (), ()) {
            Err(ProcessError::Spawn(SpawnError::ZygoteThreads { count, .. })) => {
                assert_eq!(count, 2);
            }
            other => panic!("{other:?}"),
        }
    }),
    ("print in preload", || {
        let builder = zygote().preload(print_without_a_newline);
        for _ in 0..3 {
            builder.spawn(|()| say("function"), ()).unwrap().join().unwrap();
        }
    }),
];

fn fork_1000() {
    let round = |count: u32| {
        for n in 0..count {
            let process = zygote().spawn(|n: u32| n + 1, n).unwrap();
            drop(zygote().spawn(|()| (), ()).unwrap());
            assert_eq!(process.join().unwrap(), n + 1);
        }
        assert!(zygote().spawn(aborts, ()).unwrap().join().is_err());
    };
    round(5);
    let of_zygote = zygote().spawn(|()| own_zygote(), ()).unwrap().join().unwrap();
    let open = |pid: u32| fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let threads = || fs::read_dir("/proc/self/task").unwrap().count();
    let quiet = || children_of(of_zygote).is_empty();
    eventually("the first are gone", quiet);
    let count = || [open(std::process::id()), open(of_zygote), threads()];
    let before = count();
    round(500);
    eventually("no child of the zygote is left, no zombie", quiet);
    assert_eq!(role::children(), [of_zygote], "the zygote is the only child");
    eventually("no descriptor, no thread more", || {
        count().iter().zip(before).all(|(now, was)| *now <= was)
    });
}

/// Whether the zygote waits for its children, by a signalfd, instead of leaving them to the kernel.
fn reaps(zygote: u32) -> bool {
    let open = fs::read_dir(format!("/proc/{zygote}/fd")).unwrap();
    let targets = open.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    targets.map(|target| target.display().to_string()).any(|target| target.contains("signalfd"))
}

fn zygote() -> ProcessBuilder {
    Process::builder().start_method(StartMethod::Zygote)
}

/// What stays in the buffer of standard output.
fn print_without_a_newline() {
    std::io::stdout().write_all(b"printed in preload;").unwrap();
}

fn aborts(_: ()) {
    std::process::abort();
}

fn sleep() {
    std::thread::sleep(role::GUARD);
}

fn sleep_with_a_child() {
    let child = Process::spawn(|()| sleep(), ()).unwrap();
    say(&format!("below {}", child.pid()));
    sleep();
}

fn set_variables() {
    // SAFETY: a zygote has one thread.
    unsafe { std::env::set_var("PRELOADED", "p") };
}

/// The zygote of this process, which is what the kernel calls its parent.
fn own_zygote() -> u32 {
    std::os::unix::process::parent_id()
}

fn zygote_of(builder: &ProcessBuilder) -> u32 {
    builder.spawn(|()| own_zygote(), ()).unwrap().join().unwrap()
}

fn send(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

fn kill(pid: u32) {
    send(pid, rustix::process::Signal::KILL);
}

/// Runs this very test program with all processes from zygotes. The two that are left out say what a zygote does differently:
/// it is a child by itself, and the environment at exec is its own.
#[test]
fn all_behaviours_of_processes_hold() {
    needs_pidfds!();
    let program = std::env::current_exe().unwrap();
    let mut command = std::process::Command::new(program);
    command.args(["process::", "handles::", "lifetime::", "builder::", "futures::", "lineage::"]);
    command.args(["sandbox::", "--skip", "processes_and_descriptors_do_not_pile_up"]);
    command.args(["--skip", "the_environment_is_cleared_but_for_what_loads_the_program"]);
    command.env("PROCESSION_START_METHOD", "zygote").stdin(std::process::Stdio::null());
    let finished = role::finish(&mut command);
    assert!(finished.status.success(), "{}\n{}", finished.out, finished.err);
    let passed = finished.out.split("test result: ok. ").nth(1).unwrap();
    let passed: u32 = passed.split(' ').next().unwrap().parse().unwrap();
    assert!(passed >= 60, "{passed} tests ran");
}

#[test]
fn what_was_preloaded_is_there_and_was_loaded_once() {
    needs_pidfds!();
    static LOADED: OnceLock<String> = OnceLock::new();
    static TIMES: AtomicU32 = AtomicU32::new(0);
    fn load() {
        TIMES.fetch_add(1, Ordering::Relaxed);
        LOADED.get_or_init(|| format!("by {}", std::process::id()));
    }
    fn see(_: ()) -> (String, u32, u32) {
        let loaded = LOADED.get().cloned().unwrap_or_default();
        (loaded, TIMES.fetch_add(10, Ordering::Relaxed), own_zygote())
    }
    let builder = zygote().preload(load);
    for _ in 0..3 {
        let (loaded, times, zygote) = builder.spawn(see, ()).unwrap().join().unwrap();
        assert_eq!((loaded, times), (format!("by {zygote}"), 1));
    }
    assert_eq!(zygote().spawn(see, ()).unwrap().join().unwrap().1, 0, "another zygote");
    assert_eq!((LOADED.get(), TIMES.load(Ordering::Relaxed)), (None, 0));
}

#[test]
fn a_zygote_is_started_once_and_is_not_the_parent_that_is_told() {
    needs_pidfds!();
    let first = zygote_of(&zygote());
    assert_eq!(zygote_of(&zygote()), first);
    assert_eq!(zygote_of(&zygote().name("other").nice(3)), first);
    let told = |()| {
        let parent = procession_process::parent().unwrap();
        (parent.pid(), parent.is_alive(), procession_process::depth())
    };
    let told = zygote().spawn(told, ()).unwrap().join().unwrap();
    assert_eq!(told, (std::process::id(), true, 1));
}

#[test]
fn what_preload_prints_is_printed_once() {
    needs_pidfds!();
    let finished = play("print in preload").succeed();
    assert_eq!(finished.count("printed in preload;"), 1, "{}", finished.out);
    assert_eq!(finished.count("function"), 3);
}

#[test]
fn environment_and_directory_are_those_of_the_parent() {
    needs_pidfds!();
    play("environment of a zygote").succeed();
    play("directory of a zygote").succeed();
}

/// What a zygote opens after that must not have their numbers, which are those of its children's own.
#[test]
fn a_preload_function_may_close_the_standard_descriptors() {
    needs_pidfds!();
    play("preload that closes standard descriptors").succeed();
}

#[test]
fn standard_descriptors_that_are_closed_are_those_of_nobody() {
    needs_pidfds!();
    play("closed standard descriptors of a zygote").succeed();
}

#[test]
fn a_launcher_forks_too_and_the_child_has_what_it_was_given() {
    needs_pidfds!();
    fn list(start: Start) {
        let open = fs::read_dir("/proc/self/fd").unwrap().map(|entry| entry.unwrap().path());
        let targets = open.filter_map(|path| fs::read_link(path).ok());
        let shown: Vec<_> = targets.map(|target| target.display().to_string()).collect();
        let mut to = fs::File::from(start.fds.into_iter().next().unwrap());
        write!(to, "{}\n{}", start.name, shown.join("\n")).unwrap();
    }
    let (from, to) = std::io::pipe().unwrap();
    let launcher = Launcher::new(list).start_method(StartMethod::Zygote).fds(vec![to.into()]);
    let child = launcher.name("lists").stdin_null(true).ignore_interrupt(true).launch().unwrap();
    assert_eq!(child.wait(), Exit::Code(0));
    let said = std::io::read_to_string(from).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!((lines[0], lines[1]), ("lists", "/dev/null"));
    // Standard descriptors, the pipe, the parent's pidfd, and the directory that is being listed: no socket among them.
    assert!(lines.len() <= 7, "{said}");
    assert!(!said.contains("socket:"), "{said}");
}

#[test]
fn a_launcher_can_start_a_thread() {
    static SAID: OnceLock<(String, Vec<u8>, u32)> = OnceLock::new();
    let main = |start: Start| {
        assert!(start.is_inline);
        SAID.set((start.name, start.payload, std::process::id())).unwrap();
    };
    let launcher = Launcher::new(main).name("thread").payload(vec![7]);
    let child = launcher.start_method(StartMethod::Inline).launch().unwrap();
    assert!(child.is_inline());
    assert_eq!(child.wait(), Exit::Code(0));
    assert_eq!(SAID.get(), Some(&("thread".to_owned(), vec![7], std::process::id())));
    let panics = Launcher::new(|_| panic!("on purpose")).start_method(StartMethod::Inline);
    assert_eq!(panics.launch().unwrap().wait(), Exit::Code(101));
}

#[test]
fn threads_in_a_preload_function_are_refused_until_they_have_ended() {
    needs_pidfds!();
    static END: AtomicBool = AtomicBool::new(false);
    fn with_a_thread() {
        // Ended by a signal that the tests sends to the zygote: nobody else can reach into it.
        extern "C" fn end(_: i32) {
            END.store(true, Ordering::SeqCst);
        }
        let handler: extern "C" fn(i32) = end;
        // SAFETY: the handler only stores to an atomic.
        unsafe { libc::signal(libc::SIGUSR1, handler as libc::sighandler_t) };
        std::thread::spawn(|| {
            while !END.load(Ordering::SeqCst) {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        });
    }
    let builder = zygote().preload(with_a_thread);
    let refused = |builder: &ProcessBuilder| match builder.spawn(|()| (), ()) {
        Err(ProcessError::Spawn(SpawnError::ZygoteThreads { pid, count, .. })) => (pid, count),
        other => panic!("{other:?}"),
    };
    let (zygote, count) = refused(&builder);
    assert_eq!(count, 2);
    assert_eq!(refused(&builder), (zygote, 2), "the same zygote goes on to refuse");
    send(zygote, rustix::process::Signal::USR1);
    eventually("it forks", || builder.spawn(|()| (), ()).is_ok());
    assert_eq!(zygote_of(&builder), zygote);
}

#[test]
fn a_preload_function_that_panics_is_told_to_all_who_ask() {
    needs_pidfds!();
    let builder = zygote().preload(|| panic!("nothing to load"));
    for _ in 0..3 {
        match builder.spawn(|()| (), ()) {
            Err(error @ ProcessError::Spawn(SpawnError::Preload { .. })) => {
                assert!(error.to_string().ends_with("panicked: nothing to load"), "{error}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_preload_function_that_ends_the_zygote_is_an_error_and_no_endless_loop() {
    needs_pidfds!();
    for (preload, expected) in [
        ((|| std::process::exit(7)) as fn(), Exit::Code(7)),
        ((|| std::process::abort()) as fn(), Exit::Signal(libc::SIGABRT)),
    ] {
        match zygote().preload(preload).spawn(|()| (), ()) {
            Err(ProcessError::Spawn(SpawnError::ZygoteEnded { exit, .. })) => {
                assert_eq!(exit, expected);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_cannot_be_copied_is_not_made_in_a_preload_function() {
    needs_pidfds!();
    static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());
    fn make() {
        let buffer = SharedBuf::<u8>::zeroed(10).unwrap_err().to_string();
        let pipe = procession_channel::pipe::simplex::<u8>().unwrap_err().to_string();
        let process = Process::spawn(|()| (), ()).unwrap_err().to_string();
        SAID.lock().unwrap().extend([buffer, pipe, process]);
    }
    let builder = zygote().preload(make);
    let said = builder.spawn(|()| SAID.lock().unwrap().clone(), ()).unwrap().join().unwrap();
    let [buffer, pipe, process] = <[String; 3]>::try_from(said).unwrap();
    assert!(buffer.contains("cannot be made in a preload function"), "{buffer}");
    assert!(pipe.contains("cannot be made in a preload function"), "{pipe}");
    assert!(process.contains("code that runs before main"), "{process}");
    let makes = |()| SharedBuf::<u8>::zeroed(10).unwrap().len();
    assert_eq!(builder.spawn(makes, ()).unwrap().join().unwrap(), 10);
}

#[test]
fn signals_for_the_program_do_not_end_the_zygote_and_reach_its_children() {
    needs_pidfds!();
    role::heed_interrupts();
    fn unique() {}
    let builder = zygote().preload(unique);
    let child = builder.spawn(|()| sleep(), ()).unwrap();
    let zygote = zygote_of(&builder);
    use rustix::process::Signal;
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT, Signal::USR1] {
        send(zygote, signal);
    }
    assert_eq!(zygote_of(&builder), zygote);
    assert!(child.is_alive());
    child.interrupt().unwrap();
    assert_eq!(child.wait(), Exit::Signal(libc::SIGINT));
}

#[test]
fn a_zygote_that_died_idle_is_replaced() {
    needs_pidfds!();
    fn unique() {
        std::hint::black_box(1);
    }
    let builder = zygote().preload(unique);
    let mut last = zygote_of(&builder);
    for _ in 0..10 {
        kill(last);
        let next = zygote_of(&builder);
        assert_ne!(next, last);
        last = next;
    }
}

#[test]
fn the_death_of_a_zygote_ends_its_children_and_each_is_reported() {
    needs_pidfds!();
    fn unique() {
        std::hint::black_box(2);
    }
    /// Takes back what kills it when the zygote dies.
    fn defy(_: ()) {
        rustix::process::set_parent_process_death_signal(None).unwrap();
        say("defiant");
        sleep();
    }
    let builder = zygote().preload(unique);
    let mut defiant = builder.clone().stdout(Stdio::piped()).spawn(defy, ()).unwrap();
    let mut said = [0; 9];
    std::io::Read::read_exact(&mut defiant.take_stdout().unwrap(), &mut said).unwrap();
    let mut processes: Vec<_> = (0..5).map(|_| builder.spawn(|()| sleep(), ()).unwrap()).collect();
    processes.push(defiant);
    let ended = builder.spawn(|()| 5, ()).unwrap();
    assert_eq!(ended.wait(), Exit::Code(0));
    kill(zygote_of(&builder));
    for process in processes {
        let expected = process.pid();
        match process.join() {
            Err(ProcessError::Died { pid, exit, .. }) => {
                assert_eq!(pid, expected);
                assert!(matches!(exit, Exit::Signal(libc::SIGKILL) | Exit::Unknown), "{exit}");
            }
            other => panic!("{other:?}"),
        }
        eventually("it is gone", || !runs(expected));
    }
    assert_eq!(ended.join().unwrap(), 5, "what has ended before is as it was");
    assert_eq!(builder.spawn(|()| 6, ()).unwrap().join().unwrap(), 6);
}

/// Zygotes are killed at any moment while processes are asked for: each runs once or not at all, and is told so.
#[test]
fn a_zygote_that_dies_while_it_forks_loses_nothing_and_doubles_nothing() {
    needs_pidfds!();
    fn unique() {
        std::hint::black_box(3);
    }
    fn note((pipe, n): (procession_channel::Fd<fs::File>, u32)) -> u32 {
        pipe.into_inner().unwrap().write_all(&n.to_le_bytes()).unwrap();
        n
    }
    let builder = zygote().preload(unique);
    let (mut from, to) = std::io::pipe().unwrap();
    let to = fs::File::from(std::os::fd::OwnedFd::from(to));
    let victim = Mutex::new(zygote_of(&builder));
    let is_over = AtomicBool::new(false);
    let mut outcomes = BTreeMap::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                let pid = *victim.lock().unwrap();
                // It may have been killed before.
                let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
                let _sent = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                std::thread::sleep(std::time::Duration::from_millis(3));
            }
        });
        for n in 0..150 {
            let pipe = procession_channel::Fd::new(to.try_clone().unwrap());
            let process = builder.spawn(note, (pipe, n)).unwrap();
            let shown = fs::read_to_string(format!("/proc/{}/stat", process.pid()));
            if let Some(parent) = shown
                .ok()
                .and_then(|stat| stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok())
                && fs::read_to_string(format!("/proc/{parent}/comm"))
                    .is_ok_and(|name| name == "zygote\n")
            {
                *victim.lock().unwrap() = parent;
            }
            match process.join() {
                Ok(value) => assert_eq!(value, n),
                Err(ProcessError::Died { .. }) => {}
                Err(other) => panic!("{other:?}"),
            }
            outcomes.insert(n, 0);
        }
        is_over.store(true, Ordering::SeqCst);
    });
    drop(to);
    let mut noted = Vec::new();
    std::io::Read::read_to_end(&mut from, &mut noted).unwrap();
    for word in noted.as_chunks::<4>().0 {
        *outcomes.get_mut(&u32::from_le_bytes(*word)).unwrap() += 1;
    }
    assert!(outcomes.values().all(|times| *times <= 1), "{outcomes:?}");
}

#[test]
fn processes_and_descriptors_do_not_pile_up() {
    needs_pidfds!();
    play("1000 forks").succeed();
}

#[test]
fn a_zygote_reaps_where_the_kernel_keeps_no_status() {
    needs_pidfds!();
    play("1000 forks by a zygote that reaps").succeed();
}

#[test]
fn children_that_are_left_to_the_kernel_have_their_status_and_can_have_children() {
    needs_pidfds!();
    fn unique() {
        std::hint::black_box(4);
    }
    let builder = zygote().preload(unique);
    let zygote = zygote_of(&builder);
    if reaps(zygote) {
        let test = "children_that_are_left_to_the_kernel_have_their_status_and_can_have_children";
        return skips::skipped(test, "the kernel keeps no status of a process that was reaped");
    }
    // The zygote need not run for the end of a child to be known.
    let coded = builder.spawn(|()| -> u32 { std::process::exit(5) }, ()).unwrap();
    let killed = builder.spawn(|()| sleep(), ()).unwrap();
    send(zygote, rustix::process::Signal::STOP);
    killed.kill().unwrap();
    assert_eq!(killed.wait(), Exit::Signal(libc::SIGKILL));
    assert_eq!(coded.wait_timeout(role::GUARD), Some(Exit::Code(5)));
    send(zygote, rustix::process::Signal::CONT);
    let waits = |()| std::process::Command::new("true").status().unwrap().success();
    assert!(builder.spawn(waits, ()).unwrap().join().unwrap(), "its own children have a status");
}

#[test]
fn nothing_is_left_when_the_parent_is_killed() {
    needs_pidfds!();
    use std::io::{BufRead, BufReader};
    let mut command = command("leave zygote children");
    let mut parent = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut pids: Vec<u32> = Vec::new();
    let lines = BufReader::new(parent.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut told = 0;
    for line in lines {
        if let Some((_, list)) = line.split_once("pids ").or_else(|| line.split_once("below ")) {
            pids.extend(list.split(' ').map(|pid| pid.parse::<u32>().unwrap()));
            told += 1;
        }
        if told == 2 {
            break;
        }
    }
    pids.extend(children_of(parent.id()));
    assert_eq!(
        pids.len(),
        5,
        "two processes, one below, and as children: one of the two, and the zygote"
    );
    parent.kill().unwrap();
    parent.wait().unwrap();
    for pid in pids {
        eventually("all are gone", || !runs(pid));
    }
}

#[test]
fn without_pidfds_there_is_no_zygote_and_it_is_said() {
    play("no pidfds for a zygote").succeed();
}

#[test]
fn threads_are_counted_where_the_short_way_is_forbidden() {
    needs_pidfds!();
    play("no unshare").succeed();
}
