//! Memory in which results came and from which they were taken, for those that come next.
//!
//! What the allocator is given back at the end of its heap it gives back to the kernel, and each page that is had again costs more than
//! what is written to it. Who takes results gives their memory back here, while any call lasts; an idle pool has none.

/// How many are kept: more wait to be taken only if nobody takes results for long.
const KEPT_MAX: usize = 8;

/// The most that one of them may hold, in bytes.
const LEN_MAX: usize = 1 << 20;

/// Memory that is free.
#[derive(Debug, Default)]
pub(crate) struct Spares {
    free: Vec<Vec<u8>>,
}

impl Spares {
    /// Keeps what is in `used`, as far as there is a place for it.
    pub(crate) fn keep(&mut self, used: &mut Vec<Vec<u8>>) {
        for mut memory in used.drain(..) {
            if self.free.len() < KEPT_MAX && memory.capacity() <= LEN_MAX {
                memory.clear();
                self.free.push(memory);
            }
        }
    }

    /// Empty memory, used before if there is any.
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
        let mut used: Vec<_> = (0..KEPT_MAX + 1).map(|n| vec![7; n + 1]).collect();
        used.insert(0, Vec::with_capacity(LEN_MAX + 1));
        spares.keep(&mut used);
        assert!(used.is_empty());
        for _ in 0..KEPT_MAX {
            let memory = spares.take();
            assert!(memory.is_empty() && (1..=KEPT_MAX + 8).contains(&memory.capacity()));
        }
        assert_eq!(spares.take().capacity(), 0);
    }
}
