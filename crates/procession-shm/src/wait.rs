//! The one wait.
//!
//! Everything in Procession that blocks does it here: it names the words whose change it waits for, with the values it has
//! seen in them, and a deadline. The kernel puts it to sleep only if all of them still have these values (`futex_waitv`,
//! Linux 5.16; sleeps in slices where that is missing; several threads where the words are too many for one), so a change between looking and sleeping is never missed.
//!
//! The contract with whoever changes a word:
//!
//! * **W1** Change the word first (at least a release store), then [`wake_all`]. A waker that skips the wake because nobody
//!   seems to sleep must rule out a sleeper that is just about to, with a fence between his change and his look (and the
//!   sleeper one between announcing himself and his last look).
//! * **W2** Whoever comes back from [`wait`] looks again at everything: a return may have no reason at all. A word that an
//!   untrusted process can write may make [`wait`] return as often as that process likes; callers count such returns.
//!
//! Why not condition variables in shared memory: they need a lock, and a lock's owner may die.

use std::fmt;
use std::sync::Arc;

use crate::deadline::Deadline;
use crate::family;
use crate::reactor;
use crate::sync::atomic::AtomicU32;

/// A word to wait on, and the value it must still have for the wait to begin.
///
/// ```
/// use procession_shm::sync::atomic::{AtomicU32, Ordering};
/// use procession_shm::{Deadline, Wake, Watch, wait};
///
/// let word = AtomicU32::new(0);
/// let watch: Watch<'_> = Watch::private(&word, word.load(Ordering::Acquire));
/// word.store(1, Ordering::Release);                     // before anybody sleeps: the wait does not begin
/// assert_eq!(wait(&[watch], &Deadline::NEVER), Wake::Woken);
/// ```
#[derive(Debug, Clone)]
pub struct Watch<'a> {
    word: Word<'a>,
    expected: u32,
    reach: Reach,
}

/// Who changes a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Any process that maps it.
    Shared,
    /// The threads of this process.
    Private,
    /// They, by [`tell`].
    Told,
}

impl<'a> Watch<'a> {
    /// Watches a word that several processes may map.
    ///
    /// ```
    /// use procession_shm::{Deadline, Segment, Wake, Watch, wait};
    ///
    /// let mapping = Segment::new(4096)?.map()?;
    /// let watch = Watch::shared(mapping.atomic_u32(0), 1);  // it is 0
    /// assert_eq!(wait(&[watch], &Deadline::NEVER), Wake::Woken);
    /// # Ok::<(), procession_shm::SegmentError>(())
    /// ```
    pub fn shared(word: &'a AtomicU32, expected: u32) -> Self {
        Self { word: Word::Lent(word), expected, reach: Reach::Shared }
    }

    /// Watches a word that only the threads of this process use, which the kernel finds faster.
    ///
    /// ```
    /// use procession_shm::Watch;
    /// use procession_shm::sync::atomic::AtomicU32;
    ///
    /// let word = AtomicU32::new(7);
    /// let watch = Watch::private(&word, 7);
    /// assert!(watch.is_private() && watch.to_kept().is_none());
    /// ```
    pub fn private(word: &'a AtomicU32, expected: u32) -> Self {
        Self { word: Word::Lent(word), expected, reach: Reach::Private }
    }

    /// Watches a word that several processes may map, and keeps it there for as long as it is watched.
    ///
    /// ```
    /// use procession_shm::Watch;
    /// use procession_shm::sync::atomic::AtomicU32;
    ///
    /// static WORD: AtomicU32 = AtomicU32::new(0);
    /// let watch = Watch::shared_kept(&WORD, 0);
    /// assert!(watch.to_kept().is_some() && !watch.is_private());
    /// ```
    pub fn shared_kept(word: impl Into<KeptWord>, expected: u32) -> Self {
        Self { word: Word::Kept(word.into()), expected, reach: Reach::Shared }
    }

    /// Watches a word that only the threads of this process use, and keeps it there for as long as it is watched.
    ///
    /// ```
    /// use procession_shm::Watch;
    /// use procession_shm::sync::atomic::AtomicU32;
    ///
    /// static WORD: AtomicU32 = AtomicU32::new(0);
    /// let watch = Watch::private_kept(&WORD, 0);
    /// assert!(watch.to_kept().is_some() && watch.is_private());
    /// ```
    pub fn private_kept(word: impl Into<KeptWord>, expected: u32) -> Self {
        Self { word: Word::Kept(word.into()), expected, reach: Reach::Private }
    }

