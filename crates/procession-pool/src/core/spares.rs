//! Memory in which results came and from which they were taken, and that of messages that are done, for those that come next.
//!
//! What the allocator is given back at the end of its heap it gives back to the kernel, and each page that is had again costs more than
//! what is written to it. Who takes results gives their memory back here, while any call lasts; an idle pool has none.

/// How many are kept: more wait to be taken only if nobody takes results for long.
const KEPT_MAX: usize = 16;

/// The least that is worth keeping, in bytes: what is shorter the allocator has at hand.
const LEN_MIN: usize = 4 << 10;

/// The most that one of them may hold, in bytes.
const LEN_MAX: usize = 256 << 10;

/// Memory that is free.
#[derive(Debug, Default)]
pub(crate) struct Spares {
    free: Vec<Vec<u8>>,
}

impl Spares {
    /// Whether `memory` may be kept, here or elsewhere.
    #[inline]
    pub(crate) fn are_worth(memory: &Vec<u8>) -> bool {
        memory.capacity() >= LEN_MIN
    }

    /// Keeps `memory`, if it is worth it and there is a place for it.
    pub(crate) fn keep(&mut self, mut memory: Vec<u8>) {
        let is_fit = (LEN_MIN..=LEN_MAX).contains(&memory.capacity());
        if is_fit && self.free.len() < KEPT_MAX {
            memory.clear();
            self.free.push(memory);
        }
    }

    /// Empty memory, used before if there is any: what was used last, which the cache still knows.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.free.pop().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_empty_and_not_much() {
        let mut spares = Spares::default();
        spares.keep(Vec::with_capacity(LEN_MAX + 1));
        spares.keep(Vec::with_capacity(LEN_MIN - 1));
        (0..=KEPT_MAX).for_each(|n| spares.keep(vec![7; LEN_MIN + n]));
        for n in (0..KEPT_MAX).rev() {
            let memory = spares.take();
            assert!(memory.is_empty() && memory.capacity() == LEN_MIN + n);
        }
        assert_eq!(spares.take().capacity(), 0);
    }
}
