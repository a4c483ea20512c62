//! Why a process could not be started.

use std::borrow::Cow;
use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::exit::Exit;

/// Why [`Launcher::launch`](crate::Launcher::launch) did not start a process.
///
/// Whatever the variant, no process is left behind and nothing of the launch happened. One exception: if this process has no
/// descriptor left to take over one that a [zygote](crate::StartMethod::Zygote) has forked, that one may have begun and is killed.
///
/// ```
/// use procession_process::{Process, ProcessError, SpawnError};
///
/// let started = Process::builder().current_dir("/no/such/directory").spawn(|n: u64| n, 1);
/// match started {
///     Err(ProcessError::Spawn(SpawnError::System { source, .. })) => {
///         assert_eq!(source.kind(), std::io::ErrorKind::NotFound);
///     }
///     other => panic!("{other:?}"),
/// }
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// The start-up hook did not run in this process, so a child of it would run `main` again
    /// instead of serving.
    #[error(
        "the start-up hook did not run in process {pid} ({detail}); call from `main` or later, \
         and link the crate into the program itself rather than into a library it loads"
    )]
    HookDidNotRun {
        /// The process that tried to launch.
        pid: u32,
        /// What was found instead of a hook that ran.
        detail: &'static str,
    },
    /// A constructor (code that runs before `main`) of a child process tried to launch, or a
    /// thread or an exit handler that it left behind. It runs in every child, so each child would
    /// start another.
    #[error(
        "code that runs before main or at exit tried to start a process inside the child process \
         {pid}; it would do so again in every descendant, start processes from main instead"
    )]
    InConstructor {
        /// The child process whose constructor tried.
        pid: u32,
    },
    /// This program runs with more rights than its caller (setuid, setgid, file capabilities),
    /// and environment and descriptors of such a program belong to the caller.
    #[error(
        "this program is setuid, setgid or has file capabilities and must not start copies of \
         itself; drop the file's privileges or start the work from an unprivileged program"
    )]
    Privileged,
    /// The program that runs is not the file that `/proc/self/exe` would start, or the function
    /// is not part of that file.
    #[error("this program cannot be started again as a child process: {reason}")]
    NotRestartable {
        /// What stands in the way, and what to do about it.
        reason: Cow<'static, str>,
    },
    /// Children of children, nested deeper than [`DEPTH_MAX`](crate::DEPTH_MAX).
    #[error(
        "a child process at depth {depth} was refused: processes may nest {} deep; does each \
         child start a child unconditionally?",
        crate::DEPTH_MAX
    )]
    TooDeep {
        /// The depth the refused child would have had.
        depth: u32,
    },
    /// More descriptors were given than one message can carry.
    #[error(
        "{given} descriptors were given to one process, at most {max} can be; send a socket that carries the rest"
    )]
    TooManyDescriptors {
        /// How many were given.
        given: usize,
        /// How many are possible.
        max: usize,
    },
    /// The process cannot be put into its sandbox, because of this kernel or of the start method.
    #[cfg(feature = "sandbox")]
    #[error("that sandbox cannot be had: {reason}; `best_effort` takes what there is")]
    SandboxUnavailable {
        /// What is missing.
        reason: &'static str,
    },
    /// The process cannot have a [cgroup](crate::ProcessBuilder::cgroup) of its own.
    #[error("cannot give the process a cgroup below {}: {op}: {source}{hint}", .path.display())]
    #[non_exhaustive]
    Cgroup {
        /// The directory that was named.
        path: Arc<Path>,
        /// The step that failed.
        op: &'static str,
        /// The system's answer.
        source: Arc<io::Error>,
        /// What to do about it, empty or starting with "; ".
        hint: &'static str,
    },
    /// The zygote has more than one thread, of which a fork would copy one. It goes on to refuse until the others have ended.
    #[error(
        "the zygote (process {pid}) has {count} threads and does not fork: start none in the preload function, or only in the processes that are forked"
    )]
    #[non_exhaustive]
    ZygoteThreads {
        /// The zygote.
        pid: u32,
        /// Its threads, the one that forks included.
        count: u64,
    },
    /// The preload function panicked, and the zygote that ran it forks nothing.
    #[error("the preload function of the zygote panicked: {message}")]
    #[non_exhaustive]
    Preload {
        /// What it said, and where.
        message: Arc<str>,
    },
    /// The zygote was started several times, and ended each time before it could fork.
    #[error(
        "the zygote (process {pid}) ended before it could fork: {exit}; it was started {attempts} times: does its preload function exit or crash?"
    )]
    #[non_exhaustive]
    ZygoteEnded {
        /// The last one.
        pid: u32,
        /// How that one ended.
        exit: Exit,
        /// How many requests were lost, one after the other.
        attempts: u32,
    },
    /// The operating system refused a step.
    #[error("cannot start a process: {op}: {source}{hint}")]
    System {
        /// The step that failed.
        op: &'static str,
        /// The system's answer.
        source: Arc<io::Error>,
        /// What to do about it, empty or starting with "; ".
        hint: &'static str,
    },
}

