//! Both ends in one.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Receiver, RecvError, SendError, SendErrorKind, Sender};
use crate::Message;

/// One side of a [`duplex`](super::duplex) pipe: sends `S` and receives `R`. It is a [`Sender`] and a [`Receiver`], and may be
/// [`split`](Self::split) into them; everything that is said there holds here.
///
/// ```
/// use procession_channel::pipe;
///
/// let (here, there) = pipe::duplex::<u64, u64>()?;
/// let doubler = std::thread::spawn(move || {
///     for n in &there {
///         there.send(n.unwrap() * 2).unwrap();
///     }
/// });
/// here.send(21)?;
/// assert_eq!(here.recv()?, 42);
/// here.close();
/// doubler.join().unwrap();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Connection<S, R> {
    sender: Sender<S>,
    receiver: Receiver<R>,
}

impl<S, R> Connection<S, R> {
    pub(super) fn new(sender: Sender<S>, receiver: Receiver<R>) -> Self {
        Self { sender, receiver }
    }

    /// The two ends, which can go different ways.
    ///
    /// ```
    /// use procession_channel::pipe;
    ///
    /// let (here, there) = pipe::duplex::<u64, u64>()?;
    /// let (sender, receiver) = there.split();
    /// let echo = std::thread::spawn(move || receiver.into_iter().try_for_each(|n| sender.send(n.unwrap())));
    /// here.send(7)?;
    /// assert_eq!(here.recv()?, 7);
    /// here.close();
    /// echo.join().unwrap()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn split(self) -> (Sender<S>, Receiver<R>) {
        (self.sender, self.receiver)
    }

    /// The sending end.
    ///
    /// ```
    /// use procession_channel::pipe;
    ///
    /// let (here, there) = pipe::duplex::<u64, u64>()?;
    /// here.sender().send(7)?;
    /// assert_eq!(there.recv()?, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn sender(&self) -> &Sender<S> {
        &self.sender
    }

    /// The receiving end.
    ///
    /// ```
    /// use procession_channel::pipe;
    ///
    /// let (here, there) = pipe::duplex::<u64, u64>()?;
    /// here.send_bytes(b"abc")?;
    /// assert_eq!(there.receiver().try_recv_bytes()?.as_deref(), Some(&b"abc"[..]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn receiver(&self) -> &Receiver<R> {
        &self.receiver
    }

    /// The sending end, to await it.
    ///
    /// ```
    /// use procession_channel::pipe;
    ///
    /// # backstage::executor::block_on(async {
    /// let (mut here, there) = pipe::duplex::<u64, u64>()?;
    /// here.sender_mut().send_async(7).await?;
    /// assert_eq!(there.recv()?, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn sender_mut(&mut self) -> &mut Sender<S> {
        &mut self.sender
    }

    /// The receiving end, to await it.
    ///
    /// ```
    /// use procession_channel::pipe;
    ///
    /// # backstage::executor::block_on(async {
    /// let (here, mut there) = pipe::duplex::<u64, u64>()?;
    /// here.send(7)?;
    /// assert_eq!(there.receiver_mut().recv_async().await?, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn receiver_mut(&mut self) -> &mut Receiver<R> {
        &mut self.receiver
    }

    /// Closes both ends, as [`Sender::close`] and [`Receiver::close`] do.
    ///
    /// ```
    /// use procession_channel::pipe::{self, RecvError};
    ///
    /// let (here, there) = pipe::duplex::<u64, u64>()?;
    /// here.close();
    /// assert!(matches!(there.recv(), Err(RecvError::Closed)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn close(&self) {
        self.sender.close();
        self.receiver.close();
    }

    /// [`Sender::send_bytes`].
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// ```
    /// let (here, there) = procession_channel::pipe::duplex::<(), ()>()?;
    /// here.send_bytes(b"abc")?;
    /// assert_eq!(there.recv_bytes()?, b"abc");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn send_bytes(&self, bytes: &[u8]) -> Result<(), SendErrorKind> {
        self.sender.send_bytes(bytes)
    }

    /// [`Receiver::recv_bytes`].
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// ```
    /// let (here, there) = procession_channel::pipe::duplex::<(), ()>()?;
    /// there.send_bytes(&[])?;
    /// assert_eq!(here.recv_bytes()?, b"");                  // an empty message is one
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn recv_bytes(&self) -> Result<Vec<u8>, RecvError> {
        self.receiver.recv_bytes()
    }

    /// [`Receiver::recv_bytes_into`].
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// ```
    /// let (here, there) = procession_channel::pipe::duplex::<(), ()>()?;
    /// let mut buffer = [0; 8];
    /// here.send_bytes(b"abc")?;
    /// assert_eq!(there.recv_bytes_into(&mut buffer)?, 3);
    /// assert_eq!(&buffer[..3], b"abc");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn recv_bytes_into(&self, buffer: &mut [u8]) -> Result<usize, RecvError> {
        self.receiver.recv_bytes_into(buffer)
    }

    /// [`Receiver::poll`].
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let (here, there) = procession_channel::pipe::duplex::<u64, u64>()?;
    /// assert!(!there.poll(Duration::ZERO));
    /// here.send(7)?;
    /// assert!(there.poll(Duration::ZERO));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn poll(&self, timeout: impl Into<Option<Duration>>) -> bool {
        self.receiver.poll(timeout)
    }
}

