//! What a process finds in its environment and in the socket that it inherits: whoever starts a program may put anything there.

use std::ffi::CString;

pub(crate) fn run(input: &[u8]) {
    std::hint::black_box(procession_process::reads_bootstrap_message(input));
    let text = input.split(|byte| *byte == 0).next().unwrap_or_default();
    if let Ok(variable) = CString::new(text) {
        std::hint::black_box(procession_process::reads_bootstrap_variable(&variable));
    }
}
