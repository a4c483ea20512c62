//! Where the standard descriptors of a process lead.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};

/// Where a standard descriptor of a process leads.
///
/// ```
/// use std::io::Read;
/// use procession_process::{Process, Stdio};
///
/// let mut process = Process::builder().stdout(Stdio::piped()).spawn(|n: u32| println!("got {n}"), 7)?;
/// let mut said = String::new();
/// process.take_stdout().unwrap().read_to_string(&mut said)?;
/// assert_eq!(said, "got 7\n");
/// process.join()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Stdio(Kind);

#[derive(Clone, Debug, Default)]
enum Kind {
    #[default]
    Inherit,
    Null,
    Piped,
    /// Shared, so that a builder can start many processes.
    File(Arc<OwnedFd>),
}

impl Stdio {
    /// Where this process's own leads. The default.
    ///
    /// ```
    /// use procession_process::{Process, Stdio};
    ///
    /// let process = Process::builder().stdout(Stdio::inherit()).spawn(|()| println!("hello"), ())?;
    /// process.join()?;
    /// # Ok::<(), procession_process::ProcessError>(())
    /// ```
    #[must_use]
    pub const fn inherit() -> Self {
        Self(Kind::Inherit)
    }

    /// To /dev/null.
    ///
    /// ```
    /// use procession_process::{Failure, Process, Stdio};
    ///
    /// fn read(_: ()) -> Result<String, Failure> { Ok(std::io::read_to_string(std::io::stdin())?) }
    ///
    /// assert_eq!(Process::builder().stdin(Stdio::null()).spawn(read, ())?.join()?, "");
    /// # Ok::<(), procession_process::ProcessError>(())
    /// ```
    #[must_use]
    pub const fn null() -> Self {
        Self(Kind::Null)
    }

    /// To a new pipe, whose other end the [`Process`](crate::Process) has. A process whose output nobody reads stops once
    /// the pipe is full (64 KiB): read it before you join.
    ///
    /// ```
    /// use procession_process::{Process, Stdio};
    ///
    /// let mut process = Process::builder().stdout(Stdio::piped()).spawn(|n: u64| println!("{n}"), 7)?;
    /// assert_eq!(std::io::read_to_string(process.take_stdout().unwrap())?, "7\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub const fn piped() -> Self {
        Self(Kind::Piped)
    }

    /// To an open file, pipe, socket or terminal. All processes of a builder share it, with its position.
    ///
    /// ```
    /// use std::io::{pipe, read_to_string};
    /// use procession_process::{Process, Stdio};
    ///
    /// let (reader, writer) = pipe()?;
    /// let builder = Process::builder().stdout(Stdio::file(writer));
    /// builder.spawn(|()| print!("one "), ())?.join()?;
    /// builder.spawn(|()| print!("two"), ())?.join()?;
    /// drop(builder);                                        // the last writer
    /// assert_eq!(read_to_string(reader)?, "one two");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn file(file: impl Into<OwnedFd>) -> Self {
        Self(Kind::File(Arc::new(file.into())))
    }

    /// The process's end of its standard input, and this process's end of the pipe if there is one.
    pub(crate) fn open_input(&self) -> io::Result<(Option<OwnedFd>, Option<PipeWriter>)> {
        match &self.0 {
            Kind::Piped => io::pipe().map(|(read, write)| (Some(read.into()), Some(write))),
            _ => Ok((self.open(OFlags::RDONLY)?, None)),
        }
    }

    /// The process's end of one of its outputs, and this process's end of the pipe if there is one.
    pub(crate) fn open_output(&self) -> io::Result<(Option<OwnedFd>, Option<PipeReader>)> {
        match &self.0 {
            Kind::Piped => io::pipe().map(|(read, write)| (Some(write.into()), Some(read))),
            _ => Ok((self.open(OFlags::WRONLY)?, None)),
        }
    }

    fn open(&self, access: OFlags) -> io::Result<Option<OwnedFd>> {
        match &self.0 {
            Kind::Inherit | Kind::Piped => Ok(None),
            Kind::Null => {
                let null = rustix::fs::open("/dev/null", access | OFlags::CLOEXEC, Mode::empty())?;
                Ok(Some(null))
            }
            Kind::File(file) => Ok(Some(file.as_fd().try_clone_to_owned()?)),
        }
    }
}

impl From<OwnedFd> for Stdio {
    fn from(file: OwnedFd) -> Self {
        Self::file(file)
    }
}

impl From<File> for Stdio {
    fn from(file: File) -> Self {
        Self::file(file)
    }
}