impl<S: Message, R> Connection<S, R> {
    /// [`Sender::send`].
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// ```
    /// use procession_channel::pipe::{self, SendErrorKind};
    ///
    /// let (here, there) = pipe::duplex::<u64, u64>()?;
    /// here.send(7)?;
    /// assert_eq!(there.recv()?, 7);
    /// there.close();
    /// let mut error = here.send(8);
    /// while error.is_ok() {                                 // it is noticed at the latest when there is no room
    ///     error = here.send(8);
    /// }
    /// let error = error.unwrap_err();
    /// assert!(matches!(error.kind, SendErrorKind::Closed) && error.value == 8);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn send(&self, value: S) -> Result<(), SendError<S>> {
        self.sender.send(value)
    }

    /// [`Sender::try_send`].
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// ```
    /// let (here, there) = procession_channel::pipe::duplex::<u64, u64>()?;
    /// let count = (0..1 << 20).take_while(|n| here.try_send(*n).is_ok()).count();
    /// assert_eq!((0..count as u64).find(|n| there.recv().ok() != Some(*n)), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn try_send(&self, value: S) -> Result<(), SendError<S>> {
        self.sender.try_send(value)
    }

    /// [`Sender::send_timeout`].
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// ```
    /// use std::time::Duration;
    /// use procession_channel::pipe::{self, SendErrorKind};
    ///
    /// let (here, _there) = pipe::duplex::<Vec<u8>, ()>()?;
    /// let error = here.send_timeout(vec![0; 1 << 20], Duration::from_millis(1)).unwrap_err(); // nobody makes room
    /// assert!(matches!(error.kind, SendErrorKind::TimedOut));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn send_timeout(
        &self,
        value: S,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<(), SendError<S>> {
        self.sender.send_timeout(value, timeout)
    }
}

impl<S, R: Message> Connection<S, R> {
    /// [`Receiver::recv`].
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// ```
    /// let (here, there) = procession_channel::pipe::duplex::<u64, u64>()?;
    /// here.send(7)?;
    /// drop(here);
    /// assert_eq!(there.recv()?, 7);                         // what was sent is still there
    /// assert!(there.recv().is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn recv(&self) -> Result<R, RecvError> {
        self.receiver.recv()
    }

    /// [`Receiver::try_recv`].
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// ```
    /// let (here, there) = procession_channel::pipe::duplex::<u64, u64>()?;
    /// assert_eq!(there.try_recv()?, None);
    /// here.send(7)?;
    /// assert_eq!(there.try_recv()?, Some(7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[inline]
    pub fn try_recv(&self) -> Result<Option<R>, RecvError> {
        self.receiver.try_recv()
    }

    /// [`Receiver::recv_timeout`].
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let (here, there) = procession_channel::pipe::duplex::<u64, u64>()?;
    /// assert_eq!(there.recv_timeout(Duration::from_millis(1))?, None);
    /// here.send(7)?;
    /// assert_eq!(there.recv_timeout(Duration::from_secs(60))?, Some(7));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn recv_timeout(
        &self,
        timeout: impl Into<Option<Duration>>,
    ) -> Result<Option<R>, RecvError> {
        self.receiver.recv_timeout(timeout)
    }
}
