//! A channel in miniature: encodes, duplicates the descriptors as a socket would, decodes.

use std::os::fd::OwnedFd;

use procession_shm::transfer::{
    Outgoing, Received, TransferError, Trust, receive_scope, send_scope,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) const UNTRUSTING: Trust = Trust::Untrusting { copy_bytes_max: 1 << 20 };

/// A message between two processes.
pub(crate) struct Message {
    pub(crate) bytes: Vec<u8>,
    pub(crate) fds: Vec<OwnedFd>,
}

pub(crate) fn encode<T: Serialize>(value: &T) -> Result<(Vec<u8>, Outgoing), TransferError> {
    send_scope(|| postcard::to_stdvec(value))
        .map_err(|unsent| unsent.failure.expect("only handles fail here"))
}

pub(crate) fn duplicates(outgoing: &Outgoing) -> Vec<OwnedFd> {
    outgoing.descriptors().map(|fd| fd.try_clone_to_owned().unwrap()).collect()
}

pub(crate) fn send<T: Serialize>(value: T) -> Message {
    let (bytes, outgoing) = encode(&value).unwrap();
    let fds = duplicates(&outgoing);
    outgoing.commit();
    Message { bytes, fds }
}

pub(crate) fn receive<T: DeserializeOwned>(
    message: Message,
    trust: Trust,
) -> Result<T, TransferError> {
    let Message { bytes, fds } = message;
    let Received { value, failure } = receive_scope(fds, trust, || postcard::from_bytes(&bytes));
    value.map_err(|error| failure.unwrap_or_else(|| panic!("not a handle's failure: {error}")))
}

pub(crate) fn travel<T: Serialize, U: DeserializeOwned>(value: T) -> U {
    receive(send(value), Trust::Trusting).unwrap()
}

/// A message with one descriptor and the words of a `SharedBuf` or a `SharedSlice`, which may be lies.
pub(crate) fn forged(fd: OwnedFd, offset: u64, len: u64) -> Message {
    let bytes = postcard::to_stdvec(&(Some(0_u32), offset, len)).unwrap();
    Message { bytes, fds: vec![fd] }
}
