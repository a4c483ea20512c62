//! The reader-writer lock: exclusion, no lost wake-up, and a death at every step of a reader and of a writer.

use std::sync::Arc;

use procession_shm::family;
use procession_shm::sync::stage::{play, play_every_death, survivor, victim};

use super::pair::Pair;
use crate::lock::{Entry, Mark};
use crate::patience::Limit;
use crate::rwlock::raw::{RawRwLock, ReadEntry};

/// What the lock is around: two values that are equal whenever no writer is inside.
struct Guarded<const N: usize> {
    lock: RawRwLock<N>,
    value: Pair,
}

impl<const N: usize> Guarded<N> {
    fn new() -> Arc<Self> {
        Arc::new(Self { lock: RawRwLock::new(), value: Pair::new() })
    }

    /// Says whether the lock was had.
    fn read(&self) -> bool {
        let me = family::me().unwrap();
        match self.lock.read(me, Limit::NEVER) {
            ReadEntry::Taken(cell) => {
                let (one, two) = self.value.read();
                assert_eq!(one, two);
                self.lock.leave_read(cell);
                true
            }
            ReadEntry::Refused(mark) => {
                assert!(mark.is_torn());
                false
            }
            ReadEntry::TimedOut | ReadEntry::Full => panic!("no time passes, and there is room"),
        }
    }

    /// Says whether the lock was had.
    fn write(&self) -> bool {
        let me = family::me().unwrap();
        match self.lock.write(me, false, Limit::NEVER) {
            Entry::Taken(_) => {
                self.value.count();
                self.lock.leave_write(Mark::CLEAN);
                true
            }
            Entry::Refused(mark) => {
                assert!(mark.is_torn());
                false
            }
            Entry::TimedOut => panic!("no time passes"),
        }
    }
}

#[test]
fn a_writer_excludes_a_reader() {
    play(|| {
        let guarded = Guarded::<1>::new();
        let one = Arc::clone(&guarded);
        let reader = survivor(1, move || assert!(one.read()));
        family::enter(3);
        assert!(guarded.write());
        reader.join().unwrap();
    });
}

#[test]
fn a_writer_excludes_a_reader_and_a_writer() {
    play(|| {
        let guarded = Guarded::<1>::new();
        let (one, two) = (Arc::clone(&guarded), Arc::clone(&guarded));
        let reader = survivor(1, move || assert!(one.read()));
        let writer = survivor(2, move || assert!(two.write()));
        family::enter(3);
        assert!(guarded.write());
        reader.join().unwrap();
        writer.join().unwrap();
    });
}

#[test]
fn two_readers_and_a_writer() {
    play(|| {
        let guarded = Guarded::<2>::new();
        let readers = [1, 2].map(|slot| {
            let guarded = Arc::clone(&guarded);
            survivor(slot, move || assert!(guarded.read()))
        });
        family::enter(3);
        assert!(guarded.write());
        for reader in readers {
            reader.join().unwrap();
        }
    });
}

#[test]
fn a_readers_death_at_any_step_blocks_no_writer() {
    play_every_death(|steps| {
        let guarded = Guarded::<1>::new();
        let one = Arc::clone(&guarded);
        let victim = victim(1, steps, move || one.read());
        family::enter(3);
        assert!(guarded.write());
        victim.join().unwrap().is_none()
    });
}

#[test]
fn a_readers_death_blocks_neither_a_writer_nor_a_reader() {
    play_every_death(|steps| {
        let guarded = Guarded::<2>::new();
        let (one, two) = (Arc::clone(&guarded), Arc::clone(&guarded));
        let victim = victim(1, steps, move || one.read());
        let reader = survivor(2, move || assert!(two.read()));
        family::enter(3);
        assert!(guarded.write());
        reader.join().unwrap();
        victim.join().unwrap().is_none()
    });
}

#[test]
fn a_writers_death_at_any_step_blocks_no_reader() {
    play_every_death(|steps| {
        let guarded = Guarded::<1>::new();
        let one = Arc::clone(&guarded);
        let victim = victim(1, steps, move || one.write());
        family::enter(3);
        let read = guarded.read();
        let died = victim.join().unwrap().is_none();
        assert!(died || read);
        died
    });
}

#[test]
fn a_writers_death_blocks_neither_a_writer_nor_a_reader() {
    play_every_death(|steps| {
        let guarded = Guarded::<1>::new();
        let (one, two) = (Arc::clone(&guarded), Arc::clone(&guarded));
        let victim = victim(1, steps, move || one.write());
        let reader = survivor(2, move || two.read());
        family::enter(3);
        let wrote = guarded.write();
        let read = reader.join().unwrap();
        let died = victim.join().unwrap().is_none();
        assert!(died || (wrote && read));
        died
    });
}

/// It has the writers' lock for a moment, in which two others come to wait for it, and may die in that.
#[test]
fn a_writer_that_gives_up_keeps_no_reader_out() {
    play_every_death(|steps| {
        let guarded = Guarded::<2>::new();
        let me = family::enter(3);
        let ReadEntry::Taken(cell) = guarded.lock.read(me, Limit::NEVER) else {
            panic!("nobody else is here");
        };
        let (one, two) = (Arc::clone(&guarded), Arc::clone(&guarded));
        let writer = victim(1, steps, move || {
            let entry = one.lock.write(family::me().unwrap(), false, Limit::Naps(0));
            assert_eq!(entry, Entry::TimedOut);
        });
        let reader = survivor(2, move || assert!(two.read()));
        assert!(guarded.read());
        reader.join().unwrap();
        // Until here the writer finds a reader whenever it comes.
        let died = writer.join().unwrap().is_none();
        guarded.lock.leave_read(cell);
        died
    });
}
