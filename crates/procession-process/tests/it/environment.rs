//! The process a child runs in: standard descriptors, signals, limits, names, arguments.

use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;

use procession_process::{Exit, Launcher, Process, Start};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::role::{self, Scratch, command, command_at, finish, play, say};

pub(crate) const ROLES: &[(&str, fn())] = &[
    ("describe", || {
        let launcher = Launcher::new(describe).name("a name of 22 letters!");
        assert_eq!(launcher.stdin_null(true).launch().unwrap().wait(), Exit::Code(0));
    }),
    ("closed standard descriptors", || {
        let child = Launcher::new(|start| {
            assert!((0..3).all(|number| fs::exists(format!("/proc/self/fd/{number}")).unwrap()));
            assert_eq!(fs::read_link("/proc/self/fd/0").unwrap().to_str(), Some("/dev/null"));
            assert_eq!(start.payload, [7]);
        });
        assert_eq!(child.payload(vec![7]).stdin_null(true).launch().unwrap().wait(), Exit::Code(0));
    }),
    ("pin whoever starts the first", || {
        let own = processors(());
        let one = own[0];
        let first = std::thread::spawn(move || {
            let mut only = CpuSet::new();
            only.set(one);
            sched_setaffinity(None, &only).unwrap();
            Process::spawn(processors, ()).unwrap().join().unwrap()
        });
        assert_eq!(first.join().unwrap(), own);
        assert_eq!(Process::spawn(processors, ()).unwrap().join().unwrap(), own);
    }),
    ("delete the program", || {
        fs::remove_file(std::env::current_exe().unwrap()).unwrap();
        let child = Launcher::new(|_| std::process::exit(3)).launch().unwrap();
        say(&format!("exit {}", child.wait()));
    }),
    ("rights given up", || {
        rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
            .unwrap();
        if role::is_root() {
            // SAFETY: the call only changes the rights of this process.
            assert_eq!(unsafe { libc::setuid(65534) }, 0);
        }
        let denied = fs::read("/proc/self/auxv").unwrap_err();
        assert_eq!(denied.kind(), std::io::ErrorKind::PermissionDenied);
        match Launcher::new(|_| std::process::exit(3)).launch() {
            Ok(child) => say(&format!("exit {}", child.wait())),
            Err(error) => say(&format!("error {error}")),
        }
    }),
    ("interrupts", interrupts),
    ("deep stack", || {
        let limit = Rlimit { current: Some(64 << 20), ..getrlimit(Resource::Stack) };
        setrlimit(Resource::Stack, limit).unwrap();
        let child = Launcher::new(|_| assert_eq!(megabytes_deep(12), 12)).launch().unwrap();
        say(&format!("exit {}", child.wait()));
    }),
    ("file size limit", || {
        let limit = Rlimit { current: Some(1 << 20), ..getrlimit(Resource::Fsize) };
        setrlimit(Resource::Fsize, limit).unwrap();
        let error = Launcher::new(|_| ()).payload(vec![0; 2 << 20]).launch().unwrap_err();
        say(&format!("error {error}"));
    }),
];

fn megabytes_deep(depth: usize) -> usize {
    let frame = std::hint::black_box([1_u8; 1 << 20]);
    let below = if depth > 1 { megabytes_deep(depth - 1) } else { 0 };
    below + usize::from(frame[depth])
}

fn processors(_: ()) -> Vec<usize> {
    let own = sched_getaffinity(None).unwrap();
    (0..CpuSet::MAX_CPU).filter(|number| own.is_set(*number)).collect()
}

/// Which thread is the first to need a child is chance, and would decide for the life of the program.
#[test]
fn processors_are_those_of_the_program_and_not_of_whoever_starts_the_first_child() {
    if processors(()).len() < 2 {
        let test = "processors_are_those_of_the_program_and_not_of_whoever_starts_the_first_child";
        return skips::skipped(test, "there is one processor");
    }
    play("pin whoever starts the first").succeed();
}

#[test]
fn who_has_given_up_rights_starts_processes_all_the_same() {
    let finished = play("rights given up").succeed();
    if finished.out.contains("PR_SET_DUMPABLE") {
        let why = "a kernel before 6.4 tells such a process nothing about itself";
        return skips::skipped("who_has_given_up_rights_starts_processes_all_the_same", why);
    }
    assert_eq!(finished.answer("exit "), "exit code 3");
}

#[test]
fn the_function_has_the_stack_of_a_main_thread() {
    assert_eq!(play("deep stack").succeed().answer("exit "), "exit code 0");
}

#[test]
fn a_payload_over_the_file_size_limit_is_an_error_and_no_signal() {
    let finished = play("file size limit").succeed();
    assert!(finished.answer("error ").contains("RLIMIT_FSIZE"), "{}", finished.out);
}

