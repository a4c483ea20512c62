//! What this process may use at most: getrlimit(2), which may be refused like any other call.
//!
//! rustix takes it for granted that the kernel answers, and panics when a sandbox does not let the call through. A limit that nobody
//! tells is not the same as none, and what is safe to assume differs: each caller says what it does then.

use std::mem::MaybeUninit;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit};

/// A limit of this process; where a bound is `None` there is none.
///
/// # Errors
///
/// The answer of whoever refuses the call, a seccomp filter: the kernel itself does not fail.
pub fn of(resource: Resource) -> Result<Rlimit, Errno> {
    let mut limit = MaybeUninit::<libc::rlimit64>::uninit();
    let (this_process, unchanged) = (0, std::ptr::null::<libc::rlimit64>());
    // SAFETY: the call writes one `rlimit64`, to which the pointer is valid, and keeps no pointer.
    let result = unsafe {
        libc::syscall(
            libc::SYS_prlimit64,
            this_process,
            resource as libc::c_uint,
            unchanged,
            limit.as_mut_ptr(),
        )
    };
    if result != 0 {
        return Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::PERM));
    }
    // SAFETY: the call has succeeded, and has filled it then.
    let limit = unsafe { limit.assume_init() };
    let bound = |bound| (bound != libc::RLIM64_INFINITY).then_some(bound);
    Ok(Rlimit { current: bound(limit.rlim_cur), maximum: bound(limit.rlim_max) })
}

/// The limit that holds now; `None` if there is none, or if nobody tells.
pub fn soft(resource: Resource) -> Option<u64> {
    of(resource).ok()?.current
}

/// How many descriptors this process may have open. Where nobody tells, it is what Linux gives a process unless somebody gives it
/// more: from this is computed how many of them others may use up.
pub fn descriptors() -> u64 {
    const USUAL: u64 = 1024;
    of(Resource::Nofile).map_or(USUAL, |limit| limit.current.unwrap_or(u64::MAX))
}

/// How many of those descriptors one may use up who is not the only one: a quarter. So much a process has under way to others at most,
/// and so much of what one other has sent it has open.
pub fn descriptor_share() -> usize {
    usize::try_from(descriptors() / 4).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_rustix_says_where_that_may_ask() {
        for resource in [Resource::Nofile, Resource::Fsize, Resource::Stack, Resource::Core] {
            assert_eq!(of(resource), Ok(rustix::process::getrlimit(resource)), "{resource:?}");
        }
    }
}
