//! What a child process is told: an environment variable that makes it a child, and one message
//! on an inherited socket that says what to do.
//!
//! The variable is `version,descriptor,pid,depth,hook` in decimal. All versions of this crate agree on its fields,
//! because several may be linked into one program: the last one says whose child it is. The version is that of the
//! message. The message is one packet: a postcard record and, in this order, the memory with the record (if it is too long
//! for the packet: a sandbox may name any number of paths), a pidfd of the parent (if the system gives one), the door of its
//! cgroup (if it is to have one), the memory with the payload (if it is too long for the packet), the working directory (if
//! it is to be another) and the caller's descriptors.
//!
//! The packet lies in the socket's buffer *before* the child is started. So nothing the child
//! does or fails to do can make its parent wait, and a child that dies early costs no broken pipe.
//! Sending afterwards was rejected: it needs a deadline against a child that hangs.

use std::borrow::Cow;
use std::ffi::CStr;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::str::FromStr;

use rustix::net::{RecvFlags, SendFlags};
use serde::{Deserialize, Serialize};

use crate::image::Identity;
use crate::launcher::sealed_memory;
use crate::packet::{self, DESCRIPTORS_MAX};
use crate::refusal::{self, Refusal};
use crate::settings::Settings;

/// Name of the environment variable that makes a process a child.
pub(crate) const VARIABLE: &str = "PROCESSION_BOOT";
pub(crate) const VARIABLE_C: &CStr = c"PROCESSION_BOOT";
const VERSION: u32 = 1;

/// Descriptors a caller may send: two places are kept for the pidfd and the payload.
pub(crate) const CALLER_DESCRIPTORS_MAX: usize = DESCRIPTORS_MAX - 2;
/// Payloads up to this size travel inside the packet.
pub(crate) const INLINE_PAYLOAD_BYTES_MAX: usize = packet::BYTES_MAX / 2;

/// The value of the variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Variable {
    /// The number the child finds its end of the socket under.
    pub(crate) descriptor: i32,
    /// Who started the child, as it is numbered in its own pid namespace.
    pub(crate) parent: u32,
    /// How many processes of this kind are above the child, itself included.
    pub(crate) depth: u32,
    /// Which hook is to serve: its distance from the program headers of its image.
    pub(crate) hook: u64,
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { descriptor, parent, depth, hook } = self;
        write!(f, "{VERSION},{descriptor},{parent},{depth},{hook}")
    }
}

impl Variable {
    /// Reads a value written by `fmt`, and nothing else.
    pub(crate) fn parse(value: &CStr) -> Option<Self> {
        let (version, variable) = Self::parse_any(value)?;
        (version == VERSION).then_some(variable)
    }

    /// Reads a value that any version of this crate has written, and which version that was.
    pub(crate) fn parse_any(value: &CStr) -> Option<(u32, Self)> {
        let mut fields = value.to_str().ok()?.split(',');
        let mut next = || fields.next().and_then(number);
        let (version, descriptor, parent, depth) = (next()?, next()?, next()?, next()?);
        let hook = fields.next().and_then(number)?;
        let descriptor = i32::try_from(descriptor).ok()?;
        let known = descriptor > 2 && depth > 0 && fields.next().is_none();
        known.then_some((version, Self { descriptor, parent, depth, hook }))
    }
}

/// A decimal number as `Display` writes it: no sign, no leading zero.
fn number<N: FromStr + ToString>(digits: &str) -> Option<N> {
    digits.parse().ok().filter(|number: &N| number.to_string() == digits)
}

/// What lies in the packet.
#[derive(Debug, Serialize, Deserialize)]
enum Letter<M> {
    Here(M),
    /// In the memory whose descriptor comes first, because it is too long for a packet: there it is a letter again.
    Memory {
        len_bytes: u64,
    },
}

