//! seccomp: which system calls are answered.
//!
//! Several filters, one for each kind of answer and of restriction; of what they say the kernel takes the strictest. All are for
//! the calling convention of this program alone: a call through another one ends the process.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};

use super::Sandbox;
use super::files::Guard;
use crate::refusal::{self, Refusal};

/// System calls, each with the conditions under which it is meant: any of the rules, or always if there are none.
type Calls = BTreeMap<c_long, Vec<SeccompRule>>;

/// Whether this kernel has seccomp filters that answer with errors.
pub(super) fn is_available() -> bool {
    let action = libc::SECCOMP_RET_ERRNO;
    let ask = libc::SECCOMP_GET_ACTION_AVAIL;
    // SAFETY: the call reads one number.
    unsafe { libc::syscall(libc::SYS_seccomp, ask, 0, &raw const action) == 0 }
}

/// Installs the filters in this thread, for those that it starts from now on, and for what they run.
pub(super) fn enforce(sandbox: &Sandbox, guard: &Guard) -> Result<(), Refusal> {
    // Programs that find no clone3 use clone, whose flags a filter can see.
    install(refuse_all(libc::ENOSYS, &[libc::SYS_clone3])?)?;
    let pid = std::process::id();
    let mut outside = always(OUTSIDE);
    outside.extend(of_others(pid)?);
    if !guard.of_signals {
        outside.extend(signals_to_others(pid)?);
    }
    install(refuse(libc::EPERM, outside)?)?;
    if sandbox.no_network {
        install(refuse(libc::EPERM, connections()?)?)?;
    }
    if sandbox.compute_only {
        install(allow_only(computing(guard)?)?)?;
    }
    Ok(())
}

fn install(filter: BpfProgram) -> Result<(), Refusal> {
    seccompiler::apply_filter(&filter).map_err(refused)
}

fn refused(error: impl std::fmt::Display) -> Refusal {
    Refusal::new(refusal::SANDBOX, format_args!("seccomp has refused the sandbox: {error}"))
}

fn refuse_all(errno: i32, calls: &[c_long]) -> Result<BpfProgram, Refusal> {
    refuse(errno, always(calls))
}

fn always(calls: &[c_long]) -> Calls {
    calls.iter().map(|call| (*call, Vec::new())).collect()
}

fn refuse(errno: i32, calls: Calls) -> Result<BpfProgram, Refusal> {
    compile(calls, SeccompAction::Allow, SeccompAction::Errno(errno.cast_unsigned()))
}

fn allow_only(calls: Calls) -> Result<BpfProgram, Refusal> {
    let refuse = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    compile(calls, refuse, SeccompAction::Allow)
}

fn compile(
    calls: Calls,
    other: SeccompAction,
    these: SeccompAction,
) -> Result<BpfProgram, Refusal> {
    let arch: TargetArch = std::env::consts::ARCH.try_into().map_err(refused)?;
    let filter = SeccompFilter::new(calls, other, these, arch).map_err(refused)?;
    let mut program = no_x32().to_vec();
    program.extend(BpfProgram::try_from(filter).map_err(refused)?);
    Ok(program)
}

/// Numbers with bit 30 set are the same calls in the x32 convention, which shares its architecture's number with the ordinary
/// one; no list of numbers would catch them. Where there is no such convention there are no such calls.
fn no_x32() -> [sock_filter; 3] {
    const LOAD_NUMBER: u16 = 0x20;
    const JUMP_IF_AT_LEAST: u16 = 0x35;
    const RETURN: u16 = 0x06;
    let errno = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned();
    [
        sock_filter { code: LOAD_NUMBER, jt: 0, jf: 0, k: 0 },
        sock_filter { code: JUMP_IF_AT_LEAST, jt: 0, jf: 1, k: 0x4000_0000 },
        sock_filter { code: RETURN, jt: 0, jf: 0, k: errno },
    ]
}

/// Calls that reach into other processes, the machine, or parts of the kernel that are known for their holes. What System V and POSIX
/// let processes of a user share by numbers and names (memory, semaphores, queues) is beyond the reach of Landlock.
const OUTSIDE: &[c_long] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    libc::SYS_kcmp,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_migrate_pages,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_move_pages,
    libc::SYS_mq_open,
    libc::SYS_mq_unlink,
    libc::SYS_msgctl,
    libc::SYS_msgget,
    libc::SYS_msgrcv,
    libc::SYS_msgsnd,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_madvise,
    libc::SYS_process_mrelease,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_semctl,
    libc::SYS_semget,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_shmat,
    libc::SYS_shmctl,
    libc::SYS_shmget,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
];

