//! Which processor a thread runs on.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The processors that this thread may use, in order.
///
/// # Errors
///
/// When the kernel does not say.
pub fn allowed() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(None)?;
    Ok((0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect())
}

/// Keeps the calling thread, and what it starts from now on, on one processor.
///
/// # Errors
///
/// When this machine has no such processor.
pub fn pin(processor: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(processor);
    sched_setaffinity(None, &set).map_err(io::Error::from)
}

/// Two different processors that this thread may use.
///
/// # Errors
///
/// When there is only one: nothing that runs in two processes at once can be measured then.
pub fn two() -> io::Result<[usize; 2]> {
    match allowed()?[..] {
        [one, two, ..] => Ok([one, two]),
        _ => Err(io::Error::other("this needs two processors")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_stays_there() {
        std::thread::spawn(|| {
            let last = *allowed().unwrap().last().unwrap();
            pin(last).unwrap();
            assert_eq!(allowed().unwrap(), [last]);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_processor_that_does_not_exist_is_an_error() {
        assert!(pin(CpuSet::MAX_CPU - 1).is_err());
    }
}
