//! Processes in a sandbox try what is forbidden, and go on with what is not.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;

use procession_channel::{Fd, pipe};
use procession_process::{
    Exit, Failure, Limits, Process, ProcessBuilder, ProcessError, Sandbox, SpawnError, StartMethod,
    Stdio, refusal, spawn,
};
use procession_shm::{Shared, SharedSlice};
use seccompiler::SeccompAction;

use super::role::{self, Scratch, eventually, play, runs, say, skipped};
use super::status::forbid;

pub(crate) const ROLES: &[(&str, fn())] = &[
    ("no landlock", || {
        let errno = u32::try_from(libc::ENOSYS).unwrap();
        forbid(&[libc::SYS_landlock_create_ruleset], SeccompAction::Errno(errno));
        match confined(Sandbox::new()).spawn(|()| (), ()) {
            Err(ProcessError::Spawn(error @ SpawnError::SandboxUnavailable { .. })) => {
                say(&format!("refused {error}"));
            }
            other => panic!("{other:?}"),
        }
        let weak = confined(Sandbox::new().compute_only().best_effort());
        assert_eq!(weak.spawn(|n: u32| n + 1, 1).unwrap().join().unwrap(), 2);
        let parent = std::process::id();
        for outcome in weak.spawn(attack_processes, parent).unwrap().join().unwrap() {
            assert!(outcome.is_refused() || outcome.0.contains("/proc"), "{outcome:?}");
        }
        for outcome in weak.spawn(attack_system, scratch_path()).unwrap().join().unwrap() {
            assert!(outcome.is_refused(), "{outcome:?}");
        }
        say("the rest holds");
    }),
    ("sandboxed child and grandchild", || {
        let child = confined(Sandbox::new().no_network());
        let child = child.spawn(|()| parent_of_one(), ()).unwrap();
        child.join().unwrap();
    }),
];

fn scratch_path() -> PathBuf {
    std::env::temp_dir().join(format!("procession-nothing-{}", std::process::id()))
}

fn parent_of_one() {
    let child = spawn!(sleeps()).unwrap();
    say(&format!("pids {} {}", std::process::id(), child.pid()));
    sleeps();
}

fn sleeps() {
    std::thread::sleep(role::GUARD);
}

fn confined(sandbox: Sandbox) -> ProcessBuilder {
    Process::builder().sandbox(sandbox)
}

/// Whether this kernel can do it; says so if not.
fn available(test: &str) -> bool {
    let available = Sandbox::new().compute_only().is_available();
    if !available {
        skipped(test, "this kernel has no Landlock, or no seccomp filters");
    }
    available
}

/// What was tried, and the error number it ended with; 0 if it worked.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
struct Outcome(String, i32);

impl Outcome {
    fn of<T>(what: impl Into<String>, result: io::Result<T>) -> Self {
        let errno = |error: io::Error| error.raw_os_error().unwrap_or(-1);
        Self(what.into(), result.err().map_or(0, errno))
    }

    /// Of a system call, which returns -1 for an error.
    fn of_call(what: &str, result: libc::c_long) -> Self {
        let error = io::Error::last_os_error();
        Self::of(what, if result == -1 { Err(error) } else { Ok(()) })
    }

    fn is_refused(&self) -> bool {
        matches!(self.1, libc::EPERM | libc::EACCES)
    }
}

fn refused(outcomes: &[Outcome]) {
    assert!(!outcomes.is_empty());
    for outcome in outcomes {
        assert!(outcome.is_refused(), "{outcome:?}");
    }
}

fn worked(outcomes: &[Outcome]) {
    assert!(!outcomes.is_empty());
    for outcome in outcomes {
        assert_eq!(outcome.1, 0, "{outcome:?}");
    }
}

const ENVIRON: &str = "/proc/pid/environ";

