//! The answer of a function that ran in another process, and the head of a result.

use procession_process::answer::Trouble;
use procession_process::link::{RESULT_HEAD_LEN, parse_result_head};

use crate::bytes::Bytes;

pub(crate) fn run(input: &[u8]) {
    let mut input = Bytes::new(input);
    let (tag, bytes) = (input.u8(), input.rest());
    if let Some(trouble) = Trouble::read(tag, bytes) {
        assert!(!format!("{trouble:?}").is_empty());
    }
    if let Some(head) = bytes.first_chunk::<RESULT_HEAD_LEN>() {
        let (_, len) = parse_result_head(*head);
        assert!(len < 1 << 56);
    }
}
