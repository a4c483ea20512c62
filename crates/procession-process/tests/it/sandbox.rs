//! Processes in a sandbox try what is forbidden, and go on with what is not.

#[path = "sandbox/attacks.rs"]
mod attacks;

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc;

use procession_channel::{Fd, pipe};
use procession_process::function::{Function, Task, Work};
use procession_process::link::{ChildLink, Frame, HELLO, Handles, ItemTooLarge, ParentLink};
use procession_process::{
    Exit, Failure, Launcher, Limits, Process, ProcessBuilder, ProcessError, Sandbox, SpawnError,
    Start, StartMethod, Stdio, panics, refusal, spawn,
};
use procession_shm::{Shared, SharedSlice};
use seccompiler::SeccompAction;

use self::attacks::{
    ENVIRON, Outcome, attack_files, attack_network, attack_processes, attack_system, move_between,
    read_files, reconnect, refused, run_programs, run_true, worked,
};
use skips::skipped;

use super::role::{self, Scratch, eventually, play, runs, say};
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
    needs_pidfds!();
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

/// Landlock denies this in every sandbox that says nothing of it.
#[test]
fn files_go_from_one_directory_to_another_where_files_are_not_restricted() {
    if !available("files_go_from_one_directory_to_another_where_files_are_not_restricted") {
        return;
    }
    let (one, other) = (directory_with_file("one"), Scratch::new("other"));
    for sandbox in [Sandbox::new(), Sandbox::new().no_network()] {
        let directories = (one.0.clone(), other.0.clone());
        worked(&confined(sandbox).spawn(move_between, directories).unwrap().join().unwrap());
        assert_eq!(fs::read_to_string(other.0.join("moved")).unwrap(), "contents");
        fs::remove_file(other.0.join("link")).unwrap();
        fs::rename(other.0.join("moved"), one.0.join("file")).unwrap();
    }
}

/// It can be talked through, to whoever it was connected to, and to nobody else.
#[test]
fn without_a_network_a_socket_stays_connected_to_whom_it_is() {
    if !available("without_a_network_a_socket_stays_connected_to_whom_it_is") {
        return;
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let connect = || Fd::new(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap());
    worked(&Process::spawn(reconnect, (connect(), port)).unwrap().join().unwrap());
    for sandbox in [Sandbox::new().no_network(), Sandbox::new().compute_only()] {
        let process = confined(sandbox).spawn(reconnect, (connect(), port)).unwrap();
        refused(&process.join().unwrap());
    }
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
    needs_pidfds!();
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

const RING_LEN: usize = 64 << 10;

/// A worker as a pool has it.
fn work(start: Start) {
    ChildLink::over(start.fds, RING_LEN).unwrap().serve().unwrap();
}

/// Squares a number; one in ten panics.
struct Square;

impl Task<fn(u64) -> u64> for Square {
    fn run(function: fn(u64) -> u64, work: &mut Work<'_>) -> u8 {
        let n = u64::from_le_bytes(work.input.try_into().unwrap());
        match panics::catch(|| function(n)) {
            Ok(square) => {
                work.reply.bytes.extend(square.to_le_bytes());
                0
            }
            Err(_) => 1,
        }
    }
}

/// Sends a frame with these numbers and waits for what comes back, each with its tag.
fn call(parent: &mut ParentLink, numbers: std::ops::Range<u64>) -> Vec<(u8, Vec<u8>)> {
    let function = Function::unary::<Square, u64, u64>(|n| {
        assert!(n % 10 != 9, "no {n}");
        n * n
    });
    let (mut frame, count) = (Frame::call(function.unwrap(), 1), numbers.clone().count());
    for n in numbers {
        let pushed = frame.push::<ItemTooLarge>(|out| {
            out.extend(n.to_le_bytes());
            Ok(Handles::default())
        });
        assert!(pushed.unwrap().is_none());
    }
    let frame = frame.sealed();
    assert_eq!(parent.send(&frame, 0).unwrap(), frame.len());
    parent.ring();
    results(parent, count)
}

fn results(parent: &mut ParentLink, count: usize) -> Vec<(u8, Vec<u8>)> {
    let (mut inbox, mut at, mut results) = (Vec::new(), 0, Vec::new());
    eventually("the results", || {
        parent.receive(&mut inbox).unwrap();
        parent.release();
        while let Some(whole) = parent.whole_result(&inbox, at).unwrap() {
            results.push((whole.tag, inbox[whole.body].to_vec()));
            at = whole.end;
        }
        results.len() == count
    });
    results
}

#[test]
fn a_worker_of_a_pool_works_and_sleeps_and_quits() {
    if !available("a_worker_of_a_pool_works_and_sleeps_and_quits") {
        return;
    }
    let (mut parent, fds) = ParentLink::new(RING_LEN, 1 << 20).unwrap();
    let launcher = Launcher::new(work).sandbox(Sandbox::new().compute_only());
    let child = launcher.fds(fds).stdin_null(true).ignore_interrupt(true).launch().unwrap();
    assert_eq!(results(&mut parent, 1), [(HELLO, Vec::new())]);
    for round in 0..5 {
        let numbers = round * 100..round * 100 + 100;
        for (n, (tag, result)) in numbers.clone().zip(call(&mut parent, numbers)) {
            let expected =
                if n % 10 == 9 { (1, Vec::new()) } else { (0, (n * n).to_le_bytes().to_vec()) };
            assert_eq!((tag, result), expected, "{n}");
        }
        // Long enough for the worker to fall asleep, or not: both are fine.
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let quit = Frame::quit();
    assert_eq!(parent.send(&quit, 0).unwrap(), quit.len());
    parent.ring();
    assert_eq!(child.wait(), Exit::Code(0));
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
    needs_pidfds!();
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
fn paths_may_be_many_and_of_any_bytes() {
    use std::os::unix::ffi::OsStrExt;
    if !available("paths_may_be_many_and_of_any_bytes") {
        return;
    }
    let scratch = directory_with_file("many");
    let odd = scratch.0.join(std::ffi::OsStr::from_bytes(b"\xff"));
    fs::create_dir(&odd).unwrap();
    fs::write(odd.join("file"), "contents").unwrap();
    let detour = "x/../".repeat(100);
    fs::create_dir(scratch.0.join("x")).unwrap();
    let many = (0..200).map(|_| scratch.0.join(&detour));
    let readable = confined(Sandbox::new().read_only(many).read_only([&odd]));
    let read = |path: PathBuf| fs::read_to_string(path).unwrap();
    // With an argument that needs memory of its own, too.
    for (method, padding) in [(StartMethod::Spawn, 0), (StartMethod::Zygote, 1 << 20)] {
        let builder = readable.clone().start_method(method);
        let found = builder.spawn(|(n, _): (u32, Vec<u8>)| n, (7, vec![0; padding])).unwrap();
        assert_eq!(found.join().unwrap(), 7);
    }
    assert_eq!(readable.spawn(read, scratch.0.join("file")).unwrap().join().unwrap(), "contents");
    let only = confined(Sandbox::new().read_only([&odd])).current_dir(&odd);
    let here = |()| fs::read_to_string("file").unwrap();
    assert_eq!(only.spawn(here, ()).unwrap().join().unwrap(), "contents");
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
