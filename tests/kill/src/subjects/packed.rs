//! Handles on their way from the director to the actors, who are forks of it: a fork has no handle of its own, but can take one
//! out of a message.

use std::cell::RefCell;
use std::io;
use std::marker::PhantomData;
use std::os::fd::OwnedFd;

use procession_channel::{Message, codec};
use procession_shm::transfer::{Trust, receive_scope, send_scope};

/// A handle as it lies in a message: whoever unpacks it has it.
pub(crate) struct Packed<E> {
    bytes: Vec<u8>,
    fds: RefCell<Vec<OwnedFd>>,
    _handle: PhantomData<fn() -> E>,
}

impl<E: Message> Packed<E> {
    pub(crate) fn new(handle: &E) -> io::Result<Self> {
        let mut bytes = Vec::new();
        let ((), outgoing) = send_scope(|| codec::encode(handle, &mut bytes))
            .map_err(|unsent| io::Error::other(unsent.error))?;
        let fds =
            outgoing.descriptors().map(|fd| fd.try_clone_to_owned()).collect::<Result<_, _>>()?;
        outgoing.commit();
        Ok(Self { bytes, fds: RefCell::new(fds), _handle: PhantomData })
    }

    /// The same once more, for an heir.
    pub(crate) fn duplicate(&self) -> io::Result<Self> {
        let fds = self.fds.borrow().iter().map(OwnedFd::try_clone).collect::<Result<_, _>>()?;
        Ok(Self { bytes: self.bytes.clone(), fds: RefCell::new(fds), _handle: PhantomData })
    }

    pub(crate) fn unpack(&self) -> Result<E, String> {
        let decode = || codec::decode(&self.bytes, &codec::Limits::DEFAULT);
        let received = receive_scope(self.fds.take(), Trust::Trusting, decode);
        received.value.map_err(|error| error.to_string())
    }

    /// This process has nothing to do with it.
    pub(crate) fn give_up(&self) {
        self.fds.take();
    }

    /// What the first of its descriptors is of: its memory.
    pub(crate) fn memory(&self) -> io::Result<OwnedFd> {
        let fds = self.fds.borrow();
        fds.first().ok_or_else(|| io::Error::other("a handle without memory"))?.try_clone()
    }
    /// All of its descriptors.
    pub(crate) fn descriptors(&self) -> io::Result<Vec<OwnedFd>> {
        self.fds.borrow().iter().map(OwnedFd::try_clone).collect()
    }
}
