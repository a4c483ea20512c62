//! A program that uses both ends of a pipe, or the parent's end of a pool's link, while every load from the rings may be false.
//!
//! Under `--cfg procession_hostile` the input has two parts: what the program does, and what is said to it instead of what lies
//! in the rings. In any other build all that is said is true, and the program must come to the right results.

mod link;
mod pipe;
mod sample;

#[cfg(procession_hostile)]
use procession_shm::sync::lies::{Liar, to_this_thread};

use crate::bytes::Bytes;

/// Something that the program does with what is left of its input.
type Program = fn(&mut Bytes<'_>);

const PROGRAMS: [Program; 6] = [
    pipe::run::<Vec<u16>>,
    pipe::run::<String>,
    pipe::run::<sample::Tree>,
    pipe::run::<sample::Luggage>,
    pipe::run::<sample::End>,
    link::run,
];

pub(crate) fn run(input: &[u8]) {
    let mut input = Bytes::new(input);
    let (kind, len) = (input.u8(), input.u8());
    let mut program = Bytes::new(input.take(len.into()));
    #[cfg(procession_hostile)]
    let _lies = to_this_thread(Liar::from_bytes(input.rest()));
    PROGRAMS[usize::from(kind) % PROGRAMS.len()](&mut program);
}

/// A program and lies that are made of a number.
#[cfg(procession_hostile)]
pub fn run_by_chance(seed: u64) {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let program: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    })
    .take(96)
    .collect();
    let _lies = to_this_thread(Liar::from_seed(seed));
    let which = usize::try_from(seed % PROGRAMS.len() as u64).unwrap_or(0);
    PROGRAMS[which](&mut Bytes::new(&program));
}
