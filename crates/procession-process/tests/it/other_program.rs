//! Other programs than this one as children: copies of it, and programs that know nothing of all this.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use backstage::holdings::descriptors;
use procession_process::{
    Exit, Launcher, Process, ProcessBuilder, ProcessError, SpawnError, Stdio, image, refusal,
};

use skips::skipped;

use super::role::{self, Scratch, command, finish, play, say};

pub(crate) const ROLES: &[(&str, fn())] = &[
    ("strangers", strangers),
    ("named by its file", || {
        let program = std::env::var_os("PROGRAM").unwrap();
        let builder = Process::builder().program(program);
        assert_eq!(builder.spawn(|n: u32| n + 1, 1).unwrap().join().unwrap(), 2);
        say("child has served");
    }),
];

fn shell(script: &str) -> ProcessBuilder {
    Process::builder().program("/bin/sh").program_args(["-c", script]).stdout(Stdio::null())
}

/// The error of a process that was started in vain.
fn error_of(builder: &ProcessBuilder) -> ProcessError {
    builder.spawn(|()| (), ()).unwrap().join().unwrap_err()
}

fn strangers() {
    let round = || {
        for code in [0, 1, 3, 255] {
            let script = format!("echo garbage; exit {code}");
            match error_of(&shell(&script)) {
                ProcessError::NotServed { code: seen, .. } => assert_eq!(seen, code),
                other => panic!("{other:?}"),
            }
        }
        // It may write what it likes to the socket that it knows nothing of.
        let rude = shell("echo garbage >&3; exec 3>&-; kill -9 $$");
        match error_of(&rude) {
            ProcessError::Died { exit, .. } => assert_eq!(exit, Exit::Signal(libc::SIGKILL)),
            other => panic!("{other:?}"),
        }
        let mut hangs = shell("exec sleep 1000").spawn(|()| (), ()).unwrap();
        assert!(hangs.join_timeout(Duration::from_millis(20)).unwrap().is_none());
        hangs.kill().unwrap();
        assert!(matches!(hangs.join(), Err(ProcessError::Died { .. })));
    };
    round();
    role::eventually("the first are gone", || role::children().is_empty());
    // Those of the last child may be closed a moment after it is gone.
    let before = descriptors();
    for _ in 0..5 {
        round();
    }
    role::eventually("no children, no zombies", || role::children().is_empty());
    role::eventually("no descriptor more", || descriptors() <= before);
}

#[test]
fn programs_that_do_not_serve_are_typed_errors_and_leave_nothing() {
    play("strangers").succeed();
}

#[test]
fn what_stands_in_the_way_is_said() {
    let error = error_of(&shell("exit 9")).to_string();
    assert!(error.contains("exit code 9 before its function was called"), "{error}");
    assert!(error.contains("does not call `serve`"), "{error}");
}

#[test]
fn a_program_that_does_not_exist_or_is_none_is_not_started() {
    for (path, why) in [
        ("/nothing/here", "run the helper program: /nothing/here: No such file"),
        ("/etc/passwd", "run the helper program: /etc/passwd: Permission denied"),
        ("/etc/passwd", "is it executable?"),
        ("a\0b", "name the helper"),
    ] {
        match Process::builder().program(path).spawn(|()| (), ()) {
            Err(error @ ProcessError::Spawn(SpawnError::System { .. })) => {
                assert!(error.to_string().contains(why), "{error}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_copy_of_this_program_serves() {
    let scratch = Scratch::new("copy");
    let copy = scratch.copy_of_program();
    // Its arguments are its own, and `main` does not see them.
    let builder = Process::builder().program(&copy).program_args(["--nonsense"]);
    let seen = |n: u32| {
        let arguments: Vec<String> = std::env::args().collect();
        (n + 1, arguments, fs::read_link("/proc/self/exe").unwrap())
    };
    let (n, arguments, executed) = builder.spawn(seen, 1).unwrap().join().unwrap();
    assert_eq!((n, executed), (2, fs::canonicalize(&copy).unwrap()));
    assert_eq!(arguments, [copy.to_str().unwrap(), "--nonsense"]);
    let child = Launcher::new(|start| std::process::exit(start.payload[0].into()));
    let child = child.program(&copy).payload(vec![7]).launch().unwrap();
    assert_eq!(child.wait(), Exit::Code(7));
}

#[test]
fn another_build_is_not_served() {
    let scratch = Scratch::new("build");
    let copy = scratch.copy_of_program();
    alter_build_id(&copy);
    let other = Process::builder().program(&copy).stderr(Stdio::null());
    match error_of(&other) {
        error @ ProcessError::NotServed { code: refusal::OTHER_BUILD, .. } => {
            assert!(error.to_string().contains("another build"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

/// By another program, so that no process which another test is just forking has the file open for writing.
fn alter_build_id(program: &Path) {
    let file = fs::read(program).unwrap();
    let id = image::identity().as_bytes();
    let at = file.windows(id.len()).position(|bytes| bytes == id).unwrap();
    let script = format!(
        "printf '\\{:o}' | dd of={} bs=1 seek={at} conv=notrunc 2>/dev/null",
        file[at] ^ 1,
        program.display()
    );
    assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
}

#[test]
fn a_program_started_by_the_dynamic_linker_names_its_file() {
    let linker = "/lib64/ld-linux-x86-64.so.2";
    if cfg!(target_feature = "crt-static") || !fs::exists(linker).unwrap() {
        let test = "a_program_started_by_the_dynamic_linker_names_its_file";
        return skipped(test, "no dynamic linker");
    }
    let program = command("named by its file");
    let mut command = Command::new(linker);
    command.arg(program.get_program()).args(program.get_args());
    command.env(role::VARIABLE, "named by its file").env("PROGRAM", program.get_program());
    assert_eq!(finish(&mut command).succeed().count("child has served"), 1);
}
