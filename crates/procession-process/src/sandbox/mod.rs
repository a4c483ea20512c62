//! What a process may no longer do: a sandbox that it puts around itself before it runs its function.
//!
//! Two mechanisms of the kernel, each for what the other cannot see: [Landlock](files) judges by paths and by who is related to
//! whom, [seccomp](calls) by system calls and their numeric arguments. Neither needs a privilege, and neither can be taken off
//! again, nor can the processes that are started below.
//!
//! Rejected: namespaces. Creating them without privileges is forbidden on many systems, and where it is allowed it opens more of
//! the kernel to an attacker than it closes.
//!
//! Invariants:
//!
//! * **X1** The sandbox is up before the first byte of the argument is decoded: nothing that an attacker wrote has been looked
//!   at before.
//! * **X2** It is put up while the process has one thread, because Landlock binds the calling thread and those that it starts
//!   from then on. A process that has more refuses to serve. (Telling all threads of a process, TSYNC, exists for seccomp, and
//!   for Landlock from Linux 7.0 on only.)
//! * **X3** What the kernel does not offer is an error before the process is started, unless `best_effort` was asked for.

mod calls;
mod files;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::SpawnError;
use crate::refusal::{self, Refusal};
use crate::start_method::StartMethod;

/// What a process may not do, from before its argument is decoded until it ends. Without the feature `sandbox` there are none.
///
/// Every sandbox keeps the process from other processes than those that it starts itself: it cannot signal, trace, read or
/// write the memory of, steal descriptors from, or reschedule its parent or anybody else, nor use what they share by a number or
/// a name of System V or of a POSIX message queue. It gains no privileges by running
/// setuid programs, creates no namespaces and device files, mounts nothing, and is refused those parts of the kernel that are
/// known for their holes and that computing does not need (bpf, io_uring, userfaultfd, keyrings, modules, performance counters).
/// The methods add to that, in any combination.
///
/// What the process was given works as ever: standard descriptors, pipes, files and sockets in its argument, shared memory,
/// locks, its result, and panics with their backtraces. What is refused is an ordinary error (`PermissionDenied`) to whoever tries.
///
/// ```
/// use procession_process::{Failure, Process, Sandbox};
///
/// fn parse(text: String) -> Result<usize, Failure> {
///     assert!(std::fs::read("/etc/passwd").is_err() && std::net::TcpStream::connect("127.0.0.1:80").is_err());
///     Ok(text.lines().count())
/// }
///
/// let builder = Process::builder().sandbox(Sandbox::new().compute_only());
/// # let builder = Process::builder().sandbox(Sandbox::new().compute_only().best_effort());
/// # if Sandbox::new().compute_only().is_available() {
/// assert_eq!(builder.spawn(parse, "one\ntwo")?.join()?, 2);
/// # }
/// # Ok::<(), procession_process::ProcessError>(())
/// ```
///
/// # What it does not stop
///
/// - Use of processor time and memory: that is what [`Limits`](crate::Limits) are for.
/// - What the process may do with what it was given: a descriptor that is open for writing stays so, and a socket that is
///   connected can be talked to. A trusting handle (a lock, shared memory) can be scribbled over.
/// - What files do to other processes, unless files are restricted: whoever may write in `/proc/<pid>` or in a cgroup changes how
///   likely a process is killed for memory, how much of a processor its session gets, or that it is stopped.
/// - A terminal that it was given (a standard descriptor may be one): it can change its modes for all who use it.
/// - Processes that it starts by itself, unless it [only computes](Self::compute_only): they stay in the sandbox and may outlive it and
///   its parent, as those of any process may. A [cgroup](crate::ProcessBuilder::cgroup) ends them with it.
/// - Looking at what files exist: names, sizes and times are not hidden by [`read_only`](Self::read_only), contents are.
///   Nor are the names and states of other processes in `/proc`, unless `/proc` is out of reach.
/// - Side channels, and holes in what is left of the kernel. Root loses no capability by it; do not run as root what you do not
///   trust.
/// - Constructors of this program, which run before it is up (they run in every process and have seen no input).
/// - Wrong results.
///
/// # Requirements
///
/// Linux 5.13 with Landlock enabled; 6.2 if files are restricted (before that, Landlock did not stop files from being
/// truncated). Before 6.12 a process in a sandbox cannot signal the processes that it starts, either; before 5.19 it cannot move a
/// file to another directory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[must_use = "a sandbox does nothing before it is given to a builder"]
pub struct Sandbox {
    #[serde(with = "bytes_of_paths")]
    readable: Vec<PathBuf>,
    #[serde(with = "bytes_of_paths")]
    writable: Vec<PathBuf>,
    restricts_files: bool,
    no_network: bool,
    compute_only: bool,
    best_effort: bool,
}

