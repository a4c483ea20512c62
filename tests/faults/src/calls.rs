//! Which system calls may fail, and how.
//!
//! Each is answered with errors that the kernel really gives for it. Left out is what asks for private memory (an allocator that
//! gets none aborts, in every Rust program), what cannot fail, what would not be true (that a peer is gone, while it is not), and
//! what std itself does not survive.

use libc::{
    EACCES, EAGAIN, EBUSY, EFBIG, EINTR, EIO, EMFILE, ENFILE, ENOBUFS, ENOENT, ENOMEM, ENOSPC,
    EPERM, ETOOMANYREFS, c_int, c_long,
};

/// A call that may fail.
pub(crate) struct Call {
    pub(crate) number: c_long,
    pub(crate) name: &'static str,
    /// Whether it is meant with these arguments.
    concerns: fn(&[u64; 6]) -> bool,
    pub(crate) errors: &'static [i32],
}

/// The first that fits counts.
const CALLS: &[Call] = &[
    call(libc::SYS_clone, "clone", &[EAGAIN, ENOMEM]),
    call(libc::SYS_clone3, "clone3", &[EAGAIN, ENOMEM]),
    call(libc::SYS_dup, "dup", &[EMFILE]),
    call(libc::SYS_dup3, "dup3", &[EMFILE]),
    call(libc::SYS_epoll_create1, "epoll_create1", &[EMFILE, ENFILE, ENOMEM]),
    when(libc::SYS_epoll_ctl, "epoll_ctl(add)", adds, &[ENOMEM, ENOSPC]),
    call(libc::SYS_epoll_pwait, "epoll_pwait", &[EINTR]),
    call(libc::SYS_eventfd2, "eventfd2", &[EMFILE, ENFILE, ENOMEM]),
    call(libc::SYS_execve, "execve", &[ENOMEM, EACCES, ENOENT]),
    call(libc::SYS_fallocate, "fallocate", &[ENOSPC, ENOMEM, EINTR]),
    when(libc::SYS_fcntl, "fcntl(F_DUPFD_CLOEXEC)", is_dup, &[EMFILE]),
    when(libc::SYS_fcntl, "fcntl(F_ADD_SEALS)", is_seal, &[EBUSY, EPERM]),
    call(libc::SYS_fstatfs, "fstatfs", &[EINTR, ENOMEM]),
    call(libc::SYS_ftruncate, "ftruncate", &[EINTR, EFBIG]),
    when(libc::SYS_futex, "futex(wait)", is_futex_wait, &[EINTR, EAGAIN]),
    call(libc::SYS_futex_waitv, "futex_waitv", &[EINTR, EAGAIN, ENOMEM]),
    call(libc::SYS_getdents64, "getdents64", &[ENOMEM]),
    when(libc::SYS_madvise, "madvise", is_our_advice, &[ENOMEM, EAGAIN]),
    call(libc::SYS_memfd_create, "memfd_create", &[EMFILE, ENFILE, ENOMEM]),
    when(libc::SYS_mmap, "mmap", is_shared_or_reserved, &[ENOMEM]),
    call(libc::SYS_openat, "openat", &[EMFILE, ENFILE, ENOENT]),
    call(libc::SYS_pidfd_open, "pidfd_open", &[EMFILE, ENFILE, ENOMEM]),
    call(libc::SYS_pipe2, "pipe2", &[EMFILE, ENFILE]),
    call(libc::SYS_ppoll, "ppoll", &[EINTR, ENOMEM]),
    call(libc::SYS_pread64, "pread64", &[EINTR, EIO]),
    when(libc::SYS_prlimit64, "prlimit64(set)", sets, &[EPERM]),
    call(libc::SYS_pwrite64, "pwrite64", &[EINTR, ENOSPC]),
    call(libc::SYS_read, "read", &[EINTR, EIO]),
    call(libc::SYS_recvfrom, "recvfrom", &[EINTR, ENOMEM]),
    call(libc::SYS_recvmsg, "recvmsg", &[EINTR, ENOMEM]),
    call(libc::SYS_sendmsg, "sendmsg", &[EINTR, ENOBUFS, ENOMEM, ETOOMANYREFS]),
    call(libc::SYS_sendto, "sendto", &[EINTR, ENOBUFS, ENOMEM]),
    call(libc::SYS_socketpair, "socketpair", &[EMFILE, ENFILE, ENOMEM]),
    call(libc::SYS_timerfd_create, "timerfd_create", &[EMFILE, ENFILE, ENOMEM]),
    call(libc::SYS_waitid, "waitid", &[EINTR]),
];

