//! Bytes that are to be a vector of numbers or a text, which are copied at once.

use crate::bytes::Bytes;
use crate::codec::check;

pub(crate) fn run(input: &[u8]) {
    let mut input = Bytes::new(input);
    let check = match input.u8() % 7 {
        0 => check::<Vec<u8>>,
        1 => check::<String>,
        2 => check::<Vec<u16>>,
        3 => check::<Vec<i64>>,
        4 => check::<Vec<u128>>,
        5 => check::<Vec<usize>>,
        _ => check::<(Vec<u32>, String, Vec<u8>)>,
    };
    check(input.rest());
}