    /// As [`private_kept`](Self::private_kept), for a word whose every change is [told](tell). Futures need not be slept for on such
    /// a word, so that more of them fit into one sleep.
    ///
    /// ```
    /// use procession_shm::Watch;
    /// use procession_shm::sync::atomic::AtomicU32;
    ///
    /// static WORD: AtomicU32 = AtomicU32::new(0);
    /// let watch = Watch::told(&WORD, 0);
    /// assert!(watch.to_kept().is_some() && watch.is_private());
    /// ```
    pub fn told(word: impl Into<KeptWord>, expected: u32) -> Self {
        Self { word: Word::Kept(word.into()), expected, reach: Reach::Told }
    }

    /// The same watch for anybody and for as long as he likes, if it keeps its word; `None` if the word is only lent.
    ///
    /// ```
    /// use procession_shm::Watch;
    /// use procession_shm::sync::atomic::AtomicU32;
    ///
    /// static WORD: AtomicU32 = AtomicU32::new(0);
    /// let lent = AtomicU32::new(0);
    /// assert!(Watch::private(&lent, 0).to_kept().is_none());
    /// assert!(Watch::private_kept(&WORD, 0).to_kept().is_some());
    /// ```
    pub fn to_kept(&self) -> Option<Watch<'static>> {
        let Self { expected, reach, .. } = *self;
        match &self.word {
            Word::Lent(_) => None,
            Word::Kept(word) => Some(Watch { word: Word::Kept(word.clone()), expected, reach }),
        }
    }

    /// The same watch, of a word that is known to be this one.
    pub(crate) fn with_kept(&self, word: KeptWord) -> Watch<'a> {
        Watch { word: Word::Kept(word), ..*self }
    }

    /// The word.
    ///
    /// ```
    /// use procession_shm::Watch;
    /// use procession_shm::sync::atomic::{AtomicU32, Ordering};
    ///
    /// let word = AtomicU32::new(7);
    /// assert_eq!(Watch::private(&word, 0).word().load(Ordering::Relaxed), 7);
    /// ```
    #[inline]
    pub fn word(&self) -> &AtomicU32 {
        match &self.word {
            Word::Lent(word) => word,
            Word::Kept(KeptWord(Keeper::Static(word))) => word,
            Word::Kept(KeptWord(Keeper::Counted(word))) => word.word(),
        }
    }

    /// The value that the word must have for a wait to begin.
    ///
    /// ```
    /// use procession_shm::Watch;
    /// use procession_shm::sync::atomic::AtomicU32;
    ///
    /// assert_eq!(Watch::private(&AtomicU32::new(7), 3).expected(), 3);
    /// ```
    #[inline]
    pub fn expected(&self) -> u32 {
        self.expected
    }

    /// Whether only the threads of this process use the word.
    ///
    /// ```
    /// use procession_shm::Watch;
    /// use procession_shm::sync::atomic::AtomicU32;
    ///
    /// let word = AtomicU32::new(0);
    /// assert!(Watch::private(&word, 0).is_private());
    /// assert!(!Watch::shared(&word, 0).is_private());
    /// ```
    #[inline]
    pub fn is_private(&self) -> bool {
        self.reach != Reach::Shared
    }

    /// Whether every change of the word is told.
    pub(crate) fn is_told(&self) -> bool {
        self.reach == Reach::Told
    }
}

#[derive(Debug, Clone)]
enum Word<'a> {
    Lent(&'a AtomicU32),
    Kept(KeptWord),
}

/// A word that is there for as long as this, or a clone of it, is.
///
/// ```
/// use procession_shm::{KeptWord, Segment, Watch};
///
/// let mapping = Segment::new(4096)?.map()?;
/// let watch = Watch::shared_kept(KeptWord::new(mapping, |mapping| mapping.atomic_u32(64)), 0);
/// assert_eq!(watch.word().load(std::sync::atomic::Ordering::Relaxed), 0);
/// # Ok::<(), procession_shm::SegmentError>(())
/// ```
#[derive(Clone)]
pub struct KeptWord(Keeper);

#[derive(Clone)]
enum Keeper {
    Static(&'static AtomicU32),
    Counted(Arc<dyn HasWord>),
}

impl KeptWord {
    /// The word that `find` finds in `keeper`, each time the same; usually an [`Arc`] of what owns the memory.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use procession_shm::sync::atomic::{AtomicU32, Ordering};
    /// use procession_shm::{KeptWord, Watch};
    ///
    /// let state = Arc::new((7_u8, AtomicU32::new(0)));
    /// let watch = Watch::private_kept(KeptWord::new(Arc::clone(&state), |state| &state.1), 0);
    /// state.1.store(5, Ordering::Relaxed);
    /// drop(state);
    /// assert_eq!(watch.word().load(Ordering::Relaxed), 5);  // it is still there
    /// ```
    pub fn new<K: Send + Sync + 'static>(
        keeper: K,
        find: impl Fn(&K) -> &AtomicU32 + Send + Sync + 'static,
    ) -> Self {
        Self(Keeper::Counted(Arc::new(Found { keeper, find })))
    }
}