/// Calls that newer architectures do not have.
#[cfg(target_arch = "x86_64")]
const OLD_CALLS: &[Call] = &[
    call(libc::SYS_dup2, "dup2", &[EMFILE]),
    call(libc::SYS_epoll_wait, "epoll_wait", &[EINTR]),
    call(libc::SYS_fork, "fork", &[EAGAIN, ENOMEM]),
    call(libc::SYS_open, "open", &[EMFILE, ENFILE, ENOENT]),
    call(libc::SYS_poll, "poll", &[EINTR, ENOMEM]),
    call(libc::SYS_vfork, "vfork", &[EAGAIN, ENOMEM]),
];
#[cfg(not(target_arch = "x86_64"))]
const OLD_CALLS: &[Call] = &[];

const fn call(number: c_long, name: &'static str, errors: &'static [i32]) -> Call {
    when(number, name, |_| true, errors)
}

const fn when(
    number: c_long,
    name: &'static str,
    concerns: fn(&[u64; 6]) -> bool,
    errors: &'static [i32],
) -> Call {
    Call { number, name, concerns, errors }
}

/// The numbers of all calls that may fail, each once.
pub(crate) fn numbers() -> Vec<c_long> {
    let mut numbers: Vec<c_long> = all().map(|call| call.number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

pub(crate) fn find(number: c_long, arguments: &[u64; 6]) -> Option<&'static Call> {
    all().find(|call| call.number == number && (call.concerns)(arguments))
}

fn all() -> impl Iterator<Item = &'static Call> {
    CALLS.iter().chain(OLD_CALLS)
}

/// What the kernel reads of an argument that is an `int`.
fn int(argument: u64) -> c_int {
    #[expect(clippy::cast_possible_truncation, reason = "the upper half is not the caller's")]
    let low = argument as u32;
    low.cast_signed()
}

fn is_dup(arguments: &[u64; 6]) -> bool {
    int(arguments[1]) == libc::F_DUPFD_CLOEXEC
}

fn is_seal(arguments: &[u64; 6]) -> bool {
    int(arguments[1]) == libc::F_ADD_SEALS
}

fn is_futex_wait(arguments: &[u64; 6]) -> bool {
    let operation = int(arguments[1]) & !(libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME);
    matches!(operation, libc::FUTEX_WAIT | libc::FUTEX_WAIT_BITSET)
}

/// What is in an epoll set is changed and taken out without an error.
fn adds(arguments: &[u64; 6]) -> bool {
    int(arguments[1]) == libc::EPOLL_CTL_ADD
}

/// A limit is asked for without an error.
fn sets(arguments: &[u64; 6]) -> bool {
    arguments[2] != 0
}

/// Allocators give advice too, and heed no answer.
fn is_our_advice(arguments: &[u64; 6]) -> bool {
    let advice = int(arguments[2]);
    [libc::MADV_DONTFORK, libc::MADV_DONTDUMP, libc::MADV_WIPEONFORK, libc::MADV_POPULATE_WRITE]
        .contains(&advice)
}

/// Of a file, or of addresses alone; but for those of an allocator, which says that it needs no memory for them.
fn is_shared_or_reserved(arguments: &[u64; 6]) -> bool {
    let [_, _, protection, flags, ..] = *arguments;
    let is_anonymous = int(flags) & libc::MAP_ANONYMOUS != 0;
    let is_an_allocators = int(flags) & libc::MAP_NORESERVE != 0;
    !is_anonymous || (int(protection) == libc::PROT_NONE && !is_an_allocators)
}

/// As the kernel's headers call it.
pub(crate) fn error_name(errno: i32) -> &'static str {
    const NAMES: &[(i32, &str)] = &[
        (EACCES, "EACCES"),
        (EAGAIN, "EAGAIN"),
        (EBUSY, "EBUSY"),
        (EFBIG, "EFBIG"),
        (EINTR, "EINTR"),
        (EIO, "EIO"),
        (EMFILE, "EMFILE"),
        (ENFILE, "ENFILE"),
        (ENOBUFS, "ENOBUFS"),
        (ENOENT, "ENOENT"),
        (ENOMEM, "ENOMEM"),
        (ENOSPC, "ENOSPC"),
        (EPERM, "EPERM"),
        (ETOOMANYREFS, "ETOOMANYREFS"),
    ];
    NAMES.iter().find(|(number, _)| *number == errno).map_or("an error", |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_a_name_and_every_call_an_error() {
        for call in all() {
            assert!(!call.errors.is_empty(), "{}", call.name);
            assert!(
                call.errors.iter().all(|&errno| error_name(errno) != "an error"),
                "{}",
                call.name
            );
        }
    }

    #[test]
    fn private_memory_is_left_alone() {
        let map = |protection: c_int, flags: c_int| {
            let number = |int: c_int| u64::from(int.cast_unsigned());
            find(libc::SYS_mmap, &[0, 4096, number(protection), number(flags), 0, 0]).is_some()
        };
        let private = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        assert!(!map(libc::PROT_READ | libc::PROT_WRITE, private));
        assert!(!map(libc::PROT_NONE, private | libc::MAP_NORESERVE));
        assert!(map(libc::PROT_NONE, private));
        assert!(map(libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED));
    }
}
