//! Runs a program as on a kernel, or in a container, without some system calls: `procession-floor ENOSYS futex_waitv cargo test`.
//!
//! A filter of the kernel answers the calls with the error that is given, for the program and all that it starts. The filter
//! cannot be taken off again.
//!
//! `memfd_flags` stands for `memfd_create` with flags that kernels before 6.3 do not know, which those answer by EINVAL;
//! `populate_write` for `madvise` with the advice of that name, which kernels before 5.14 do not know, with the same answer; and
//! `pidfd_info` for what kernels from 6.13 on tell of a pidfd, where those before answer ENOTTY.

use std::collections::BTreeMap;
use std::error::Error;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use seccompiler::{
    SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// `MFD_NOEXEC_SEAL` and `MFD_EXEC`.
const NEW_MEMFD_FLAGS: [u64; 2] = [8, 16];

/// The type of the requests to a pidfd, and the number of this one.
const PIDFD_GET_INFO: u64 = 0xff0b;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [answer, calls, program, rest @ ..] = &arguments[..] else {
        return complain("usage: procession-floor ENOSYS|EPERM call,call.. program [argument..]");
    };
    match forbid(answer, calls) {
        // It comes back only if there is no such program.
        Ok(()) => complain(&Command::new(program).args(rest).exec().to_string()),
        Err(error) => complain(&error.to_string()),
    }
}

#[expect(clippy::print_stderr, reason = "it has nobody else to tell")]
fn complain(what: &str) -> ExitCode {
    eprintln!("procession-floor: {what}");
    ExitCode::from(125)
}

fn forbid(answer: &str, calls: &str) -> Result<(), Box<dyn Error>> {
    let errno = match answer {
        "ENOSYS" => libc::ENOSYS,
        "EPERM" => libc::EPERM,
        _ => return Err(format!("{answer} is neither ENOSYS nor EPERM").into()),
    };
    for call in calls.split(',') {
        let (number, rules, errno) = match call {
            "futex_waitv" => (libc::SYS_futex_waitv, Vec::new(), errno),
            "clone3" => (libc::SYS_clone3, Vec::new(), errno),
            "pidfd_open" => (libc::SYS_pidfd_open, Vec::new(), errno),
            "membarrier" => (libc::SYS_membarrier, Vec::new(), errno),
            "populate_write" => (libc::SYS_madvise, populate_write()?, libc::EINVAL),
            "pidfd_info" => (libc::SYS_ioctl, pidfd_info()?, libc::ENOTTY),
            "memfd_flags" => (libc::SYS_memfd_create, new_flags()?, libc::EINVAL),
            _ => return Err(format!("{call} is not among the calls that can be taken away").into()),
        };
        install(number, rules, errno.cast_unsigned())?;
    }
    Ok(())
}

/// One rule for each flag: a call with any of them.
fn new_flags() -> Result<Vec<SeccompRule>, Box<dyn Error>> {
    let has = |flag| rule(1, SeccompCmpOp::MaskedEq(flag), flag);
    NEW_MEMFD_FLAGS.into_iter().map(has).collect()
}

/// One rule: a call with that advice.
fn populate_write() -> Result<Vec<SeccompRule>, Box<dyn Error>> {
    Ok(vec![rule(2, SeccompCmpOp::Eq, libc::MADV_POPULATE_WRITE as u64)?])
}

/// One rule: a request with that type and number, whatever the size of what is asked for.
fn pidfd_info() -> Result<Vec<SeccompRule>, Box<dyn Error>> {
    Ok(vec![rule(1, SeccompCmpOp::MaskedEq(0xffff), PIDFD_GET_INFO)?])
}

/// For calls whose argument of that index is so.
fn rule(index: u8, is: SeccompCmpOp, value: u64) -> Result<SeccompRule, Box<dyn Error>> {
    let condition = SeccompCondition::new(index, SeccompCmpArgLen::Dword, is, value)?;
    Ok(SeccompRule::new(vec![condition])?)
}

fn install(number: i64, rules: Vec<SeccompRule>, errno: u32) -> Result<(), Box<dyn Error>> {
    let (allow, refuse) = (SeccompAction::Allow, SeccompAction::Errno(errno));
    let arch = std::env::consts::ARCH.try_into()?;
    let filter = SeccompFilter::new(BTreeMap::from([(number, rules)]), allow, refuse, arch)?;
    let program: seccompiler::BpfProgram = filter.try_into()?;
    Ok(seccompiler::apply_filter(&program)?)
}
