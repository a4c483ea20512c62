//! Closing what a process has sent that need not be trusted.
//!
//! To close a descriptor can take as long as whoever made it likes: a socket lingers until all was read from it, a file system
//! answers late or never. So it is done on a thread, of which there is one for each process that sends such things, and only while
//! there is something to close. What one process has sent holds up nothing of another one.
//!
//! How much waits is counted, and [`Closer::need_room`] says when that is too much: who receives takes nothing more then. So a
//! process can neither have its receiver start threads nor fill its table of descriptors.
//!
//! Rejected: to take the lingering away from what arrives. Its sender can give it back as long as it has a copy. Rejected: one thread
//! for all senders. The first thing that takes its time would keep what others have sent open. Rejected: a thread for each thing, as many
//! as the sender likes.
//!
//! # Not guaranteed
//!
//! The count is of this process: a fork of it has no such thread, and closes what it has inherited as if nothing else waited.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::{Deadline, fork, limit, quiet};

/// So few are always taken, without a look at the limit.
const FEW: usize = 16;

/// How long somebody waits for room, however often something is closed meanwhile: who sends it chooses how long that takes. The thread
/// may have to wait for a processor, too.
const PATIENCE: Duration = Duration::from_millis(250);

/// Closes what one process has sent, where that holds nobody up.
///
/// ```
/// use procession_shm::transfer::Closer;
///
/// let closer = Closer::new();
/// let (sender, receiver) = std::sync::mpsc::channel::<()>();
/// closer.close(sender);
/// assert!(receiver.recv().is_err());                    // it is gone, sooner or later
/// assert!(closer.need_room(1, &procession_shm::Deadline::NEVER).is_ok());
/// ```
#[derive(Clone)]
pub struct Closer(Arc<Shop>);

struct Shop {
    /// Of the process that counts here, if it can be told from its forks.
    generation: Option<u64>,
    state: Mutex<State>,
    closed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Box<dyn Send>>,
    /// What waits, and what is being closed.
    open: usize,
    /// How often something was closed.
    closed: u64,
    is_at_work: bool,
    /// Whether somebody has waited for all of [`PATIENCE`] since the last time.
    is_stuck: bool,
}

/// Why nothing more is taken from a process.
///
/// ```
/// use procession_shm::Deadline;
/// use procession_shm::transfer::{Closer, NoRoom};
///
/// let refused = Closer::new().need_room(usize::MAX, &Deadline::NEVER).unwrap_err();
/// assert!(refused.to_string().contains("RLIMIT_NOFILE"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoRoom {
    /// They are more than one process may have open here that is not trusted.
    #[error(
        "{count} file descriptors come at once from a process that is not trusted, of which this process takes {max}, a part of what it may have itself: send fewer, or raise RLIMIT_NOFILE (`ulimit -n`)"
    )]
    TooMany {
        /// How many there are.
        count: usize,
        /// How many would be taken.
        max: usize,
    },
    /// Those that came before are not closed.
    #[error(
        "{open} file descriptors that came from the same process, and that nobody wants, take their time to be closed, as only a broken or hostile one sends them: end that process"
    )]
    HeldUp {
        /// How many there are.
        open: usize,
    },
}

impl Closer {
    /// For a process from which nothing has come yet.
    ///
    /// ```
    /// use procession_shm::Deadline;
    /// use procession_shm::transfer::Closer;
    ///
    /// assert!(Closer::new().need_room(0, &Deadline::NEVER).is_ok());
    /// ```
    pub fn new() -> Self {
        Self(Arc::new(Shop {
            generation: fork::generation().ok(),
            state: Mutex::default(),
            closed: Condvar::new(),
        }))
    }

    /// Drops `thing`, soon; here and now if there is no thread for it.
    ///
    /// ```
    /// procession_shm::transfer::Closer::new().close(std::fs::File::open("/dev/null")?);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn close(&self, thing: impl Send + 'static) {
        if !self.is_here() {
            return Self::new().close(thing);
        }
        let mut held = self.0.lock();
        held.waiting.push_back(Box::new(thing));
        held.open += 1;
        let is_at_work = std::mem::replace(&mut held.is_at_work, true);
        drop(held);
        if !is_at_work {
            let shop = Arc::clone(&self.0);
            if quiet::spawn("procession-close", move || shop.work()).is_err() {
                self.0.work();
            }
        }
    }

    /// To be called before `count` descriptors more are taken from the process. If they are too many together with those that are not
    /// closed yet, it waits for these until then, but never longer than a quarter of a second.
    ///
    /// # Errors
    ///
    /// [`NoRoom`].
    ///
    /// ```
    /// use procession_shm::Deadline;
    /// use procession_shm::transfer::{Closer, NoRoom};
    ///
    /// assert_eq!(Closer::new().need_room(16, &Deadline::NEVER), Ok(()));
    /// let refused = Closer::new().need_room(usize::MAX, &Deadline::NEVER);
    /// assert!(matches!(refused, Err(NoRoom::TooMany { .. })));
    /// ```
    pub fn need_room(&self, count: usize, until: &Deadline) -> Result<(), NoRoom> {
        if self.is_here() { self.0.need_room(count, until) } else { Ok(()) }
    }

    /// Whether this is the process that counts, or if it cannot be told.
    pub(super) fn is_here(&self) -> bool {
        self.0.generation.is_none_or(fork::is_current)
    }
}