impl From<&'static AtomicU32> for KeptWord {
    fn from(word: &'static AtomicU32) -> Self {
        Self(Keeper::Static(word))
    }
}

impl fmt::Debug for KeptWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeptWord").finish_non_exhaustive()
    }
}

trait HasWord: Send + Sync {
    fn word(&self) -> &AtomicU32;
}

struct Found<K, F> {
    keeper: K,
    find: F,
}

impl<K: Send + Sync, F: Fn(&K) -> &AtomicU32 + Send + Sync> HasWord for Found<K, F> {
    fn word(&self) -> &AtomicU32 {
        (self.find)(&self.keeper)
    }
}

/// Why [`wait`] came back.
///
/// ```
/// use std::time::Duration;
/// use procession_shm::sync::atomic::AtomicU32;
/// use procession_shm::{Deadline, Wake, Watch, wait};
///
/// let word = AtomicU32::new(0);
/// let deadline = Deadline::after(Duration::from_millis(1));
/// while wait(&[Watch::private(&word, 0)], &deadline) == Wake::Woken {}
/// assert!(deadline.is_over());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wake {
    /// A word may have changed: look again.
    Woken,
    /// The deadline came.
    TimedOut,
}

/// Blocks until one of the words is woken or has not its expected value any more, or the deadline comes.
///
/// Signal handlers that run meanwhile do not end it. It may return [`Wake::Woken`] without a reason.
///
/// There may be any number of words. Over 128, which is what the kernel takes at once, each further 127 are slept on by a
/// thread that is started for it, at the price of some tens of microseconds; while they sleep, none of them uses a processor.
///
/// ```
/// use procession_shm::sync::atomic::{AtomicU32, Ordering};
/// use procession_shm::{Deadline, Watch, wait, wake_all};
///
/// let word = AtomicU32::new(0);
/// std::thread::scope(|scope| {
///     scope.spawn(|| {
///         word.store(1, Ordering::Release);
///         wake_all(&word, true);
///     });
///     while word.load(Ordering::Acquire) == 0 {
///         wait(&[Watch::private(&word, 0)], &Deadline::NEVER);
///     }
/// });
/// assert_eq!(word.into_inner(), 1);
/// ```
pub fn wait(words: &[Watch<'_>], deadline: &Deadline) -> Wake {
    family::note_sleep(words);
    sleep(words, deadline)
}

/// As [`wait`], and says which of the words this sleeper was woken on, if the kernel has told. Who wakes others on a word that
/// he does not change is only found by that. The kernel tells of 2 to 128 words, where it has `futex_waitv`, and not of a word
/// that had changed before the sleep began.
///
/// ```
/// use std::time::Duration;
/// use procession_shm::sync::atomic::AtomicU32;
/// use procession_shm::{Deadline, Wake, Watch, wait_and_tell};
///
/// let (one, two) = (AtomicU32::new(0), AtomicU32::new(0));
/// let deadline = Deadline::after(Duration::from_millis(1));
/// let (mut wake, mut told) = (Wake::Woken, None);
/// while wake == Wake::Woken {
///     (wake, told) = wait_and_tell(&[Watch::private(&one, 0), Watch::private(&two, 0)], &deadline);
/// }
/// assert_eq!(told, None);                               // nobody has woken it
/// ```
pub fn wait_and_tell(words: &[Watch<'_>], deadline: &Deadline) -> (Wake, Option<usize>) {
    family::note_sleep(words);
    sleep_and_tell(words, deadline)
}

#[cfg(not(procession_loom))]
fn sleep(words: &[Watch<'_>], deadline: &Deadline) -> Wake {
    crate::cores::review();
    crate::futex::sleep(words, deadline)
}

#[cfg(not(procession_loom))]
fn sleep_and_tell(words: &[Watch<'_>], deadline: &Deadline) -> (Wake, Option<usize>) {
    crate::cores::review();
    crate::futex::sleep_and_tell(words, deadline)
}

#[cfg(procession_loom)]
fn sleep_and_tell(words: &[Watch<'_>], deadline: &Deadline) -> (Wake, Option<usize>) {
    (sleep(words, deadline), None)
}

/// In the model no time passes: a wait with a deadline is one that never times out.
#[cfg(procession_loom)]
fn sleep(words: &[Watch<'_>], _deadline: &Deadline) -> Wake {
    let words: Vec<_> = words.iter().map(|watch| (watch.word(), watch.expected)).collect();
    crate::sync::sleep(&words);
    Wake::Woken
}

/// Wakes everybody who waits on `word`, and says how many that were.
///
/// `private` must be what the waiters said: a word watched with [`Watch::private`] is not found with `false`.
///
/// ```
/// use procession_shm::sync::atomic::AtomicU32;
///
/// assert_eq!(procession_shm::wake_all(&AtomicU32::new(0), true), 0); // nobody waits
/// ```
pub fn wake_all(word: &AtomicU32, private: bool) -> usize {
    wake(word, i32::MAX.cast_unsigned(), private)
}

/// Wakes everybody who waits on a word of this process, and has its [futures](crate::Registration) looked at: for words that are
/// watched by [`Watch::told`].
///
/// ```
/// use procession_shm::sync::atomic::{AtomicU32, Ordering};
///
/// static WORD: AtomicU32 = AtomicU32::new(0);
/// WORD.store(1, Ordering::Release);
/// procession_shm::tell(&WORD);
/// ```
pub fn tell(word: &AtomicU32) {
    wake_all(word, true);
    reactor::look_again();
}

/// Wakes one of those who wait on `word`, and says whether there was one.
///
/// Whoever is woken may be killed before it does anything, or be about to give up because its deadline has come. So this is
/// only for words whose waiters are all woken by the death of any of them, and pass a wake-up on that they do not use.
///
/// ```
/// use procession_shm::sync::atomic::AtomicU32;
///
/// assert!(!procession_shm::wake_one(&AtomicU32::new(0), true)); // nobody waits
/// ```
pub fn wake_one(word: &AtomicU32, private: bool) -> bool {
    wake(word, 1, private) != 0
}

fn wake(word: &AtomicU32, count: u32, private: bool) -> usize {
    #[cfg(not(procession_loom))]
    return crate::futex::wake(word, count, private);
    #[cfg(procession_loom)]
    {
        let _ = private;
        crate::sync::wake(word, count as usize)
    }
}

#[cfg(all(test, not(procession_loom)))]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::futex::WAITV_MAX;
    use crate::sync::atomic::Ordering;

    fn words(count: usize) -> Vec<AtomicU32> {
        (0..count).map(|_| AtomicU32::new(0)).collect()
    }

    fn watches(words: &[AtomicU32]) -> Vec<Watch<'_>> {
        words.iter().map(|word| Watch::shared(word, 0)).collect()
    }

    #[test]
    fn a_word_that_has_changed_already_does_not_block() {
        let words = words(3);
        words[2].store(1, Ordering::Release);
        assert_eq!(wait(&watches(&words), &Deadline::NEVER), Wake::Woken);
        assert_eq!(wait(&watches(&words[2..]), &Deadline::NEVER), Wake::Woken);
    }

    #[test]
    fn the_deadline_ends_a_wait_on_none_one_and_many_words() {
        for count in [0, 1, 2, WAITV_MAX, WAITV_MAX + 1, 1000] {
            let words = words(count);
            let soon = Deadline::after(Duration::from_millis(2));
            assert_eq!(wait(&watches(&words), &soon), Wake::TimedOut, "{count} words");
            assert!(soon.is_over());
        }
    }

    #[test]
    fn a_change_of_any_word_wakes() {
        for (changed, count) in [(0, 128), (1, 128), (127, 128), (0, 129), (128, 129), (500, 1000)]
        {
            let words = words(count);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    words[changed].store(1, Ordering::Release);
                    wake_all(&words[changed], false);
                });
                while words[changed].load(Ordering::Acquire) == 0 {
                    assert_eq!(wait(&watches(&words), &Deadline::NEVER), Wake::Woken);
                }
            });
        }
    }

    /// Looking at the words from time to time would show as one sleep for each look.
    #[test]
    fn a_wait_on_very_many_words_sleeps_and_does_not_look_again() {
        let waitv = crate::doctor().get("futex_waitv").map(|check| check.status);
        if waitv != Some(crate::doctor::Status::Full) {
            let test = "a_wait_on_very_many_words_sleeps_and_does_not_look_again";
            return skips::skipped(test, "there is no futex_waitv here");
        }
        let words = words(600);
        let before = sleeps();
        let watches = watches(&words);
        assert_eq!(wait(&watches, &Deadline::after(Duration::from_millis(400))), Wake::TimedOut);
        // It sleeps once, and once for each of the threads that it starts and sees off.
        let slept = sleeps() - before;
        assert!(slept <= 12, "{slept} sleeps");
    }

    /// How often this thread has gone to sleep.
    fn sleeps() -> u64 {
        let status = std::fs::read_to_string("/proc/thread-self/status").expect("/proc");
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.and_then(|count| count.trim().parse().ok()).expect("the kernel counts them")
    }
}
