//! Options of a process.

use std::env;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;

use procession_process::{
    Exit, Failure, Limits, Process, ProcessBuilder, ProcessError, SpawnError, StartMethod, Stdio,
    current, refusal,
};

use skips::skipped;

use super::role::{self, Scratch, command, finish, say};

pub(crate) const ROLES: &[(&str, fn())] = &[
    ("cleared environment", || {
        let cleared = Process::builder().env_clear().env("GIVEN", "1");
        let (environment, at_exec) = cleared.spawn(|()| see(), ()).unwrap().join().unwrap();
        say(&format!("cleared {}", environment.join(" ")));
        say(&format!("cleared at exec {}", at_exec.join(" ")));
        let removed =
            Process::builder().env_remove("LD_TEST").env_remove("SECRET").env("LD_NEW", "2");
        let (environment, at_exec) = removed.spawn(|()| see(), ()).unwrap().join().unwrap();
        say(&format!("removed {}", of_test(&environment)));
        say(&format!("removed at exec {}", of_test(&at_exec)));
    }),
    ("not allowed", || {
        let mut process =
            Process::builder().nice(-20).stderr(Stdio::piped()).spawn(|()| (), ()).unwrap();
        let mut said = String::new();
        process.take_stderr().unwrap().read_to_string(&mut said).unwrap();
        assert!(said.contains("set the nice value"), "{said}");
        assert_eq!(process.wait(), Exit::Code(refusal::SYSTEM));
        say(&format!("nice value {}", process.wait()));
        let error = process.join().unwrap_err().to_string();
        assert!(error.contains("its standard error says more"), "{error}");
        let limited = Process::builder().limits(Limits::new().processes(1)).stderr(Stdio::null());
        let starts_a_thread = |()| std::thread::Builder::new().spawn(|| ()).is_ok();
        say(&format!("threads {}", limited.spawn(starts_a_thread, ()).unwrap().join().unwrap()));
    }),
    ("file size limit of the parent", || {
        rustix::process::setrlimit(
            rustix::process::Resource::Fsize,
            rustix::process::Rlimit { current: Some(100_000), maximum: Some(100_000) },
        )
        .unwrap();
        let make = |len: usize| vec![1_u8; len];
        assert_eq!(Process::spawn(make, 90_000).unwrap().join().unwrap().len(), 90_000);
        let error = Process::spawn(make, 110_000).unwrap().join().unwrap_err();
        assert!(matches!(error, ProcessError::Encode { .. }), "{error}");
    }),
];

fn of_test(entries: &[String]) -> String {
    let kept = |entry: &&String| {
        ["LD_TEST", "SECRET", "LD_NEW", "KEPT"].iter().any(|name| entry.starts_with(name))
    };
    entries.iter().filter(kept).cloned().collect::<Vec<_>>().join(" ")
}

/// The environment as it is now, sorted, and as it was at exec but for the bootstrap variable.
fn see() -> (Vec<String>, Vec<String>) {
    let mut now: Vec<String> = env::vars().map(|(name, value)| format!("{name}={value}")).collect();
    now.sort();
    let at_exec = String::from_utf8(fs::read("/proc/self/environ").unwrap()).unwrap();
    let at_exec = at_exec.split_terminator('\0').map(str::to_owned);
    let mut at_exec: Vec<String> =
        at_exec.filter(|entry| !entry.starts_with("PROCESSION_BOOT")).collect();
    at_exec.sort();
    (now, at_exec)
}

