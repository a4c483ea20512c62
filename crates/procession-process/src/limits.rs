//! What a process may use of the machine.

use procession_shm::limit;
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};

/// What a process may use of the machine, by the limits that the kernel offers without privileges (setrlimit(2)). Nothing is
/// limited at first.
///
/// The process cannot raise its limits again, and the processes that it starts inherit them. A limit above the one that this
/// process is under itself is cut to that.
///
/// ```
/// use procession_process::{Limits, Process};
///
/// let builder = Process::builder().limits(Limits::new().memory_bytes(1 << 30).cpu_seconds(60));
/// assert_eq!(builder.spawn(|n: u64| n + 1, 1)?.join()?, 2);
/// # Ok::<(), procession_process::ProcessError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[must_use = "limits do nothing before they are given to a builder"]
pub struct Limits {
    memory_bytes: Option<u64>,
    cpu_seconds: Option<u64>,
    open_files: Option<u64>,
    file_size_bytes: Option<u64>,
    processes: Option<u64>,
}

impl Limits {
    /// No limits.
    ///
    /// ```
    /// use procession_process::{Limits, Process};
    ///
    /// let builder = Process::builder().limits(Limits::new()); // as much as this process
    /// assert_eq!(builder.spawn(|n: u64| n + 1, 1)?.join()?, 2);
    /// # Ok::<(), procession_process::ProcessError>(())
    /// ```
    pub const fn new() -> Self {
        Self {
            memory_bytes: None,
            cpu_seconds: None,
            open_files: None,
            file_size_bytes: None,
            processes: None,
        }
    }

    /// How much private memory the process may have, in bytes (RLIMIT_DATA). Beyond it an allocation fails: Rust aborts
    /// (SIGABRT), C code gets a null pointer.
    ///
    /// What this does not do: it counts what is *reserved*, also if it is never touched, so that the stack of each thread that
    /// the function starts counts whole, and an allocator that reserves arenas in advance needs room
    /// for them: limits below 64 MiB are rarely useful. It does not count shared memory (rings, results, shared buffers),
    /// which is why it was chosen over RLIMIT_AS, nor files in the page cache. A process that is over it is not told apart
    /// from one that aborts by itself. Each process below has the limit for itself: the sum is not limited.
    ///
    /// All that is otherwise where the process has a [cgroup](crate::ProcessBuilder::cgroup) of its own: the limit is one of what it
    /// and those below it use together, beyond which the kernel kills them, and says so.
    ///
    /// ```
    /// use procession_process::{Limits, Process, ProcessError};
    ///
    /// let builder = Process::builder().limits(Limits::new().memory_bytes(256 << 20));
    /// let greedy = builder.spawn(|size: usize| std::hint::black_box(vec![1_u8; size]).len(), 1 << 30)?;
    /// assert!(matches!(greedy.join(), Err(ProcessError::Died { .. })));
    /// # Ok::<(), ProcessError>(())
    /// ```
    pub const fn memory_bytes(mut self, bytes: u64) -> Self {
        self.memory_bytes = Some(bytes);
        self
    }

    /// How much processor time all threads of the process may take together, in seconds (RLIMIT_CPU). Beyond it the process
    /// gets SIGXCPU, of which it dies; if it catches that, SIGKILL one second later. Time asleep does not count.
    ///
    /// ```
    /// use procession_process::{Limits, Process};
    ///
    /// fn limit(_: ()) -> String {
    ///     let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    ///     limits.lines().find(|line| line.starts_with("Max cpu time")).unwrap().to_owned()
    /// }
    ///
    /// let builder = Process::builder().limits(Limits::new().cpu_seconds(60)); // then SIGXCPU
    /// assert_eq!(builder.spawn(limit, ())?.join()?.split_whitespace().nth(3), Some("60"));
    /// # Ok::<(), procession_process::ProcessError>(())
    /// ```
    pub const fn cpu_seconds(mut self, seconds: u64) -> Self {
        self.cpu_seconds = Some(seconds);
        self
    }

