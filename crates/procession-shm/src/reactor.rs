//! The reactor: one thread of a process that sleeps for all of its futures.
//!
//! # Algorithm
//!
//! A future that would block announces itself to whoever it waits for, as a blocking operation does, but leaves its words and
//! its waker with the reactor instead of sleeping, and then looks once more. The reactor's thread sleeps in the
//! [one wait](crate::wait()) on the words of all futures together, and on a word of its own, *control*, that changes when
//! something is left with it. A word that has not the value any more that its future saw is the future's reason to be polled: its
//! waker is taken out and called. 10 s later at the latest it is called in any case, which is the check-up of blocking operations.
//!
//! There is no thread in a process without a future that had to wait, and a forked process starts anew.
//!
//! Rejected: a thread for each future; a descriptor for each object and a runtime's own poller (a system call at every
//! wake-up, also where nobody awaits, and a different one for each runtime).
//!
//! # Invariants
//!
//! * **B1** What the thread sleeps on is kept by itself ([`KeptWord`](crate::KeptWord)): no memory goes away under it, whether a
//!   future is dropped, leaked, or its object closed.
//! * **B2** After [`Registration::leave`] and after the waker was called, the reactor does not know of the future any more.
//! * **B3** A wake-up that reaches the thread through the word of a future that has gone meanwhile is passed on to the next who
//!   sleeps on that word: it may have been for one of several.
//! * **B4** Wakers are called and dropped while the lock is free. One that panics harms nobody else.
//!
//! # Ordering
//!
//! * **E1** [`Registration::enter`] changes the list under its lock and then moves *control*; the thread reads *control* before
//!   it takes the lock. So what it misses in the list has moved *control*, and it does not fall asleep.
//! * **E2** Who tells of a word has changed it before and then moves *control*; the thread reads *control* before it looks at the
//!   word. So what it misses in the word has moved *control*, as in E1.
//!
//! # Crash points
//!
//! A process that is killed between a wake-up that its thread has used up and passing it on leaves somebody asleep for whom the
//! wake-up was. Its death wakes all through the family's epoch, which everybody watches who can be woken as one of several.
//!
//! That no news is missed is the announcement's business: the future looks again after it has announced itself, and news that
//! come later find the announcement and change a word that the reactor has.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::PoisonError;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::ready::{Waitable, counts_on_family, keep_first};
use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::lock::{Mutex, MutexGuard};
use crate::wait::{Watch, wait, wake_all, wake_one};
use crate::{Deadline, family};

#[cfg(all(test, procession_loom))]
mod loom_tests;
#[cfg(procession_loom)]
mod model;
#[cfg(not(procession_loom))]
mod process;

#[cfg(procession_loom)]
use model as own;
#[cfg(procession_loom)]
pub use model::turn_reactor;
#[cfg(not(procession_loom))]
use process as own;

/// How often futures look though nobody wakes them.
const CHECKUP: Duration = Duration::from_secs(10);

/// Has the futures of this process looked at, if there are any that wait.
pub(crate) fn look_again() {
    if let Some(reactor) = own::reactor() {
        reactor.look_again();
    }
}

struct Reactor {
    control: AtomicU32,
    list: Mutex<List>,
}

#[derive(Default)]
struct List {
    has_thread: bool,
    next: u64,
    entries: BTreeMap<u64, Entry>,
}

struct Entry {
    watches: Vec<Watch<'static>>,
    waker: Waker,
    /// When it looks though nobody wakes it.
    checkup: Deadline,
}

impl Entry {
    fn has_news(&self, now: Deadline) -> bool {
        self.watches.iter().any(has_changed) || self.checkup.min(now) == self.checkup
    }
}

fn has_changed(watch: &Watch<'_>) -> bool {
    watch.word().load(Ordering::Acquire) != watch.expected()
}

/// A future's place with the reactor of its process, which wakes it when one of its words changes.
///
/// Dropped, it leaves. It is for futures over objects of which [`Waitable`] does not say enough; all others are
/// [`until_ready`].
///
/// ```
/// use std::task::Waker;
/// use procession_shm::sync::atomic::AtomicU32;
/// use procession_shm::{Registration, Watch, wake_all};
///
/// static WORD: AtomicU32 = AtomicU32::new(0);
///
/// let mut registration = Registration::default();
/// registration.enter(&[Watch::private_kept(&WORD, 0)], Waker::noop())?;
/// // Whoever changes the word wakes the future:
/// WORD.store(1, std::sync::atomic::Ordering::Release);
/// wake_all(&WORD, true);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Default)]
pub struct Registration {
    place: Option<(&'static Reactor, u64)>,
}

impl Registration {
    /// Has `waker` called once, when a word of `watches` has another value than the watch expects, or after some seconds.
    ///
    /// To be called when the future has announced itself to whoever changes the words; after it, the future looks for its news
    /// once more. The memory of the words stays mapped until the reactor knows of them no more. The first call in a process
    /// starts a thread. It does not block.
    ///
    /// # Errors
    ///
    /// [`InvalidInput`](io::ErrorKind::InvalidInput) when a word is only lent to the watch; what the system says when it has no
    /// thread left.
    ///
    /// ```
    /// use std::task::Waker;
    /// use procession_shm::sync::atomic::AtomicU32;
    /// use procession_shm::{Registration, Watch};
    ///
    /// static WORD: AtomicU32 = AtomicU32::new(0);
    ///
    /// let mut registration = Registration::default();
    /// registration.enter(&[Watch::private_kept(&WORD, 0)], Waker::noop())?;
    /// let lent = AtomicU32::new(0);                         // may be gone before the future is
    /// assert!(registration.enter(&[Watch::private(&lent, 0)], Waker::noop()).is_err());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn enter(&mut self, watches: &[Watch<'_>], waker: &Waker) -> io::Result<()> {
        self.enter_until(watches, waker, &Deadline::NEVER)
    }

