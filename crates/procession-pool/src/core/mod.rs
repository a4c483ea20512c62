//! The engine of the pool: what it knows ([`state`]), and how it is driven ([`drive`]).

mod background;
mod books;
pub(crate) mod call;
mod cancel;
pub(crate) mod chunk;
mod death;
mod drive;
pub(crate) mod errand;
#[cfg(feature = "tracing")]
mod hear;
mod kin;
mod lane;
mod queue;
mod receive;
pub(crate) mod results;
mod retire;
mod schedule;
mod spares;
mod staff;
mod state;
mod takers;

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use procession_process::Limits;
use procession_process::StartMethod;
use procession_process::link::Frame;
use procession_shm::fork;
use procession_shm::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use procession_shm::transfer::Trust;

use call::{Consumer, Options};
use chunk::{CallId, Chunk, Delivery};
use death::Death;
pub(crate) use retire::Policy;
pub(crate) use state::State;
use state::{Driver, Notice, Unseen};

use crate::error::{PoolError, SubmitError};

/// What a pool was asked to be.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// `None` for one on each core. To count these takes files, which need not be read where it was said how many.
    pub(crate) workers: Option<usize>,
    pub(crate) name: String,
    pub(crate) options: Options,
    pub(crate) backlog: Option<usize>,
    /// How many bytes each of a worker's two rings holds.
    pub(crate) ring_len: usize,
    /// How many bytes a result may have.
    pub(crate) result_len_max: usize,
    /// Workers are trusted: their results may hold trusting handles.
    pub(crate) trusting: bool,
    /// `None` for what the environment says.
    pub(crate) start_method: Option<StartMethod>,
    /// What a zygote of workers runs first.
    pub(crate) preload: Option<fn()>,
    /// What is executed as worker, and its arguments, if it is not this program.
    pub(crate) program: Option<(PathBuf, Vec<OsString>)>,
    /// What each worker may use of the machine.
    pub(crate) limits: Limits,
    /// The delegated directory below which each worker has a cgroup.
    pub(crate) cgroup: Option<PathBuf>,
    /// What each worker puts around itself.
    #[cfg(feature = "sandbox")]
    pub(crate) sandbox: Option<procession_process::Sandbox>,
    /// What each worker runs before all items.
    pub(crate) initializer: Option<Arc<Frame>>,
    /// When workers come and go.
    pub(crate) policy: Policy,
}

impl Config {
    /// What workers are trusted to do.
    pub(crate) fn trust(&self) -> Trust {
        if self.trusting {
            Trust::Trusting
        } else {
            Trust::Untrusting { copy_bytes_max: self.result_len_max }
        }
    }

    /// How long an answer may be: a result, or the explanation why there is none.
    fn answer_len_max(&self) -> usize {
        self.result_len_max.max(procession_process::answer::TROUBLE_LEN_MAX)
    }
}

/// A pool without its types: shared by its handle, its tasks and its threads.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) config: Config,
    /// How many it has.
    pub(crate) workers: usize,
    start_method: StartMethod,
    state: Mutex<State>,
    /// Changes with everything that a driver must not sleep over and that no worker rings for. It is in this process' own
    /// memory: no worker can touch it.
    bell: AtomicU32,
    deaths: Mutex<Vec<Death>>,
    /// Whether there may be something in `deaths`: 1 is stored after a death was, and before the bell is rung.
    has_deaths: AtomicU32,
    next_lane: AtomicU64,
    /// In which order threads tell what workers have said.
    #[cfg(feature = "tracing")]
    order: crate::trace::Order,
    /// Rung when the background thread may have something to do.
    duty: Condvar,
    /// The process that made the pool, told from those forked from it.
    generation: u64,
    owner: u32,
}

/// What is left to be done when the lock is free: who is told something, and what is dropped.
struct Aftermath {
    notices: Vec<Notice>,
    #[cfg(feature = "tracing")]
    heard: Option<crate::trace::Batch>,
    discarded: Vec<Consumer>,
}