    /// How many descriptors the process may have open (RLIMIT_NOFILE). Beyond it opening fails with EMFILE. Below about 10
    /// a process cannot start.
    ///
    /// ```
    /// use std::fs::File;
    /// use procession_process::{Limits, Process};
    ///
    /// fn open(count: usize) -> bool {
    ///     (0..count).map(|_| File::open("/dev/null")).collect::<Result<Vec<_>, _>>().is_ok()
    /// }
    ///
    /// let builder = Process::builder().limits(Limits::new().open_files(50));
    /// assert!(builder.spawn(open, 10)?.join()?);
    /// assert!(!builder.spawn(open, 100)?.join()?);
    /// # Ok::<(), procession_process::ProcessError>(())
    /// ```
    pub const fn open_files(mut self, count: u64) -> Self {
        self.open_files = Some(count);
        self
    }

    /// How large the process may make a file, in bytes (RLIMIT_FSIZE); 0 is no writing to files at all. Beyond it the
    /// process gets SIGXFSZ, of which it dies. Pipes, sockets and the result of the function are not limited; but what the process
    /// needs to start others is: a limit below some MiB bounds their results and arguments, and with 0 it cannot start any.
    ///
    /// ```
    /// use std::io::Write;
    /// use procession_process::{Exit, Limits, Process};
    ///
    /// fn write(size: usize) {
    ///     let name = std::env::temp_dir().join(format!("file-size-{}", std::process::id()));
    ///     let mut file = std::fs::File::create_new(&name).unwrap();
    ///     std::fs::remove_file(name).unwrap();
    ///     file.write_all(&vec![1; size]).unwrap();
    /// }
    ///
    /// let builder = Process::builder().limits(Limits::new().file_size_bytes(1 << 20));
    /// assert_eq!(builder.spawn(write, 1000)?.wait(), Exit::Code(0));
    /// assert_eq!(builder.spawn(write, 2 << 20)?.wait().to_string(), "SIGXFSZ (file size limit exceeded)");
    /// # Ok::<(), procession_process::ProcessError>(())
    /// ```
    pub const fn file_size_bytes(mut self, bytes: u64) -> Self {
        self.file_size_bytes = Some(bytes);
        self
    }

    /// How many processes and threads the *user* may have for the process to start another (RLIMIT_NPROC). All of the user's
    /// count, not only those below this process. It does not bind root.
    ///
    /// ```
    /// use procession_process::{Limits, Process};
    ///
    /// fn limit(_: ()) -> String {
    ///     let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    ///     limits.lines().find(|line| line.starts_with("Max processes")).unwrap().to_owned()
    /// }
    ///
    /// let builder = Process::builder().limits(Limits::new().processes(100));
    /// assert_eq!(builder.spawn(limit, ())?.join()?.split_whitespace().nth(2), Some("100"));
    /// # Ok::<(), procession_process::ProcessError>(())
    /// ```
    pub const fn processes(mut self, count: u64) -> Self {
        self.processes = Some(count);
        self
    }

    /// The limit of memory, which somebody else sees to from here on.
    pub(crate) fn take_memory_bytes(&mut self) -> Option<u64> {
        self.memory_bytes.take()
    }

    /// Puts this process under these limits. On failure, the limit that was refused.
    pub(crate) fn apply(&self) -> Result<(), (&'static str, rustix::io::Errno)> {
        set("RLIMIT_DATA", Resource::Data, self.memory_bytes, 0)?;
        // With a hard limit that is no higher, SIGKILL would come first, and nobody would know why.
        set("RLIMIT_CPU", Resource::Cpu, self.cpu_seconds, 1)?;
        set("RLIMIT_NOFILE", Resource::Nofile, self.open_files, 0)?;
        set("RLIMIT_FSIZE", Resource::Fsize, self.file_size_bytes, 0)?;
        set("RLIMIT_NPROC", Resource::Nproc, self.processes, 0)
    }
}

fn set(
    name: &'static str,
    resource: Resource,
    limit: Option<u64>,
    slack: u64,
) -> Result<(), (&'static str, rustix::io::Errno)> {
    let Some(limit) = limit else { return Ok(()) };
    let ours = limit::of(resource).map_err(|error| (name, error))?;
    let ours = ours.maximum.unwrap_or(u64::MAX);
    let (current, maximum) = (limit.min(ours), limit.saturating_add(slack).min(ours));
    let limits = Rlimit { current: Some(current), maximum: Some(maximum) };
    setrlimit(resource, limits).map_err(|error| (name, error))
}