    /// [`enter`](Self::enter) for a future that wants to look once more at this time, if it comes before the usual one.
    ///
    /// # Errors
    ///
    /// As [`enter`](Self::enter).
    ///
    /// ```
    /// use std::task::Waker;
    /// use std::time::Duration;
    /// use procession_shm::sync::atomic::AtomicU32;
    /// use procession_shm::{Deadline, Registration, Watch};
    ///
    /// static WORD: AtomicU32 = AtomicU32::new(0);
    ///
    /// let mut registration = Registration::default();
    /// let soon = Deadline::after(Duration::from_millis(10));
    /// registration.enter_until(&[Watch::private_kept(&WORD, 0)], Waker::noop(), &soon)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn enter_until(
        &mut self,
        watches: &[Watch<'_>],
        waker: &Waker,
        checkup: &Deadline,
    ) -> io::Result<()> {
        let kept: Option<Vec<Watch<'static>>> = watches.iter().map(Watch::to_kept).collect();
        let reason = "a future can wait only for words that are kept, as those in a `Shared` are";
        let watches = kept.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, reason))?;
        self.leave();
        let reactor = own::reactor_or_new()?;
        let checkup = checkup.min(Deadline::after(CHECKUP));
        let key = reactor.add(Entry { watches, waker: waker.clone(), checkup })?;
        self.place = Some((reactor, key));
        Ok(())
    }

    /// Takes the future's words and waker back. Does nothing if the waker was called already.
    ///
    /// ```
    /// use std::task::Waker;
    /// use procession_shm::sync::atomic::AtomicU32;
    /// use procession_shm::{Registration, Watch};
    ///
    /// static WORD: AtomicU32 = AtomicU32::new(0);
    ///
    /// let mut registration = Registration::default();
    /// registration.enter(&[Watch::private_kept(&WORD, 0)], Waker::noop())?;
    /// registration.leave();                                 // nobody is woken any more
    /// registration.leave();
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn leave(&mut self) {
        let Some((reactor, key)) = self.place.take() else { return };
        // A fork has a copy of this, and of a lock that somebody may have held.
        if own::reactor().is_some_and(|own| std::ptr::eq(own, reactor)) {
            let entry = reactor.list().entries.remove(&key);
            drop(entry); // B4
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.leave();
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration").field("is_entered", &self.place.is_some()).finish()
    }
}

impl Reactor {
    fn new() -> Self {
        Self { control: AtomicU32::new(0), list: Mutex::new(List::default()) }
    }

