//! The processes of which this one knows that they live, and what becomes of them when it ends by itself.
//!
//! When this process exits (`main` returns, or `std::process::exit` is called) the exit handler kills the daemons and waits for
//! all others. When it ends in any other way (a signal, `_exit`, `abort`) the kernel kills all of them.
//!
//! | entry | meaning |
//! |---|---|
//! | `Expected` | is being started |
//! | `Living` | was started, and its end was not noticed yet |
//! | none | was not started, or has ended |
//!
//! The entry is made before the process is started, because its end may be noticed before the start returns: then `enter`
//! finds no entry any more and makes none. Only threads of this process's own generation ever take the lock, see `offices`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::SpawnError;
use crate::handle::ProcessHandle;
use crate::inline;
use crate::offices::Offices;

#[derive(Default)]
pub(crate) struct Household {
    members: Mutex<Members>,
}

#[derive(Default)]
struct Members {
    last_key: u64,
    known: BTreeMap<u64, Entry>,
}

enum Entry {
    Expected,
    Living(Member),
}

#[derive(Clone)]
struct Member {
    handle: ProcessHandle,
    is_daemon: bool,
}

impl Household {
    /// Makes room for a process that is about to be started. It must be followed by [`enter`](Self::enter) or
    /// [`leave`](Self::leave).
    pub(crate) fn expect(&self) -> Result<u64, SpawnError> {
        register_exit_handler()?;
        let mut members = self.members();
        members.last_key += 1;
        let key = members.last_key;
        members.known.insert(key, Entry::Expected);
        Ok(key)
    }

    /// The process was started.
    pub(crate) fn enter(&self, key: u64, handle: ProcessHandle, is_daemon: bool) {
        if let Some(entry) = self.members().known.get_mut(&key) {
            *entry = Entry::Living(Member { handle, is_daemon });
        }
    }

    /// The process has ended, or was not started.
    pub(crate) fn leave(&self, key: u64) {
        // Dropped behind the lock: a last handle closes a descriptor.
        let _left = self.members().known.remove(&key);
    }

    fn living(&self) -> Vec<Member> {
        let living = |entry: &Entry| match entry {
            Entry::Living(member) => Some(member.clone()),
            Entry::Expected => None,
        };
        self.members().known.values().filter_map(living).collect()
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        // Nothing panics while the lock is held.
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Kills the daemons, and waits for those that live now: threads that go on starting processes do not delay the exit.
    fn settle(&self) {
        let (daemons, others): (Vec<_>, Vec<_>) =
            self.living().into_iter().partition(|member| member.is_daemon);
        // One that cannot be killed has another user by now. The kernel does what can be done when this process is gone.
        let killed = daemons.into_iter().filter(|daemon| daemon.handle.kill().is_ok());
        let waited = killed.collect::<Vec<_>>().into_iter().chain(others);
        // An inline process that exits would wait for itself.
        let is_own = |member: &Member| inline::is_this_thread() && member.handle.is_inline();
        for member in waited.filter(|member| !is_own(member)) {
            member.handle.wait();
        }
    }
}

fn register_exit_handler() -> Result<(), SpawnError> {
    static REGISTERED: AtomicBool = AtomicBool::new(false);
    // Relaxed: the flag guards no memory. It is set behind the handler, so that a fork in between does not inherit the one without the
    // other; a handler that two threads register at once finds nothing left to do when it is called again.
    if REGISTERED.load(Ordering::Relaxed) {
        return Ok(());
    }
    // SAFETY: the handler is safe to call from any thread, and does not unwind.
    if unsafe { libc::atexit(settle) } != 0 {
        let error = std::io::Error::from(std::io::ErrorKind::OutOfMemory);
        return Err(SpawnError::system("register an exit handler", error));
    }
    REGISTERED.store(true, Ordering::Relaxed);
    Ok(())
}

extern "C" fn settle() {
    if let Some(offices) = Offices::existing() {
        offices.household().settle();
    }
}

/// The processes that this one has started, by [`Process`](crate::Process) and its builder, and that still run, in the order
/// in which they were started. Those whose handle was dropped are among them; workers of pools are not.
///
/// ```
/// use procession_process::{Process, active_children};
///
/// let child = Process::spawn(|()| std::thread::park(), ())?;
/// assert!(active_children().iter().any(|known| known.pid() == child.pid()));
/// child.kill()?;
/// child.wait();
/// assert!(active_children().iter().all(|known| known.pid() != child.pid()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn active_children() -> Vec<ProcessHandle> {
    let living = Offices::existing().map(|offices| offices.household().living());
    let handles = living.into_iter().flatten().map(|member| member.handle);
    handles.filter(ProcessHandle::is_alive).collect()
}
