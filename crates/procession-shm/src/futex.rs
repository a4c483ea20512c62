//! The kernel's futex calls, and what stands in for `futex_waitv` where a kernel or a seccomp filter does not have it.

use std::num::NonZeroU32;
use std::sync::atomic::AtomicBool; // tidy: raw atomic: private to this process
use std::time::Duration;

use rustix::io::Errno;
use rustix::thread::futex::{self, Flags, WaitFlags, WaitPtr, WaitvFlags};
use rustix::time::ClockId;

use crate::crowd;
use crate::deadline::Deadline;
use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::raw;
use crate::wait::{Wake, Watch};

/// The most words that one `futex_waitv` takes.
pub(crate) const WAITV_MAX: usize = 128;

/// Set once the kernel has said that it has no `futex_waitv` (before 5.16) or will not let us use it.
static WITHOUT_WAITV: AtomicBool = AtomicBool::new(false);

/// How long one word is slept on in the fallback before the others are looked at again: first and longest.
const SLICE_MIN: Duration = Duration::from_millis(1);
const SLICE_MAX: Duration = Duration::from_millis(16);

/// How a sleep on several words ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slept {
    /// This sleeper was woken as one of those on the word with this index.
    WokenOn(usize),
    /// A word may have changed.
    Changed,
    TimedOut,
}

impl From<Slept> for Wake {
    fn from(slept: Slept) -> Self {
        match slept {
            Slept::WokenOn(_) | Slept::Changed => Self::Woken,
            Slept::TimedOut => Self::TimedOut,
        }
    }
}

pub(crate) fn sleep(words: &[Watch<'_>], deadline: &Deadline) -> Wake {
    match words {
        [] => sleep_on_one(&Watch::private(&AtomicU32::new(0), 0), deadline),
        [word] => sleep_on_one(word, deadline),
        many if WITHOUT_WAITV.load(Ordering::Relaxed) => sleep_in_slices(many, deadline).into(),
        many if many.len() <= WAITV_MAX => sleep_on_many(many, deadline).into(),
        very_many => crowd::sleep(very_many, deadline),
    }
}

/// As [`sleep`], and says on which word this sleeper was woken, if the kernel has told.
pub(crate) fn sleep_and_tell(words: &[Watch<'_>], deadline: &Deadline) -> (Wake, Option<usize>) {
    let can_tell = (2..=WAITV_MAX).contains(&words.len()) && !WITHOUT_WAITV.load(Ordering::Relaxed);
    if !can_tell {
        return (sleep(words, deadline), None);
    }
    match sleep_on_many(words, deadline) {
        Slept::WokenOn(index) => (Wake::Woken, Some(index)),
        other => (other.into(), None),
    }
}

pub(crate) fn wake(word: &AtomicU32, count: u32, private: bool) -> usize {
    // A wake fails only for a word that is not mapped, which a reference rules out.
    futex::wake(raw(word), flags(private), count).unwrap_or(0)
}

fn flags(private: bool) -> Flags {
    if private { Flags::PRIVATE } else { Flags::empty() }
}

/// `FUTEX_WAIT_BITSET`, because its timeout is a point in time and not a duration.
fn sleep_on_one(watch: &Watch<'_>, deadline: &Deadline) -> Wake {
    let (all, timeout) = (NonZeroU32::MAX, deadline.as_timespec());
    loop {
        let flags = flags(watch.is_private());
        match futex::wait_bitset(raw(watch.word()), flags, watch.expected(), timeout, all) {
            Err(Errno::INTR) => {}
            Err(Errno::TIMEDOUT) => return Wake::TimedOut,
            _ => return Wake::Woken,
        }
    }
}

/// Most sleeps are on a word and the death epoch; only a few need the room for all the words that one wait can watch, which
/// would take longer to clear than the rest of the call.
const FEW: usize = 4;

pub(crate) fn sleep_on_many(words: &[Watch<'_>], deadline: &Deadline) -> Slept {
    if words.len() <= FEW {
        sleep_on_up_to::<FEW>(words, deadline)
    } else {
        sleep_on_up_to::<WAITV_MAX>(words, deadline)
    }
}

fn sleep_on_up_to<const COUNT: usize>(words: &[Watch<'_>], deadline: &Deadline) -> Slept {
    let mut waiters = [const { futex::Wait::new() }; COUNT];
    for (waiter, watch) in waiters.iter_mut().zip(words) {
        waiter.val = u64::from(watch.expected());
        waiter.uaddr = WaitPtr::new(watch.word().as_ptr().cast());
        waiter.flags = WaitFlags::SIZE_U32;
        waiter.flags.set(WaitFlags::PRIVATE, watch.is_private());
    }
    let (waiters, timeout) = (&waiters[..words.len()], deadline.as_timespec());
    loop {
        match futex::waitv(waiters, WaitvFlags::empty(), timeout, ClockId::Monotonic) {
            Err(Errno::INTR) => {}
            Err(Errno::TIMEDOUT) => return Slept::TimedOut,
            Err(Errno::NOSYS | Errno::PERM | Errno::ACCESS) => {
                WITHOUT_WAITV.store(true, Ordering::Relaxed);
                return sleep_in_slices(words, deadline);
            }
            Ok(index) => return Slept::WokenOn(index),
            Err(_) => return Slept::Changed,
        }
    }
}

/// Sleeps on the first word alone, a little longer each time, and looks at all of them in between.
pub(crate) fn sleep_in_slices(words: &[Watch<'_>], deadline: &Deadline) -> Slept {
    let mut slice = SLICE_MIN;
    while !words.iter().any(|watch| watch.word().load(Ordering::SeqCst) != watch.expected()) {
        if deadline.is_over() {
            return Slept::TimedOut;
        }
        if sleep_on_one(&words[0], &deadline.min(Deadline::after(slice))) == Wake::Woken {
            return Slept::WokenOn(0);
        }
        slice = SLICE_MAX.min(slice * 2);
    }
    Slept::Changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_see_a_change_of_any_word_and_the_deadline() {
        let (one, two) = (AtomicU32::new(0), AtomicU32::new(0));
        let words = [Watch::private(&one, 0), Watch::private(&two, 0)];
        let soon = Deadline::after(Duration::from_millis(5));
        assert_eq!(sleep_in_slices(&words, &soon), Slept::TimedOut);
        std::thread::scope(|scope| {
            scope.spawn(|| two.store(1, Ordering::SeqCst)); // without a wake: slices look by themselves
            assert_eq!(sleep_in_slices(&words, &Deadline::NEVER), Slept::Changed);
        });
    }

    /// As a wait on very many words does where no thread can be started.
    #[test]
    fn slices_see_a_change_of_more_words_than_the_kernel_takes() {
        let words: Vec<AtomicU32> = (0..300).map(|_| AtomicU32::new(0)).collect();
        let watches: Vec<_> = words.iter().map(|word| Watch::shared(word, 0)).collect();
        std::thread::scope(|scope| {
            scope.spawn(|| words[299].store(1, Ordering::SeqCst));
            assert_eq!(sleep_in_slices(&watches, &Deadline::NEVER), Slept::Changed);
        });
    }
}
