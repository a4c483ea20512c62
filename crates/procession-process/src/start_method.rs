//! How a process comes into being.

use std::ffi::OsStr;
use std::io;

use crate::error::SpawnError;

/// Sets the start method of builders that were given none.
const VARIABLE: &str = "PROCESSION_START_METHOD";

/// How a process comes into being.
///
/// | | `Spawn` | `Zygote` | `Inline` |
/// |---|---|---|---|
/// | costs | an exec: loading the program, about a millisecond | a fork of a small process, a tenth of that | a thread |
/// | finds | the program as at its start | what the preload function left behind | everything of this process |
/// | its death costs | itself | itself | everything |
///
/// A builder that was given none takes the one that the environment variable `PROCESSION_START_METHOD` names (`spawn`,
/// `zygote`, `inline`), and `Spawn` without it. So a debugger that is started with `PROCESSION_START_METHOD=inline` sees the
/// functions of all processes in the one that it debugs.
///
/// ```
/// use procession_process::{Process, ProcessError, StartMethod};
///
/// let builder = Process::builder().start_method(StartMethod::Zygote);
/// assert_eq!(builder.spawn(|n: u64| n * n, 12)?.join()?, 144);
/// # Ok::<(), ProcessError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[doc(alias = "forkserver")]
pub enum StartMethod {
    /// The program is started again and calls the function instead of `main`. The default.
    #[default]
    Spawn,
    /// A *zygote* forks it: a process of this program that was started by `Spawn` for this purpose, has one thread, holds
    /// nothing of this process, and has run the builder's [preload](crate::ProcessBuilder::preload) function. It is started
    /// by the first process that needs it, one for each preload function, and ends with this process.
    ///
    /// Everything else is as for `Spawn`, but for this:
    ///
    /// - What this process changes of itself after the zygote was started (umask, resource limits, user, nice value) does not
    ///   reach the processes that the zygote forks. Environment, working directory and standard descriptors do.
    /// - The old value of a variable that is taken away or changed stays readable in the memory of the process, and a changed
    ///   `LD_LIBRARY_PATH` and its like have no effect.
    /// - If the zygote is killed, the processes that it has forked are killed, and each is reported as
    ///   [`Died`](crate::ProcessError::Died). The next one gets a new zygote.
    /// - It needs pidfds: under a seccomp filter that forbids `pidfd_open` it is a [`SpawnError::System`].
    Zygote,
    /// A thread of this process calls the function. Argument and result are encoded and decoded all the same, so that what
    /// could not travel is the same error, and a panic is reported in the same way. Meant for debuggers.
    ///
    /// What a process is needed for is not there: it cannot be killed, terminated or sent any signal (the error kind is
    /// [`Unsupported`](std::io::ErrorKind::Unsupported)), its crash is this process's, `exit` in it ends this process, statics
    /// are shared, its pid is that of this process. Environment, working directory, standard descriptors, nice value,
    /// affinity and limits of the builder do nothing; pipes from its standard output are at their end. A daemon is not waited
    /// for when this process exits, any other one is.
    Inline,
}

impl StartMethod {
    /// That of a builder that was given none.
    ///
    /// # Errors
    ///
    /// [`SpawnError::System`] when `PROCESSION_START_METHOD` names none.
    ///
    /// ```
    /// use procession_process::StartMethod;
    ///
    /// // `PROCESSION_START_METHOD=inline cargo test` runs everything in one process.
    /// # if std::env::var_os("PROCESSION_START_METHOD").is_none() {
    /// assert_eq!(StartMethod::from_environment()?, StartMethod::Spawn);
    /// # }
    /// # Ok::<(), procession_process::SpawnError>(())
    /// ```
    pub fn from_environment() -> Result<Self, SpawnError> {
        std::env::var_os(VARIABLE).map_or(Ok(Self::default()), |name| Self::named(&name))
    }

    fn named(name: &OsStr) -> Result<Self, SpawnError> {
        match name.to_str() {
            Some("" | "spawn") => Ok(Self::Spawn),
            Some("zygote") => Ok(Self::Zygote),
            Some("inline") => Ok(Self::Inline),
            _ => {
                let why = format!("{VARIABLE} is {name:?}, set it to spawn, zygote or inline");
                let why = io::Error::new(io::ErrorKind::InvalidInput, why);
                Err(SpawnError::system("choose a start method", why))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_the_documentation_gives() {
        let named = |name: &str| StartMethod::named(OsStr::new(name)).ok();
        assert_eq!(named(""), Some(StartMethod::Spawn));
        assert_eq!(named("spawn"), Some(StartMethod::Spawn));
        assert_eq!(named("zygote"), Some(StartMethod::Zygote));
        assert_eq!(named("inline"), Some(StartMethod::Inline));
        let error = StartMethod::named(OsStr::new("fork")).unwrap_err().to_string();
        assert!(error.contains("set it to spawn, zygote or inline"), "{error}");
    }
}
