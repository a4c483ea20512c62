//! Driving the pool: whoever waits does it.
//!
//! One thread at a time is the *driver*: it looks at the workers' words for a moment and then sleeps on all of them at once,
//! together with the pool's own bell. Other threads that wait are parked and told when there is something for them. A driver
//! that has what it came for leaves, and one of the parked takes over.
//!
//! # Why no wake-up is lost
//!
//! * Results: the driver announces itself on the bell of every worker that has something to do, looks once more, and sleeps
//!   ([`bell`](procession_channel::bell), E3). If it wants to be woken for each result it fences for the workers, too, who have none of
//!   their own between two items ([`gate`](procession_channel::gate), E4).
//! * Everything else changes the pool's own bell, whose value the driver read before it looked at anything.
//! * A thread that gives something to a worker while the driver sleeps announces the driver on that worker's bell. The driver
//!   sleeps on that word already; if it is just about to, the pool's bell has changed and it does not. A result in the middle of
//!   what the worker was given does not ring then: unless the driver only naps it is woken, to see that there may be some.
//!
//! # What a hostile worker can do here
//!
//! Wake the driver, whether it changes its words for that or not, whether it has something to do or not and whether it is owed the
//! rest of a long argument or not, up to [`Lane::was_woken_by`](super::lane::Lane::was_woken_by)'s limit. (Who changes nothing is found only where the kernel tells on
//! which word it has woken a sleeper: with `futex_waitv`, and up to 128 words.) It cannot keep the driver asleep longer than
//! the other words and the next alarm allow.

use std::sync::{Arc, MutexGuard};
use std::thread;
use std::time::Duration;

use procession_channel::bell::{AT_ONCE, AT_REST};
use procession_process::link::Watcher;
use procession_shm::sync::atomic::Ordering;
use procession_shm::sync::one_sided::Fences;
use procession_shm::{Deadline, Spin, Wake, Watch, wait_and_tell};

use super::Core;
use super::call::Consumer;
use super::chunk::CallId;
use super::lane::Sentence;
use super::state::{Driver, Notice, State, Unseen, until};

/// How long a driver sleeps at first when a worker is in the middle of a chunk: results in there do not ring.
const NAP: Duration = Duration::from_millis(1);

impl Core {
    /// Waits until `ready` finds what it looks for, and drives the pool meanwhile if nobody else does. `call` is the one whose
    /// outcomes are waited for, if it is one.
    pub(crate) fn wait_until<T>(
        self: &Arc<Self>,
        call: Option<CallId>,
        deadline: &Deadline,
        mut ready: impl FnMut(&mut State) -> Option<T>,
    ) -> Option<T> {
        let mut state = self.lock();
        loop {
            // Before anything is looked at: what changes after this changes the bell and is not slept over.
            let bell = self.bell.load(Ordering::SeqCst);
            state = self.turn(state);
            let found = ready(&mut state);
            if found.is_some() || deadline.is_over() {
                self.leave(state, call);
                return found;
            }
            state = if state.has_something_to_tell() {
                self.tell(state)
            } else if state.driver == Driver::Nobody {
                state.driver_call = call;
                self.drive(state, bell, deadline)
            } else {
                self.park(state, call, deadline)
            };
        }
    }

