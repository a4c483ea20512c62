//! By which numbers `/proc` knows processes.
//!
//! `/proc` counts as the pid namespace does for which it was mounted, and that need not be the one of this process: in a container
//! that was given the `/proc` of its host, or none of its own, a number there is somebody else's here.

use std::fs;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::process::Pid;

/// Whether the numbers in `/proc` are those by which this process can ask the kernel.
///
/// ```
/// if procession_shm::proc::counts_as_we_do() {
///     assert!(std::fs::exists(format!("/proc/{}", std::process::id()))?);
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn counts_as_we_do() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    numbers_in_status(&status) == Some(1)
}

/// How many pids a process has, from the namespace of this `/proc` down to its own.
fn numbers_in_status(status: &str) -> Option<usize> {
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    Some(numbers.split_ascii_whitespace().count())
}

/// The number by which `/proc` knows the process behind a pidfd; `None` if it was reaped, if it is not to be seen there, or if there
/// is no `/proc`.
///
/// ```
/// use std::os::fd::AsFd;
///
/// let no_pidfd = std::fs::File::open("/dev/null")?;
/// assert!(procession_shm::proc::number_of(no_pidfd.as_fd()).is_none());
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn number_of(pidfd: BorrowedFd<'_>) -> Option<Pid> {
    let fdinfo = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).ok()?;
    pid_in_fdinfo(&fdinfo)
}

/// The line is `Pid:` and the pid, which is 0 for a process of a foreign pid namespace and -1 for one that was reaped.
fn pid_in_fdinfo(fdinfo: &str) -> Option<Pid> {
    let number = fdinfo.lines().find_map(|line| line.strip_prefix("Pid:"))?.trim();
    Pid::from_raw(number.parse().ok().filter(|number| *number > 0)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proc_of_another_namespace_has_several_numbers_for_this_process() {
        assert_eq!(numbers_in_status("Name:\tx\nNSpid:\t42\nNSpgid:\t42\n"), Some(1));
        assert_eq!(numbers_in_status("NSpid:\t4242\t2\n"), Some(2));
        assert_eq!(numbers_in_status("Name:\tx\n"), None);
    }

    #[test]
    fn who_is_reaped_or_hidden_has_no_number() {
        let number = |line: &str| pid_in_fdinfo(&format!("pos:\t0\n{line}\nNSpid:\t7\n"));
        assert_eq!(number("Pid:\t4711"), Pid::from_raw(4711));
        assert_eq!((number("Pid:\t0"), number("Pid:\t-1"), number("")), (None, None, None));
    }
}
