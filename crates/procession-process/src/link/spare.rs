//! Memory for long arguments and results, used again for the next one.
//!
//! The allocator maps each buffer of more than 32 MiB anew (glibc), shorter ones at first, too, and gives them back to the kernel at once.
//! Each of their pages then costs a fault, which on a virtual machine takes several times as long as to copy what is in it.

use super::RESERVED_LEN_MAX;

/// What is shorter the allocator has at hand.
const LEN_MIN: usize = 64 << 10;

/// Memory that nothing is in, if there is any.
#[derive(Debug, Default)]
pub(super) struct Spare(Vec<u8>);

impl Spare {
    /// Keeps `memory` in place of what there was, or gives it back if it is not worth it, or very much.
    pub(super) fn keep(&mut self, memory: Vec<u8>) -> Option<Vec<u8>> {
        let is_worth_it = (LEN_MIN..=RESERVED_LEN_MAX).contains(&memory.capacity());
        if !is_worth_it {
            return Some(memory);
        }
        self.0 = memory;
        None
    }

    /// Empty memory for `len` bytes, had before if that has the room and not much more. Of what is said to be very long, the rest grows
    /// with what has come: a length alone makes nobody use memory.
    pub(super) fn take(&mut self, len: usize) -> Vec<u8> {
        let mut memory = std::mem::take(&mut self.0);
        if !fits(&memory, len) {
            memory = Vec::new();
            // Without it, it grows from the beginning.
            if memory.try_reserve_exact(len.min(RESERVED_LEN_MAX)).is_ok() {
                procession_shm::huge::advise(&mut memory);
            }
        }
        memory.clear();
        memory
    }

    /// Whether there is any.
    pub(super) fn is_some(&self) -> bool {
        self.0.capacity() > 0
    }

    /// Gives it back to the allocator.
    pub(super) fn let_go(&mut self) {
        self.0 = Vec::new();
    }
}

/// Whether `memory` has room for `len` bytes, and for no more than twice as many: whoever gets it may keep it.
pub(super) fn fits(memory: &Vec<u8>, len: usize) -> bool {
    (len..=len.saturating_mul(2)).contains(&memory.capacity())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_for_what_is_about_as_long() {
        let mut spare = Spare::default();
        for (len, is_again) in
            [(LEN_MIN, true), (LEN_MIN / 2, true), (LEN_MIN + 1, false), (LEN_MIN / 2 - 1, false)]
        {
            spare.keep(vec![7; LEN_MIN]);
            let memory = spare.take(len);
            assert!(memory.is_empty() && memory.capacity() >= len);
            assert_eq!(memory.capacity() == LEN_MIN, is_again, "{len}");
            assert!(!spare.is_some());
        }
    }

    #[test]
    fn what_is_short_or_very_long_is_not_kept() {
        let mut spare = Spare::default();
        for len in [LEN_MIN - 1, RESERVED_LEN_MAX + 1] {
            assert!(spare.keep(Vec::with_capacity(len)).is_some_and(|left| left.capacity() == len));
        }
        assert!(!spare.is_some());
        spare.keep(Vec::with_capacity(LEN_MIN));
        spare.keep(Vec::new());
        assert!(spare.is_some());
        spare.let_go();
        assert!(!spare.is_some());
    }

    #[test]
    fn a_length_alone_takes_little_memory() {
        assert_eq!(Spare::default().take(usize::MAX).capacity(), RESERVED_LEN_MAX);
    }
}
