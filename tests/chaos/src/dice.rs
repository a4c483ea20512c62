//! Choices by chance, the same ones for the same seed.

use std::time::Duration;

/// SplitMix64: every seed is as good as any other one, also those that follow each other.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From zero up to and without `bound`.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        let wide = u64::from(bound) * (self.number() >> 32);
        u32::try_from(wide >> 32).unwrap_or(0)
    }

    pub(crate) fn one_in(&mut self, count: u32) -> bool {
        self.below(count) == 0
    }

    pub(crate) fn millis(&mut self, bound: u32) -> Duration {
        Duration::from_millis(self.below(bound).into())
    }

    /// A place among so many, if there is one.
    pub(crate) fn place(&mut self, len: usize) -> Option<usize> {
        let len = u32::try_from(len).ok().filter(|len| *len > 0)?;
        Some(self.below(len) as usize)
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.place(from.len()).expect("there is something to pick from")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_says_all_and_each_number_comes_up() {
        let (mut dice, mut same) = (Dice::new(7), Dice::new(7));
        let mut seen = [false; 6];
        for _ in 0..1000 {
            let rolled = dice.below(6);
            assert_eq!(rolled, same.below(6));
            seen[rolled as usize] = true;
        }
        assert_eq!(seen, [true; 6]);
        assert_eq!(dice.place(0), None);
    }
}