/// Everything by which a process of the same user could reach its parent.
fn attack_processes(parent: u32) -> Vec<Outcome> {
    let pid = parent.cast_signed();
    let null = std::ptr::null_mut::<libc::c_void>();
    let mut space = [0_u8; 8];
    let local = libc::iovec { iov_base: space.as_mut_ptr().cast(), iov_len: 8 };
    let remote = libc::iovec { iov_base: null, iov_len: 8 };
    // SAFETY: plain system calls; those that write get room for it.
    let call = |number, a: libc::c_long, b: libc::c_long, c: libc::c_long, d: libc::c_long| unsafe {
        libc::syscall(number, a, b, c, d, 0, 0)
    };
    let parent_long = libc::c_long::from(pid);
    let pidfd = call(libc::SYS_pidfd_open, parent_long, 0, 0, 0);
    let (reader, _writer) = io::pipe().unwrap();
    let pipe = libc::c_long::from(std::os::fd::AsRawFd::as_raw_fd(&reader));
    // Signal 0 asks whether one might; a real one must not be tried on a test that is to go on.
    let signals = [
        Outcome::of_call("kill", call(libc::SYS_kill, parent_long, 0, 0, 0)),
        Outcome::of_call("tgkill", call(libc::SYS_tgkill, parent_long, parent_long, 0, 0)),
        Outcome::of_call("tkill", call(libc::SYS_tkill, parent_long, 0, 0, 0)),
        Outcome::of_call("pidfd_send_signal", call(libc::SYS_pidfd_send_signal, pidfd, 0, 0, 0)),
    ];
    let setown = i32::try_from(call(libc::SYS_fcntl, pipe, libc::F_SETOWN.into(), parent_long, 0));
    let others = [
        Outcome::of_call("fcntl F_SETOWN", setown.unwrap().into()),
        Outcome::of_call(
            "ptrace",
            call(libc::SYS_ptrace, libc::PTRACE_SEIZE.into(), parent_long, 0, 0),
        ),
        Outcome::of_call("process_vm_readv", {
            // SAFETY: one element each, and room for what is read.
            unsafe {
                libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0)
                    as libc::c_long
            }
        }),
        Outcome::of_call("pidfd_getfd", call(libc::SYS_pidfd_getfd, pidfd, 0, 0, 0)),
        Outcome::of_call("prlimit64", {
            // SAFETY: nothing is read or written.
            unsafe { libc::syscall(libc::SYS_prlimit64, pid, libc::RLIMIT_CORE, null, null) }
        }),
        Outcome::of_call("setpriority", call(libc::SYS_setpriority, 0, parent_long, 19, 0)),
        Outcome::of_call(
            "sched_setaffinity",
            call(libc::SYS_sched_setaffinity, parent_long, 0, 0, 0),
        ),
        Outcome::of_call(
            "prctl PR_SET_PDEATHSIG",
            call(libc::SYS_prctl, libc::PR_SET_PDEATHSIG.into(), 0, 0, 0),
        ),
        Outcome::of(
            "/proc/pid/mem",
            File::options().write(true).open(format!("/proc/{parent}/mem")),
        ),
        Outcome::of(ENVIRON, File::open(format!("/proc/{parent}/environ"))),
        Outcome::of("/proc/pid/fd", File::open(format!("/proc/{parent}/fd/0"))),
    ];
    signals.into_iter().chain(others).collect()
}

/// What changes the machine or opens more of the kernel.
fn attack_system(path: PathBuf) -> Vec<Outcome> {
    let (none, tmpfs) = (c"none".as_ptr(), c"tmpfs".as_ptr());
    let target = c"/tmp".as_ptr();
    // SAFETY: all strings are C strings.
    let mounted = unsafe { libc::mount(none, target, tmpfs, 0, std::ptr::null()) };
    let mount = Outcome::of_call("mount", mounted.into());
    // SAFETY: a plain system call.
    let user = unsafe { libc::unshare(libc::CLONE_NEWUSER) };
    let unshare = Outcome::of_call("unshare", user.into());
    let device = std::ffi::CString::new(path.into_os_string().into_encoded_bytes()).unwrap();
    // SAFETY: the path is a C string.
    let made = unsafe { libc::mknod(device.as_ptr(), libc::S_IFCHR | 0o600, 0x103) };
    let mknod = Outcome::of_call("mknod", made.into());
    // SAFETY: with null pointers these calls only say whether they are allowed.
    let call = |number| unsafe { libc::syscall(number, 0, 0, 0, 0, 0) };
    let bpf = Outcome::of_call("bpf", call(libc::SYS_bpf));
    let ring = Outcome::of_call("io_uring_setup", call(libc::SYS_io_uring_setup));
    let faults = Outcome::of_call("userfaultfd", call(libc::SYS_userfaultfd));
    let keys = Outcome::of_call("keyctl", call(libc::SYS_keyctl));
    vec![mount, unshare, mknod, bpf, ring, faults, keys]
}

