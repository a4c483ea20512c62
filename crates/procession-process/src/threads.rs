//! How many threads this process has, asked in the cheapest way.
//!
//! A look into `/proc/self/task` takes a dozen system calls, and leaves names in the kernel's cache which it has to take away again
//! when the process is reaped. So first the kernel is asked for something that has no effect in a process with one thread and
//! is refused in any other.

use std::fs;
use std::io;

/// Whether this thread is the only one; `false` also where the kernel does not say (a seccomp filter).
pub(crate) fn is_alone() -> bool {
    // SAFETY: in a process with one thread the flag has no effect, in any other the call fails.
    unsafe { libc::unshare(libc::CLONE_THREAD) == 0 }
}

/// The numbers of all threads.
///
/// # Errors
///
/// /proc cannot be read.
pub(crate) fn list() -> io::Result<Vec<i32>> {
    let mut threads = Vec::new();
    for entry in fs::read_dir("/proc/self/task")? {
        let name = entry?.file_name();
        threads.extend(name.to_str().and_then(|name| name.parse::<i32>().ok()));
    }
    Ok(threads)
}

/// How many there are.
///
/// # Errors
///
/// /proc cannot be read.
pub(crate) fn count() -> io::Result<usize> {
    if is_alone() { Ok(1) } else { list().map(|threads| threads.len()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_counted() {
        std::thread::scope(|scope| {
            let (end, ended) = std::sync::mpsc::channel::<()>();
            scope.spawn(move || ended.recv().unwrap_err());
            assert!(!is_alone());
            assert!(count().unwrap() >= 2);
            let own = rustix::thread::gettid().as_raw_nonzero().get();
            assert!(list().unwrap().contains(&own));
            drop(end);
        });
    }
}
