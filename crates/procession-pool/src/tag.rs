//! Where a result ends in what a worker has sent.

use procession_process::link::{RESULT_HEAD_LEN, parse_result_head};

/// The length of the result whose head is at `at`; 0 if there is no whole head.
pub(crate) fn len_at(bytes: &[u8], at: usize) -> usize {
    let head = bytes.get(at..at + RESULT_HEAD_LEN).and_then(|head| head.try_into().ok());
    head.map_or(0, |head| parse_result_head(head).1)
}