fn attack_network(port: u16) -> Vec<Outcome> {
    let address = (Ipv4Addr::LOCALHOST, port);
    vec![
        Outcome::of("tcp connect", TcpStream::connect(address)),
        Outcome::of("tcp listen", TcpListener::bind((Ipv4Addr::LOCALHOST, 0))),
        Outcome::of("udp", UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))),
        Outcome::of("unix", UnixStream::connect("/nothing/here")),
        Outcome::of("unix datagrams", UnixDatagram::pair()),
    ]
}

/// Reads and writes, removes and runs in a directory that has a file `file`.
fn attack_files(directory: PathBuf) -> Vec<Outcome> {
    let file = directory.join("file");
    let c_file =
        std::ffi::CString::new(file.clone().into_os_string().into_encoded_bytes()).unwrap();
    // SAFETY: the path is a C string.
    let truncated = unsafe { libc::truncate(c_file.as_ptr(), 0) };
    vec![
        Outcome::of_call("truncate", truncated.into()),
        Outcome::of("open for writing", File::options().write(true).open(&file)),
        Outcome::of("append", File::options().append(true).open(&file)),
        Outcome::of("create", File::create(directory.join("new"))),
        Outcome::of("remove", fs::remove_file(&file)),
        Outcome::of("rename", fs::rename(&file, directory.join("other"))),
        Outcome::of("link", fs::hard_link(&file, directory.join("link"))),
        Outcome::of("make directory", fs::create_dir(directory.join("sub"))),
        Outcome::of("unix socket", UnixListener::bind(directory.join("socket"))),
    ]
}

fn run_programs(_: ()) -> Vec<Outcome> {
    let program = std::env::current_exe().unwrap();
    vec![
        Outcome::of("run a program", Command::new("/bin/true").status()),
        Outcome::of("run itself", Command::new(program).arg("--list").status()),
    ]
}

fn run_true(_: ()) -> Vec<Outcome> {
    vec![Outcome::of("run a program", Command::new("/bin/true").status())]
}

fn read_files(paths: Vec<PathBuf>) -> Vec<Outcome> {
    paths.iter().map(|path| Outcome::of(path.display().to_string(), fs::read(path))).collect()
}

fn directory_with_file(name: &str) -> Scratch {
    let scratch = Scratch::new(name);
    fs::write(scratch.0.join("file"), "contents").unwrap();
    scratch
}

#[test]
fn without_a_sandbox_the_attacks_work() {
    // What the other tests show is worth something only if this is so.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let outcomes = spawn!(attack_network(port)).unwrap().join().unwrap();
    worked(&outcomes.into_iter().filter(|outcome| outcome.0 != "unix").collect::<Vec<_>>());
    let scratch = directory_with_file("free");
    let outcomes = spawn!(attack_files(scratch.0.as_path())).unwrap().join().unwrap();
    assert_eq!(outcomes[0].1, 0, "truncate");
    assert_eq!(outcomes[3].1, 0, "create");
    worked(&Process::spawn(run_true, ()).unwrap().join().unwrap());
    let outcomes = spawn!(attack_processes(std::process::id())).unwrap().join().unwrap();
    assert_eq!(outcomes[0].1, 0, "kill");
    let environ = outcomes.iter().find(|outcome| outcome.0 == ENVIRON).unwrap();
    assert_eq!(environ.1, 0, "environ");
}

