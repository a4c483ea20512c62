//! Something to do.

use std::hint::black_box;

use crate::clock::time_ns;

/// So many turns of a loop: work that takes as long as it takes, however often it is interrupted.
///
/// Never inlined: a turn would take a third longer in one caller than in the next, and the milliseconds of
/// [`turns_of_1ms`] would be others than those of the tasks.
#[inline(never)]
pub fn burn(turns: u64) {
    const FACTOR: u64 = 6_364_136_223_846_793_005;
    (0..turns).fold(1, |x: u64, turn| black_box(x.wrapping_mul(FACTOR) ^ turn));
}

/// How many turns of [`burn`] take one millisecond of an undisturbed processor.
pub fn turns_of_1ms() -> u64 {
    const TURNS: u64 = 100_000;
    let times_ns = (0..50).map(|_| time_ns(|| burn(TURNS)).0);
    TURNS * 1_000_000 / times_ns.min().unwrap_or(1).max(1)
}

/// `n!`, reduced to the sum of its 64-bit digits.
pub fn factorial(n: u64) -> u64 {
    let mut digits = vec![1];
    let mut factor = 1_u64;
    for k in 2..=n {
        // As many factors at once as one digit holds.
        if let Some(product) = factor.checked_mul(k) {
            factor = product;
        } else {
            multiply(&mut digits, factor);
            factor = k;
        }
    }
    multiply(&mut digits, factor);
    digits.into_iter().fold(0, u64::wrapping_add)
}

#[expect(clippy::cast_possible_truncation, reason = "the lower half is the digit")]
fn multiply(digits: &mut Vec<u64>, factor: u64) {
    let mut carry = 0;
    for digit in digits.iter_mut() {
        let product = u128::from(*digit) * u128::from(factor) + u128::from(carry);
        *digit = product as u64;
        carry = (product >> 64) as u64;
    }
    if carry != 0 {
        digits.push(carry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_factorials_have_one_digit() {
        assert_eq!([0, 1, 5, 20].map(factorial), [1, 1, 120, 2_432_902_008_176_640_000]);
    }

    #[test]
    fn large_factorials_have_several() {
        // 25! is 840,864 * 2^64 + 7,034,535,277,573,963,776.
        assert_eq!(factorial(25), 840_864_u64 + 7_034_535_277_573_963_776);
    }

    #[test]
    fn a_millisecond_has_many_turns() {
        assert!(turns_of_1ms() > 1_000);
    }
}
