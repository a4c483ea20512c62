//! Which seeded bug this process has: the seam of `--cfg procession_bugs`.
//!
//! A proof that sees nothing passes as well. So the sources can be compiled with bugs in them, each behind
//! `seeded!("name")`, beside the line that it leaves out or moves; the environment variable `PROCESSION_BUG` names the one that
//! is there. One build serves all of them, and also tries each proof without any. In every other build `seeded!` is the
//! word `false`, and nothing of this module exists.
//!
//! The variable is read once. Children inherit it, and forked ones what was read, wherever in the program they were forked: a
//! look takes no lock and no memory. The words here are std's in a model as well: loom has nothing to try about them.

use std::ffi::{CStr, c_char};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// What the variable says, or null before the first look. Several first looks find the same.
static CHOSEN: AtomicPtr<c_char> = AtomicPtr::new(ptr::null_mut());

/// Whether the bug with this name is there.
pub fn is_seeded(name: &str) -> bool {
    chosen().to_bytes() == name.as_bytes()
}

fn chosen() -> &'static CStr {
    let mut chosen = CHOSEN.load(Ordering::Relaxed);
    if chosen.is_null() {
        chosen = look();
        CHOSEN.store(chosen, Ordering::Relaxed);
    }
    // SAFETY: it is what `look` has returned, a string that stays as it is.
    unsafe { CStr::from_ptr(chosen) }
}

fn look() -> *mut c_char {
    // SAFETY: the name ends with a zero. Nobody changes this variable, so what is found stays.
    let value = unsafe { libc::getenv(c"PROCESSION_BUG".as_ptr()) };
    if value.is_null() { c"".as_ptr().cast_mut() } else { value }
}
