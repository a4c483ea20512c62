//! Whatever a process that is not trusted can bring: bytes, descriptors, and words in shared memory at any time.
//!
//! Each target is a function of bytes that must end without a panic, whatever they are; what it can check besides, it asserts. The
//! fuzzer (`cargo xtask fuzz`) calls it with inputs of its own, and a test of this crate with those of `corpus/`: those with a
//! name have a story, one for every input that once failed and some that reach deep; those with a number are what the fuzzer
//! found that reaches something else than all others.

mod answer;
mod bootstrap;
mod bulk;
mod bytes;
mod codec;
mod handles;
pub mod lies;
mod link;
mod pipe;

/// A target: its name, which is that of its folder in the corpus, and what is done with an input.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("codec", codec::run),
    ("bulk", bulk::run),
    ("handles", handles::run),
    ("pipe", pipe::run),
    ("link", link::run),
    ("bootstrap", bootstrap::run),
    ("answer", answer::run),
    ("lies", lies::run),
];

/// Does with `input` what target `name` does with it.
///
/// # Panics
///
/// When there is no such target; and when the target has found something.
pub fn run(name: &str, input: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    let (_, run) = target.unwrap_or_else(|| panic!("there is no target {name}"));
    run(input);
}
