//! Other processes: a test starts this binary again, which finds by its environment that it is the other one, and a socket in
//! place of its standard input, through which an argument comes with its descriptors.

use std::io::{IoSlice, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitStatus, Stdio};

use procession_channel::Message;
use procession_channel::codec::{self, Limits};
use procession_shm::transfer::{Trust, receive_scope, send_scope};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

const OTHER: &str = "PROCESSION_TEST_OTHER";

/// How the other process ends when all went well there. A run of no test would end with 0.
const DONE: i32 = 42;

const DESCRIPTORS_MAX: usize = 253;

/// A child that does not outlive its test.
pub(crate) struct Other(Child);

impl Other {
    /// Runs the test of this name in another process, which gets `argument`.
    pub(crate) fn start<T: Message>(test: &str, argument: T) -> Self {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([test, "--exact", "--nocapture"]).env(OTHER, test);
        command.stdin(Stdio::from(OwnedFd::from(theirs))).stdout(Stdio::null());
        let child = command.spawn().unwrap();
        send(&ours, &argument);
        Self(child)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn kill(mut self) -> ExitStatus {
        self.0.kill().unwrap();
        self.0.wait().unwrap()
    }

    pub(crate) fn join(mut self) {
        assert_eq!(self.0.wait().unwrap().code(), Some(DONE), "in the other process");
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // It may have ended, which is as good.
        let _ended = self.0.kill();
        let _status = self.0.wait();
    }
}

/// Plays the other process, if this is it, and ends it.
pub(crate) fn play<T: Message>(test: &str, part: impl FnOnce(T)) {
    if std::env::var(OTHER).is_ok_and(|name| name == test) {
        part(receive());
        std::process::exit(DONE);
    }
}

fn send<T: Message>(socket: &UnixStream, value: &T) {
    let mut bytes = Vec::new();
    let ((), outgoing) = send_scope(|| codec::encode(value, &mut bytes)).unwrap();
    let fds: Vec<BorrowedFd<'_>> = outgoing.descriptors().collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(fds.is_empty() || control.push(SendAncillaryMessage::ScmRights(&fds)));
    let sent = sendmsg(socket, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL);
    assert_eq!(sent, Ok(bytes.len()));
    outgoing.commit();
}

fn receive<T: Message>() -> T {
    let socket = UnixStream::from(std::io::stdin().as_fd().try_clone_to_owned().unwrap());
    let mut bytes = vec![0; 64 << 10];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(&socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags);
    let len = received.unwrap().bytes;
    let fds = control.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(fds) => Some(fds),
        _ => None,
    });
    let fds: Vec<OwnedFd> = fds.flatten().collect();
    bytes.truncate(len);
    (&socket).read_to_end(&mut bytes).unwrap();
    receive_scope(fds, Trust::Trusting, || codec::decode(&bytes, &Limits::DEFAULT)).value.unwrap()
}
