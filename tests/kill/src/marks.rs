//! Where an operation begins and ends, for whoever steps through it.
//!
//! Both marks are functions of the harness itself. Director and victim are forks of one process, so a mark has one address
//! in both, and the director knows from the instruction pointer alone that the victim has come to it.

use std::arch::asm;

/// Stops a traced process: stepping begins when this function returns.
#[inline(never)]
pub(crate) extern "C" fn enter() {
    // SAFETY: a breakpoint trap; the tracer, for whom it is, continues behind it.
    unsafe { asm!("int3", options(nostack)) };
}

/// The operation is over. Nobody returns from here: the victim is killed at the latest on its first instruction.
#[inline(never)]
pub(crate) extern "C" fn leave() {
    // SAFETY: it does nothing; that it might do something keeps the call where it is.
    unsafe { asm!("nop", options(nostack)) };
}

/// The address at which the operation is over.
pub(crate) fn end() -> u64 {
    leave as extern "C" fn() as usize as u64
}
