//! What a process is like, apart from what it does: applied by the process itself before its constructors run, so that all
//! of its threads inherit it.

use std::ffi::CString;
use std::os::fd::OwnedFd;

use rustix::process::{fchdir, setpriority_process};
use rustix::thread::{CpuSet, sched_setaffinity};
use serde::{Deserialize, Serialize};

use crate::error::SpawnError;
use crate::limits::Limits;
use crate::refusal::Refusal;
use crate::start_method::StartMethod;

/// What travels with the bootstrap message.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// Variables that were passed on for the dynamic linker alone.
    pub(crate) unset: Vec<String>,
    pub(crate) nice: Option<i32>,
    /// Numbers of processors, none for those of the parent.
    pub(crate) affinity: Vec<usize>,
    pub(crate) limits: Limits,
    #[cfg(feature = "sandbox")]
    pub(crate) sandbox: Option<crate::Sandbox>,
    /// Whether the door of its own cgroup comes along.
    pub(crate) has_group: bool,
    /// Whether the descriptor of the working directory comes along.
    pub(crate) has_directory: bool,
}

impl Settings {
    /// Applies everything to this process, which has no other threads.
    pub(crate) fn apply(&self, directory: Option<OwnedFd>) -> Result<(), Refusal> {
        if let Some(directory) = directory {
            fchdir(directory).map_err(Refusal::system("enter the working directory"))?;
        }
        self.unset_variables()?;
        if let Some(nice) = self.nice {
            setpriority_process(None, nice).map_err(Refusal::system("set the nice value"))?;
        }
        if !self.affinity.is_empty() {
            sched_setaffinity(None, &processors(&self.affinity))
                .map_err(Refusal::system("set the affinity"))?;
        }
        self.limits.apply().map_err(|(name, error)| Refusal::system(&format!("set {name}"))(error))
    }

    /// Whether what is started by this method could apply them at all.
    #[cfg(feature = "sandbox")]
    pub(crate) fn check(&self, method: StartMethod) -> Result<(), SpawnError> {
        self.sandbox.as_ref().map_or(Ok(()), |sandbox| sandbox.check(method))
    }

    #[cfg(not(feature = "sandbox"))]
    #[expect(clippy::unnecessary_wraps, reason = "with the feature `sandbox` it can fail")]
    pub(crate) fn check(&self, _method: StartMethod) -> Result<(), SpawnError> {
        Ok(())
    }

    /// Puts this process, which has `threads` threads, into its sandbox, if it is to be in one.
    #[cfg(feature = "sandbox")]
    pub(crate) fn enclose(&self, threads: usize) -> Result<(), Refusal> {
        self.sandbox.as_ref().map_or(Ok(()), |sandbox| sandbox.enclose(threads))
    }

    #[cfg(not(feature = "sandbox"))]
    pub(crate) fn enclose(&self, _threads: usize) -> Result<(), Refusal> {
        Ok(())
    }

    fn unset_variables(&self) -> Result<(), Refusal> {
        for name in &self.unset {
            let name =
                CString::new(name.as_bytes()).map_err(Refusal::system("unset a variable"))?;
            // SAFETY: the name is a C string, and the process has no other threads yet.
            unsafe { libc::unsetenv(name.as_ptr()) };
        }
        Ok(())
    }
}

fn processors(numbers: &[usize]) -> CpuSet {
    let mut processors = CpuSet::new();
    let possible = numbers.iter().filter(|number| **number < CpuSet::MAX_CPU);
    possible.for_each(|number| processors.set(*number));
    processors
}
