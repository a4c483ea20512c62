//! Whether what is started would be a child of this program: `/proc/self/exe`, if nothing else was asked for.

use std::{fs, io};

use crate::error::SpawnError;
use crate::image;
use procession_shm::fork::FirstWins;

/// Set once the program was found restartable: neither its file nor its rights can change without
/// an exec, after which this memory is gone.
static RESTARTABLE: FirstWins<()> = FirstWins::new();

/// Checks that a child would be this program, with the rights this process has.
///
/// # Errors
///
/// `Privileged`; `NotRestartable` if this program was started through the dynamic linker
/// (`ld.so program`) or this crate is in a shared library; `System` if /proc is not mounted.
pub(crate) fn check() -> Result<(), SpawnError> {
    RESTARTABLE.get_or_try_init(examine).copied()
}

/// Checks that another program may be started: what *it* is turns out when it compares images.
///
/// # Errors
///
/// `Privileged`; `NotRestartable` if the library that this crate is in cannot be kept loaded.
pub(crate) fn check_for_other_program() -> Result<(), SpawnError> {
    static PINNED: FirstWins<()> = FirstWins::new();
    if is_privileged() {
        return Err(SpawnError::Privileged);
    }
    PINNED.get_or_try_init(image::pin).copied()
}

fn examine() -> Result<(), SpawnError> {
    if is_privileged() {
        return Err(SpawnError::Privileged);
    }
    if !image::is_main_program() {
        return Err(SpawnError::not_restartable(
            "procession is linked into a shared library here; link it into the program, or name a \
             helper program (`program`) that loads the library and calls `serve` in it",
        ));
    }
    let executed = headers_of_executed_file()?;
    if executed == Some(image::headers_address()) {
        return Ok(());
    }
    Err(SpawnError::not_restartable(
        "/proc/self/exe is not this program, which was probably started through the dynamic \
         linker (ld.so program); start it directly, or name its file by `program`",
    ))
}

/// Whether this process got its rights from its file: the caller of such a program controls its
/// environment, and so do its children's.
pub(crate) fn is_privileged() -> bool {
    // SAFETY: getauxval has no preconditions.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

/// Where the kernel mapped the program headers of the file it executed.
///
/// This must be read from the kernel: the dynamic linker, when it is the file that was executed,
/// replaces the value in memory by that of the program it loads.
fn headers_of_executed_file() -> Result<Option<usize>, SpawnError> {
    let vector = match fs::read("/proc/self/auxv") {
        Ok(vector) => vector,
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => auxiliary_vector()?,
        Err(error) => return Err(SpawnError::proc("read /proc/self/auxv", error)),
    };
    let (words, _) = vector.as_chunks::<{ size_of::<usize>() }>();
    let words: Vec<usize> = words.iter().map(|word| usize::from_ne_bytes(*word)).collect();
    let (pairs, _) = words.as_chunks::<2>();
    let found = pairs.iter().find(|[key, _]| *key as u64 == libc::AT_PHDR);
    Ok(found.map(|[_, value]| *value))
}

/// The auxiliary vector for a process that may not read its own files in /proc, as one that has changed its user id, or set
/// `PR_SET_DUMPABLE` to 0 (Linux 6.4; prctl(2)). Not the first choice: programs that emulate a processor hide theirs in /proc, but
/// not here.
fn auxiliary_vector() -> Result<Vec<u8>, SpawnError> {
    const PR_GET_AUXV: libc::c_int = 0x4155_5856;
    let mut vector = vec![0_u8; 4096];
    // SAFETY: the kernel writes at most as many bytes as the vector has.
    let len = unsafe { libc::prctl(PR_GET_AUXV, vector.as_mut_ptr(), vector.len(), 0, 0) };
    let Ok(len) = usize::try_from(len) else {
        return Err(SpawnError::not_restartable(
            "this process has given up the right to read /proc/self/auxv (setuid, PR_SET_DUMPABLE); \
             start a process before it does that, or set PR_SET_DUMPABLE to 1",
        ));
    };
    vector.truncate(len);
    Ok(vector)
}