fn describe(_: Start) {
    say(&format!("arguments {:?}", std::env::args().skip(1).collect::<Vec<_>>()));
    say(&format!("variable {:?}", std::env::var("PROCESSION_BOOT").ok()));
    say(&format!("inherited {:?}", std::env::var(role::VARIABLE).ok()));
    say(&format!("comm {}", fs::read_to_string("/proc/self/comm").unwrap()));
    say(&format!("main thread {}", rustix::thread::gettid() == rustix::process::getpid()));
    say(&format!("stdin {}", fs::read_link("/proc/self/fd/0").unwrap().display()));
    say(&format!("core {:?}", getrlimit(Resource::Core).current.is_some_and(|bytes| bytes <= 1)));
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    for mask in ["SigBlk", "SigIgn"] {
        let line = status.lines().find_map(|line| line.strip_prefix(mask)).unwrap();
        say(&format!("{mask}{line}"));
    }
    // Without the end of a line it stays in std's buffer until the process exits.
    std::io::stdout().write_all(b"what is buffered at the end").unwrap();
}

/// Plays a role that inherits no ignored signal from whoever runs the tests, such as nohup or a shell in the background.
fn play_with_default_signals(role: &str) -> role::Finished {
    let mut command = command(role);
    let reset = || {
        for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT] {
            // SAFETY: the call is async-signal-safe, and gives the signal no handler.
            unsafe { libc::signal(signal, libc::SIG_DFL) };
        }
        Ok(())
    };
    // SAFETY: the closure makes async-signal-safe calls only.
    unsafe { command.pre_exec(reset) };
    finish(&mut command)
}

#[test]
fn a_child_finds_what_a_rust_program_expects() {
    let finished = play_with_default_signals("describe").succeed();
    let arguments = r#"["--exact", "role::program", "--nocapture", "--test-threads=1"]"#;
    assert_eq!(finished.answer("arguments "), arguments);
    assert_eq!(finished.answer("variable "), "None");
    assert_eq!(finished.answer("inherited "), r#"Some("describe")"#);
    assert_eq!(finished.answer("comm "), "a name of 22 le");
    assert_eq!(finished.answer("main thread "), "true");
    assert_eq!(finished.answer("stdin "), "/dev/null");
    assert_eq!(finished.answer("core "), "true");
    assert_eq!(finished.answer("SigBlk:"), "0000000000000000");
    assert_eq!(finished.count("what is buffered at the end"), 1);
    let ignored = u64::from_str_radix(finished.answer("SigIgn:"), 16).unwrap();
    // 32 and 33 belong to the C library, which may ignore them in what it starts.
    let own = ignored & !(0b11 << 31);
    assert_eq!(own, 1 << (libc::SIGPIPE - 1), "SIGPIPE and no other: {ignored:#x}");
}

#[test]
fn a_child_has_standard_descriptors_even_if_its_parent_closed_them() {
    let mut command = command("closed standard descriptors");
    // Output goes nowhere, and the exit code tells all.
    let close = || {
        for number in [0, 2] {
            // SAFETY: nothing in the new process uses these numbers before exec.
            unsafe { libc::close(number) };
        }
        Ok(())
    };
    // SAFETY: the closure makes async-signal-safe calls only.
    unsafe { command.pre_exec(close) };
    finish(&mut command).succeed();
}

#[test]
fn a_program_whose_file_is_gone_still_starts_children() {
    let scratch = Scratch::new("deleted");
    let mut command = command_at(&scratch.copy_of_program(), "delete the program");
    assert_eq!(finish(&mut command).succeed().answer("exit "), "exit code 3");
}

fn interrupts() {
    // Without the option SIGINT kills; with it, a program that the child runs is still killed.
    let sleep = |_| std::thread::sleep(role::GUARD);
    let ordinary = Launcher::new(sleep).launch().unwrap();
    ordinary.signal(libc::SIGINT).unwrap();
    say(&format!("ordinary {}", ordinary.wait()));
    let deaf = Launcher::new(sleep).ignore_interrupt(true).launch().unwrap();
    for _ in 0..100 {
        deaf.signal(libc::SIGINT).unwrap();
    }
    deaf.signal(libc::SIGTERM).unwrap();
    say(&format!("deaf {}", deaf.wait()));
    let runs_another = Launcher::new(|_| {
        let mut shell = std::process::Command::new("sh");
        let status = shell.args(["-c", "kill -INT $$; exit 5"]).status().unwrap();
        use std::os::unix::process::ExitStatusExt;
        std::process::exit(status.signal().unwrap());
    });
    let runs_another = runs_another.ignore_interrupt(true).launch().unwrap();
    say(&format!("another {}", runs_another.wait()));
}

#[test]
fn interrupts_reach_a_child_unless_it_is_deaf_to_them() {
    let finished = play_with_default_signals("interrupts").succeed();
    assert_eq!(finished.answer("ordinary "), "SIGINT (interrupt)");
    assert_eq!(finished.answer("deaf "), "SIGTERM (terminated)");
    assert_eq!(finished.answer("another "), "exit code 2");
}
