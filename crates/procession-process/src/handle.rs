//! A process that can be waited for and signalled by anybody.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use procession_shm::{Waitable, Watch};
use rustix::io::Errno;

use crate::child::Child;
use crate::exit::Exit;
use crate::grip::{Grip, no_such_signal};

/// A process: one that this process started, this process itself ([`current`](crate::current)), or its parent
/// ([`parent`](crate::parent)).
///
/// All methods may be called from any thread, at once, any number of times, also after the process has ended. A signal can
/// never hit another process that has got the same number. Dropping a handle does nothing to the process.
///
/// ```
/// use std::time::Duration;
/// use procession_process::{Exit, Process, ProcessHandle};
///
/// let process = Process::spawn(|()| std::thread::sleep(Duration::from_secs(3600)), ())?;
/// let handle: ProcessHandle = (*process).clone();
/// std::thread::spawn(move || handle.kill());
/// assert_eq!(process.wait(), Exit::Signal(9));
/// # Ok::<(), procession_process::ProcessError>(())
/// ```
#[derive(Clone)]
pub struct ProcessHandle(Arc<Inner>);

struct Inner {
    name: String,
    who: Who,
}

enum Who {
    Child(Child),
    Relative(Relative),
}

/// A process that is not a child of this one.
pub(crate) struct Relative {
    pub(crate) pid: u32,
    /// `None` if it is out of reach: in another pid namespace, or pidfds are used up.
    pub(crate) grip: Option<Grip>,
}

impl fmt::Debug for ProcessHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProcessHandle")
            .field("pid", &self.pid())
            .field("name", &self.name())
            .field("exit_status", &self.exit_status())
            .finish()
    }
}

impl ProcessHandle {
    pub(crate) fn of_child(name: String, child: Child) -> Self {
        Self(Arc::new(Inner { name, who: Who::Child(child) }))
    }

    pub(crate) fn of_relative(name: &str, relative: Relative) -> Self {
        Self(Arc::new(Inner { name: name.to_owned(), who: Who::Relative(relative) }))
    }

    /// The process id. Once the process has ended it may belong to another one.
    ///
    /// ```
    /// use procession_process::Process;
    ///
    /// let process = Process::spawn(|()| std::process::id(), ())?;
    /// let pid = process.pid();
    /// assert_eq!(process.join()?, pid);
    /// # Ok::<(), procession_process::ProcessError>(())
    /// ```
    #[must_use]
    pub fn pid(&self) -> u32 {
        match &self.0.who {
            Who::Child(child) => child.pid(),
            Who::Relative(relative) => relative.pid,
        }
    }