/// Calls that concern this process with some arguments, and others with others.
fn of_others(pid: u32) -> Result<Calls, Refusal> {
    let namespaces = [
        libc::CLONE_NEWCGROUP,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWNET,
        libc::CLONE_NEWNS,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWUTS,
    ];
    let namespaces = namespaces.map(|flag| has_bits(0, unsigned(flag), unsigned(flag)));
    // By these a signal of choice is sent when a descriptor becomes ready, to a process of choice.
    let owners = [libc::F_SETOWN, F_SETOWN_EX, F_SETSIG].map(|command| is(1, unsigned(command)));
    // Whoever is not of the foreground that the third one chooses is stopped when he reads. The last two put characters into the
    // terminal as if they had been typed.
    let terminals = [FIOSETOWN, SIOCSPGRP, TIOCSPGRP, TIOCSTI, TIOCLINUX];
    let terminals = terminals.map(|command| is(1, command));
    let death = all([is(0, unsigned(libc::PR_SET_PDEATHSIG)), is_not(1, unsigned(libc::SIGKILL))]);
    let mut calls = Calls::from([
        (libc::SYS_clone, any(namespaces)?),
        (libc::SYS_fcntl, any(owners)?),
        (libc::SYS_ioctl, any(terminals)?),
        // Who asks not to be killed with its parent would be left behind.
        (libc::SYS_prctl, vec![death?]),
        (libc::SYS_prlimit64, vec![all([is_not(0, 0), is_not(0, pid.into())])?]),
        // The number 0 is this process only where processes are numbered, and not groups or users.
        (libc::SYS_setpriority, any([is_not(0, PRIO_PROCESS), is_not(1, 0)])?),
        (libc::SYS_ioprio_set, any([is_not(0, IOPRIO_WHO_PROCESS), is_not(1, 0)])?),
    ]);
    for call in [
        libc::SYS_sched_setaffinity,
        libc::SYS_sched_setattr,
        libc::SYS_sched_setparam,
        libc::SYS_sched_setscheduler,
    ] {
        calls.insert(call, any([is_not(0, 0)])?);
    }
    Ok(calls)
}

const PRIO_PROCESS: u64 = 0;
const IOPRIO_WHO_PROCESS: u64 = 1;
const F_SETSIG: i32 = 10;
const F_SETOWN_EX: i32 = 15;
const FIOSETOWN: u64 = 0x8901;
const SIOCSPGRP: u64 = 0x8902;
const TIOCSPGRP: u64 = 0x5410;
const TIOCSTI: u64 = 0x5412;
const TIOCLINUX: u64 = 0x541c;

/// Signals that do not go to this process, for kernels whose Landlock does not see to it.
fn signals_to_others(pid: u32) -> Result<Calls, Refusal> {
    let mut calls = always(&[libc::SYS_tkill, libc::SYS_pidfd_send_signal]);
    for call in
        [libc::SYS_kill, libc::SYS_tgkill, libc::SYS_rt_sigqueueinfo, libc::SYS_rt_tgsigqueueinfo]
    {
        calls.insert(call, any([is_not(0, pid.into())])?);
    }
    Ok(calls)
}

/// Sockets, but for connected pairs. A pair of datagram sockets can be talked past: each message may name another receiver. And a
/// socket of TCP that the process was given can forget its peer and take another.
fn connections() -> Result<Calls, Refusal> {
    const TYPE: u64 = 0xf;
    let datagrams =
        [libc::SOCK_DGRAM, libc::SOCK_RAW].map(|kind| has_bits(1, TYPE, unsigned(kind)));
    let mut pairs = any(datagrams)?;
    pairs.extend(any([is_not(0, unsigned(libc::AF_UNIX))])?);
    let mut calls = always(&[libc::SYS_connect, libc::SYS_socket]);
    calls.insert(libc::SYS_socketpair, pairs);
    Ok(calls)
}

/// What is left of a process that only computes.
fn computing(guard: &Guard) -> Result<Calls, Refusal> {
    let mut calls = always(COMPUTING);
    if guard.of_files {
        calls.extend(always(OPENING));
        #[cfg(target_arch = "x86_64")]
        calls.extend(always(OPENING_X86));
    }
    #[cfg(target_arch = "x86_64")]
    calls.extend(always(COMPUTING_X86));
    calls.insert(libc::SYS_clone, any([has_bits(0, THREAD, THREAD)])?);
    let harmless = [TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX];
    calls.insert(libc::SYS_ioctl, any(harmless.map(|command| is(1, command)))?);
    Ok(calls)
}

const THREAD: u64 = libc::CLONE_THREAD.cast_unsigned() as u64;
const TCGETS: u64 = 0x5401;
const TIOCGWINSZ: u64 = 0x5413;
const FIONREAD: u64 = 0x541b;
const FIONBIO: u64 = 0x5421;
const FIONCLEX: u64 = 0x5450;
const FIOCLEX: u64 = 0x5451;