impl Sandbox {
    /// A sandbox that keeps the process away from other processes, and nothing else.
    ///
    /// ```
    /// use procession_process::{Process, Sandbox};
    ///
    /// let sandbox = Sandbox::new();
    /// # if !sandbox.is_available() { return Ok(()) }
    /// let process = Process::builder().sandbox(sandbox).spawn(|n: u64| n + 1, 1)?;
    /// assert_eq!(process.join()?, 2);
    /// # Ok::<(), procession_process::ProcessError>(())
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// The process opens no connections: it makes no sockets but connected pairs, and connects none that it was given. Unix sockets
    /// count, because behind those of system services is whatever these may do.
    ///
    /// ```
    /// use procession_process::{Process, Sandbox};
    ///
    /// let sandbox = Sandbox::new().no_network();
    /// # if !sandbox.is_available() { return Ok(()) }
    /// let process = Process::builder().sandbox(sandbox).spawn(|()| std::net::TcpListener::bind("127.0.0.1:0").is_err(), ())?;
    /// assert!(process.join()?, "there is a socket");
    /// # Ok::<(), procession_process::ProcessError>(())
    /// ```
    pub fn no_network(mut self) -> Self {
        self.no_network = true;
        self
    }

    /// The process reads files beneath these paths, writes none, and runs no program. Each call adds paths; without any, no
    /// file can be opened at all, but for the files that this program was loaded from (backtraces read them) and `/dev/null`.
    ///
    /// Relative paths start at the working directory of the process. Symbolic links are followed when the sandbox is put up, and not later.
    ///
    /// ```
    /// use procession_process::{Process, Sandbox};
    ///
    /// fn reads(path: String) -> bool { std::fs::read(path).is_ok() }
    ///
    /// let sandbox = Sandbox::new().read_only(["/etc/passwd"]);
    /// # if !sandbox.is_available() { return Ok(()) }
    /// let builder = Process::builder().sandbox(sandbox);
    /// assert!(builder.spawn(reads, "/etc/passwd")?.join()?);
    /// assert!(!builder.spawn(reads, "/etc/group")?.join()?);
    /// # Ok::<(), procession_process::ProcessError>(())
    /// ```
    pub fn read_only<P: AsRef<Path>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.restricts_files = true;
        self.readable.extend(paths.into_iter().map(|path| path.as_ref().to_owned()));
        self
    }

    /// The process reads and writes files beneath these paths, and makes, renames and removes them. Everything else is as with
    /// [`read_only`](Self::read_only).
    ///
    /// ```
    /// use std::fs;
    /// use procession_process::{Process, Sandbox};
    ///
    /// let folder = std::env::temp_dir().join(format!("read-write-{}", std::process::id()));
    /// let sandbox = Sandbox::new().read_write([&folder]);
    /// # if !sandbox.is_available() { return Ok(()) }
    /// fs::create_dir(&folder)?;
    /// let builder = Process::builder().sandbox(sandbox);
    /// let is_written = builder.spawn(|to: std::path::PathBuf| fs::write(to, "hello").is_ok(), folder.join("file"))?.join();
    /// fs::remove_dir_all(&folder)?;
    /// assert!(is_written?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read_write<P: AsRef<Path>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        self.restricts_files = true;
        self.writable.extend(paths.into_iter().map(|path| path.as_ref().to_owned()));
        self
    }

    /// The process computes: it opens no files but those granted by [`read_only`](Self::read_only) and
    /// [`read_write`](Self::read_write), makes no connections, starts no process and no program, and is left with the
    /// system calls that memory, threads, time, and reading and writing what is open take. All others are refused, those that are
    /// not invented yet included.
    ///
    /// ```
    /// use procession_process::{Failure, Process, Sandbox};
    ///
    /// fn decode(image: Vec<u8>) -> Result<usize, Failure> {
    ///     if std::fs::read_dir("/etc").is_ok() { Err("whoever takes the decoder over gets this far")? }
    ///     Ok(image.len())
    /// }
    ///
    /// let sandbox = Sandbox::new().compute_only();
    /// # if !sandbox.is_available() { return Ok(()) }
    /// assert_eq!(Process::builder().sandbox(sandbox).spawn(decode, vec![0; 10])?.join()?, 10);
    /// # Ok::<(), procession_process::ProcessError>(())
    /// ```
    pub fn compute_only(mut self) -> Self {
        self.restricts_files = true;
        self.no_network = true;
        self.compute_only = true;
        self
    }

    /// Where not all of it can be had, because of the kernel or of the start method, the process runs with what is left of the sandbox, instead of not at all.
    ///
    /// ```
    /// use procession_process::{Process, Sandbox};
    ///
    /// // On any kernel; on old ones with less around it.
    /// let sandbox = Sandbox::new().compute_only().best_effort();
    /// assert_eq!(Process::builder().sandbox(sandbox).spawn(|n: u64| n + 1, 1)?.join()?, 2);
    /// # Ok::<(), procession_process::ProcessError>(())
    /// ```
    pub fn best_effort(mut self) -> Self {
        self.best_effort = true;
        self
    }

    /// Whether this kernel offers all of it.
    ///
    /// ```
    /// use procession_process::{Process, ProcessError, Sandbox, SpawnError};
    ///
    /// let sandbox = Sandbox::new().no_network();
    /// let started = Process::builder().sandbox(sandbox.clone()).spawn(|n: u64| n, 1);
    /// let is_refused = matches!(started, Err(ProcessError::Spawn(SpawnError::SandboxUnavailable { .. })));
    /// assert_eq!(sandbox.is_available(), !is_refused);
    /// ```
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.missing().is_none()
    }

    /// Refuses a process that could not put it up.
    pub(crate) fn check(&self, method: StartMethod) -> Result<(), SpawnError> {
        let nothing_to_enclose = "the start method `Inline` has no process to put it around";
        let is_inline = method == StartMethod::Inline;
        match is_inline.then_some(nothing_to_enclose).or_else(|| self.missing()) {
            Some(reason) if !self.best_effort => Err(SpawnError::SandboxUnavailable { reason }),
            _ => Ok(()),
        }
    }

    /// What this kernel does not offer.
    fn missing(&self) -> Option<&'static str> {
        let version = files::version();
        if !calls::is_available() {
            Some("seccomp filters are not built in")
        } else if version == 0 {
            Some("Landlock is not built in (Linux 5.13) or not enabled (lsm=landlock,... at boot)")
        } else if self.restricts_files && version < files::TRUNCATE_VERSION {
            Some("its Landlock does not protect files from being truncated (Linux 6.2)")
        } else {
            None
        }
    }

    /// Puts it around this process, which has `threads` threads.
    pub(crate) fn enclose(&self, threads: usize) -> Result<(), Refusal> {
        if threads != 1 {
            let why =
                format_args!("it has {threads} threads, and a sandbox binds only one of them");
            return Err(Refusal::new(refusal::SANDBOX, why));
        }
        self.check(StartMethod::Spawn).map_err(|error| Refusal::new(refusal::SANDBOX, error))?;
        let guard = files::enforce(self)?;
        calls::enforce(self, &guard)
    }
}

mod bytes_of_paths {
    //! Paths as the kernel has them: of any bytes, where serde's own are text.

    use std::ffi::OsString;
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    use std::path::PathBuf;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(paths: &[PathBuf], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(paths.iter().map(|path| path.as_os_str().as_bytes()))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Vec<PathBuf>, D::Error> {
        let paths = Vec::<Vec<u8>>::deserialize(from)?;
        Ok(paths.into_iter().map(|path| OsString::from_vec(path).into()).collect())
    }
}
