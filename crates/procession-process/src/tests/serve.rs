//! Messages that no parent of this build would send: only the crate itself can write them.

use std::borrow::Cow;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::bootstrap::{self, Message, Payload, VARIABLE, Variable};
use crate::image::{self, Identity};
use crate::launcher::Start;
use crate::refusal;

fn entry(start: Start) {
    let ordinary = start.payload == b"payload" && start.name == "name";
    std::process::exit(if ordinary { 42 } else { 43 });
}

fn message() -> Message<'static> {
    Message {
        identity: image::identity().clone(),
        entry: image::offset_of(entry as fn(Start) as usize).unwrap(),
        name: "name",
        parent_name: "parent",
        settings: Cow::default(),
        core_dumps: false,
        ignore_interrupt: false,
        has_pidfd: false,
        cores: 1,
        is_zygote: false,
        payload: Payload::Inline(b"payload"),
    }
}

/// Starts this program with that message; its exit code.
fn code(message: &Message<'_>, descriptors: &[BorrowedFd<'_>]) -> Option<i32> {
    start(message, descriptors, std::process::id()).status.code()
}

/// Starts this program with that message of that parent; how it ended and what it printed.
fn start(message: &Message<'_>, descriptors: &[BorrowedFd<'_>], parent: u32) -> Output {
    let kind = SocketType::SEQPACKET;
    let (ours, theirs) = socketpair(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None).unwrap();
    bootstrap::send(&ours, message, descriptors).unwrap();
    let variable = Variable { descriptor: 3, parent, depth: 1, hook: crate::hook::number() };
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--list"]).env(VARIABLE, variable.to_string());
    let source = theirs.as_raw_fd();
    let place = move || {
        match source {
            // SAFETY: this concerns a number of the new process only.
            3 => unsafe { libc::fcntl(3, libc::F_SETFD, 0) },
            // SAFETY: as above.
            _ => unsafe { libc::dup2(source, 3) },
        };
        Ok(())
    };
    // SAFETY: the closure makes async-signal-safe calls only.
    unsafe { command.pre_exec(place) };
    let output = command.output().unwrap();
    assert!(output.stdout.is_empty(), "main has run");
    output
}

/// A pidfd, or nothing where they are refused, which is said loudly: such a parent sends none.
fn pidfd(test: &str, pid: u32) -> Option<OwnedFd> {
    let pid = Pid::from_raw(pid.cast_signed()).unwrap();
    let pidfd = pidfd_open(pid, PidfdFlags::empty());
    if let Err(errno @ (Errno::NOSYS | Errno::PERM)) = pidfd {
        skips::skipped(test, &format!("it needs pidfds: {errno}"));
        return None;
    }
    Some(pidfd.unwrap())
}

#[test]
fn a_genuine_message_is_served() {
    assert_eq!(code(&message(), &[]), Some(42));
    let Some(own) = pidfd("a_genuine_message_is_served", std::process::id()) else { return };
    assert_eq!(code(&Message { has_pidfd: true, ..message() }, &[own.as_fd()]), Some(42));
}

#[test]
fn a_parent_that_has_ended_is_not_served() {
    let mut dead = Command::new("true").spawn().unwrap();
    let notice = pidfd("a_parent_that_has_ended_is_not_served", dead.id());
    dead.wait().unwrap();
    let Some(notice) = notice else { return };
    let message = Message { has_pidfd: true, ..message() };
    let output = start(&message, &[notice.as_fd()], std::process::id());
    assert_eq!(output.status.code(), Some(refusal::PARENT_GONE));
    assert_eq!(output.stderr, b"", "there is nobody to tell");
}

/// As a child that is given to another parent before it could ask to die with its own.
#[test]
fn a_child_that_starts_as_an_orphan_exits_without_a_word() {
    let mut parent = Command::new("true").spawn().unwrap();
    let ended = pidfd("a_child_that_starts_as_an_orphan_exits_without_a_word", parent.id());
    if let Some(ended) = &ended {
        poll(&mut [PollFd::new(ended, PollFlags::IN)], None).unwrap();
    }
    let before = start(&message(), &[], parent.id());
    parent.wait().unwrap();
    if ended.is_none() {
        return;
    }
    for output in [before, start(&message(), &[], parent.id())] {
        assert_eq!(output.status.code(), Some(refusal::PARENT_GONE));
        assert_eq!(output.stderr, b"");
    }
    let output = start(&message(), &[], 1);
    assert_eq!(output.status.code(), Some(refusal::PARENT_GONE));
    assert_ne!(output.stderr, b"", "process 1 lives, so something else is wrong");
}

#[test]
fn another_build_is_not_served() {
    let bytes = postcard::to_stdvec(image::identity()).unwrap();
    let mut other = bytes.clone();
    *other.last_mut().unwrap() ^= 1;
    let identity: Identity = postcard::from_bytes(&other).unwrap();
    assert_ne!(&identity, image::identity());
    assert_eq!(code(&Message { identity, ..message() }, &[]), Some(refusal::OTHER_BUILD));
}

#[test]
fn what_is_not_code_is_not_called() {
    for entry in [0, u64::MAX, 1 << 46] {
        assert_eq!(code(&Message { entry, ..message() }, &[]), Some(refusal::BAD_MESSAGE));
    }
}

#[test]
fn descriptors_that_were_announced_must_have_come() {
    let missing = Some(refusal::BAD_MESSAGE);
    assert_eq!(code(&Message { has_pidfd: true, ..message() }, &[]), missing);
    let payload = Payload::Memory { len_bytes: 7 };
    assert_eq!(code(&Message { payload, ..message() }, &[]), missing);
}

#[test]
fn a_payload_must_have_the_length_that_was_announced() {
    let memory = std::fs::File::open("/dev/null").unwrap();
    for (len_bytes, expected) in [(0, 43), (1, refusal::BAD_MESSAGE), (u64::MAX, refusal::SYSTEM)] {
        let payload = Payload::Memory { len_bytes };
        assert_eq!(code(&Message { payload, ..message() }, &[memory.as_fd()]), Some(expected));
    }
}