    /// The name it was started with. ps(1) shows the first 15 bytes of it.
    ///
    /// ```
    /// use procession_process::Process;
    ///
    /// let process = Process::builder().name("decoder").spawn(|n: u64| n, 1)?;
    /// assert_eq!(process.name(), "decoder");
    /// # Ok::<(), procession_process::ProcessError>(())
    /// ```
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether the process still runs. Does not block.
    ///
    /// ```
    /// use procession_process::Process;
    ///
    /// let process = Process::spawn(std::thread::sleep, std::time::Duration::MAX)?;
    /// assert!(process.is_alive());
    /// process.kill()?;
    /// process.wait();
    /// assert!(!process.is_alive());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_alive(&self) -> bool {
        match &self.0.who {
            Who::Child(child) => child.is_alive(),
            Who::Relative(relative) => !relative.ends_within(Some(Duration::ZERO)),
        }
    }

    /// How the process ended, `None` if it runs. Does not block.
    ///
    /// Of a process that is no child of this one, only Linux 6.15 and later can tell; before, it is [`Exit::Unknown`].
    ///
    /// ```
    /// use procession_process::{Exit, Process};
    ///
    /// let process = Process::spawn(|code: i32| -> () { std::process::exit(code) }, 3)?;
    /// process.wait();
    /// assert_eq!(process.exit_status(), Some(Exit::Code(3)));
    /// # Ok::<(), procession_process::ProcessError>(())
    /// ```
    #[must_use]
    #[doc(alias = "exitcode")]
    pub fn exit_status(&self) -> Option<Exit> {
        match &self.0.who {
            Who::Child(child) => child.exit(),
            Who::Relative(_) => self.wait_timeout(Duration::ZERO),
        }
    }

    /// Blocks until the process has ended. It is woken by nothing else.
    ///
    /// A process that was started with piped output may be waiting for somebody who reads it.
    ///
    /// ```
    /// use procession_process::{Exit, Process};
    ///
    /// let process = Process::spawn(|()| -> () { std::process::abort() }, ())?;
    /// assert_eq!(process.wait(), Exit::Signal(6));
    /// assert_eq!(process.wait().to_string(), "SIGABRT (aborted)"); // any number of times
    /// # Ok::<(), procession_process::ProcessError>(())
    /// ```
    pub fn wait(&self) -> Exit {
        match &self.0.who {
            Who::Child(child) => child.wait(),
            Who::Relative(relative) => relative.wait(None).unwrap_or(Exit::Unknown),
        }
    }

    /// Blocks like [`wait`](Self::wait), but no longer than `timeout`; `None` if it passed.
    ///
    /// ```
    /// use std::time::Duration;
    /// use procession_process::Process;
    ///
    /// let process = Process::spawn(std::thread::sleep, Duration::MAX)?;
    /// assert_eq!(process.wait_timeout(Duration::from_millis(10)), None);
    /// process.kill()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn wait_timeout(&self, timeout: Duration) -> Option<Exit> {
        match &self.0.who {
            Who::Child(child) => child.wait_timeout(timeout),
            Who::Relative(relative) => relative.wait(Some(timeout)),
        }
    }

    /// Asks the process to end, by SIGTERM. A process that has ended is left alone, which is no error.
    ///
    /// # Errors
    ///
    /// As for [`signal`](Self::signal).
    ///
    /// ```
    /// use procession_process::{Exit, Process};
    ///
    /// let process = Process::spawn(std::thread::sleep, std::time::Duration::MAX)?;
    /// process.terminate()?;
    /// assert_eq!(process.wait(), Exit::Signal(15));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn terminate(&self) -> io::Result<()> {
        self.signal(libc::SIGTERM)
    }

    /// Ends the process, by SIGKILL. A process that has ended is left alone, which is no error.
    ///
    /// # Errors
    ///
    /// As for [`signal`](Self::signal).
    ///
    /// ```
    /// use procession_process::{Exit, Process};
    ///
    /// let process = Process::spawn(|()| -> () { loop {} }, ())?;
    /// process.kill()?;
    /// assert_eq!(process.wait(), Exit::Signal(9));
    /// process.kill()?;                                      // it has ended, and nobody else is hit
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn kill(&self) -> io::Result<()> {
        self.signal(libc::SIGKILL)
    }

    /// Interrupts the process, by SIGINT, as Ctrl-C does. A process that has ended is left alone, which is no error.
    ///
    /// Where this program was started with SIGINT ignored, as a job in the background of a shell's script is, its processes ignore it
    /// as well; [`terminate`](Self::terminate) ends them all the same.
    ///
    /// # Errors
    ///
    /// As for [`signal`](Self::signal).
    ///
    /// ```
    /// use procession_process::{Exit, Process};
    ///
    /// let process = Process::spawn(std::thread::sleep, std::time::Duration::from_secs(3))?;
    /// process.interrupt()?;
    /// assert!(matches!(process.wait(), Exit::Signal(2) | Exit::Code(0)), "or SIGINT is ignored");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn interrupt(&self) -> io::Result<()> {
        self.signal(libc::SIGINT)
    }

    /// Sends a signal, by its number. A process that has ended gets none, which is no error.
    ///
    /// # Errors
    ///
    /// - `InvalidInput`: no such signal
    /// - `PermissionDenied`: the process has changed its user; or it is in another pid namespace; or this process was forked
    ///   from the one that started it
    /// - `Unsupported`: it is a thread of this process, see [`StartMethod::Inline`](crate::StartMethod::Inline)
    ///
    /// ```
    /// use procession_process::{Exit, Process};
    ///
    /// let process = Process::spawn(std::thread::sleep, std::time::Duration::MAX)?;
    /// process.signal(libc::SIGUSR1)?;
    /// assert_eq!(process.wait(), Exit::Signal(libc::SIGUSR1));
    /// assert_eq!(process.signal(12345).unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        match &self.0.who {
            Who::Child(child) => child.signal(signal),
            Who::Relative(relative) => relative.signal(signal),
        }
    }

    pub(crate) fn is_inline(&self) -> bool {
        self.as_child().is_some_and(Child::is_inline)
    }

    pub(crate) fn as_child(&self) -> Option<&Child> {
        match &self.0.who {
            Who::Child(child) => Some(child),
            Who::Relative(_) => None,
        }
    }
}

/// Ready when [`wait`](ProcessHandle::wait) goes on at once. Of a process that is no child of this one nobody tells: it is
/// asked now and then, at the latest every 10 s.
///
/// ```
/// use std::time::Duration;
/// use procession_process::{Process, ProcessError};
/// use procession_shm::wait_any;
///
/// let slow = Process::spawn(|()| std::thread::sleep(Duration::from_secs(3600)), ())?;
/// let quick = Process::spawn(|()| 7, ())?;
/// let ready = wait_any(&[&slow, &quick], None).unwrap();
/// assert!(ready.has(&quick) && !ready.has(&slow));
/// slow.kill().unwrap();
/// assert_eq!(quick.join()?, 7);
/// # Ok::<(), ProcessError>(())
/// ```
impl Waitable for ProcessHandle {
    fn is_ready(&self) -> bool {
        match &self.0.who {
            Who::Child(child) => child.is_ready(),
            Who::Relative(relative) => relative.ends_within(Some(Duration::ZERO)),
        }
    }

    fn watch<'a>(&'a self, watches: &mut Vec<Watch<'a>>) {
        if let Who::Child(child) = &self.0.who {
            child.watch(watches);
        }
    }

    fn unwatch(&self) {
        if let Who::Child(child) = &self.0.who {
            child.unwatch();
        }
    }
}

impl Relative {
    fn signal(&self, signal: i32) -> io::Result<()> {
        let Some(grip) = &self.grip else {
            let why =
                "the process is in another pid namespace, or no descriptor was left to hold it";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        };
        match grip.signal(signal) {
            Err(Errno::SRCH) => Ok(()),
            Err(Errno::INVAL) => Err(no_such_signal(signal)),
            sent => Ok(sent?),
        }
    }

    fn wait(&self, timeout: Option<Duration>) -> Option<Exit> {
        let ended = self.ends_within(timeout);
        // Nobody but its parent can reap it; what this asks is what the kernel remembers.
        let reap = || self.grip.as_ref().and_then(Grip::reap).map_or(Exit::Unknown, |end| end.exit);
        ended.then(reap)
    }

    /// One that cannot be watched is the parent or this process itself, which do not end before this one.
    fn ends_within(&self, timeout: Option<Duration>) -> bool {
        if let Some(ended) = self.grip.as_ref().and_then(|grip| grip.ends_within(timeout)) {
            return ended;
        }
        match timeout {
            Some(timeout) => std::thread::sleep(timeout),
            None => loop {
                std::thread::park();
            },
        }
        false
    }
}
