//! Who this process is: one page that a fork wipes.
//!
//! A process that was made by a bare `fork` has all of its parent's memory, and would take itself for its parent. So what
//! makes a process a member lies on a page of its own that the kernel hands to forked children as zeros
//! (`MADV_WIPEONFORK`). The rejected ways: comparing `getpid()` on every use costs a system call, and `pthread_atfork`
//! handlers do not run for a raw `clone`.
//!
//! * **I1** A page that was published in `PAGE` stays mapped until the process ends.
//! * **I2** A session that was published is never freed: references to it and its table are `'static`.
//! * **I3** `LAST` outlives a fork and is no proof of anything; in a forked child it says whose child it is.

use std::ptr;
use std::sync::atomic::AtomicPtr; // tidy: raw atomic: private to this process

use rustix::mm::{Advice, MapFlags, ProtFlags};

use super::error::FamilyError;
use super::member::Member;
use super::session::Session;
use crate::page_size;
use crate::sync::atomic::{AtomicU64, Ordering};

struct Page {
    me: AtomicU64,
    session: AtomicPtr<Session>,
}

static PAGE: AtomicPtr<Page> = AtomicPtr::new(ptr::null_mut());
static LAST: AtomicPtr<Session> = AtomicPtr::new(ptr::null_mut());

/// The member that this process is, if it is one: two loads.
#[inline]
pub(super) fn cached() -> Option<Member> {
    Member::from_own_bits(page()?.me.load(Ordering::Acquire))
}

/// The family that this very process has joined or founded, whether or not it still belongs to it.
pub(super) fn session() -> Option<&'static Session> {
    // SAFETY: by I2 the pointer is null or points to a session that is never freed.
    unsafe { page()?.session.load(Ordering::Acquire).as_ref() }
}

/// The last family that this process, or the one of which it is a forked copy, belonged to.
pub(super) fn last_session() -> Option<&'static Session> {
    // SAFETY: by I2 the pointer is null or points to a session that is never freed; a fork copies it along.
    unsafe { LAST.load(Ordering::Acquire).as_ref() }
}

/// Makes `session` the one of this process, unless it has got another one than `replaced` meanwhile.
pub(super) fn install(
    session: Box<Session>,
    replaced: Option<&'static Session>,
) -> Result<&'static Session, FamilyError> {
    let page = page_or_new()?;
    let me = session.member().to_bits();
    let replaced = replaced.map_or(ptr::null_mut(), |session| ptr::from_ref(session).cast_mut());
    let new = Box::into_raw(session);
    let order = (Ordering::AcqRel, Ordering::Acquire);
    if page.session.compare_exchange(replaced, new, order.0, order.1).is_err() {
        // SAFETY: the pointer came from the box above and was not published.
        drop(unsafe { Box::from_raw(new) });
        return Err(FamilyError::AlreadyMember { pid: std::process::id() });
    }
    LAST.store(new, Ordering::Release);
    page.me.store(me, Ordering::Release);
    // SAFETY: the pointer came from a box that is never freed from here on (I2).
    Ok(unsafe { &*new })
}

/// From here on this process is nobody.
pub(super) fn forget() {
    if let Some(page) = page() {
        page.me.store(0, Ordering::Release);
    }
}

#[inline]
fn page() -> Option<&'static Page> {
    // SAFETY: by I1 the pointer is null or points to a mapped page, which is all zeros (a valid `Page`) or was written
    // through atomics.
    unsafe { PAGE.load(Ordering::Acquire).as_ref() }
}

fn page_or_new() -> Result<&'static Page, FamilyError> {
    if let Some(page) = page() {
        return Ok(page);
    }
    let new = map_page()?;
    let order = (Ordering::AcqRel, Ordering::Acquire);
    let winner = match PAGE.compare_exchange(ptr::null_mut(), new, order.0, order.1) {
        Ok(_) => new,
        Err(other) => {
            unmap(new)?;
            other
        }
    };
    // SAFETY: I1, as in `page`.
    Ok(unsafe { &*winner })
}

fn map_page() -> Result<*mut Page, FamilyError> {
    let (prot, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
    // SAFETY: without MAP_FIXED the kernel picks an address at which nothing is mapped.
    let page = unsafe { rustix::mm::mmap_anonymous(ptr::null_mut(), page_size(), prot, flags) }
        .map_err(|errno| FamilyError::from_errno("mmap", errno))?;
    // SAFETY: the page was mapped above and nobody else knows of it.
    let wiped = unsafe { rustix::mm::madvise(page, page_size(), Advice::LinuxWipeOnFork) };
    if let Err(errno) = wiped {
        unmap(page.cast())?;
        return Err(FamilyError::from_errno("madvise(MADV_WIPEONFORK)", errno));
    }
    Ok(page.cast())
}

fn unmap(page: *mut Page) -> Result<(), FamilyError> {
    // SAFETY: the caller mapped the page and has not published it.
    unsafe { rustix::mm::munmap(page.cast(), page_size()) }
        .map_err(|errno| FamilyError::from_errno("munmap", errno))
}