fn exit_of(builder: &ProcessBuilder, function: fn(())) -> Exit {
    match builder.spawn(function, ()).unwrap().join() {
        Err(ProcessError::Died { exit, .. }) => exit,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_name_is_shown_by_ps() {
    fn names(_: ()) -> (String, String) {
        let pid = std::process::id();
        let shown = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap();
        (current().name().to_owned(), shown)
    }
    let process = Process::builder().name("a\0 name that is long").spawn(names, ()).unwrap();
    assert_eq!(process.name(), "a name that is long");
    let (own, shown) = process.join().unwrap();
    assert_eq!((own.as_str(), shown.as_str()), ("a name that is long", "a name that is \n"));
}

#[test]
fn a_builder_starts_many() {
    let builder = Process::builder().env("SHARED", "yes").stdin(Stdio::null());
    let read = |name: String| env::var(name).unwrap_or_default();
    for _ in 0..3 {
        assert_eq!(builder.spawn(read, "SHARED").unwrap().join().unwrap(), "yes");
    }
    let other = builder.clone().env("SHARED", "no");
    assert_eq!(other.spawn(read, "SHARED").unwrap().join().unwrap(), "no");
    assert_eq!(builder.spawn(read, "SHARED").unwrap().join().unwrap(), "yes");
}

#[test]
fn the_environment_is_cleared_but_for_what_loads_the_program() {
    let mut command = command("cleared environment");
    command
        .env("LD_TEST", "1")
        .env("SECRET", "s")
        .env("KEPT", "k")
        .env("LD_LIBRARY_PATH", "/nowhere");
    let finished = finish(&mut command).succeed();
    assert_eq!(finished.answer("cleared GIVEN"), "=1");
    assert_eq!(finished.answer("cleared at exec "), "GIVEN=1 LD_LIBRARY_PATH=/nowhere LD_TEST=1");
    assert_eq!(finished.answer("removed K"), "EPT=k LD_NEW=2");
    assert_eq!(finished.answer("removed at exec "), "KEPT=k LD_NEW=2 LD_TEST=1");
}

#[test]
fn names_that_no_environment_can_hold_are_refused() {
    for (name, value) in [("", "x"), ("A=B", "x"), ("A\0", "x"), ("A", "x\0")] {
        let refused = Process::builder().env(name, value).spawn(|()| (), ());
        assert!(matches!(refused, Err(ProcessError::Spawn(SpawnError::System { .. }))), "{name:?}");
    }
}

#[test]
fn the_working_directory_is_another() {
    let here = |()| env::current_dir().unwrap();
    assert_eq!(Process::spawn(here, ()).unwrap().join().unwrap(), env::current_dir().unwrap());
    let scratch = Scratch::new("directory");
    let builder = Process::builder().current_dir(&scratch.0);
    let there = builder.spawn(here, ()).unwrap().join().unwrap();
    assert_eq!(there, fs::canonicalize(&scratch.0).unwrap());
    let file = scratch.0.join("file");
    fs::write(&file, "").unwrap();
    for wrong in [file, PathBuf::from("/nothing/here")] {
        match Process::builder().current_dir(&wrong).spawn(here, ()) {
            Err(error @ ProcessError::Spawn(_)) => {
                assert!(error.to_string().contains("open the working directory"), "{error}");
                assert!(error.to_string().contains(wrong.to_str().unwrap()), "{error}");
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Three lines on standard output, one on standard error.
fn talk(lines: u32) -> String {
    let mut heard = String::new();
    std::io::stdin().read_to_string(&mut heard).unwrap();
    let mut out = std::io::stdout();
    (0..lines).for_each(|line| writeln!(out, "out {line}").unwrap());
    std::io::stderr().write_all(b"err\n").unwrap();
    heard
}

#[test]
fn standard_descriptors_are_pipes() {
    let builder = Process::builder();
    let builder = builder.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = builder.spawn(talk, 2).unwrap();
    process.take_stdin().unwrap().write_all(b"hello").unwrap();
    assert!(process.take_stdin().is_none());
    let (mut out, mut err) = (String::new(), String::new());
    process.take_stdout().unwrap().read_to_string(&mut out).unwrap();
    process.take_stderr().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!((out.as_str(), err.as_str()), ("out 0\nout 1\n", "err\n"));
    assert_eq!(process.join().unwrap(), "hello");
}

#[test]
fn standard_descriptors_are_files() {
    let scratch = Scratch::new("stdio");
    let path = |name| scratch.0.join(name);
    fs::write(path("in"), "from a file").unwrap();
    let out = File::create(path("out")).unwrap();
    let builder = Process::builder().stdin(File::open(path("in")).unwrap());
    let builder = builder.stderr(out.try_clone().unwrap()).stdout(Stdio::file(out));
    assert_eq!(builder.spawn(talk, 1).unwrap().join().unwrap(), "from a file");
    // The second one finds the shared file read to its end.
    assert_eq!(builder.spawn(talk, 1).unwrap().join().unwrap(), "");
    assert_eq!(fs::read_to_string(path("out")).unwrap(), "out 0\nerr\nout 0\nerr\n");
}

#[test]
fn standard_descriptors_are_null() {
    let builder = Process::builder();
    let builder = builder.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let targets = |()| -> Vec<PathBuf> {
        (0..3).map(|n| fs::read_link(format!("/proc/self/fd/{n}")).unwrap()).collect()
    };
    let targets = builder.spawn(targets, ()).unwrap().join().unwrap();
    assert_eq!(targets, [PathBuf::from("/dev/null"), "/dev/null".into(), "/dev/null".into()]);
    assert_eq!(builder.spawn(talk, 1).unwrap().join().unwrap(), "");
}

/// The nice values of this thread and of one that it starts: field 19.
fn nice_values(_: ()) -> Vec<String> {
    std::thread::scope(|scope| scope.spawn(nice_values_here).join().unwrap())
}

fn nice_values_here() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap().map(|entry| entry.unwrap().path());
    let stats = tasks.map(|task| fs::read_to_string(task.join("stat")).unwrap());
    stats
        .map(|stat| stat.rsplit_once(") ").unwrap().1.split(' ').nth(16).unwrap().to_owned())
        .collect()
}

#[test]
fn all_threads_are_nice() {
    let nice = Process::builder().nice(7).spawn(nice_values, ()).unwrap().join().unwrap();
    assert_eq!(nice, ["7", "7"]);
}

#[test]
fn a_process_is_bound_to_processors() {
    let allowed = rustix::thread::sched_getaffinity(None).unwrap();
    let last = (0..1024).rev().find(|number| allowed.is_set(*number)).unwrap();
    let bound = |()| {
        let set = rustix::thread::sched_getaffinity(None).unwrap();
        (set.count(), (0..1024).find(|number| set.is_set(*number)))
    };
    let process = Process::builder().affinity(&[last]).spawn(bound, ()).unwrap();
    assert_eq!(process.join().unwrap(), (1, Some(last)));
    let none = Process::builder().affinity(&[5000]).spawn(bound, ()).unwrap_err();
    assert!(none.to_string().contains("there is no processor 5000"), "{none}");
    let absent = Process::builder().affinity(&[1023]).stderr(Stdio::null());
    assert_eq!(absent.spawn(bound, ()).unwrap().wait(), Exit::Code(refusal::SYSTEM));
}

/// Or it would sleep before each message of a peer that runs on another one.
#[test]
fn a_process_that_is_bound_to_one_processor_knows_of_its_parents() {
    needs_pidfds!();
    let allowed = rustix::thread::sched_getaffinity(None).unwrap();
    let first = (0..1024).find(|number| allowed.is_set(*number)).unwrap();
    for method in [StartMethod::Spawn, StartMethod::Zygote] {
        let bound = Process::builder().affinity(&[first]).start_method(method);
        let believed = bound.spawn(|()| procession_shm::Spin::cores(), ()).unwrap().join().unwrap();
        assert_eq!(believed, procession_shm::Spin::cores(), "{method:?}");
    }
}

#[test]
fn memory_over_the_limit_aborts() {
    let builder = Process::builder().limits(Limits::new().memory_bytes(256 << 20));
    let allocate = |bytes: usize| {
        let memory = vec![1_u8; bytes];
        std::hint::black_box(&memory).len()
    };
    assert_eq!(builder.spawn(allocate, 64 << 20).unwrap().join().unwrap(), 64 << 20);
    let process = builder.stderr(Stdio::null()).spawn(allocate, 512 << 20).unwrap();
    assert_eq!(process.wait(), Exit::Signal(libc::SIGABRT));
}

#[test]
fn processor_time_over_the_limit_is_named() {
    let builder = Process::builder().limits(Limits::new().cpu_seconds(1));
    let exit = exit_of(&builder, |()| {
        loop {
            std::hint::spin_loop();
        }
    });
    assert_eq!(exit, Exit::Signal(libc::SIGXCPU));
    assert_eq!(exit.to_string(), "SIGXCPU (CPU time limit exceeded)");
}

#[test]
fn open_files_over_the_limit_are_refused() {
    let builder = Process::builder().limits(Limits::new().open_files(20));
    let open = |count: usize| -> Result<usize, Failure> {
        let files = (0..count).map(|_| File::open("/dev/null")).collect::<Result<Vec<_>, _>>()?;
        Ok(files.len())
    };
    assert_eq!(builder.spawn(open, 5).unwrap().join().unwrap(), 5);
    let error = builder.spawn(open, 30).unwrap().join().unwrap_err().to_string();
    assert!(error.contains("Too many open files"), "{error}");
}

#[test]
fn a_file_over_the_limit_is_a_signal_and_a_result_is_none() {
    let none = Process::builder().limits(Limits::new().file_size_bytes(0));
    let result = none.spawn(|len: usize| vec![5_u8; len], 1 << 20).unwrap().join().unwrap();
    assert!(result == vec![5; 1 << 20]);
    let scratch = Scratch::new("limit");
    let path = scratch.0.join("file");
    let write = |path: PathBuf| File::create(path).unwrap().write_all(b"x").unwrap();
    let process = none.spawn(write, path.as_path()).unwrap();
    assert_eq!(process.wait(), Exit::Signal(libc::SIGXFSZ));
}

#[test]
fn a_result_fits_under_the_file_size_limit_of_the_parent_or_is_an_error() {
    role::play("file size limit of the parent").succeed();
}

/// Root is not refused these.
#[test]
fn what_is_not_allowed_ends_the_process() {
    let mut command = command("not allowed");
    if role::is_root() {
        command.uid(65534).gid(65534).current_dir("/");
    }
    let program = env::current_exe().unwrap();
    if role::is_root() && !others_may_run(&program) {
        let reason = "this test binary is out of reach for other users";
        return skipped("what_is_not_allowed_ends_the_process", reason);
    }
    let finished = finish(&mut command).succeed();
    assert_eq!(finished.answer("nice value "), "exit code 116");
    assert_eq!(finished.answer("threads "), "false");
}

fn others_may_run(program: &std::path::Path) -> bool {
    program.ancestors().all(|path| fs::metadata(path).unwrap().permissions().mode() & 1 == 1)
}

#[test]
fn limits_are_inherited_and_never_raised() {
    let limit = |()| rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    fn below(count: u64) -> Result<Option<u64>, Failure> {
        let limit = |()| rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let builder = Process::builder().limits(Limits::new().open_files(count));
        Ok(builder.spawn(limit, ())?.join()?)
    }
    let outer = Process::builder().limits(Limits::new().open_files(50));
    assert_eq!(outer.spawn(limit, ()).unwrap().join().unwrap(), Some(50));
    assert_eq!(outer.spawn(below, 40).unwrap().join().unwrap(), Some(40));
    assert_eq!(outer.spawn(below, 90).unwrap().join().unwrap(), Some(50));
}
