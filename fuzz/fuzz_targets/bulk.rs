//! Target `bulk`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| procession_inputs::run("bulk", input));