#[test]
fn every_sandbox_keeps_other_processes_and_the_machine_out_of_reach() {
    if !available("every_sandbox_keeps_other_processes_and_the_machine_out_of_reach") {
        return;
    }
    let nothing = scratch_path();
    for sandbox in [Sandbox::new(), Sandbox::new().read_only(["/"]), Sandbox::new().compute_only()]
    {
        let builder = confined(sandbox);
        let mut outcomes =
            builder.spawn(attack_processes, std::process::id()).unwrap().join().unwrap();
        // Root may look into everything (CAP_PERFMON), and keeps that.
        outcomes.retain(|outcome| outcome.0 != ENVIRON || !role::is_root());
        refused(&outcomes);
        refused(&builder.spawn(attack_system, nothing.as_path()).unwrap().join().unwrap());
    }
    assert!(!nothing.exists());
}

#[test]
fn the_plain_sandbox_leaves_files_network_and_programs_alone() {
    const TEST: &str = "the_plain_sandbox_leaves_files_network_and_programs_alone";
    if !available(TEST) {
        return;
    }
    let builder = confined(Sandbox::new());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let outcomes = builder.spawn(attack_network, port).unwrap().join().unwrap();
    worked(&outcomes[..3]);
    worked(&builder.spawn(run_programs, ()).unwrap().join().unwrap());
    let nested = |()| -> Result<u32, Failure> {
        let child = Process::spawn(|n: u32| n + 1, 1)?;
        child.kill()?;
        assert!(matches!(child.wait(), Exit::Signal(libc::SIGKILL) | Exit::Code(0)));
        Ok(Process::spawn(|n: u32| n + 1, 1)?.join()?)
    };
    assert_eq!(builder.spawn(nested, ()).unwrap().join().unwrap(), 2);
}

