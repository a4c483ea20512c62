//! File descriptors in messages.

use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use procession_shm::transfer;
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A file, a socket, or anything else that is a file descriptor, as a message or a part of one.
///
/// The receiver gets a descriptor of the same open file: position, flags and locks are shared. What is sent is closed here with
/// the value that held it. The type is the sender's word for it: a `File` that arrives may be a socket, whose operations then
/// fail, and the file system behind it may be slow or never answer, also when it is closed, as a socket that lingers is.
///
/// ```
/// use std::fs::File;
/// use std::io::{Read, Write};
/// use procession_channel::{Fd, pipe};
///
/// let (sender, receiver) = pipe::simplex::<(String, Fd<File>)>()?;
/// let (mut reader, writer) = std::io::pipe()?;
/// sender.send(("log".to_owned(), Fd::new(std::os::fd::OwnedFd::from(writer).into())))?;
///
/// let (_name, file) = receiver.recv()?;
/// file.into_inner()?.write_all(b"hello")?;
/// let mut text = String::new();
/// reader.read_to_string(&mut text)?;
/// assert_eq!(text, "hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Fd<T> {
    fd: Arc<OwnedFd>,
    _kind: PhantomData<fn(T) -> T>,
}

impl<T: Into<OwnedFd>> Fd<T> {
    /// Wraps it.
    ///
    /// ```
    /// use std::os::fd::AsFd;
    /// use procession_channel::Fd;
    ///
    /// let wrapped = Fd::new(std::fs::File::open("/dev/null")?);
    /// assert!(wrapped.as_fd().try_clone_to_owned().is_ok()); // it is open, and can be sent
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn new(thing: T) -> Self {
        Self::over(Arc::new(thing.into()))
    }
}

impl<T: From<OwnedFd>> Fd<T> {
    /// Unwraps it.
    ///
    /// # Errors
    ///
    /// When the message named the descriptor twice, so that it must be duplicated, and no descriptor is left.
    ///
    /// ```
    /// use std::fs::File;
    /// use std::io::Read;
    /// use procession_channel::{Fd, pipe};
    ///
    /// let (sender, receiver) = pipe::simplex()?;
    /// sender.send(Fd::new(File::open("/dev/null")?))?;
    /// let mut file: File = receiver.recv()?.into_inner()?;
    /// assert_eq!(file.read(&mut [0; 8])?, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn into_inner(self) -> io::Result<T> {
        match Arc::try_unwrap(self.fd) {
            Ok(fd) => Ok(fd.into()),
            Err(shared) => Ok(shared.try_clone()?.into()),
        }
    }
}

impl<T> Fd<T> {
    fn over(fd: Arc<OwnedFd>) -> Self {
        Self { fd, _kind: PhantomData }
    }
}

impl<T> AsFd for Fd<T> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl<T> fmt::Debug for Fd<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Fd").field(&self.fd).finish()
    }
}

/// Works inside a channel only.
impl<T> Serialize for Fd<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        transfer::attach("Fd", &self.fd).map_err(S::Error::custom)?.serialize(serializer)
    }
}

/// Works inside a channel only, from any process.
impl<'de, T> Deserialize<'de> for Fd<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let index = u32::deserialize(deserializer)?;
        transfer::descriptor(index).map(Self::over).map_err(D::Error::custom)
    }
}
