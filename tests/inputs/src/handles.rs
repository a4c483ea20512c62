//! A message with handles from a process that is not trusted: any bytes, and descriptors of any kind.

use std::os::fd::OwnedFd;

use procession_channel::codec::decode;
use procession_channel::pipe::{Receiver, Sender};
use procession_channel::{Fd, Message};
use procession_shm::transfer::{Trust, receive_scope};
use procession_shm::{Segment, SharedBuf, SharedSlice, page_size};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use crate::bytes::Bytes;
use crate::codec::LIMITS;

/// How many bytes of buffers may be copied.
const COPY_BYTES_MAX: usize = 1 << 16;

pub(crate) fn run(input: &[u8]) {
    let mut input = Bytes::new(input);
    let (kind, descriptors) = (input.u8(), input.u8());
    let mut fds = Vec::new();
    for at in 0..4 {
        fds.extend(descriptor(descriptors >> (2 * at) & 3, at));
    }
    let bytes = input.rest();
    match kind % 6 {
        0 => receive::<Receiver<u64>>(fds, bytes, |end| drop(end.try_recv())),
        1 => receive::<Sender<u64>>(fds, bytes, |end| drop(end.try_send(7))),
        2 => receive::<SharedSlice<u32>>(fds, bytes, |slice| {
            std::hint::black_box(slice.iter().fold(0, |sum, number| sum ^ number));
        }),
        3 => receive::<SharedBuf<u64>>(fds, bytes, |mut buffer| buffer.as_mut_slice().fill(1)),
        4 => receive::<Vec<Fd<OwnedFd>>>(fds, bytes, |all| {
            all.into_iter().for_each(|fd| drop(fd.into_inner()));
        }),
        _ => receive::<(SharedSlice<u8>, Receiver<String>)>(fds, bytes, |(slice, end)| {
            std::hint::black_box(slice.len());
            drop(end.try_recv_bytes());
        }),
    }
}

/// A descriptor as an honest sender's, or one that pretends. When none is left there is one less.
fn descriptor(kind: u8, at: u8) -> Option<OwnedFd> {
    let len = page_size() << (at % 2 + 1);
    match kind {
        0 => Segment::new(len).ok().map(Segment::into_fd),
        1 => memfd_create("unsealed", MemfdFlags::CLOEXEC).ok(),
        2 => {
            let (family, flags) = (AddressFamily::UNIX, SocketFlags::CLOEXEC);
            socketpair(family, SocketType::SEQPACKET, flags, None).ok().map(|(one, _)| one)
        }
        _ => std::io::pipe().ok().map(|(reader, _)| reader.into()),
    }
}

fn receive<T: Message>(fds: Vec<OwnedFd>, bytes: &[u8], usage: impl FnOnce(T)) {
    let trust = Trust::Untrusting { copy_bytes_max: COPY_BYTES_MAX };
    let received = receive_scope(fds, trust, || decode::<T>(bytes, &LIMITS));
    if let Ok(value) = received.value {
        usage(value);
    }
}
