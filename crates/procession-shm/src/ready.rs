//! Waiting for any of several objects.
//!
//! # Algorithm
//!
//! Each object is asked whether it is [ready](Waitable::is_ready). If none is, each *announces* the sleeper to whoever would
//! make it ready and names the words that then change, all are asked once more, and the [one wait](crate::wait()) sleeps on
//! all these words together. So whoever makes an object ready either is seen by that last look or finds the sleeper announced.
//!
//! Rejected: a thread for each object (memory and a switch for each), a descriptor for each (a system call at every wake-up,
//! also while nobody waits for several at once).
//!
//! # Invariants
//!
//! * **A1** Every [`Waitable::watch`] is followed by one [`Waitable::unwatch`], also if something panics in between.
//! * **A2** A word that several objects name is slept on once, with the value that was seen first. A later value may hide a
//!   change that the first object has not looked at.
//!
//! # Crash points
//!
//! A waiter that is killed leaves announcements behind. They cost whoever makes the object ready one useless wake-up; where
//! a wake-up is for one of several sleepers, the object's family hears of the death and all look again.

use std::collections::HashSet;
use std::io;
use std::time::Duration;

use crate::family;
use crate::wait::{Watch, wait};
use crate::{Deadline, Wake};

/// Something that can be waited for together with others: see [`wait_any`].
///
/// To implement it for an object in shared memory, have [`watch`](Self::watch) do what its own blocking operation does before
/// it sleeps, up to but without the last look.
///
/// ```
/// use std::time::Duration;
/// use procession_shm::sync::atomic::{AtomicU32, Ordering};
/// use procession_shm::{Waitable, Watch, wait_any, wake_all};
///
/// /// Ready once it is open.
/// #[derive(Default)]
/// struct Door { is_open: AtomicU32 }
///
/// impl Door {
///     fn open(&self) {
///         self.is_open.store(1, Ordering::Release);
///         wake_all(&self.is_open, true);
///     }
/// }
///
/// impl Waitable for Door {
///     fn is_ready(&self) -> bool { self.is_open.load(Ordering::Acquire) == 1 }
///     fn watch<'a>(&'a self, watches: &mut Vec<Watch<'a>>) { watches.push(Watch::private(&self.is_open, 0)) }
///     fn unwatch(&self) {}
/// }
///
/// let door = Door::default();
/// assert!(wait_any(&[&door], Duration::from_millis(1))?.is_empty());
/// std::thread::scope(|scope| {
///     scope.spawn(|| door.open());
///     assert!(wait_any(&[&door], None).unwrap().has(&door));
/// });
/// # Ok::<(), std::io::Error>(())
/// ```
pub trait Waitable {
    /// Whether the object's operation would now go on at once, be it with a result, an error or the end. It does not block.
    ///
    /// ```
    /// use procession_shm::{Waitable, Watch};
    ///
    /// struct Never;
    /// impl Waitable for Never {
    ///     fn is_ready(&self) -> bool { false }
    ///     fn watch<'a>(&'a self, _: &mut Vec<Watch<'a>>) {}
    ///     fn unwatch(&self) {}
    /// }
    ///
    /// assert!(!Box::new(Never).is_ready());
    /// ```
    fn is_ready(&self) -> bool;

    /// Announces a sleeper to whoever makes the object ready, and adds the words that then change, with the values that they
    /// have now. [`is_ready`](Self::is_ready) is asked once more before anybody sleeps.
    ///
    /// An object of the trusting kind adds [`family::watch_deaths`], too. A word that is [kept](Watch::shared_kept) can also
    /// be waited for by a future.
    ///
    /// ```
    /// use procession_shm::sync::atomic::{AtomicU32, Ordering};
    /// use procession_shm::{Waitable, Watch};
    ///
    /// /// Ready when it is not 0.
    /// struct Word(AtomicU32);
    /// impl Waitable for Word {
    ///     fn is_ready(&self) -> bool { self.0.load(Ordering::Acquire) != 0 }
    ///     fn watch<'a>(&'a self, watches: &mut Vec<Watch<'a>>) { watches.push(Watch::private(&self.0, 0)) }
    ///     fn unwatch(&self) {}
    /// }
    ///
    /// let (word, mut watches) = (Word(AtomicU32::new(0)), Vec::new());
    /// word.watch(&mut watches);
    /// assert_eq!(watches[0].expected(), 0);
    /// ```
    fn watch<'a>(&'a self, watches: &mut Vec<Watch<'a>>);

    /// Takes the announcement back. If the sleeper may have been woken in place of another one, it wakes that one.
    ///
    /// ```
    /// use std::cell::Cell;
    /// use std::time::Duration;
    /// use procession_shm::{Waitable, Watch, wait_any};
    ///
    /// /// Counts who has announced a wait for it.
    /// #[derive(Default)]
    /// struct Counted { sleepers: Cell<i32> }
    /// impl Waitable for Counted {
    ///     fn is_ready(&self) -> bool { false }
    ///     fn watch<'a>(&'a self, _: &mut Vec<Watch<'a>>) { self.sleepers.update(|n| n + 1) }
    ///     fn unwatch(&self) { self.sleepers.update(|n| n - 1) }
    /// }
    ///
    /// let counted = Counted::default();
    /// assert!(wait_any(&[&counted], Duration::from_millis(1))?.is_empty());
    /// assert_eq!(counted.sleepers.get(), 0);                // each announcement was taken back
    /// # Ok::<(), std::io::Error>(())
    /// ```
    fn unwatch(&self);
}