#[test]
fn without_a_network_there_is_none() {
    if !available("without_a_network_there_is_none") {
        return;
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    for sandbox in [Sandbox::new().no_network(), Sandbox::new().compute_only()] {
        refused(&confined(sandbox).spawn(attack_network, port).unwrap().join().unwrap());
    }
    // A socket that it was given can be talked through, and a pair be made.
    let (mut here, there) = UnixStream::pair().unwrap();
    let talk = |socket: Fd<UnixStream>| {
        let mut socket = socket.into_inner().unwrap();
        socket.write_all(b"hello").unwrap();
        UnixStream::pair().is_ok()
    };
    let builder = confined(Sandbox::new().no_network());
    assert!(builder.spawn(talk, Fd::new(there)).unwrap().join().unwrap());
    let mut said = String::new();
    here.read_to_string(&mut said).unwrap();
    assert_eq!(said, "hello");
}

#[test]
fn files_can_be_read_and_not_written() {
    if !available("files_can_be_read_and_not_written") {
        return;
    }
    let (shown, hidden) = (directory_with_file("shown"), directory_with_file("hidden"));
    let builder = confined(Sandbox::new().read_only([&shown.0]));
    refused(&builder.spawn(attack_files, shown.0.as_path()).unwrap().join().unwrap());
    refused(&builder.spawn(run_programs, ()).unwrap().join().unwrap());
    let shown_file = vec![shown.0.join("file")];
    worked(&builder.spawn(read_files, shown_file).unwrap().join().unwrap());
    let others = vec![hidden.0.join("file"), "/etc/passwd".into(), "/proc/self/status".into()];
    refused(&builder.spawn(read_files, others).unwrap().join().unwrap());
    assert_eq!(fs::read_to_string(shown.0.join("file")).unwrap(), "contents");
    assert_eq!(fs::read_dir(&shown.0).unwrap().count(), 1);
}

#[test]
fn files_can_be_written_where_that_was_granted() {
    if !available("files_can_be_written_where_that_was_granted") {
        return;
    }
    let (open, shut) = (directory_with_file("open"), directory_with_file("shut"));
    let sandbox = Sandbox::new().compute_only().read_only([&shut.0]).read_write([&open.0]);
    let work = |(open, shut): (PathBuf, PathBuf)| -> Result<usize, Failure> {
        fs::write(open.join("new"), fs::read(shut.join("file"))?)?;
        Ok(fs::read(open.join("new"))?.len())
    };
    // Making the new file is a system call that computing takes, renaming it is not.
    let builder = confined(sandbox);
    let paths = (open.0.clone(), shut.0.clone());
    assert_eq!(builder.spawn(work, paths).unwrap().join().unwrap(), 8);
    assert_eq!(fs::read_to_string(open.0.join("new")).unwrap(), "contents");
    refused(&builder.spawn(attack_files, shut.0.as_path()).unwrap().join().unwrap());
    let free = confined(Sandbox::new().read_write([&open.0]));
    let outcomes = free.spawn(attack_files, open.0.as_path()).unwrap().join().unwrap();
    worked(&outcomes[..5]);
}

/// Threads, locks in shared memory, pipes, memory, time, output.
fn compute(
    (numbers, pipe, sum): (
        SharedSlice<u64>,
        pipe::Sender<u64>,
        Shared<std::sync::atomic::AtomicU64>,
    ),
) -> u64 {
    use std::sync::atomic::Ordering;
    let halves = numbers.split_at(numbers.len() / 2);
    let total = std::thread::scope(|scope| {
        let first = scope.spawn(|| halves.0.iter().sum::<u64>());
        let second = scope.spawn(|| halves.1.iter().sum::<u64>());
        first.join().unwrap() + second.join().unwrap()
    });
    std::thread::sleep(std::time::Duration::from_millis(1));
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || tell.send(vec![1_u8; 8 << 20].len()).unwrap());
    assert_eq!(told.recv().unwrap(), 8 << 20);
    let (here, there) = pipe::simplex::<u64>().unwrap();
    here.send(total).unwrap();
    pipe.send(there.recv().unwrap()).unwrap();
    sum.fetch_add(total, Ordering::Relaxed);
    io::stdout().write_all(b"computed\n").unwrap();
    total
}

#[test]
fn computing_goes_on() {
    if !available("computing_goes_on") {
        return;
    }
    let numbers: Vec<u64> = (0..10_000).collect();
    let expected = numbers.iter().sum::<u64>();
    let numbers = SharedSlice::from_slice(&numbers).unwrap();
    let sum = Shared::new(std::sync::atomic::AtomicU64::new(0)).unwrap();
    let builder = confined(Sandbox::new().compute_only()).stdout(Stdio::piped());
    let builder = builder.limits(Limits::new().memory_bytes(1 << 30));
    for _ in 0..2 {
        let (sender, receiver) = pipe::simplex().unwrap();
        let argument = (numbers.clone(), sender, sum.clone());
        let mut process = builder.spawn(compute, argument).unwrap();
        assert_eq!(receiver.recv().unwrap(), expected);
        let mut said = String::new();
        process.take_stdout().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!((process.join().unwrap(), said.as_str()), (expected, "computed\n"));
    }
    assert_eq!(sum.load(std::sync::atomic::Ordering::Relaxed), 2 * expected);
}

