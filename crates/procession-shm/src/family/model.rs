//! The family in a model: threads stand for processes, and a death is an event like any other.
//!
//! The table and its transitions are the ones that ship. What the model leaves out is how the root learns of a death: the
//! model says who dies, and when, with [`kill`].

use std::cell::Cell;

use super::error::FamilyError;
use super::member::Member;
use super::table::{Holder, Table};
use crate::sync::atomic::AtomicU32;
use crate::wait::Watch;

loom::lazy_static! {
    static ref TABLE: Table = Table::new();
}

loom::thread_local! {
    static ME: Cell<Option<Member>> = Cell::new(None);
    static HAS_SLEPT: Cell<bool> = Cell::new(false);
}

/// Makes the calling thread the next holder of `slot`, with `slot` for a pid.
///
/// Call it once per thread and slot, unless the slot's last holder was killed or has left.
pub fn enter(slot: u16) -> Member {
    let member = TABLE.reserve(slot);
    TABLE.admit(member, Holder { pid: u32::from(slot), inode: 0 });
    ME.with(|me| me.set(Some(member)));
    member
}

/// What the root does when it learns that `member` is dead: mark it, move the epoch, wake all.
///
/// The model has to see to it that the thread which stood for the member does nothing more.
pub fn kill(member: Member) {
    TABLE.bury(member);
    TABLE.announce();
}

/// The calling thread's member leaves cleanly: all look again if it has slept, and its slot is free.
///
/// # Safety
///
/// As in a process: the thread holds nothing and waits for nothing.
pub unsafe fn leave() {
    if let Some(member) = ME.with(Cell::take) {
        if HAS_SLEPT.with(Cell::get) {
            TABLE.announce();
        }
        TABLE.vacate(member);
    }
}

/// Notes that the calling thread is about to sleep on these words.
pub(crate) fn note_sleep(words: &[Watch<'_>]) {
    if words.iter().any(|watch| std::ptr::eq(watch.word(), epoch())) {
        HAS_SLEPT.with(|slept| slept.set(true));
    }
}

/// A model's family ends with the model.
#[expect(clippy::unnecessary_wraps, reason = "in a process it can fail")]
pub(crate) fn check_end() -> Result<(), FamilyError> {
    Ok(())
}

/// The member that the calling thread stands for.
///
/// # Errors
///
/// [`NotAMember`](FamilyError::NotAMember) when it has not [`enter`]ed.
pub fn me() -> Result<Member, FamilyError> {
    ME.with(Cell::get).ok_or(FamilyError::NotAMember { pid: 0 })
}

/// Whether the calling thread stands for `member`.
pub fn is_me(member: Member) -> bool {
    ME.with(Cell::get) == Some(member)
}

/// Whether the member holds its slot.
pub fn is_alive(member: Member) -> bool {
    TABLE.is_alive(member)
}

/// The pid of a member, also of a dead one, until its slot is used again.
pub fn pid_of(member: Member) -> Option<u32> {
    TABLE.holder_of(member).map(|holder| holder.pid)
}

/// The death epoch of the model's one family.
pub fn epoch() -> &'static AtomicU32 {
    TABLE.epoch()
}

/// There is no kernel to ask in a model: the table is the truth.
pub fn verify(member: Member) -> bool {
    is_alive(member)
}

#[cfg(test)]
mod tests {
    mod loom {
        use std::sync::Arc;

        use ::loom::thread;

        use crate::family::table::Holder;
        use crate::family::{Member, enter, epoch, is_alive, kill, leave, model::TABLE, pid_of};
        use crate::sync::atomic::{AtomicU32, Ordering};
        use crate::sync::stage::play;
        use crate::{Deadline, Watch, wait, wake_all, wake_one};