impl Default for Closer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Closer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Another thread may have held the lock when this process was forked.
        let open = self.0.state.try_lock().ok().map(|state| state.open);
        f.debug_struct("Closer").field("open", &open).finish_non_exhaustive()
    }
}

impl Shop {
    /// Closes all that waits.
    fn work(&self) {
        while let Some(thing) = self.next() {
            drop(thing);
            let mut held = self.lock();
            held.open -= 1;
            held.closed += 1;
            held.is_stuck = false;
            drop(held);
            self.closed.notify_all();
        }
    }

    fn next(&self) -> Option<Box<dyn Send>> {
        let mut held = self.lock();
        let next = held.waiting.pop_front();
        held.is_at_work = next.is_some();
        next
    }

    fn need_room(&self, count: usize, until: &Deadline) -> Result<(), NoRoom> {
        let mut held = self.lock();
        if held.open.saturating_add(count) <= FEW {
            return Ok(());
        }
        // As much as an honest process has under way at most.
        let max = limit::descriptor_share().max(FEW);
        if count > max {
            return Err(NoRoom::TooMany { count, max });
        }
        let before = held.closed;
        let patience = Deadline::after(PATIENCE);
        let until = until.min(patience);
        while held.open > max - count && !held.is_stuck && !until.is_over() {
            let left = until.remaining().unwrap_or(PATIENCE);
            let waited = self.closed.wait_timeout(held, left);
            held = waited.unwrap_or_else(PoisonError::into_inner).0;
            held.is_stuck |= held.closed == before && patience.is_over();
        }
        if held.open <= max - count { Ok(()) } else { Err(NoRoom::HeldUp { open: held.open }) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing that can panic is done while it is held: what is closed is dropped without it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, not(procession_loom)))]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering}; // tidy: raw atomic: only the test's own threads use it
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Takes its time to be dropped: until the other end of its channel is gone.
    struct Slow(Receiver<()>);

    impl Drop for Slow {
        fn drop(&mut self) {
            assert!(self.0.recv().is_err());
        }
    }

    fn slow(closer: &Closer) -> Sender<()> {
        let (keeps, waits) = channel();
        closer.close(Slow(waits));
        keeps
    }

    #[test]
    fn what_one_has_sent_holds_up_nothing_of_another() {
        let (one, other) = (Closer::new(), Closer::new());
        let _keeps = slow(&one);
        let (keeps, waits) = channel::<()>();
        other.close(keeps);
        assert!(waits.recv().is_err(), "it is closed");
    }

    #[test]
    fn there_is_room_again_when_something_is_closed() {
        let max = limit::descriptor_share();
        let closer = Closer::new();
        let keeps: Vec<_> = (0..=max).map(|_| slow(&closer)).collect();
        let held_up = Err(NoRoom::HeldUp { open: max + 1 });
        assert_eq!(closer.need_room(0, &Deadline::after(Duration::ZERO)), held_up);
        assert_eq!(closer.need_room(0, &Deadline::NEVER), held_up);
        let waiter =
            std::thread::spawn(move || while closer.need_room(max, &Deadline::NEVER).is_err() {});
        drop(keeps);
        waiter.join().unwrap();
    }

    /// Each time that something is closed is not another beginning: who sends it would choose how long a receiver waits.
    #[test]
    fn who_has_things_closed_one_by_one_holds_nobody_up_for_long() {
        const STEP: Duration = Duration::from_millis(50);
        let max = limit::descriptor_share();
        let closer = Closer::new();
        let keeps: Vec<_> = (0..=max).map(|_| slow(&closer)).collect();
        let is_refused = Arc::new(AtomicBool::new(false));
        let dripping = std::thread::spawn({
            let is_refused = Arc::clone(&is_refused);
            // All of them take many times as long as anybody waits.
            move || {
                for keep in keeps {
                    if !is_refused.load(Ordering::Relaxed) {
                        std::thread::sleep(STEP);
                    }
                    drop(keep);
                }
            }
        });
        let refused = closer.need_room(max, &Deadline::NEVER);
        is_refused.store(true, Ordering::Relaxed);
        assert!(matches!(refused, Err(NoRoom::HeldUp { .. })), "{refused:?}");
        dripping.join().unwrap();
    }
}
