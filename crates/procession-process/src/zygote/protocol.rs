//! What parent, zygote and newborn say to each other: packets on two kinds of sockets.
//!
//! | socket | from | to | packet | descriptors |
//! |---|---|---|---|---|
//! | control, one for each zygote | parent | zygote | [`Order`] | with `Fork`: the newborn's bootstrap socket, then its standard descriptors |
//! | control | zygote | parent | [`Notice`] | none |
//! | bootstrap, one for each process | zygote or newborn | parent | [`Reply`] | with `Started`: a pidfd |
//! | bootstrap | parent | newborn | the bootstrap message, which lies there before the request is sent | see `bootstrap` |

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::environment::Patch;
use crate::error::SpawnError;
use crate::exit::Exit;
use crate::packet;

/// What a parent wants of its zygote.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Order {
    Fork(Request),
    /// The process of this request, if it runs, has nobody who knows of it, and is to be killed.
    Kill {
        id: u64,
    },
}

/// A process that is to be forked.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    /// By which the notice of its end names it.
    pub(super) id: u64,
    pub(super) parent: u32,
    pub(super) depth: u32,
    pub(super) block_interrupt: bool,
    /// Which of the standard descriptors come along; the others are closed.
    pub(super) standard: [bool; 3],
    pub(super) environment: Environment,
}

/// What is different in the newborn's environment from that with which the zygote was started.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Environment {
    Here(Patch),
    /// In the memory whose descriptor comes last, because it is too long for a packet.
    Memory {
        len_bytes: u64,
    },
}

/// What became of a request. Killed before it is sent: nothing of the newborn has run, and nothing will.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Reply {
    /// Sent by the newborn itself, before it does anything else.
    Started {
        pid: u32,
        /// Whether the kernel reaps it and keeps its status, and no notice will come.
        is_left: bool,
    },
    Refused(Refused),
}

/// Why the zygote does not fork.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Refused {
    Threads { count: u64 },
    Preload { message: String },
    Look { errno: i32 },
    Fork { errno: i32 },
    Pidfd { errno: i32 },
}

impl Refused {
    pub(super) fn into_error(self, pid: u32) -> SpawnError {
        let system = |op, errno| SpawnError::system(op, io::Error::from_raw_os_error(errno));
        match self {
            Self::Threads { count } => SpawnError::ZygoteThreads { pid, count },
            Self::Preload { message } => SpawnError::Preload { message: message.into() },
            Self::Look { errno } => system("count the threads of the zygote", errno),
            Self::Fork { errno } => system("fork in the zygote", errno),
            Self::Pidfd { errno } => system("open a pidfd of the child", errno),
        }
    }
}

/// A process that the zygote has forked has ended.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Notice {
    pub(super) id: u64,
    pub(super) exit: Exit,
}

/// Blocks while the other end's buffer is full.
pub(super) fn send<T: Serialize>(
    socket: impl AsFd,
    message: &T,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let bytes = postcard::to_stdvec(message).map_err(io::Error::other)?;
    packet::send(socket, &bytes, descriptors, SendFlags::empty())
}

/// What there was to receive.
#[derive(Debug)]
pub(super) enum Received<T> {
    Message(T, Vec<OwnedFd>),
    /// Nothing, yet.
    Nothing,
    /// Nobody is left at the other end.
    End,
}

/// Receives one message; never blocks.
pub(super) fn receive<T: DeserializeOwned>(socket: impl AsFd) -> io::Result<Received<T>> {
    loop {
        match packet::receive(&socket, RecvFlags::DONTWAIT) {
            // The other end was closed with something unread in it. It is told once, in front of what was sent before.
            Err(Errno::CONNRESET) => {}
            Err(Errno::AGAIN) => return Ok(Received::Nothing),
            Err(error) => return Err(error.into()),
            Ok(packet) if packet.bytes.is_empty() => return Ok(Received::End),
            Ok(packet) => {
                let message = postcard::from_bytes(&packet.bytes).map_err(io::Error::other)?;
                return Ok(Received::Message(message, packet.descriptors));
            }
        }
    }
}
