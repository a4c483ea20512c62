//! A bare `fork` copies guards. The copies must do nothing.

use procession_sync::{LockError, Mutex, RwLock, Semaphore};

/// Runs `part` in a forked copy of this process and says whether it returned true there.
fn in_a_fork(part: impl FnOnce() -> bool) -> bool {
    // SAFETY: the copy goes on with this thread alone, which uses nothing but its own state and the allocator, which glibc
    // makes safe to use after a fork; it ends without running anything of the harness.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let code = if part() { 0 } else { 1 };
        // SAFETY: ends this process and nothing else.
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    // SAFETY: the status is a valid place to write to, and the child is this process's own.
    assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid);
    libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0
}

#[test]
fn copies_of_guards_do_nothing_and_a_copy_of_a_process_is_nobody() {
    let mutex = Mutex::new(0);
    let lock: RwLock<u32> = RwLock::new(0);
    let seats = Semaphore::new(1);
    let (guard, read, permit) =
        (mutex.lock().unwrap(), lock.read().unwrap(), seats.acquire().unwrap());
    let mut held = Some((guard, read, permit));
    let is_nobody = |error: LockError| matches!(error, LockError::NotAMember { .. });
    assert!(in_a_fork(|| {
        drop(held.take());
        // Had the copy given anything back, these words, which are the copy's own, would say so.
        format!("{mutex:?}").contains("NotAMember")
            && seats.available_permits() == 0
            && mutex.try_lock().is_err_and(is_nobody)
            && lock.try_write().is_err_and(is_nobody)
            && seats.try_acquire().is_err_and(is_nobody)
    }));
    let (guard, read, permit) = held.unwrap();
    drop((guard, read, permit));
    assert!(mutex.try_lock().unwrap().is_some());
    assert!(lock.try_write().unwrap().is_some());
    assert_eq!(seats.available_permits(), 1);
}

#[test]
#[expect(clippy::mem_forget, reason = "a guard that is forgotten")]
fn a_copied_lock_is_still_held_in_the_copy() {
    needs_pidfds!();
    let mutex = Mutex::new(0);
    std::mem::forget(mutex.lock().unwrap());
    assert!(in_a_fork(|| {
        let name = procession_shm::family::rejoin_after_fork();
        // The owner's name in the copy is its parent's, who lives.
        name.is_ok() && mutex.try_lock().is_ok_and(|guard| guard.is_none())
    }));
}

/// A lock in memory that the copy shares, as nobody else's guard may touch it.
#[test]
fn a_copied_guard_gives_back_nothing_that_is_shared() {
    let (access, flags) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
    // SAFETY: a fresh mapping at an address the kernel chooses.
    let page = unsafe { libc::mmap(std::ptr::null_mut(), 4096, access, flags, -1, 0) };
    assert_ne!(page, libc::MAP_FAILED);
    let place = page.cast::<Mutex<u32>>();
    // SAFETY: the page is mapped, aligned, has room, and nobody else knows of it.
    unsafe { place.write(Mutex::new(0)) };
    // SAFETY: it was written above, and stays mapped for as long as this test.
    let mutex = unsafe { &*place };
    let mut held = Some(mutex.lock().unwrap());
    assert!(in_a_fork(|| {
        drop(held.take());
        true
    }));
    assert!(mutex.try_lock().unwrap().is_none(), "the copy has given the lock back");
    drop(held);
    assert!(mutex.try_lock().unwrap().is_some());
    // SAFETY: the mapping from above, to which nothing refers any more.
    assert_eq!(unsafe { libc::munmap(page, 4096) }, 0);
}