impl SpawnError {
    /// A failed step, with the advice its error number calls for.
    pub(crate) fn system(op: &'static str, source: impl Into<io::Error>) -> Self {
        let source = source.into();
        let hint = hint(&source);
        Self::System { op, source: Arc::new(source), hint }
    }

    /// A failed step that reads or runs something below `/proc`.
    pub(crate) fn proc(op: &'static str, source: impl Into<io::Error>) -> Self {
        let source = source.into();
        let hint = match source.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR) => {
                "; /proc is not mounted here, mount it: mount -t proc proc /proc"
            }
            _ => hint(&source),
        };
        Self::System { op, source: Arc::new(source), hint }
    }

    /// A failed step with the file at `path`, which the message names.
    pub(crate) fn file(op: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        let source = source.into();
        let hint = file_hint(path, &source);
        let named = io::Error::new(source.kind(), format!("{}: {source}", path.display()));
        Self::System { op, source: Arc::new(named), hint }
    }

    /// A failed step on the way to a cgroup.
    pub(crate) fn cgroup(path: &Path, op: &'static str, source: impl Into<io::Error>) -> Self {
        let source = source.into();
        let hint = cgroup_hint(&source);
        Self::Cgroup { path: path.into(), op, source: Arc::new(source), hint }
    }

    pub(crate) fn not_restartable(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::NotRestartable { reason: reason.into() }
    }
}

fn cgroup_hint(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::PermissionDenied => {
            "; it is not delegated to this user, see Delegate= of systemd"
        }
        io::ErrorKind::ResourceBusy => {
            "; processes live in it: move them to a group below it (DelegateSubgroup= of systemd does)"
        }
        io::ErrorKind::Unsupported => {
            "; write +memory to its cgroup.subtree_control (Delegate=memory of systemd does)"
        }
        io::ErrorKind::ReadOnlyFilesystem => "; cgroups are mounted read-only in this container",
        _ => hint(source),
    }
}

fn file_hint(path: &Path, source: &io::Error) -> &'static str {
    match source.raw_os_error() {
        Some(libc::ENOENT) if path == Path::new("/dev/null") => {
            "; /dev is empty here, as in a bare chroot: mknod -m 666 /dev/null c 1 3"
        }
        Some(libc::EACCES) => {
            "; may this user use it, and if it shall run, is it executable? a security policy (seccomp, LSM, noexec mount) may \
             forbid it, too"
        }
        _ => hint(source),
    }
}

fn hint(source: &io::Error) -> &'static str {
    match source.raw_os_error() {
        Some(libc::EMFILE) => {
            "; this process has as many open descriptors as RLIMIT_NOFILE allows, raise it with \
             ulimit -n"
        }
        Some(libc::ENFILE) => "; the whole system is out of descriptors, see fs.file-max",
        Some(libc::EAGAIN) => "; too many processes or threads, see ulimit -u and pids.max",
        Some(libc::ENOMEM) => "; not enough memory to start another process",
        Some(libc::EACCES | libc::EPERM) => {
            "; a security policy (seccomp, LSM, noexec mount) forbids it"
        }
        Some(libc::E2BIG) => "; arguments and environment together are too large to pass on",
        Some(libc::ETOOMANYREFS) => {
            "; too many descriptors of this user are in flight, raise RLIMIT_NOFILE"
        }
        Some(libc::EBADF) => {
            "; code in this process has closed descriptors that are not its own, look for \
             closefrom, close_range, or a library that turns into a daemon"
        }
        Some(libc::EFBIG) => "; RLIMIT_FSIZE forbids memory of that size, raise it with ulimit -f",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_and_so_is_what_it_lacks() {
        let no_null =
            SpawnError::file("open a file", Path::new("/dev/null"), rustix::io::Errno::NOENT);
        let text = no_null.to_string();
        assert!(text.contains("open a file: /dev/null: No such file"), "{text}");
        assert!(text.contains("mknod"), "{text}");
        let full = SpawnError::file("open a file", Path::new("/x"), rustix::io::Errno::MFILE);
        assert!(full.to_string().contains("ulimit -n"), "{full}");
    }
}