    /// Moves everything on as far as it goes without waiting.
    pub(crate) fn turn<'a>(
        self: &'a Arc<Self>,
        mut state: MutexGuard<'a, State>,
    ) -> MutexGuard<'a, State> {
        for death in self.new_deaths() {
            state.bury(death);
        }
        state.advance();
        self.see_to_staff(state)
    }

    /// Tells those who have to be told something before this thread becomes the driver: one of them may be a callback that
    /// itself waits for the pool, on this thread.
    fn tell<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        if state.driver == Driver::Nobody && !state.parked.is_empty() {
            let next = state.parked.remove(0);
            state.notices.push(Notice::Thread(next));
        }
        self.unlock(state);
        self.lock()
    }

    /// Goes away, and lets one of those who are parked take over.
    fn leave(&self, mut state: MutexGuard<'_, State>, call: Option<CallId>) {
        if let Some(call) = call {
            state.set_consumer(call, Consumer::Nobody);
        }
        if state.driver == Driver::Nobody && !state.parked.is_empty() {
            let next = state.parked.remove(0);
            state.notices.push(Notice::Thread(next));
        }
        self.unlock(state);
    }

    /// Waits while somebody else drives.
    fn park<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        call: Option<CallId>,
        deadline: &Deadline,
    ) -> MutexGuard<'a, State> {
        let me = thread::current();
        if let Some(call) = call {
            state.set_consumer(call, Consumer::Thread(me.clone()));
        }
        state.parked.push(me.clone());
        let background_drives = state.background_drives;
        self.unlock(state);
        if background_drives {
            // It stands back for a thread that waits.
            self.ring();
        }
        match deadline.remaining() {
            Some(left) => thread::park_timeout(left),
            None => thread::park(),
        }
        let mut state = self.lock();
        state.parked.retain(|thread| thread.id() != me.id());
        state
    }

    /// Looks at the workers' words for a moment, then sleeps on them until there is news.
    fn drive<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        bell: u32,
        deadline: &Deadline,
    ) -> MutexGuard<'a, State> {
        state.driver = Driver::Awake;
        // Who drives has just looked at everything.
        state.unseen = Unseen::Nothing;
        let spin = Spin::for_parties(state.busy() + 1);
        let mut news = false;
        if spin != Spin::NONE {
            let (first, others) = state.watchers_of_busy();
            self.unlock(state);
            news = spin.until(|| {
                let mut watchers = first.iter().chain(&others);
                watchers.any(|(watcher, seen)| watcher.has_results_beyond(*seen))
                    || self.bell.load(Ordering::Relaxed) != bell
            });
            state = self.lock();
        }
        if !news && self.bell.load(Ordering::SeqCst) == bell {
            state = self.sleep(state, bell, deadline);
        }
        state.driver = Driver::Nobody;
        state
    }

    /// Sleeps on every worker's bell and the pool's own.
    fn sleep<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        bell: u32,
        deadline: &Deadline,
    ) -> MutexGuard<'a, State> {
        let (wanted, nap) = state.nap_mode();
        let (announced, is_certain) = state.announce(wanted);
        let nap = if is_certain { nap } else { Some(NAP) };
        if !announced.is_empty() && announced.iter().any(|sleep| sleep.has_news) {
            state.retract(&announced, None);
            return state;
        }
        let deadline = state
            .next_alarm()
            .map_or(*deadline, |alarm| deadline.min(Deadline::after(until(alarm))));
        let deadline = nap.map_or(deadline, |nap| deadline.min(Deadline::after(nap)));
        let progress = state.progress;
        state.driver = if nap.is_some() { Driver::Napping } else { Driver::Asleep };
        self.unlock(state);
        let (woken, on) = wait_and_tell(&words(&self.bell, bell, &announced), &deadline);
        let mut state = self.lock();
        state.retract(&announced, on.and_then(|word| who_owns(word, &announced)));
        state.slept_in_vain = woken == Wake::TimedOut && state.progress == progress;
        state
    }
}

/// The pool's bell and the workers'.
fn words<'a>(
    own: &'a procession_shm::sync::atomic::AtomicU32,
    seen: u32,
    announced: &'a [Announced],
) -> Vec<Watch<'a>> {
    let mut words = vec![Watch::private(own, seen)];
    for sleep in announced {
        words.push(sleep.watcher.watch(sleep.bell));
        if sleep.needs_room {
            words.push(sleep.watcher.watch_room(AT_REST));
        }
    }
    words
}

/// The worker whose word has this index among [`words`], if it is a worker's.
fn who_owns(word: usize, announced: &[Announced]) -> Option<u64> {
    let mut owners = announced
        .iter()
        .flat_map(|sleep| std::iter::repeat_n(sleep.id, 1 + usize::from(sleep.needs_room)));
    owners.nth(word.checked_sub(1)?)
}

/// A worker on whose bell the driver is about to sleep.
#[derive(Debug)]
pub(crate) struct Announced {
    index: usize,
    id: u64,
    watcher: Arc<Watcher>,
    /// The value of its bell: what was announced, or that nothing was.
    bell: u32,
    needs_room: bool,
    has_news: bool,
}

/// A busy worker's results, and how far they were received.
type Seen = (Arc<Watcher>, u64);

impl State {
    /// The first of them by itself: it is the only one as a rule where a microsecond counts, and needs no list.
    fn watchers_of_busy(&self) -> (Option<Seen>, Vec<Seen>) {
        let busy = self.lanes.iter().flatten().filter(|lane| lane.is_busy());
        let mut seen = busy.map(|lane| (lane.link.watcher(), lane.link.received()));
        (seen.next(), seen.collect())
    }