    fn list(&self) -> MutexGuard<'_, List> {
        // By B4 nothing that can panic is done while it is held.
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&'static self, entry: Entry) -> io::Result<u64> {
        let mut list = self.list();
        if !list.has_thread {
            own::start(self)?;
            list.has_thread = true;
        }
        let key = list.next;
        list.next += 1;
        list.entries.insert(key, entry);
        drop(list);
        self.look_again();
        Ok(key)
    }

    /// Has the thread look at the whole list before it sleeps, or sleeps on.
    fn look_again(&self) {
        self.control.fetch_add(1, Ordering::AcqRel); // E1, E2
        wake_all(&self.control, true);
    }

    /// What the thread does again and again for as long as the process lives.
    fn turn(&self) {
        let seen = self.control.load(Ordering::Acquire); // E1, E2
        let now = Deadline::after(Duration::ZERO);
        if call(self.take_out(|entry| entry.has_news(now))) == 0 {
            self.sleep(seen);
        }
    }

    /// Takes the wakers of some futures out of the list.
    fn take_out(&self, which: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let mut list = self.list();
        let keys: Vec<u64> =
            list.entries.iter().filter(|(_, entry)| which(entry)).map(|(&key, _)| key).collect();
        keys.iter().filter_map(|key| list.entries.remove(key)).collect()
    }

    fn sleep(&self, seen: u32) {
        let mut until = Deadline::NEVER;
        let mut owned: Vec<(u64, Watch<'static>)> = Vec::new();
        for (&key, entry) in &self.list().entries {
            until = until.min(entry.checkup);
            let slept_on = entry.watches.iter().filter(|watch| !watch.is_told());
            owned.extend(slept_on.map(|watch| (key, watch.clone())));
        }
        let mut words = vec![Watch::private(&self.control, seen)];
        words.extend(owned.iter().map(|(_, watch)| watch.clone()));
        keep_first(&mut words);
        // Whether it was woken or the time was over is seen by the next look at the list.
        let _wake = wait(&words, &until);
        self.pass_on(&owned);
    }

    /// B3
    fn pass_on(&self, slept_on: &[(u64, Watch<'static>)]) {
        if crate::seeded!("wake-not-passed-on") {
            return;
        }
        let mut changed: HashMap<usize, (bool, &Watch<'static>)> = HashMap::new();
        let list = self.list();
        for (key, watch) in slept_on.iter().filter(|(_, watch)| has_changed(watch)) {
            let word = std::ptr::from_ref(watch.word()).addr();
            let (is_wanted, _) = changed.entry(word).or_insert((false, watch));
            *is_wanted |= list.entries.contains_key(key);
        }
        drop(list);
        for (_, watch) in changed.values().filter(|(is_wanted, _)| !is_wanted) {
            wake_one(watch.word(), watch.is_private());
        }
    }
}

/// Calls wakers, and says how many they were.
fn call(entries: Vec<Entry>) -> usize {
    let count = entries.len();
    for Entry { watches, waker, .. } in entries {
        drop(watches);
        // What a waker panics with is for its executor, which is not here to hear of it.
        let _panic = catch_unwind(AssertUnwindSafe(|| waker.wake())).map_err(std::mem::forget);
    }
    count
}

/// A future that ends when the object is ready; see [`until_ready`].
///
/// ```
/// use procession_shm::{UntilReady, Waitable, Watch, until_ready};
///
/// struct Always;
/// impl Waitable for Always {
///     fn is_ready(&self) -> bool { true }
///     fn watch<'a>(&'a self, _: &mut Vec<Watch<'a>>) {}
///     fn unwatch(&self) {}
/// }
///
/// let waiting: UntilReady<'_, Always> = until_ready(&Always);
/// assert!(backstage::executor::block_on(waiting).is_ok());
/// ```
#[must_use = "futures do nothing unless polled"]
pub struct UntilReady<'w, W: Waitable + ?Sized> {
    object: &'w W,
    registration: Registration,
    is_announced: bool,
    /// Whether it has waited beside the death epoch.
    counts_on_family: bool,
}

/// A future that ends when `object` is ready, on any executor.
///
/// What is ready need not be ready any more when it is used, if others use it too. It uses no processor while it waits; one
/// thread of the process, started at the first wait, sleeps for all such futures. It may be dropped at any time.
///
/// # Errors
///
/// Its output is an error where a blocking wait is none: [`InvalidInput`](io::ErrorKind::InvalidInput) if the object does not
/// keep its own words (a value in a [`Shared`](crate::Shared) does, one on the stack does not), what the system says when it
/// has no thread left, and that of [`wait_any`](crate::wait_any) when the family has ended, of which it hears within 10 s.
///
/// ```
/// use procession_shm::{Waitable, Watch, until_ready};
///
/// struct Always;
/// impl Waitable for Always {
///     fn is_ready(&self) -> bool { true }
///     fn watch<'a>(&'a self, _: &mut Vec<Watch<'a>>) {}
///     fn unwatch(&self) {}
/// }
///
/// async fn wait() -> std::io::Result<()> {
///     until_ready(&Always).await
/// }
/// # let mut wait = std::pin::pin!(wait());
/// # let mut context = std::task::Context::from_waker(std::task::Waker::noop());
/// # assert!(std::future::Future::poll(wait.as_mut(), &mut context).is_ready());
/// ```
pub fn until_ready<W: Waitable + ?Sized>(object: &W) -> UntilReady<'_, W> {
    let registration = Registration::default();
    UntilReady { object, registration, is_announced: false, counts_on_family: false }
}

impl<W: Waitable + ?Sized> UntilReady<'_, W> {
    fn leave(&mut self) {
        self.registration.leave();
        if std::mem::take(&mut self.is_announced) {
            self.object.unwatch();
        }
    }

    fn enter(&mut self, waker: &Waker) -> io::Result<()> {
        let mut watches = Vec::new();
        self.is_announced = true;
        self.object.watch(&mut watches);
        self.counts_on_family = counts_on_family(&watches);
        self.registration.enter(&watches, waker)
    }
}

impl<W: Waitable + ?Sized> Future for UntilReady<'_, W> {
    type Output = io::Result<()>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.leave();
        if self.object.is_ready() {
            return Poll::Ready(Ok(()));
        }
        if self.counts_on_family {
            family::check_end().map_err(io::Error::other)?;
        }
        let entered = self.enter(context.waker());
        if entered.is_ok() && !self.object.is_ready() {
            return Poll::Pending;
        }
        self.leave();
        Poll::Ready(entered)
    }
}

impl<W: Waitable + ?Sized> Drop for UntilReady<'_, W> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl<W: Waitable + ?Sized> fmt::Debug for UntilReady<'_, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UntilReady").finish_non_exhaustive()
    }
}
