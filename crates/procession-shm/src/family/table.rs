//! The family's table: who holds which slot, and the death epoch.
//!
//! # Layout
//!
//! One segment of 64 KiB. All words are native-endian and naturally aligned; offsets and sizes in bytes:
//!
//! | offset | size | what |
//! |---|---|---|
//! | 0 | 4 | the death epoch, on a cache line of its own: every sleeper's second word |
//! | 64 | 8 | inode of the root's pid namespace, 0 where unknown or not that of its `/proc`; written before the table is shared, never again |
//! | 128 + 32 (slot - 1) | 8 | the slot word: generation in the upper half, state in the lower |
//! | + 8 | 8 | the holder's inode in pidfs (Linux 6.9), 0 where there is none |
//! | + 16 | 4 | the holder's pid as the root's pid namespace counts, 0 where it has none there |
//!
//! # States of a slot
//!
//! | state | means | next, by whom, with which one store |
//! |---|---|---|
//! | `Free(g)` | nobody; the holder of generation g, if any, left cleanly | `Reserved(g + 1)`, root |
//! | `Reserved(g)` | an invitation is open; nobody owns anything as g | `Live(g)`, root, after it watches; `Free(g)`, root |
//! | `Live(g)` | g is a member | `Dead(g)`, whoever has proof; `Free(g)`, root, at a clean leave |
//! | `Dead(g)` | g died or ran another program; what it held is up for repair | `Reserved(g + 1)`, root |
//!
//! # Invariants
//!
//! * **T1** `Live(g)` is stored only while the root's watcher watches g's pidfd. So nobody owns a slot that a live watcher
//!   does not watch.
//! * **T2** A generation is `Live` at most once. The slots are used in turn, the longest free first, so a generation comes
//!   back only after 2^32 times 2044 members.
//! * **T3** The slot word says `Dead(g)` before the epoch moves because of g.
//! * **T4** `pid` and the pidfs inode are those of g from before `Live(g)` until `Reserved(g + 1)`.
//!
//! # Ordering
//!
//! * **E1** [`Table::announce`] (`SeqCst` increment) with the sleeper's load of the epoch ([`family::epoch`](super::epoch),
//!   acquire): who has seen the new epoch sees `Dead(g)` (T3).
//! * **E2** [`Table::admit`] (release store of `Live(g)`) with [`Table::pid_of`] (acquire load): who sees `Live(g)` sees g's
//!   pid. And `admit`'s release store of the pid with `pid_of`'s acquire load of it: who sees a later pid sees that g's
//!   generation is over, when it looks at the slot word again.
//! * **E3** [`Table::bury`] (`AcqRel`) with [`Table::is_alive`] (acquire): who finds g dead may repair what g held.
//!
//! # Crash points
//!
//! Killed between `bury` and `announce`: the slot is `Dead` and the sleepers do not know. A member that buries another one
//! (the second line) can be killed there; the root's watcher sees the same death and announces it whoever buried it. The
//! root's own death ends the family.

use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::wait::wake_all;

use super::member::Member;

/// The most slots a family has; one of them is the root's own.
///
/// ```
/// use procession_shm::family::{self, MEMBERS_MAX};
///
/// assert!(family::me()?.slot() <= MEMBERS_MAX);
/// # Ok::<(), family::FamilyError>(())
/// ```
#[cfg(not(procession_loom))]
pub const MEMBERS_MAX: u16 = 2044;
/// The most slots a family has in a model.
#[cfg(procession_loom)]
pub const MEMBERS_MAX: u16 = 8;

/// What a slot is used for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub(super) enum State {
    Free = 0,
    Reserved = 1,
    Live = 2,
    Dead = 3,
}

const fn pack(generation: u32, state: State) -> u64 {
    (generation as u64) << 32 | state as u64
}

const fn word_of(member: Member, state: State) -> u64 {
    pack(member.generation(), state)
}

/// What the root knows about a process that becomes a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Holder {
    /// Its pid in the root's pid namespace; 0 where it has none.
    pub(super) pid: u32,
    /// Its inode in pidfs; 0 where the kernel has no pidfs.
    pub(super) inode: u64,
}

/// The table, wherever its words live.
#[derive(Debug)]
pub(super) struct Table {
    words: Words,
}

/// The founder, in every family.
#[cfg(not(procession_loom))]
pub(super) const ROOT: Member = Member::new(1, 1).expect("slot 1 is in the table");

impl Table {
    /// The epoch, which moves after every death.
    pub(super) fn epoch(&self) -> &AtomicU32 {
        self.words.epoch()
    }

    /// Hands the slot to its next holder: `Reserved(g + 1)`. Root only, and only for a slot that is free or dead.
    pub(super) fn reserve(&self, slot: u16) -> Member {
        let word = self.words.word(slot);
        // Only the root, which is the caller, changes the word of a slot that nobody holds.
        let generation = ((word.load(Ordering::Relaxed) >> 32) as u32).wrapping_add(1).max(1);
        word.store(pack(generation, State::Reserved), Ordering::Release);
        Member::new(slot, generation).expect("the root hands out slots of the table only")
    }

    /// Makes the invited a member: the store of `Live(g)` is the commit point of joining. Root only (T1, T4, E2).
    pub(super) fn admit(&self, member: Member, holder: Holder) {
        let slot = member.slot();
        self.words.pid(slot).store(holder.pid, Ordering::Release);
        self.words.inode(slot).store(holder.inode, Ordering::Release);
        self.words.word(slot).store(word_of(member, State::Live), Ordering::Release);
    }