#[test]
fn every_end_is_told_as_ever() {
    if !available("every_end_is_told_as_ever") {
        return;
    }
    let builder = confined(Sandbox::new().compute_only()).stderr(Stdio::null());
    let builder = builder.env("RUST_BACKTRACE", "1");
    let panics = |n: u32| -> u32 { if n == 0 { panic!("no {n}") } else { n } };
    match builder.spawn(panics, 0).unwrap().join() {
        Err(ProcessError::Panicked { message, backtrace, .. }) => {
            assert_eq!(message, "no 0");
            assert!(backtrace.contains("sandbox.rs"), "{backtrace}");
        }
        other => panic!("{other:?}"),
    }
    let ends: [(fn(()), Exit); 4] = [
        (|()| std::process::exit(9), Exit::Code(9)),
        (|()| std::process::abort(), Exit::Signal(libc::SIGABRT)),
        // SAFETY: raise has no preconditions.
        (|()| assert_eq!(unsafe { libc::raise(libc::SIGTERM) }, 0), Exit::Signal(libc::SIGTERM)),
        (|()| overflow(1), Exit::Signal(libc::SIGABRT)),
    ];
    for (end, expected) in ends {
        match builder.spawn(end, ()).unwrap().join() {
            Err(ProcessError::Died { exit, .. }) => assert_eq!(exit, expected),
            other => panic!("{other:?}"),
        }
    }
}

fn overflow(depth: u64) {
    let space = [depth; 512];
    if std::hint::black_box(&space)[7] > 0 {
        overflow(depth + 1);
    }
    std::hint::black_box(&space);
}

#[test]
fn nothing_is_forked_or_run_by_what_only_computes() {
    if !available("nothing_is_forked_or_run_by_what_only_computes") {
        return;
    }
    let builder = confined(Sandbox::new().compute_only().read_only(["/"]));
    let forks = |()| {
        // SAFETY: nothing is forked.
        Outcome::of_call("fork", unsafe { libc::fork() }.into())
    };
    refused(&[builder.spawn(forks, ()).unwrap().join().unwrap()]);
    refused(&builder.spawn(run_programs, ()).unwrap().join().unwrap());
}

#[test]
fn a_zygote_forks_into_sandboxes() {
    if !available("a_zygote_forks_into_sandboxes") {
        return;
    }
    let builder = confined(Sandbox::new().compute_only()).start_method(StartMethod::Zygote);
    refused(&builder.spawn(run_true, ()).unwrap().join().unwrap());
    // The zygote itself is in none.
    let free = Process::builder().start_method(StartMethod::Zygote);
    worked(&free.spawn(run_true, ()).unwrap().join().unwrap());
}

#[test]
fn what_is_no_process_is_refused_a_sandbox() {
    let builder = confined(Sandbox::new()).start_method(StartMethod::Inline);
    match builder.spawn(|()| (), ()) {
        Err(ProcessError::Spawn(error @ SpawnError::SandboxUnavailable { .. })) => {
            assert!(error.to_string().contains("`Inline`"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_path_that_does_not_exist_ends_the_process() {
    if !available("a_path_that_does_not_exist_ends_the_process") {
        return;
    }
    let builder = confined(Sandbox::new().read_only([Path::new("/nothing/here")]));
    let process = builder.stderr(Stdio::null()).spawn(|()| (), ()).unwrap();
    match process.join() {
        Err(error @ ProcessError::NotServed { code: refusal::SANDBOX, .. }) => {
            assert!(error.to_string().contains("sandbox"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_kernel_without_landlock_is_an_error_unless_best_effort_was_asked_for() {
    let test = "a_kernel_without_landlock_is_an_error_unless_best_effort_was_asked_for";
    if !available(test) {
        return;
    }
    let finished = play("no landlock").succeed();
    assert!(finished.answer("refused ").contains("Landlock is not built in"), "{}", finished.out);
    assert_eq!(finished.count("the rest holds"), 1);
}

#[test]
fn those_in_a_sandbox_die_with_their_parent() {
    if !available("those_in_a_sandbox_die_with_their_parent") {
        return;
    }
    use std::io::{BufRead, BufReader};
    let mut command = role::command("sandboxed child and grandchild");
    let mut parent = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let out = BufReader::new(parent.stdout.take().unwrap());
    let line = out.lines().find_map(|line| Some(line.unwrap().strip_prefix("pids ")?.to_owned()));
    let pids: Vec<u32> = line.unwrap().split(' ').map(|pid| pid.parse().unwrap()).collect();
    parent.kill().unwrap();
    parent.wait().unwrap();
    for pid in pids {
        eventually("the family is gone", || !runs(pid));
    }
}
