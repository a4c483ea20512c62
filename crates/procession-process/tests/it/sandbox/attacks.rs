//! What a process in a sandbox tries, and what became of it.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::Command;

use procession_channel::Fd;

/// What was tried, and the error number it ended with; 0 if it worked.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub(super) struct Outcome(pub(super) String, pub(super) i32);

impl Outcome {
    pub(super) fn of<T>(what: impl Into<String>, result: io::Result<T>) -> Self {
        let errno = |error: io::Error| error.raw_os_error().unwrap_or(-1);
        Self(what.into(), result.err().map_or(0, errno))
    }

    /// Of a system call, which returns -1 for an error.
    pub(super) fn of_call(what: &str, result: libc::c_long) -> Self {
        let error = io::Error::last_os_error();
        Self::of(what, if result == -1 { Err(error) } else { Ok(()) })
    }

    pub(super) fn is_refused(&self) -> bool {
        matches!(self.1, libc::EPERM | libc::EACCES)
    }
}

pub(super) fn refused(outcomes: &[Outcome]) {
    assert!(!outcomes.is_empty());
    for outcome in outcomes {
        assert!(outcome.is_refused(), "{outcome:?}");
    }
}

pub(super) fn worked(outcomes: &[Outcome]) {
    assert!(!outcomes.is_empty());
    for outcome in outcomes {
        assert_eq!(outcome.1, 0, "{outcome:?}");
    }
}

pub(super) const ENVIRON: &str = "/proc/pid/environ";

/// Everything by which a process of the same user could reach its parent.
pub(super) fn attack_processes(parent: u32) -> Vec<Outcome> {
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
    let pipe: libc::c_long = reader.as_raw_fd().into();
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
        // Who names nobody means its own group, where the parent is, or its own user.
        Outcome::of_call("setpriority of the group", {
            // SAFETY: a plain system call.
            let nice = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
            call(libc::SYS_setpriority, libc::PRIO_PGRP.into(), 0, nice.into(), 0)
        }),
        Outcome::of_call("ioprio_set of the group", {
            const OF_GROUP: libc::c_long = 2;
            let own = call(libc::SYS_ioprio_get, 1, 0, 0, 0);
            call(libc::SYS_ioprio_set, OF_GROUP, 0, own, 0)
        }),
        Outcome::of_call("ioctl TIOCSPGRP", {
            call(libc::SYS_ioctl, pipe, libc::TIOCSPGRP.cast_signed(), 0, 0)
        }),
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
    signals.into_iter().chain(others).chain(attack_named_memory()).collect()
}

/// What a parent shares by a number or a name, with whoever knows or guesses it. These are nobody's: where they may be looked for they
/// are not found.
fn attack_named_memory() -> [Outcome; 5] {
    const KEY: libc::c_long = 0x7072_6f63;
    // SAFETY: plain system calls; the name is a C string.
    let call = |number, a: libc::c_long, b: libc::c_long| unsafe {
        libc::syscall(number, a, b, 0, 0, 0, 0)
    };
    let name = c"procession-nothing".as_ptr() as libc::c_long;
    [
        Outcome::of_call("shmget", call(libc::SYS_shmget, KEY, 1)),
        Outcome::of_call("shmat", call(libc::SYS_shmat, -1, 0)),
        Outcome::of_call("semget", call(libc::SYS_semget, KEY, 1)),
        Outcome::of_call("msgget", call(libc::SYS_msgget, KEY, 0)),
        Outcome::of_call("mq_open", call(libc::SYS_mq_open, name, libc::O_RDONLY.into())),
    ]
}

/// What changes the machine or opens more of the kernel.
pub(super) fn attack_system(path: PathBuf) -> Vec<Outcome> {
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

pub(super) fn attack_network(port: u16) -> Vec<Outcome> {
    let address = (Ipv4Addr::LOCALHOST, port);
    vec![
        Outcome::of("tcp connect", TcpStream::connect(address)),
        Outcome::of("tcp listen", TcpListener::bind((Ipv4Addr::LOCALHOST, 0))),
        Outcome::of("udp", UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))),
        Outcome::of("unix", UnixStream::connect("/nothing/here")),
        Outcome::of("unix datagrams", UnixDatagram::pair()),
    ]
}

/// Has a connected socket forget to whom, and connect to whoever listens at the port.
pub(super) fn reconnect((socket, port): (Fd<TcpStream>, u16)) -> Vec<Outcome> {
    let socket = socket.into_inner().unwrap();
    let no_family = libc::sa_family_t::try_from(libc::AF_UNSPEC).unwrap();
    let nobody = libc::sockaddr { sa_family: no_family, sa_data: [0; 14] };
    let len = u32::try_from(size_of::<libc::sockaddr>()).unwrap();
    // SAFETY: the address is one of this length.
    let forgotten = unsafe { libc::connect(socket.as_raw_fd(), &raw const nobody, len) };
    let address = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
    vec![
        Outcome::of_call("forget the peer", forgotten.into()),
        Outcome::of(
            "connect again",
            rustix::net::connect(&socket, &address).map_err(io::Error::from),
        ),
    ]
}

/// Moves a file `file` from one directory to the other, in both ways.
pub(super) fn move_between((from, to): (PathBuf, PathBuf)) -> Vec<Outcome> {
    vec![
        Outcome::of("link", fs::hard_link(from.join("file"), to.join("link"))),
        Outcome::of("rename", fs::rename(from.join("file"), to.join("moved"))),
    ]
}

/// Reads and writes, removes and runs in a directory that has a file `file`.
pub(super) fn attack_files(directory: PathBuf) -> Vec<Outcome> {
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

pub(super) fn run_programs(_: ()) -> Vec<Outcome> {
    let program = std::env::current_exe().unwrap();
    vec![
        Outcome::of("run a program", Command::new("/bin/true").status()),
        Outcome::of("run itself", Command::new(program).arg("--list").status()),
    ]
}

pub(super) fn run_true(_: ()) -> Vec<Outcome> {
    vec![Outcome::of("run a program", Command::new("/bin/true").status())]
}

pub(super) fn read_files(paths: Vec<PathBuf>) -> Vec<Outcome> {
    paths.iter().map(|path| Outcome::of(path.display().to_string(), fs::read(path))).collect()
}