        /// Sleeps, as everybody does who waits for something that `owner` holds, until it is dead.
        fn outlive(owner: Member) {
            let word = AtomicU32::new(0);
            loop {
                let seen = epoch().load(Ordering::Acquire);
                if !is_alive(owner) {
                    return;
                }
                let watches = [Watch::shared(&word, 0), Watch::shared(epoch(), seen)];
                wait(&watches, &Deadline::NEVER);
            }
        }

        #[test]
        fn no_death_is_slept_through() {
            play(|| {
                let owner = enter(1);
                let sleepers = [(); 2].map(|()| thread::spawn(move || outlive(owner)));
                kill(owner);
                for sleeper in sleepers {
                    sleeper.join().unwrap();
                }
            });
        }

        /// The order of T3 is what it takes: told before it is marked, a death is slept through.
        #[test]
        #[should_panic(expected = "deadlock")]
        fn a_death_that_is_told_before_it_is_marked_is_slept_through() {
            play(|| {
                let owner = enter(1);
                let sleeper = thread::spawn(move || outlive(owner));
                TABLE.announce();
                TABLE.bury(owner);
                sleeper.join().unwrap();
            });
        }

        #[test]
        fn who_buries_and_dies_before_he_tells_does_no_harm() {
            play(|| {
                let owner = enter(1);
                let sleeper = thread::spawn(move || outlive(owner));
                let second_line = thread::spawn(move || TABLE.bury(owner)); // and is killed
                let root_was_first = TABLE.bury(owner);
                TABLE.announce();
                sleeper.join().unwrap();
                assert!(root_was_first != second_line.join().unwrap(), "exactly one is the first");
            });
        }

        #[test]
        fn a_pid_is_told_of_its_own_member_or_not_at_all() {
            play(|| {
                let old = enter(1);
                TABLE.bury(old);
                let reader = thread::spawn(move || pid_of(old));
                let new = TABLE.reserve(1);
                TABLE.admit(new, Holder { pid: 77, inode: 0 });
                assert!(matches!(reader.join().unwrap(), Some(1) | None));
                assert_eq!(pid_of(new), Some(77));
                assert_eq!(pid_of(old), None);
                assert!(is_alive(new) && !is_alive(old));
            });
        }

        /// One sleeper takes what there is, and one only waits for it and then goes away by `leave`. There is one wake-up.
        fn one_takes_and_one_leaves(leave: fn(Member)) {
            play(move || {
                let word = Arc::new((AtomicU32::new(0), AtomicU32::new(0)));
                let sleep = |(news, there): &(AtomicU32, AtomicU32)| {
                    let (epoch_seen, seen) =
                        (epoch().load(Ordering::Acquire), news.load(Ordering::Acquire));
                    let is_there = there.load(Ordering::Acquire) != 0;
                    if !is_there {
                        let watches =
                            [Watch::shared(news, seen), Watch::shared(epoch(), epoch_seen)];
                        wait(&watches, &Deadline::NEVER);
                    }
                    is_there
                };
                let (taken, left) = (Arc::clone(&word), Arc::clone(&word));
                let leaver = thread::spawn(move || {
                    let member = enter(1);
                    sleep(&left);
                    leave(member);
                });
                let taker = thread::spawn(move || while !sleep(&taken) {});
                word.1.store(1, Ordering::Release);
                word.0.fetch_add(1, Ordering::AcqRel);
                wake_one(&word.0, false);
                taker.join().unwrap();
                // The one who waits for more than there was.
                word.0.fetch_add(1, Ordering::AcqRel);
                wake_all(&word.0, false);
                leaver.join().unwrap();
            });
        }

        #[test]
        fn who_leaves_takes_no_wake_up_along() {
            // SAFETY: who leaves holds nothing.
            one_takes_and_one_leaves(|_| unsafe { leave() });
        }

        /// The control: a leave that tells nobody.
        #[test]
        #[should_panic(expected = "deadlock")]
        fn who_leaves_without_a_word_takes_a_wake_up_along() {
            one_takes_and_one_leaves(|member| TABLE.vacate(member));
        }
    }
}
