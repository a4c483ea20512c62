//! The two threads that this crate runs: one that spawns, one that reaps.
//!
//! They start when the first process is launched and stay for the life of this one. The kernel
//! ties a child's parent-death signal to the *thread* that started it, which is why one thread
//! that never ends starts all of them. Spawning blocks for as long as an exec takes, which is
//! why reaping is another thread's work. The main thread lives as long, but to have it start children was rejected: a program that
//! executes another one on it (`exec`) would leave them behind, while all other threads end by that, and their children too.
//!
//! A fork leaves both threads behind. The first launch in the new process finds itself in another
//! generation and opens new offices; the old ones stay where they are, untouched, because a lock in
//! them may have been held at the moment of the fork.
//!
//! Ordering edge F1: the release half of the exchange in `Offices::place` publishes new offices,
//! the acquire load there receives them.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;

use rustix::process::{PidfdFlags, getpid, pidfd_open};

use crate::cgroup::Janitors;
use crate::desk::Desk;
use crate::error::SpawnError;
use crate::household::Household;
use crate::launching::Launching;
use crate::reaper::Reaper;
use crate::spawner::{self, Job, Order};
use crate::standard::block_signals;
use crate::stderr::complain;
use crate::zygote::Zygotes;
use procession_shm::fork;

static CURRENT: AtomicPtr<Offices> = AtomicPtr::new(ptr::null_mut());

pub(crate) struct Offices {
    generation: u64,
    /// Set while the threads run. Only this generation ever takes the lock.
    staff: Mutex<Option<Staff>>,
    /// What children look at to see that this process lives, if the system gives pidfds.
    own_pidfd: Option<OwnedFd>,
    household: Household,
    zygotes: Zygotes,
    janitors: Janitors,
}

/// How the two threads are reached.
#[derive(Clone)]
struct Staff {
    jobs: mpsc::Sender<Job>,
    desk: Arc<Desk>,
    reaper: Arc<Reaper>,
}

/// What a thread does while the spawner works for it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    Waits,
    GoesOn,
}

impl Offices {
    /// The offices of this process, with both threads running.
    pub(crate) fn open() -> Result<&'static Self, SpawnError> {
        let generation = fork::generation()
            .map_err(|error| SpawnError::system("map a page of memory", error))?;
        let offices = Self::place(generation);
        offices.hire()?;
        Ok(offices)
    }

    /// The offices of this process if it has opened any.
    pub(crate) fn existing() -> Option<&'static Self> {
        // F1, receiving end.
        let seen = CURRENT.load(Ordering::Acquire);
        // SAFETY: a published pointer is never freed.
        let offices = unsafe { seen.cast_const().as_ref() }?;
        fork::is_current(offices.generation).then_some(offices)
    }

    fn place(generation: u64) -> &'static Self {
        // F1, receiving end.
        let seen = CURRENT.load(Ordering::Acquire);
        // SAFETY: a published pointer is never freed.
        if let Some(offices) = unsafe { seen.cast_const().as_ref() }
            && offices.generation == generation
        {
            return offices;
        }
        let fresh = Box::into_raw(Box::new(Self {
            generation,
            staff: Mutex::new(None),
            own_pidfd: pidfd_open(getpid(), PidfdFlags::empty()).ok(),
            household: Household::default(),
            zygotes: Zygotes::default(),
            janitors: Janitors::default(),
        }));
        // F1, publishing end.
        match CURRENT.compare_exchange(seen, fresh, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: published just now and never freed.
            Ok(_) => unsafe { &*fresh },
            Err(winner) => {
                // SAFETY: `fresh` came from `Box::into_raw` and was not published.
                drop(unsafe { Box::from_raw(fresh) });
                // SAFETY: a published pointer is never freed. Whoever was faster is a thread of
                // this process, and of this generation therefore.
                unsafe { &*winner }
            }
        }
    }

    /// Starts both threads unless they run; a failure leaves none behind.
    fn hire(&self) -> Result<(), SpawnError> {
        let mut staff = self.staff.lock().unwrap_or_else(PoisonError::into_inner);
        if staff.is_some() {
            return Ok(());
        }
        let reaper = Arc::new(
            Reaper::new(self.generation)
                .map_err(|error| SpawnError::system("create an epoll instance", error))?,
        );
        let (jobs, inbox) = mpsc::channel();
        let register = Arc::clone(&reaper);
        let desk = Arc::<Desk>::default();
        let of_spawner = Arc::clone(&desk);
        // The spawner first: it ends by itself when `jobs` is dropped on the way out.
        start("procession-spawn", move || spawner::work(&inbox, &of_spawner, &register))?;
        let at_work = Arc::clone(&reaper);
        start("procession-reap", move || at_work.work())?;
        *staff = Some(Staff { jobs, desk, reaper });
        Ok(())
    }

    pub(crate) fn household(&self) -> &Household {
        &self.household
    }

    pub(crate) fn zygotes(&self) -> &Zygotes {
        &self.zygotes
    }

    pub(crate) fn janitors(&self) -> &Janitors {
        &self.janitors
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    pub(crate) fn own_pidfd(&self) -> Option<BorrowedFd<'_>> {
        self.own_pidfd.as_ref().map(AsFd::as_fd)
    }

    /// Has the spawner start a process. The caller says whether it goes on meanwhile, or only waits.
    pub(crate) fn spawn(&self, order: Order, pace: Pace) -> Result<Launching, SpawnError> {
        let (reply, answer) = mpsc::sync_channel(1);
        let staff = self.staff()?;
        if pace == Pace::Waits {
            staff.desk.call_here();
        }
        staff.jobs.send(Job { order, reply }).map_err(|_| gone())?;
        Ok(Launching::ordered(answer))
    }

    pub(crate) fn reaper(&self) -> Result<Arc<Reaper>, SpawnError> {
        Ok(self.staff()?.reaper)
    }

    fn staff(&self) -> Result<Staff, SpawnError> {
        let staff = self.staff.lock().unwrap_or_else(PoisonError::into_inner);
        staff.clone().ok_or_else(gone)
    }
}

pub(crate) fn gone() -> SpawnError {
    SpawnError::system("reach the spawner thread", std::io::ErrorKind::BrokenPipe)
}

/// Starts a thread whose end by a panic ends the process: children would never be reaped and
/// waiters never be woken without it.
pub(crate) fn start(
    name: &'static str,
    work: impl FnOnce() + Send + 'static,
) -> Result<(), SpawnError> {
    let body = move || {
        block_signals();
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            complain(format_args!("thread {name} panicked (see above), aborting"));
            std::process::abort();
        }
    };
    let started = thread::Builder::new().name(name.to_owned()).spawn(body);
    started.map(drop).map_err(|error| SpawnError::system("start a thread", error))
}
