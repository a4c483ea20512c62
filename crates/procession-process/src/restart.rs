//! Whether what is started would be a child of this program: `/proc/self/exe`, if nothing else was asked for.

use std::fs;

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
    let vector = fs::read("/proc/self/auxv")
        .map_err(|error| SpawnError::proc("read /proc/self/auxv", error))?;
    let (words, _) = vector.as_chunks::<{ size_of::<usize>() }>();
    let words: Vec<usize> = words.iter().map(|word| usize::from_ne_bytes(*word)).collect();
    let (pairs, _) = words.as_chunks::<2>();
    let found = pairs.iter().find(|[key, _]| *key as u64 == libc::AT_PHDR);
    Ok(found.map(|[_, value]| *value))
}