macro_rules! waitable_by_deref {
    ($pointer:ty) => {
        impl<T: Waitable + ?Sized> Waitable for $pointer {
            fn is_ready(&self) -> bool {
                (**self).is_ready()
            }

            fn watch<'a>(&'a self, watches: &mut Vec<Watch<'a>>) {
                (**self).watch(watches);
            }

            fn unwatch(&self) {
                (**self).unwatch();
            }
        }
    };
}

waitable_by_deref!(Box<T>);
waitable_by_deref!(std::rc::Rc<T>);
waitable_by_deref!(std::sync::Arc<T>);

/// Blocks until at least one of the objects is ready or `timeout` (`None`: never) is over, and says which ones are.
///
/// None is when the time is over. What makes an object ready wakes it, and so do deaths, as each object's own blocking
/// operation says. What is ready need not be ready any more when it is used, if others use it too: prefer the `try_` form.
///
/// # Errors
///
/// [`InvalidInput`](io::ErrorKind::InvalidInput) when there is nothing to wait for and no `timeout`. One that holds a
/// [`FamilyError`](family::FamilyError) when an object is of the trusting kind and the family of this process has ended, or
/// this process has left it.
///
/// ```
/// use std::time::Duration;
/// use procession_shm::{Waitable, Watch, wait_any};
///
/// struct Always;
/// impl Waitable for Always {
///     fn is_ready(&self) -> bool { true }
///     fn watch<'a>(&'a self, _: &mut Vec<Watch<'a>>) {}
///     fn unwatch(&self) {}
/// }
///
/// let always = Box::new(Always);
/// let ready = wait_any(&[&always], Duration::from_secs(5))?;
/// assert!(ready.has(&always));
/// assert_eq!(ready.into_iter().collect::<Vec<_>>(), [0]);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn wait_any(on: &[&dyn Waitable], timeout: impl Into<Option<Duration>>) -> io::Result<Ready> {
    let timeout = timeout.into();
    if on.is_empty() && timeout.is_none() {
        let reason = "there is nothing to wait for: name an object or a timeout";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    }
    let deadline = Deadline::from(timeout);
    let mut checkups = 0;
    loop {
        let ready = Ready::among(on);
        if !ready.is_empty() || deadline.is_over() {
            return Ok(ready);
        }
        let until = deadline.min(family::recheck_deadline(checkups));
        if sleep(on, &until)? == Wake::TimedOut {
            checkups = checkups.saturating_add(1);
        }
    }
}

/// Sleeps on the words of all objects, unless one is ready at the last look. It is an error when nobody tells of deaths any
/// more, and one of the objects counts on that.
fn sleep(on: &[&dyn Waitable], until: &Deadline) -> io::Result<Wake> {
    let mut announced = Announced { on, count: 0 };
    let mut watches = Vec::with_capacity(2 * on.len());
    for object in on {
        announced.count += 1;
        object.watch(&mut watches);
    }
    keep_first(&mut watches);
    if on.iter().any(|object| object.is_ready()) {
        return Ok(Wake::Woken);
    }
    let wake = wait(&watches, until);
    if wake == Wake::TimedOut && counts_on_family(&watches) {
        family::check_end().map_err(io::Error::other)?;
    }
    Ok(wake)
}

/// Whether a death in the family ends a sleep on these words.
pub(crate) fn counts_on_family(watches: &[Watch<'_>]) -> bool {
    watches.iter().any(|watch| std::ptr::eq(watch.word(), family::epoch()))
}

/// Takes words out that were named before (A2).
pub(crate) fn keep_first(watches: &mut Vec<Watch<'_>>) {
    let mut seen = HashSet::with_capacity(watches.len());
    watches.retain(|watch| seen.insert(std::ptr::from_ref(watch.word()).addr()));
}

/// The objects that were told of a sleeper (A1).
struct Announced<'a> {
    on: &'a [&'a dyn Waitable],
    count: usize,
}

impl Drop for Announced<'_> {
    fn drop(&mut self) {
        self.on[..self.count].iter().for_each(|object| object.unwatch());
    }
}

/// Which of the objects that [`wait_any`] was given are ready: as an iterator, their indices in rising order.
///
/// ```
/// use std::time::Duration;
/// use procession_shm::{Ready, wait_any};
///
/// let ready: Ready = wait_any(&[], Duration::ZERO)?;    // the time is over
/// assert_eq!(ready, Ready::default());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use = "it says which objects are ready"]
pub struct Ready {
    indices: Vec<usize>,
    /// Where the ready objects are, and how large: an object and its first field are at the same place.
    places: Vec<(usize, usize)>,
}