/// Calls by which files are opened, if Landlock judges which.
const OPENING: &[c_long] = &[
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_readlinkat,
];

#[cfg(target_arch = "x86_64")]
const OPENING_X86: &[c_long] =
    &[libc::SYS_access, libc::SYS_lstat, libc::SYS_open, libc::SYS_readlink, libc::SYS_stat];

/// Memory, threads, time, signals, and reading, writing and waiting for what is open.
const COMPUTING: &[c_long] = &[
    libc::SYS_brk,
    libc::SYS_capget,
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    // Refused by another filter, with the answer that makes programs use clone.
    libc::SYS_clone3,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_copy_file_range,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_fadvise64,
    libc::SYS_fallocate,
    libc::SYS_fcntl,
    libc::SYS_fdatasync,
    libc::SYS_flock,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_futex,
    libc::SYS_futex_waitv,
    libc::SYS_get_mempolicy,
    libc::SYS_get_robust_list,
    libc::SYS_getcpu,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getgroups,
    libc::SYS_getpeername,
    libc::SYS_getpgid,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getpriority,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_getsid,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_getuid,
    libc::SYS_kill,
    libc::SYS_lseek,
    libc::SYS_madvise,
    libc::SYS_mbind,
    libc::SYS_membarrier,
    libc::SYS_memfd_create,
    libc::SYS_mincore,
    libc::SYS_mlock,
    libc::SYS_mlock2,
    libc::SYS_mmap,
    libc::SYS_mprotect,
    libc::SYS_mremap,
    libc::SYS_msync,
    libc::SYS_munlock,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_newfstatat,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
    libc::SYS_pipe2,
    libc::SYS_pkey_alloc,
    libc::SYS_pkey_free,
    libc::SYS_pkey_mprotect,
    libc::SYS_ppoll,
    libc::SYS_prctl,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_preadv2,
    libc::SYS_prlimit64,
    libc::SYS_pselect6,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_pwritev2,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_recvmmsg,
    libc::SYS_recvmsg,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigsuspend,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_sched_get_priority_max,
    libc::SYS_sched_get_priority_min,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_getattr,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_yield,
    libc::SYS_sendfile,
    libc::SYS_sendmmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_set_mempolicy,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_setpriority,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    libc::SYS_sigaltstack,
    libc::SYS_socketpair,
    libc::SYS_splice,
    libc::SYS_statx,
    libc::SYS_sync_file_range,
    libc::SYS_sysinfo,
    libc::SYS_tee,
    libc::SYS_tgkill,
    libc::SYS_timer_create,
    libc::SYS_timer_delete,
    libc::SYS_timer_getoverrun,
    libc::SYS_timer_gettime,
    libc::SYS_timer_settime,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_gettime,
    libc::SYS_timerfd_settime,
    libc::SYS_times,
    libc::SYS_tkill,
    libc::SYS_uname,
    libc::SYS_wait4,
    libc::SYS_waitid,
    libc::SYS_write,
    libc::SYS_writev,
];

/// Older forms of the same, which some C libraries still use.
#[cfg(target_arch = "x86_64")]
const COMPUTING_X86: &[c_long] = &[
    libc::SYS_arch_prctl,
    libc::SYS_dup2,
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_eventfd,
    libc::SYS_getpgrp,
    libc::SYS_getrlimit,
    libc::SYS_pause,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_select,
    libc::SYS_setrlimit,
    libc::SYS_time,
];

fn unsigned(number: i32) -> u64 {
    number.cast_unsigned().into()
}

type Condition = Result<SeccompCondition, Refusal>;

/// The lower half of an argument is this: all of what is compared here is an `int` to the kernel, which ignores the rest.
fn is(argument: u8, value: u64) -> Condition {
    condition(argument, SeccompCmpOp::Eq, value)
}

fn is_not(argument: u8, value: u64) -> Condition {
    condition(argument, SeccompCmpOp::Ne, value)
}

fn has_bits(argument: u8, mask: u64, value: u64) -> Condition {
    condition(argument, SeccompCmpOp::MaskedEq(mask), value)
}

fn condition(argument: u8, op: SeccompCmpOp, value: u64) -> Condition {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, op, value).map_err(refused)
}

/// One rule of several conditions.
fn all<const N: usize>(conditions: [Condition; N]) -> Result<SeccompRule, Refusal> {
    let conditions = conditions.into_iter().collect::<Result<_, _>>()?;
    SeccompRule::new(conditions).map_err(refused)
}

/// Several rules of one condition each.
fn any<const N: usize>(conditions: [Condition; N]) -> Result<Vec<SeccompRule>, Refusal> {
    conditions.into_iter().map(|condition| all([condition])).collect()
}