    /// What workers shall ring for, and how long to sleep at most if they do not.
    ///
    /// Results in the middle of a chunk come too fast to be rung for, as a rule. If none came for a whole nap, they do not.
    fn nap_mode(&self) -> (u32, Option<Duration>) {
        match (self.has_long_chunks(), self.slept_in_vain) {
            (true, true) => (AT_ONCE, None),
            (true, false) => (AT_REST, Some(NAP)),
            (false, _) => (AT_REST, None),
        }
    }

    /// Tells every worker that has something to do that the driver is about to sleep, and looks for news once more. Also says whether
    /// each of them will ring.
    fn announce(&mut self, wanted: u32) -> (Vec<Announced>, bool) {
        for lane in self.lanes.iter_mut().flatten().filter(|lane| lane.is_credible()) {
            if lane.is_busy() {
                lane.link.announce(wanted, lane.halfway());
            }
            if lane.has_outbox() {
                lane.link.room_bell().announce(AT_REST);
            }
        }
        let fences = self.lanes.iter().flatten().map(|lane| lane.link.fences()).max();
        let is_certain = wanted != AT_ONCE || fences.is_none_or(Fences::rare);
        (self.look_for_news(wanted), is_certain)
    }

    fn look_for_news(&mut self, wanted: u32) -> Vec<Announced> {
        let mut announced = Vec::new();
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            let Some(lane) = lane.as_mut().filter(|lane| lane.is_credible()) else { continue };
            let (busy, needs_room) = (lane.is_busy(), lane.has_outbox());
            let has_news = busy && (lane.link.has_results() || lane.has_said())
                || needs_room && lane.link.has_room().unwrap_or(true);
            let bell = if busy { wanted } else { 0 };
            let (id, watcher) = (lane.id, lane.link.watcher());
            announced.push(Announced { index, id, watcher, bell, needs_room, has_news });
        }
        announced
    }

    /// The driver is awake again: nobody needs to ring. Workers that wake it without news are found here: their bells are not as
    /// they were, or the kernel has told that the driver was woken on a word of theirs.
    fn retract(&mut self, announced: &[Announced], waker: Option<u64>) {
        for sleep in announced {
            let Some(lane) = self.lane(sleep.index).filter(|lane| lane.id == sleep.id) else {
                continue;
            };
            let rung = sleep.has_news
                || waker == Some(lane.id)
                || lane.link.bell().is_rung(sleep.bell)
                || sleep.needs_room && lane.link.room_bell().is_rung(AT_REST);
            lane.link.bell().retract();
            lane.link.room_bell().retract();
            let has_results = lane.link.has_results();
            #[cfg(feature = "tracing")]
            let has_results = match self.hear(sleep.index) {
                Ok(has_said) => has_said || has_results,
                Err(sentence) => {
                    self.condemn(sleep.index, sentence);
                    continue;
                }
            };
            let Some(lane) = self.lane(sleep.index) else { continue };
            if rung && !lane.was_woken_by(has_results) {
                self.condemn(sleep.index, Sentence::Nonsense);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Wake, Waker};

    use procession_shm::sync::atomic::AtomicU32;

    use super::*;
    use crate::Pool;

    fn nap(ms: u64) {
        thread::sleep(Duration::from_millis(ms));
    }

    /// A waker that takes its time before it leaves word.
    #[derive(Default)]
    struct Late(AtomicU32);

    impl Late {
        fn has_word(&self) -> bool {
            self.0.load(Ordering::SeqCst) != 0
        }
    }

    impl Wake for Late {
        fn wake(self: Arc<Self>) {
            nap(20);
            self.0.store(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_driver_is_told_what_a_waker_has_done_late() {
        let pool = Pool::with_workers(1).unwrap();
        let late = Arc::new(Late::default());
        thread::scope(|scope| {
            let driver = scope.spawn(|| {
                let guard = Deadline::after(Duration::from_secs(60));
                pool.core().wait_until(None, &guard, |_| late.has_word().then_some(()))
            });
            while !pool.core().lock().driver.sleeps() {
                thread::yield_now();
            }
            let mut task = pool.submit(nap, 50).unwrap();
            let waker = Waker::from(Arc::clone(&late));
            assert!(Pin::new(&mut task).poll(&mut Context::from_waker(&waker)).is_pending());
            while !late.has_word() {
                pool.core().poll();
            }
            assert_eq!(driver.join().unwrap(), Some(()));
        });
    }
}
