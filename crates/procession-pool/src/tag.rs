//! What the output of an item is, as its worker says.

use procession_process::link::{RESULT_HEAD_LEN, parse_result_head};

/// The function's value.
pub(crate) const OK: u8 = 0;
/// The report of the function's failure.
pub(crate) const FAILED: u8 = 1;
/// Message, location and backtrace of a panic.
pub(crate) const PANICKED: u8 = 2;
/// Why the argument could not be decoded.
pub(crate) const DECODE: u8 = 3;
/// Why the result could not be encoded.
pub(crate) const ENCODE: u8 = 4;

/// The length of the result whose head is at `at`; 0 if there is no whole head.
pub(crate) fn len_at(bytes: &[u8], at: usize) -> usize {
    let head = bytes.get(at..at + RESULT_HEAD_LEN).and_then(|head| head.try_into().ok());
    head.map_or(0, |head| parse_result_head(head).1)
}