impl Ready {
    fn among(on: &[&dyn Waitable]) -> Self {
        let ready: Vec<usize> = (0..on.len()).filter(|&index| on[index].is_ready()).collect();
        let places = ready.iter().map(|&index| place(on[index])).collect();
        Self { indices: ready, places }
    }

    /// Whether this object, the very one that was waited for, is ready.
    ///
    /// ```
    /// use procession_shm::{Waitable, Watch, wait_any};
    ///
    /// struct Is(bool);
    /// impl Waitable for Is {
    ///     fn is_ready(&self) -> bool { self.0 }
    ///     fn watch<'a>(&'a self, _: &mut Vec<Watch<'a>>) {}
    ///     fn unwatch(&self) {}
    /// }
    ///
    /// let (yes, no) = (Is(true), Is(false));
    /// let ready = wait_any(&[&no, &yes], None)?;
    /// assert!(ready.has(&yes) && !ready.has(&no));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn has(&self, object: &dyn Waitable) -> bool {
        self.places.contains(&place(object))
    }

    /// Whether none is.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// assert!(procession_shm::wait_any(&[], Duration::from_millis(1))?.is_empty());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// How many are.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// assert_eq!(procession_shm::wait_any(&[], Duration::from_millis(1))?.len(), 0);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn len(&self) -> usize {
        self.indices.len()
    }
}

fn place(object: &dyn Waitable) -> (usize, usize) {
    (std::ptr::from_ref(object).addr(), size_of_val(object))
}

impl IntoIterator for Ready {
    type Item = usize;
    type IntoIter = std::vec::IntoIter<usize>;

    fn into_iter(self) -> Self::IntoIter {
        self.indices.into_iter()
    }
}

#[cfg(all(test, not(procession_loom)))]
mod tests {
    use super::*;
    use crate::sync::atomic::{AtomicU32, Ordering};
    use crate::wake_all;

    /// Ready when it is not 0; counts its announcements.
    #[derive(Default)]
    struct Flag {
        word: AtomicU32,
        announced: AtomicU32,
    }

    impl Flag {
        fn raise(&self) {
            self.word.store(1, Ordering::Release);
            wake_all(&self.word, false);
        }
    }

    impl Waitable for Flag {
        fn is_ready(&self) -> bool {
            self.word.load(Ordering::Acquire) != 0
        }

        fn watch<'a>(&'a self, watches: &mut Vec<Watch<'a>>) {
            self.announced.fetch_add(1, Ordering::Relaxed);
            watches.push(Watch::shared(&self.word, 0));
            watches.push(family::watch_deaths());
        }

        fn unwatch(&self) {
            self.announced.fetch_sub(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn what_is_ready_is_told_by_object_and_by_index() {
        let flags = [Flag::default(), Flag::default(), Flag::default()];
        flags[0].raise();
        flags[2].raise();
        let ready = wait_any(&[&flags[0], &flags[1], &flags[2]], None).unwrap();
        assert!(ready.has(&flags[0]) && !ready.has(&flags[1]) && ready.has(&flags[2]));
        assert_eq!((ready.len(), ready.is_empty()), (2, false));
        assert_eq!(ready.into_iter().collect::<Vec<_>>(), [0, 2]);
    }

    #[test]
    fn one_that_becomes_ready_wakes_whoever_waits_for_any() {
        for which in 0..3 {
            let flags = [Flag::default(), Flag::default(), Flag::default()];
            let ready = std::thread::scope(|scope| {
                scope.spawn(|| {
                    while flags[which].announced.load(Ordering::Relaxed) == 0 {
                        std::thread::yield_now();
                    }
                    flags[which].raise();
                });
                wait_any(&[&flags[0], &flags[1], &flags[2]], None).unwrap()
            });
            assert_eq!(ready.into_iter().collect::<Vec<_>>(), [which]);
            assert!(flags.iter().all(|flag| flag.announced.load(Ordering::Relaxed) == 0));
        }
    }

    #[test]
    fn none_is_ready_when_the_time_is_over_and_nothing_cannot_be_waited_for_for_ever() {
        let flag = Flag::default();
        assert!(wait_any(&[&flag], Duration::from_millis(1)).unwrap().is_empty());
        assert!(wait_any(&[], Duration::from_millis(1)).unwrap().is_empty());
        assert_eq!(wait_any(&[], None).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn a_word_of_several_objects_is_slept_on_once_with_the_value_seen_first() {
        let (one, two) = (AtomicU32::new(0), AtomicU32::new(0));
        let mut watches =
            vec![Watch::shared(&one, 1), Watch::shared(&two, 2), Watch::shared(&one, 3)];
        keep_first(&mut watches);
        assert_eq!(watches.iter().map(Watch::expected).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn an_object_that_panics_leaves_no_announcement_behind() {
        struct Panics;
        impl Waitable for Panics {
            fn is_ready(&self) -> bool {
                false
            }
            fn watch<'a>(&'a self, _: &mut Vec<Watch<'a>>) {
                panic!("as a user's object may");
            }
            fn unwatch(&self) {}
        }
        let flag = Flag::default();
        let wait = || wait_any(&[&flag, &Panics], None);
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(wait)).is_err());
        assert_eq!(flag.announced.load(Ordering::Relaxed), 0);
    }
}