/// What the child is to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Message<'a> {
    pub(crate) identity: Identity,
    /// Offset of the `fn(Start)` to call.
    pub(crate) entry: u64,
    pub(crate) name: &'a str,
    pub(crate) parent_name: &'a str,
    pub(crate) settings: Cow<'a, Settings>,
    pub(crate) core_dumps: bool,
    pub(crate) ignore_interrupt: bool,
    pub(crate) has_pidfd: bool,
    /// How many cores the parent believes that it can use.
    pub(crate) cores: u32,
    /// Whether it is to be a zygote.
    pub(crate) is_zygote: bool,
    pub(crate) payload: Payload<'a>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Payload<'a> {
    Inline(&'a [u8]),
    /// In the memory whose descriptor comes along.
    Memory {
        len_bytes: u64,
    },
}

/// Puts the message into the buffer of an empty socket; never blocks.
pub(crate) fn send(
    socket: impl AsFd,
    message: &Message<'_>,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let encode =
        |letter: Letter<&Message<'_>>| postcard::to_stdvec(&letter).map_err(io::Error::other);
    let bytes = encode(Letter::Here(message))?;
    if bytes.len() <= packet::BYTES_MAX {
        return packet::send(socket, &bytes, descriptors, SendFlags::DONTWAIT);
    }
    let memory = sealed_memory(&bytes)?;
    let bytes = encode(Letter::Memory { len_bytes: bytes.len() as u64 })?;
    let descriptors: Vec<_> = [memory.as_fd()].iter().chain(descriptors).copied().collect();
    packet::send(socket, &bytes, &descriptors, SendFlags::DONTWAIT)
}

/// One packet as it came.
#[derive(Debug)]
pub(crate) struct Packet {
    bytes: Vec<u8>,
    pub(crate) descriptors: Vec<OwnedFd>,
}

impl Packet {
    /// Waits for the packet; its end of file is the parent's death.
    pub(crate) fn receive(socket: impl AsFd) -> Result<Self, Refusal> {
        let received = packet::receive(socket, RecvFlags::empty()).map_err(refuse_receive)?;
        if received.is_cut {
            let why = "the bootstrap message was cut short, RLIMIT_NOFILE may be too low";
            return Err(Refusal::new(refusal::BAD_MESSAGE, why));
        }
        if received.bytes.is_empty() {
            let why = "the other end of the bootstrap socket is closed";
            return Err(Refusal::new(refusal::PARENT_GONE, why));
        }
        let mut packet = Self { bytes: received.bytes, descriptors: received.descriptors };
        let kind = postcard::take_from_bytes::<Letter<()>>(&packet.bytes);
        if let Ok((Letter::Memory { len_bytes }, [])) = kind {
            if packet.descriptors.is_empty() {
                return Err(missing_descriptor());
            }
            packet.bytes = read_memory(packet.descriptors.remove(0), len_bytes)?;
        }
        Ok(packet)
    }

    pub(crate) fn message(&self) -> Result<Message<'_>, Refusal> {
        match postcard::take_from_bytes(&self.bytes) {
            Ok((Letter::Here(message), [])) => Ok(message),
            Ok(_) | Err(_) => {
                let why = "what came over the bootstrap socket is not a bootstrap message";
                Err(Refusal::new(refusal::BAD_MESSAGE, why))
            }
        }
    }
}

pub(crate) fn missing_descriptor() -> Refusal {
    Refusal::new(refusal::BAD_MESSAGE, "the bootstrap message came without its descriptors")
}

/// What lies in memory that came with a message.
pub(crate) fn read_memory(memory: OwnedFd, len_bytes: u64) -> Result<Vec<u8>, Refusal> {
    let mut payload = Vec::new();
    let reserved = usize::try_from(len_bytes).ok().map(|len| payload.try_reserve_exact(len));
    if !matches!(reserved, Some(Ok(()))) {
        let why = format_args!("no memory for a payload of {len_bytes} bytes");
        return Err(Refusal::new(refusal::SYSTEM, why));
    }
    rustix::fs::seek(&memory, rustix::fs::SeekFrom::Start(0))
        .map_err(Refusal::system("rewind the payload"))?;
    let read = File::from(memory).take(len_bytes).read_to_end(&mut payload);
    let read = read.map_err(Refusal::system("read the payload"))?;
    if read as u64 == len_bytes {
        Ok(payload)
    } else {
        Err(Refusal::new(refusal::BAD_MESSAGE, "the payload is shorter than announced"))
    }
}

/// Whether these bytes are a bootstrap message: for tests with bytes that are none.
pub fn reads_bootstrap_message(bytes: &[u8]) -> bool {
    Packet { bytes: bytes.to_vec(), descriptors: Vec::new() }.message().is_ok()
}

/// Whether this is a value of the variable: for tests with values that are none.
pub fn reads_bootstrap_variable(value: &CStr) -> bool {
    Variable::parse(value).is_some()
}

fn refuse_receive(error: rustix::io::Errno) -> Refusal {
    use rustix::io::Errno;
    match error {
        Errno::NOTSOCK | Errno::BADF => Refusal::new(
            refusal::BAD_DESCRIPTOR,
            format_args!("the bootstrap descriptor is not a socket: {error}"),
        ),
        Errno::CONNRESET | Errno::NOTCONN => Refusal::new(
            refusal::PARENT_GONE,
            format_args!("the bootstrap socket has no peer: {error}"),
        ),
        _ => Refusal::system("receive the bootstrap message")(error),
    }
}

#[cfg(test)]
#[path = "tests/bootstrap.rs"]
mod tests;