    /// Takes an unused invitation back, or notes a clean leave: `Free(g)`. Root only.
    pub(super) fn vacate(&self, member: Member) {
        self.words.word(member.slot()).store(word_of(member, State::Free), Ordering::Release);
    }

    /// Notes a death, of which the caller has proof; says whether it was the first to do so. To be followed by
    /// [`announce`](Self::announce) (T3).
    pub(super) fn bury(&self, member: Member) -> bool {
        let (live, dead) = (word_of(member, State::Live), word_of(member, State::Dead));
        if crate::seeded!("epoch-before-mark") {
            self.move_epoch();
        }
        self.words
            .word(member.slot())
            .compare_exchange(live, dead, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Tells all sleepers that somebody died (E1), and says how many there were.
    pub(super) fn announce(&self) -> usize {
        if crate::seeded!("epoch-before-mark") { 0 } else { self.move_epoch() }
    }

    fn move_epoch(&self) -> usize {
        self.words.epoch().fetch_add(1, Ordering::SeqCst);
        if crate::seeded!("death-wakes-nobody") {
            return 0;
        }
        wake_all(self.words.epoch(), false)
    }

    /// Whether the member holds its slot, as far as the table knows (E3).
    pub(super) fn is_alive(&self, member: Member) -> bool {
        let word = self.words.word(member.slot()).load(Ordering::Acquire);
        if crate::seeded!("generation-ignored") {
            return word & u64::from(u32::MAX) == State::Live as u64;
        }
        word == word_of(member, State::Live)
    }

    /// The pid and inode of a member, also of a dead one, until its slot is used again.
    pub(super) fn holder_of(&self, member: Member) -> Option<Holder> {
        let slot = member.slot();
        let held = || {
            let word = self.words.word(slot).load(Ordering::Acquire);
            let reserved = word == word_of(member, State::Reserved);
            (word >> 32) as u32 == member.generation() && !reserved
        };
        if !held() {
            return None;
        }
        let pid = self.words.pid(slot).load(Ordering::Acquire);
        let inode = self.words.inode(slot).load(Ordering::Acquire);
        held().then_some(Holder { pid, inode })
    }
}

#[cfg(not(procession_loom))]
pub(super) use mapped::LEN;
#[cfg(not(procession_loom))]
use mapped::Words;
#[cfg(procession_loom)]
use modelled::Words;

#[cfg(not(procession_loom))]
mod mapped {
    use super::{AtomicU32, AtomicU64, Ordering, Table};
    use crate::mapping::Mapping;

    const EPOCH: usize = 0;
    const NAMESPACE: usize = 64;
    const SLOTS: usize = 128;
    const SLOT_LEN: usize = 32;

    /// The length of the table in bytes.
    pub(in super::super) const LEN: usize = SLOTS + SLOT_LEN * super::MEMBERS_MAX as usize;

    #[derive(Debug)]
    pub(super) struct Words(Mapping);

    impl Words {
        fn at(slot: u16) -> usize {
            SLOTS + SLOT_LEN * (usize::from(slot) - 1)
        }

        pub(super) fn epoch(&self) -> &AtomicU32 {
            self.0.atomic_u32(EPOCH)
        }

        pub(super) fn word(&self, slot: u16) -> &AtomicU64 {
            self.0.atomic_u64(Self::at(slot))
        }

        pub(super) fn inode(&self, slot: u16) -> &AtomicU64 {
            self.0.atomic_u64(Self::at(slot) + 8)
        }

        pub(super) fn pid(&self, slot: u16) -> &AtomicU32 {
            self.0.atomic_u32(Self::at(slot) + 16)
        }
    }

    impl Table {
        pub(in super::super) fn new(mapping: Mapping) -> Self {
            Self { words: Words(mapping) }
        }

        /// Written once, before anybody else has the table.
        pub(in super::super) fn set_namespace(&self, inode: u64) {
            self.words.0.atomic_u64(NAMESPACE).store(inode, Ordering::Release);
        }

        /// The inode of the pid namespace in which the table's pids count; 0 where it is not known, and only the root has a pid.
        pub(in super::super) fn namespace(&self) -> u64 {
            self.words.0.atomic_u64(NAMESPACE).load(Ordering::Acquire)
        }
    }
}

#[cfg(procession_loom)]
mod modelled {
    use super::{AtomicU32, AtomicU64, MEMBERS_MAX, Table};

    #[derive(Debug)]
    pub(super) struct Words {
        epoch: AtomicU32,
        slots: Vec<(AtomicU64, AtomicU64, AtomicU32)>,
    }

    impl Words {
        pub(super) fn epoch(&self) -> &AtomicU32 {
            &self.epoch
        }

        fn slot(&self, slot: u16) -> &(AtomicU64, AtomicU64, AtomicU32) {
            &self.slots[usize::from(slot) - 1]
        }

        pub(super) fn word(&self, slot: u16) -> &AtomicU64 {
            &self.slot(slot).0
        }

        pub(super) fn inode(&self, slot: u16) -> &AtomicU64 {
            &self.slot(slot).1
        }

        pub(super) fn pid(&self, slot: u16) -> &AtomicU32 {
            &self.slot(slot).2
        }
    }

    impl Table {
        pub(in super::super) fn new() -> Self {
            let slot = |_| (AtomicU64::new(0), AtomicU64::new(0), AtomicU32::new(0));
            let slots = (0..MEMBERS_MAX).map(slot).collect();
            Self { words: Words { epoch: AtomicU32::new(0), slots } }
        }
    }
}
