//! The control: glibc's robust mutex. With a barger it hangs, as long as its unlock frees the word before it wakes.
//!
//! The victim's unlock stores 0; the barger takes the free lock, and notes no waiters, for it has seen none; the victim is
//! killed before its wake; the kernel finds the word in another one's hands and wakes nobody; the barger unlocks and, seeing
//! no waiters, wakes nobody: the sleeper sleeps for ever on a free lock. If this is not found, the harness sees nothing.

use std::cell::UnsafeCell;
use std::io;
use std::mem::MaybeUninit;

use libc::{EOWNERDEAD, c_int, pthread_mutex_t};

use super::{BARGER, SLEEPER};
use crate::actor::{Cue, Role};
use crate::memory::{ForkShared, View};
use crate::scene::{Case, Ending, Scene};

/// A mutex of glibc's, used through its own calls only, which are made for several processes.
#[repr(transparent)]
struct Robust(UnsafeCell<MaybeUninit<pthread_mutex_t>>);

// SAFETY: glibc's mutex is what makes its own bytes safe to use from everywhere.
unsafe impl Sync for Robust {}

pub(super) fn cases() -> Vec<Case> {
    let name = "control: glibc robust mutex unlock";
    vec![
        Case::new(name, SLEEPER, RobustScene::build),
        Case::new(name, BARGER, RobustScene::build).that_must_fail(),
    ]
}

struct RobustScene {
    mutex: ForkShared<Robust>,
}

impl RobustScene {
    fn build() -> io::Result<Box<dyn Scene>> {
        let mutex = ForkShared::new(Robust(UnsafeCell::new(MaybeUninit::zeroed())))?;
        mutex.init()?;
        Ok(Box::new(Self { mutex }))
    }

    fn lock(&self) -> Result<(), String> {
        // SAFETY: `build` has initialized the mutex.
        match unsafe { libc::pthread_mutex_lock(self.mutex.raw()) } {
            0 => Ok(()),
            EOWNERDEAD => {
                // SAFETY: as above, and it is locked.
                answer(unsafe { libc::pthread_mutex_consistent(self.mutex.raw()) })
            }
            error => answer(error),
        }
    }

    fn unlock(&self) -> Result<(), String> {
        // SAFETY: `build` has initialized the mutex, and the caller has locked it.
        answer(unsafe { libc::pthread_mutex_unlock(self.mutex.raw()) })
    }
}

impl Robust {
    fn raw(&self) -> *mut pthread_mutex_t {
        self.0.get().cast()
    }

    fn init(&self) -> io::Result<()> {
        let mut attributes = MaybeUninit::uninit();
        let at = attributes.as_mut_ptr();
        // SAFETY: there is room for the attributes.
        checked(unsafe { libc::pthread_mutexattr_init(at) })?;
        // SAFETY: they have been initialized.
        checked(unsafe { libc::pthread_mutexattr_setpshared(at, libc::PTHREAD_PROCESS_SHARED) })?;
        // SAFETY: as above.
        checked(unsafe { libc::pthread_mutexattr_setrobust(at, libc::PTHREAD_MUTEX_ROBUST) })?;
        // SAFETY: as above, and there is room for the mutex, which nobody uses yet.
        checked(unsafe { libc::pthread_mutex_init(self.raw(), at) })
    }
}

fn checked(error: c_int) -> io::Result<()> {
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

fn answer(error: c_int) -> Result<(), String> {
    checked(error).map_err(|error| error.to_string())
}

impl Scene for RobustScene {
    fn views(&self) -> Vec<View> {
        vec![self.mutex.view()]
    }

    fn in_family(&self) -> bool {
        false
    }

    fn play(&self, role: Role, cue: &Cue) -> Result<String, String> {
        self.lock()?;
        match role {
            Role::Victim => cue.operate(|| self.unlock())??,
            Role::Barger => {
                cue.hold()?;
                self.unlock()?;
            }
            _ => self.unlock()?,
        }
        Ok(String::new())
    }

    fn judge(&self, _ending: &Ending) -> Result<(), String> {
        Ok(())
    }
}
