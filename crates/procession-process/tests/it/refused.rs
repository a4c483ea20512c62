//! Programs that cannot be started again, and systems that do not let them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use procession_process::{Exit, Launcher, Limits, Process, SpawnError, refusal};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use seccompiler::SeccompAction;

use skips::skipped;

use super::role::{self, MAIN, Scratch, command, command_at, finish, is_root, play, say};
use super::status::forbid;

pub(crate) const ROLES: &[(&str, fn())] = &[
    ("launch", report_launch),
    ("launch at end of input", || {
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
        report_launch();
    }),
    ("no exec", || {
        let refuse = SeccompAction::Errno(u32::try_from(libc::EACCES).unwrap());
        forbid(&[libc::SYS_execve, libc::SYS_execveat], refuse);
        report_launch();
        role::eventually("no children, no zombies", || role::children().is_empty());
    }),
    ("few descriptors", few_descriptors),
    ("unknown limits", unknown_limits),
];

fn report_launch() {
    match Launcher::new(|_| say("child serves")).launch() {
        Ok(child) => say(&format!("exit {}", child.wait())),
        Err(error) => {
            let kind = match error {
                SpawnError::Privileged => "privileged",
                SpawnError::NotRestartable { .. } => "not restartable",
                SpawnError::System { .. } => "system",
                _ => "other",
            };
            say(&format!("error {kind}: {error}"));
        }
    }
}