impl Core {
    /// A pool with all its workers started.
    pub(crate) fn new(mut config: Config) -> Result<Arc<Self>, PoolError> {
        let start_method = config.start_method.map_or_else(StartMethod::from_environment, Ok)?;
        let mut workers = config.workers.unwrap_or_else(procession_process::cpu_count);
        let is_inline = start_method == StartMethod::Inline;
        if is_inline {
            workers = workers.min(1);
            config.policy.never_replace();
        }
        let generation = fork::generation().map_err(|error| PoolError::Thread(Arc::new(error)))?;
        let core = Arc::new(Self {
            generation,
            owner: std::process::id(),
            state: Mutex::new(State::new(config.trusting, is_inline, config.policy.clone())),
            config,
            workers,
            start_method,
            bell: AtomicU32::new(0),
            deaths: Mutex::default(),
            has_deaths: AtomicU32::new(0),
            next_lane: AtomicU64::new(0),
            #[cfg(feature = "tracing")]
            order: crate::trace::Order::default(),
            duty: Condvar::new(),
        });
        core.staff_up()?;
        if core.config.policy.idle_timeout.is_some() {
            core.ensure_background()?;
        }
        Ok(core)
    }

    /// Why nothing may be done with the pool here, if this process inherited it through a `fork`: its lock may have been held
    /// at that moment, and its rings are not mapped.
    pub(crate) fn disowned(&self) -> Option<PoolError> {
        (!self.is_ours()).then_some(PoolError::Forked { owner: self.owner })
    }

    /// Whether this is the process that made the pool.
    #[inline]
    pub(crate) fn is_ours(&self) -> bool {
        fork::is_current(self.generation)
    }

