//! Who a process is within its family: a slot, and which of the slot's many holders.

use std::fmt;
use std::num::NonZeroU64;

use super::table::MEMBERS_MAX;

/// A process of the family: the slot it holds and the slot's generation.
///
/// A slot is used again after its holder is gone, with the next generation, so a member that is gone is never mistaken for
/// the one that came after it, whatever its pid is. Neither part is ever zero, so zero is free to mean "nobody" in a word
/// that holds the whole of it, or only its slot.
///
/// It is one word, because every lock compares it and writes it down: parts that are stored apart and loaded together cost more
/// than the lock itself.
///
/// ```
/// use procession_shm::family::{self, Member};
///
/// let me: Member = family::me()?;
/// assert_eq!(Member::from_bits(me.to_bits()), Some(me)); // as it lies in a lock's word
/// # Ok::<(), family::FamilyError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Member(NonZeroU64);

impl Member {
    /// The member with this slot and generation, or `None` when there can be no such member.
    ///
    /// ```
    /// use procession_shm::family::{MEMBERS_MAX, Member};
    ///
    /// assert_eq!(Member::new(3, 1).map(Member::slot), Some(3));
    /// assert_eq!(Member::new(0, 1), None);                  // nobody
    /// assert_eq!(Member::new(MEMBERS_MAX + 1, 1), None);
    /// ```
    pub const fn new(slot: u16, generation: u32) -> Option<Self> {
        if slot == 0 || slot > MEMBERS_MAX || generation == 0 {
            return None;
        }
        Self::from_own_bits((generation as u64) << 32 | slot as u64)
    }

    /// The slot, from 1 to [`MEMBERS_MAX`].
    ///
    /// ```
    /// use procession_shm::family::Member;
    ///
    /// assert_eq!(Member::new(3, 7).unwrap().slot(), 3);
    /// ```
    #[expect(clippy::cast_possible_truncation, reason = "the slot is the lowest 16 bits")]
    pub const fn slot(self) -> u16 {
        self.0.get() as u16
    }

    /// Which holder of its slot it is; never zero.
    ///
    /// ```
    /// use procession_shm::family::Member;
    ///
    /// assert_eq!(Member::new(3, 7).unwrap().generation(), 7);
    /// ```
    pub const fn generation(self) -> u32 {
        (self.0.get() >> 32) as u32
    }

    /// Slot and generation in one word: the generation in the upper half, the slot in the lowest 16 bits, the bits between
    /// them clear. Never zero.
    ///
    /// ```
    /// use procession_shm::family::Member;
    ///
    /// assert_eq!(Member::new(3, 7).unwrap().to_bits(), 7 << 32 | 3);
    /// ```
    pub const fn to_bits(self) -> u64 {
        self.0.get()
    }

    /// The member that [`to_bits`](Self::to_bits) made `bits` of, or `None` when it made them of none.
    ///
    /// Words that carry flags between slot and generation must clear them first.
    ///
    /// ```
    /// use procession_shm::family::Member;
    ///
    /// assert_eq!(Member::from_bits(7 << 32 | 3), Member::new(3, 7));
    /// assert_eq!(Member::from_bits(0), None);
    /// ```
    pub const fn from_bits(bits: u64) -> Option<Self> {
        if bits & 0xffff_0000 != 0 {
            return None;
        }
        Self::new((bits & 0xffff) as u16, (bits >> 32) as u32)
    }

    /// [`from_bits`](Self::from_bits) of a word that only this process writes, and only with what [`to_bits`](Self::to_bits)
    /// gave or with zero, which is nobody.
    pub(super) const fn from_own_bits(bits: u64) -> Option<Self> {
        match NonZeroU64::new(bits) {
            Some(bits) => Some(Self(bits)),
            None => None,
        }
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member")
            .field("slot", &self.slot())
            .field("generation", &self.generation())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_come_back_as_the_same_member() {
        for (slot, generation) in [(1, 1), (MEMBERS_MAX, u32::MAX), (7, 0x8000_0000)] {
            let member = Member::new(slot, generation).unwrap();
            assert_ne!(member.to_bits(), 0);
            assert_eq!(Member::from_bits(member.to_bits()), Some(member));
        }
    }

    #[test]
    fn bits_of_nobody_are_refused() {
        let no_slot = 1 << 32;
        let no_generation = 1;
        let slot_too_high = (1 << 32) | (u64::from(MEMBERS_MAX) + 1);
        let flag = 1 << 32 | 1 << 16 | 1;
        for bits in [0, no_slot, no_generation, slot_too_high, flag] {
            assert_eq!(Member::from_bits(bits), None, "{bits:#x}");
        }
    }
}
