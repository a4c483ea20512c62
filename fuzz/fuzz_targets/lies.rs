//! Target `lies`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| procession_inputs::run("lies", input));