    /// The deaths that were written down since this was called last. One that is written down meanwhile is found now or next time.
    fn new_deaths(&self) -> Vec<Death> {
        if self.has_deaths.load(Ordering::Acquire) == 0 {
            return Vec::new();
        }
        self.has_deaths.store(0, Ordering::SeqCst);
        std::mem::take(&mut *self.deaths.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The state. A panic while it was locked can only be a failed assertion of ours: the state is then as good as the last
    /// step that was completed, and others go on with it.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the state back and then tells everybody who has to be told something.
    pub(crate) fn unlock(&self, mut state: MutexGuard<'_, State>) {
        state.ring_workers();
        let aftermath = state.take_aftermath();
        let unseen = std::mem::take(&mut state.unseen);
        if state.background_rests && state.unattended > 0 {
            // However long ago it was that the call was begun.
            state.background_rests = false;
            self.duty.notify_all();
        }
        let is_driven = state.driver != Driver::Nobody;
        if is_driven && unseen > Unseen::Nothing {
            self.bell.fetch_add(1, Ordering::SeqCst);
        }
        drop(state);
        if is_driven && unseen == Unseen::Alarm {
            procession_shm::wake_all(&self.bell, true);
        }
        if let Some(aftermath) = aftermath {
            self.see_to(aftermath);
        }
    }

    /// Tells who has to be told, and drops what is to be dropped. Apart from what each unlocking does: as a rule there is nothing.
    #[inline(never)]
    fn see_to(&self, aftermath: Aftermath) {
        #[cfg(feature = "tracing")]
        if let Some(batch) = aftermath.heard {
            self.order.tell(batch);
        }
        let (notices, discarded) = (aftermath.notices, aftermath.discarded);
        let tells_wakers = notices.iter().any(|notice| matches!(notice, Notice::Waker(_)));
        for notice in notices {
            match notice {
                Notice::Thread(thread) => thread.unpark(),
                // Somebody else's waker, on whichever thread happens to be here: its panic, of which the panic hook has told,
                // must not keep the others from being woken.
                Notice::Waker(waker) => drop(catch_unwind(AssertUnwindSafe(|| waker.wake()))),
            }
        }
        if tells_wakers {
            self.nudge();
        }
        for consumer in discarded {
            drop(catch_unwind(AssertUnwindSafe(|| drop(consumer))));
        }
    }

    /// Makes a driver look again after wakers have run: one of them may have left word for just that thread, which was woken
    /// before it, or began to drive meanwhile, and found nothing.
    fn nudge(&self) {
        self.bell.fetch_add(1, Ordering::SeqCst);
        if self.lock().driver.sleeps() {
            procession_shm::wake_all(&self.bell, true);
        }
    }

    /// Moves the pool on without waiting, as a driver would.
    pub(crate) fn poll(self: &Arc<Self>) {
        let mut state = self.lock();
        for index in 0..state.lanes.len() {
            state.receive_from(index);
        }
        let state = self.turn(state);
        self.unlock(state);
    }

    /// Hands over a call whose items are all there, unless the backlog is full.
    pub(crate) fn submit_all(&self, chunks: Vec<Chunk>, items: usize) -> Result<(), SubmitError> {
        self.with(|state| {
            self.admit(state, items)?;
            chunks.into_iter().for_each(|chunk| state.submit(chunk));
            Ok(())
        })
    }

    /// Begins a call of one item, which `frame` has for any call, and hands it over, unless the backlog is full. Somebody sees to it
    /// although its owner does not wait.
    pub(crate) fn submit_one(
        self: &Arc<Self>,
        options: Options,
        mut frame: Frame,
    ) -> Result<CallId, SubmitError> {
        let locked = self.lock_attended();
        let mut state = locked.map_err(|error| SubmitError::Broken(Arc::new(error)))?;
        self.admit(&state, 1)?;
        let call = state.open_call(options, None, true);
        frame.belong_to(call);
        state.submit(Chunk::new(call, 0, frame));
        self.unlock(state);
        Ok(call)
    }

    /// Whether so many more items may be handed over.
    fn admit(&self, state: &State, items: usize) -> Result<(), SubmitError> {
        let full = self.config.backlog.filter(|limit| state.unfinished + items > *limit);
        let full = full.map(|limit| SubmitError::Full { limit });
        state.refusal().or(full).map_or(Ok(()), Err)
    }

    /// What has arrived for a call; if nothing has, `waker` is told when something does. The waker is copied and dropped while the lock
    /// is free: it is somebody else's, and may use the pool for that, or panic.
    pub(crate) fn fetch_or_tell(&self, call: CallId, waker: &Waker) -> Option<Vec<Delivery>> {
        let mut consumer = Consumer::Waker(waker.clone());
        self.with(|state| {
            let fetched = state.fetch(call);
            if fetched.is_none() {
                state.await_call(call, std::mem::take(&mut consumer));
            }
            fetched
        })
    }

    /// Does something with the state.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let done = work(&mut state);
        self.unlock(state);
        done
    }

    /// The reaper's part: writes the death down and wakes whoever drives.
    fn mourn(&self, death: Death) {
        self.deaths.lock().unwrap_or_else(PoisonError::into_inner).push(death);
        self.has_deaths.store(1, Ordering::Release);
        self.ring();
    }

    /// Makes whoever drives look at everything again.
    pub(crate) fn ring(&self) {
        self.bell.fetch_add(1, Ordering::SeqCst);
        procession_shm::wake_all(&self.bell, true);
    }
}

impl State {
    /// What has to be seen to once the lock is free, if there is anything.
    #[inline]
    fn take_aftermath(&mut self) -> Option<Aftermath> {
        if !self.has_something_to_tell() && self.discarded.is_empty() {
            return None;
        }
        Some(Aftermath {
            notices: std::mem::take(&mut self.notices),
            #[cfg(feature = "tracing")]
            heard: self.heard.take(),
            discarded: std::mem::take(&mut self.discarded),
        })
    }

    /// What has arrived for a call, if anything has.
    pub(crate) fn fetch(&mut self, id: CallId) -> Option<Vec<Delivery>> {
        let call = self.calls.get_mut(&id)?;
        (!call.deliveries.is_empty()).then(|| std::mem::take(&mut call.deliveries))
    }

    /// The same for who waits for `wanted` more outcomes and then for nothing else: whether they are these, so that the call was
    /// forgotten.
    pub(crate) fn fetch_last(
        &mut self,
        id: CallId,
        wanted: usize,
    ) -> Option<(Vec<Delivery>, bool)> {
        let deliveries = self.fetch(id)?;
        let is_over = deliveries.iter().map(Delivery::count).sum::<usize>() >= wanted;
        if is_over {
            self.close_call(id);
        }
        Some((deliveries, is_over))
    }

    /// Why nothing can be submitted, if nothing can.
    pub(crate) fn refusal(&self) -> Option<SubmitError> {
        if let Some(error) = &self.broken {
            return Some(SubmitError::Broken(Arc::clone(error)));
        }
        self.closed.then_some(SubmitError::Closed)
    }
}
