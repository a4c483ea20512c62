//! A shared library as an extension of an interpreter is one: it has a C interface, starts processes, and does not know who has
//! loaded it.

use std::ffi::{CStr, c_char};

use procession::{Pool, Process, ProcessError, SpawnError};

/// Serves, if the process that has loaded this library was started for that.
#[unsafe(no_mangle)]
pub extern "C" fn extension_serve() {
    procession::serve();
}

/// Whether it is refused to start the program again that has loaded this library: 1 if so.
#[unsafe(no_mangle)]
pub extern "C" fn extension_refuses() -> i64 {
    match Process::spawn(square, 3) {
        Err(ProcessError::Spawn(SpawnError::NotRestartable { .. })) => 1,
        _ => 0,
    }
}

fn square(n: i64) -> i64 {
    n * n
}

/// The square of a number, computed by a helper program: its path and its arguments, one a line. What goes wrong is a negative
/// number, that of the helper's exit code if it did not serve.
///
/// # Safety
///
/// `helper` is a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn extension_square(n: i64, helper: *const c_char) -> i64 {
    // SAFETY: the caller says so.
    let helper = unsafe { CStr::from_ptr(helper) }.to_string_lossy();
    let mut lines = helper.lines();
    let builder = Process::builder().program(lines.next().unwrap_or_default()).program_args(lines);
    match builder.spawn(square, n).and_then(Process::join) {
        Ok(square) => square,
        Err(ProcessError::NotServed { code, .. }) => -i64::from(code),
        Err(_) => i64::MIN,
    }
}

/// The sum of the squares of the numbers below `n`, computed by a pool of two workers of a helper program, given as for
/// [`extension_square`]; a negative number if that goes wrong.
///
/// # Safety
///
/// `helper` is a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn extension_sum_of_squares(n: i64, helper: *const c_char) -> i64 {
    // SAFETY: the caller says so.
    let helper = unsafe { CStr::from_ptr(helper) }.to_string_lossy();
    let mut lines = helper.lines();
    let builder = Pool::builder().workers(2).program(lines.next().unwrap_or_default());
    let Ok(pool) = builder.program_args(lines).build() else { return -1 };
    pool.map(square, 0..n).map_or(-2, |squares| squares.iter().sum())
}