/// Every limit from too low for anything up to enough; each failure leaves nothing behind.
fn few_descriptors() {
    // What the harness left open may have a number above the limits to come.
    for number in 3..4096 {
        // SAFETY: setting a flag of a number has no effect on memory, whether or not it is open.
        unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    let full = getrlimit(Resource::Nofile);
    let (mut failed, mut launched) = (0, 0);
    for current in 3..40 {
        setrlimit(Resource::Nofile, Rlimit { current: Some(current), ..full }).unwrap();
        let result = Launcher::new(|_| ()).payload(vec![0; 20 << 10]).stdin_null(true).launch();
        setrlimit(Resource::Nofile, full).unwrap();
        match result {
            Ok(child) => {
                // A child that may open too few itself refuses, and says so.
                assert!(matches!(child.wait(), Exit::Code(_)));
                launched += 1;
            }
            Err(error) => {
                assert!(error.to_string().contains("RLIMIT_NOFILE"), "{error}");
                failed += 1;
            }
        }
    }
    role::eventually("no children, no zombies", || role::children().is_empty());
    assert!(failed > 0 && launched > 0, "{failed} launches failed, {launched} did not");
}

/// Of a process that may not touch limits at all, only what has to change one is refused.
fn unknown_limits() {
    let refuse = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    forbid(&[libc::SYS_prlimit64], refuse);
    let builder = Process::builder();
    let dumps = builder.clone().core_dumps(true);
    assert_eq!(dumps.spawn(|n: u32| n + 1, 1).unwrap().join().unwrap(), 2);
    let long = dumps.spawn(|bytes: Vec<u8>| bytes, vec![7; 1 << 20]).unwrap().join().unwrap();
    assert_eq!(long, vec![7; 1 << 20]);
    say(&format!("refused {}", builder.spawn(|()| (), ()).unwrap().join().unwrap_err()));
    let limits = Limits::new().open_files(100);
    let limited = dumps.limits(limits).spawn(|()| (), ()).unwrap().join();
    say(&format!("limited {}", limited.unwrap_err()));
    let nofile = procession_shm::doctor().get("RLIMIT_NOFILE").unwrap().clone();
    assert_eq!(nofile.status, procession_shm::doctor::Status::Unknown, "{nofile:?}");
    role::eventually("no children, no zombies", || role::children().is_empty());
}

#[test]
fn what_is_not_told_of_limits_is_no_panic() {
    let finished = play("unknown limits").succeed();
    for key in ["refused ", "limited "] {
        let said = finished.answer(key);
        assert!(said.contains("refused"), "{said}");
    }
    assert!(finished.err.contains("set RLIMIT_CORE"), "{}", finished.err);
    assert!(finished.err.contains("set RLIMIT_NOFILE"), "{}", finished.err);
}

#[test]
fn a_program_started_by_the_dynamic_linker() {
    let linker = "/lib64/ld-linux-x86-64.so.2";
    if cfg!(target_feature = "crt-static") || !fs::exists(linker).unwrap() {
        return skipped("a_program_started_by_the_dynamic_linker", "no dynamic linker");
    }
    let program = command("launch");
    let mut command = Command::new(linker);
    command.arg(program.get_program()).args(program.get_args()).env(role::VARIABLE, "launch");
    let finished = finish(&mut command).succeed();
    assert!(finished.answer("error ").starts_with("not restartable"), "{}", finished.out);
}

#[test]
fn a_setuid_program_refuses_and_never_serves() {
    const TEST: &str = "a_setuid_program_refuses_and_never_serves";
    if !is_root() {
        return skipped(TEST, "only root can make a file setuid for another user");
    }
    let scratch = Scratch::new("setuid");
    let program = scratch.copy_of_program();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
    let nobody = || {
        let mut command = command_at(&program, "launch");
        command.uid(65534).gid(65534).current_dir("/");
        command
    };
    let finished = finish(&mut nobody()).succeed();
    if finished.count("child serves") == 1 {
        return skipped(TEST, "the temporary directory is mounted nosuid");
    }
    assert!(finished.answer("error ").starts_with("privileged"), "{}", finished.out);

    let value = format!("1,3,{},1,1", std::process::id());
    let finished = finish(nobody().env("PROCESSION_BOOT", value));
    assert_eq!(finished.status.code(), Some(refusal::PRIVILEGED), "{}", finished.err);
    assert_eq!(finished.count(MAIN), 0);
}

/// The program itself has no more rights than its caller, but its children would.
#[test]
fn a_program_whose_file_turns_setuid_while_it_runs() {
    const TEST: &str = "a_program_whose_file_turns_setuid_while_it_runs";
    if !is_root() {
        return skipped(TEST, "only root can make a file setuid for another user");
    }
    let scratch = Scratch::new("turns");
    let program = scratch.copy_of_program();
    let mut command = command_at(&program, "launch at end of input");
    command.uid(65534).gid(65534).current_dir("/");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let running = command.spawn().unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
    let output = running.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    if said.contains("child serves") {
        return skipped(TEST, "the temporary directory is mounted nosuid");
    }
    assert!(said.contains(&format!("exit code {}", refusal::PRIVILEGED)), "{said}");
    assert_eq!(said.matches(MAIN).count(), 1, "{said}");
}

#[test]
fn proc_is_not_mounted() {
    const TEST: &str = "proc_is_not_mounted";
    if !is_root() {
        return skipped(TEST, "only root can mount");
    }
    let mut command = command("launch");
    let hide_proc = || {
        let none = c"none".as_ptr();
        let root = c"/".as_ptr();
        let (proc, tmpfs) = (c"/proc".as_ptr(), c"tmpfs".as_ptr());
        let private = libc::MS_REC | libc::MS_PRIVATE;
        // SAFETY: a plain system call.
        let mut results = [unsafe { libc::unshare(libc::CLONE_NEWNS) }, 0, 0];
        // SAFETY: all strings are C strings.
        results[1] =
            unsafe { libc::mount(none, root, std::ptr::null(), private, std::ptr::null()) };
        // SAFETY: as above.
        results[2] = unsafe { libc::mount(none, proc, tmpfs, 0, std::ptr::null()) };
        if results == [0; 3] { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    };
    // SAFETY: the closure makes async-signal-safe calls only.
    unsafe { command.pre_exec(hide_proc) };
    let probe = command.stdout(Stdio::null()).status();
    if probe.is_err() {
        return skipped(TEST, "mounting is forbidden here");
    }
    let finished = finish(&mut command).succeed();
    let error = finished.answer("error system: ");
    assert!(error.contains("mount it: mount -t proc proc /proc"), "{error}");
}

#[test]
fn exec_is_forbidden() {
    let finished = play("no exec").succeed();
    let error = finished.answer("error system: ");
    assert!(error.contains("run /proc/self/exe"), "{error}");
    assert!(error.contains("security policy"), "{error}");
}

#[test]
fn too_few_descriptors_are_left() {
    play("few descriptors").succeed();
}
