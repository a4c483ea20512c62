//! The lookout: one thread of a process that notices when the other end of a pipe is gone for good.
//!
//! # Algorithm
//!
//! An end that is about to sleep for the first time puts its socket on an epoll, for hang-ups only. The thread sleeps on the
//! epoll. When a socket hangs up, it sets the end's word *gone*, silences the end's bell and wakes whoever sleeps on it. So an
//! end that sleeps sleeps on one word, and none of them wakes up to ask.
//!
//! Rejected: asking the socket every so often (an idle end uses the processor, and what is asked late is noticed late);
//! sleeping in `poll` (see `line`); one thread for each end.
//!
//! # States of a post
//!
//! | state | means | next, by |
//! |---|---|---|
//! | on the list | its socket is on the epoll | told, by the thread; off the list, by its end |
//! | told | its word says gone; its socket is off the epoll | off the list, by its end |
//! | off the list | its end was dropped, or has travelled | |
//!
//! # Invariants
//!
//! * **L1** A socket is on the epoll only while its post is on the list, and the list keeps the socket open. A descriptor that is
//!   closed does not leave an epoll by itself if a message or a forked process has a copy.
//! * **L2** The word *gone* lies in memory of this process alone. It is set after the kernel said so, and never cleared.
//! * **L3** Nobody but the end and its post keeps the socket open, so that the other side hears of the end's end at once. The
//!   reactor may keep *gone* for seconds after the future that had waited for it was dropped; and whoever closes the last
//!   copy of a socket waits for what its peer has left in it, for which the thread of all ends has no time.
//!
//! # Ordering
//!
//! * **E3** (of [`bell`](crate::bell)) The thread stores *gone*, *fence*, clears the bell and wakes, whatever the bell says; a
//!   sleeper announces itself on the bell, *fence*, looks at *gone*, and sleeps while the bell is as announced. It wakes without
//!   a look because whoever is dead now may have silenced the bell and not lived to wake.
//!
//! # What a hostile holder of the memory can do here
//!
//! Announce the sleeper anew just between the thread's clearing of the bell and the sleeper's falling asleep. The sleeper finds
//! *gone* at its next check-up (see `line`). Whoever waits for several things watches *gone*, too, and is not delayed.
//!
//! # Forks, and what can fail
//!
//! A forked process has no lookout until an end of its own sleeps. Where no thread or descriptor is left for a lookout, an end
//! has no post, and asks its socket from time to time.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use procession_shm::fork::PerProcess;
use procession_shm::sync::atomic::{AtomicU32, Ordering};
use procession_shm::{KeptWord, quiet};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;

use super::line::Side;
use crate::bell::Bell;
use crate::ring::Ring;

static LOOKOUT: PerProcess<Lookout> = PerProcess::new();

const EVENTS_PER_TURN: usize = 64;

#[derive(Debug)]
struct Lookout {
    epoll: OwnedFd,
    list: Mutex<List>,
}

#[derive(Debug, Default)]
struct List {
    has_thread: bool,
    next: u64,
    posts: HashMap<u64, Arc<Post>>,
}

/// What the lookout knows of an end.
#[derive(Debug)]
struct Post {
    sleeper: Sleeper,
    socket: Arc<OwnedFd>,
}

/// Who is to be told.
#[derive(Debug, Clone)]
struct Sleeper {
    /// By itself, because a word that somebody watches is kept by him, and must not keep the socket (L3).
    gone: Arc<AtomicU32>,
    ring: Ring,
    side: Side,
}

/// An end's place on the list; it leaves it when dropped.
#[derive(Debug)]
pub(super) struct Posted {
    key: u64,
    post: Arc<Post>,
    lookout: &'static Lookout,
}

impl Posted {
    /// Has the lookout watch this socket, and wake this side of the ring when it hangs up.
    pub(super) fn new(ring: &Ring, side: Side, socket: &Arc<OwnedFd>) -> io::Result<Self> {
        let lookout = LOOKOUT.get_or_try_init(Lookout::new)?;
        lookout.start()?;
        let sleeper = Sleeper { gone: Arc::new(AtomicU32::new(0)), ring: ring.clone(), side };
        let post = Arc::new(Post { sleeper, socket: Arc::clone(socket) });
        let key = lookout.list().add(&post);
        let this = Self { key, post, lookout };
        // Hang-ups are told without being asked for. One that has been already is told at once.
        let data = EventData::new_u64(key);
        epoll::add(&lookout.epoll, &this.post.socket, data, EventFlags::ONESHOT)?;
        Ok(this)
    }

    /// Whether the other side is gone.
    #[inline]
    pub(super) fn is_gone(&self) -> bool {
        self.post.sleeper.gone.load(Ordering::Acquire) != 0
    }

    /// The word that is 0 until the other side is gone.
    pub(super) fn gone_word(&self) -> KeptWord {
        KeptWord::new(Arc::clone(&self.post.sleeper.gone), |gone| gone)
    }
}

impl Drop for Posted {
    fn drop(&mut self) {
        // A fork has a copy of this, with the very epoll that is the parent's.
        if !LOOKOUT.get().is_some_and(|own| std::ptr::eq(own, self.lookout)) {
            return;
        }
        // A socket that was told of is off already. It is this list that keeps it open (L1), so it cannot be another file's.
        let _off = epoll::delete(&self.lookout.epoll, &self.post.socket);
        self.lookout.list().posts.remove(&self.key);
    }
}

impl Lookout {
    fn new() -> io::Result<Self> {
        Ok(Self { epoll: epoll::create(CreateFlags::CLOEXEC)?, list: Mutex::default() })
    }

    fn list(&self) -> MutexGuard<'_, List> {
        // Nothing that can panic is done while it is held.
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&'static self) -> io::Result<()> {
        let mut list = self.list();
        if !list.has_thread {
            quiet::spawn("procession-lookout", || self.run())?;
            list.has_thread = true;
        }
        Ok(())
    }

    /// For as long as the process lives.
    fn run(&self) {
        let mut events = Vec::with_capacity(EVENTS_PER_TURN);
        loop {
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Ok(_) | Err(Errno::INTR) => {}
                // Somebody has closed a descriptor that is not his. Those who sleep have their check-ups.
                Err(_) => return,
            }
            for event in &events {
                if let Some(sleeper) = self.take_off(event.data.u64()) {
                    sleeper.tell();
                }
            }
        }
    }

    /// Takes the socket off the epoll, where it would only say the same again, and finds who is to be told. Nothing of the socket is
    /// left with the caller (L3): who is told drops it at once.
    fn take_off(&self, key: u64) -> Option<Sleeper> {
        let list = self.list();
        let post = list.posts.get(&key)?;
        let _off = epoll::delete(&self.epoll, &post.socket);
        Some(post.sleeper.clone())
    }
}

impl List {
    fn add(&mut self, post: &Arc<Post>) -> u64 {
        self.next += 1;
        self.posts.insert(self.next, Arc::clone(post));
        self.next
    }
}

impl Sleeper {
    fn tell(&self) {
        let bell = match self.side {
            Side::Reader => self.ring.reader_bell(),
            Side::Writer => self.ring.writer_bell(),
        };
        tell(&self.gone, bell);
        procession_shm::tell(&self.gone);
    }
}

/// Tells the sleeper of this bell that the other side is gone.
pub(super) fn tell(gone: &AtomicU32, bell: Bell<'_>) {
    gone.store(1, Ordering::Release);
    bell.ring_for_the_dead(); // E3
}

#[cfg(all(test, not(procession_loom)))]
mod tests {
    use std::sync::Weak;
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::bell::AT_REST;
    use crate::pipe::{self, Receiver, SendErrorKind, Sender};

    fn eventually(what: &str, is_so: impl Fn() -> bool) {
        let start = Instant::now();
        while !is_so() {
            assert!(start.elapsed() < Duration::from_secs(60), "never: {what}");
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn post_of(receiver: &Receiver<u8>) -> Weak<Post> {
        let post = receiver.end.with(|end| {
            let line = &end.as_ref().expect("open").line;
            Arc::downgrade(&line.posted().expect("a lookout").post)
        });
        post.expect("here")
    }

    /// As its process would leave it: without a word.
    fn kill(sender: Sender<u8>) {
        let moved = sender.end.with(|end| {
            let outlet = end.take().expect("open");
            outlet.line.set_leaving();
        });
        moved.expect("here");
    }

    #[test]
    fn the_end_of_a_peer_that_says_nothing_is_told_and_rings() {
        let (sender, receiver) = pipe::simplex::<u8>().expect("a pipe");
        let post = post_of(&receiver).upgrade().expect("on the list");
        post.sleeper.ring.reader_bell().announce(AT_REST);
        assert_eq!(post.sleeper.gone.load(Ordering::Acquire), 0);
        kill(sender);
        eventually("told", || post.sleeper.gone.load(Ordering::Acquire) == 1);
        eventually("rung", || post.sleeper.ring.reader_bell().is_rung(AT_REST));
        assert!(matches!(receiver.recv(), Err(pipe::RecvError::Closed)));
    }

    #[test]
    fn a_peer_that_is_gone_before_it_is_looked_out_for_is_told_at_once() {
        let (sender, receiver) = pipe::simplex::<u8>().expect("a pipe");
        kill(sender);
        let post = post_of(&receiver).upgrade().expect("on the list");
        eventually("told", || post.sleeper.gone.load(Ordering::Acquire) == 1);
    }

    /// The peer's end is told of, and is dropped before the thread has gone on.
    #[test]
    fn who_tells_of_an_end_does_not_hold_it_open() {
        let (sender, receiver) = pipe::simplex::<u8>().expect("a pipe");
        let socket = receiver.end.with(|end| {
            let line = &end.as_ref().expect("open").line;
            Arc::downgrade(line.socket())
        });
        let posted = receiver.end.with(|end| {
            let posted = end.as_ref().expect("open").line.posted().expect("a lookout");
            (posted.key, posted.lookout)
        });
        let (key, lookout) = posted.expect("here");
        let told = lookout.take_off(key).expect("on the list");
        drop(receiver);
        assert!(socket.expect("here").upgrade().is_none());
        told.tell();
        assert!(matches!(sender.send(1).map_err(|error| error.kind), Err(SendErrorKind::Closed)));
        assert!(lookout.take_off(key).is_none(), "it is off the list");
    }

    #[test]
    fn an_end_that_is_dropped_or_travels_is_off_the_list() {
        let (_sender, receiver) = pipe::simplex::<u8>().expect("a pipe");
        let post = post_of(&receiver);
        let (carrier, carried) = pipe::simplex().expect("a pipe");
        carrier.send(receiver).expect("room");
        assert!(post.upgrade().is_none(), "it has travelled");
        let receiver: Receiver<u8> = carried.recv().expect("the end");
        let post = post_of(&receiver);
        assert!(post.upgrade().is_some());
        drop(receiver);
        assert!(post.upgrade().is_none(), "it was dropped");
    }

    /// The reactor may keep it long after the future is gone.
    #[test]
    fn who_still_watches_an_end_that_has_travelled_does_not_hold_it_open() {
        let (sender, receiver) = pipe::simplex::<u8>().expect("a pipe");
        let kept = receiver
            .end
            .with(|end| end.as_ref().expect("open").line.posted().expect("a lookout").gone_word());
        let (carrier, carried) = pipe::simplex().expect("a pipe");
        carrier.send(receiver).expect("room");
        drop((carrier, carried));
        eventually("told that it is gone with the message", || {
            let is_told = sender.end.with(|end| {
                let line = &end.as_ref().expect("open").line;
                line.posted().expect("a lookout").is_gone()
            });
            is_told.expect("here")
        });
        drop(kept);
    }

    /// An end that asked its socket every 50 ms would wake up 16 times.
    #[test]
    fn an_idle_end_sleeps_and_does_not_ask() {
        let (_sender, receiver) = pipe::simplex::<u8>().expect("a pipe");
        let sleeps = || {
            let status = std::fs::read_to_string("/proc/thread-self/status").expect("/proc");
            let line =
                status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            line.and_then(|count| count.trim().parse::<u32>().ok()).expect("the kernel counts them")
        };
        let before = sleeps();
        assert_eq!(receiver.recv_timeout(Duration::from_millis(800)).expect("open"), None);
        let slept = sleeps() - before;
        assert!(slept <= 6, "{slept} sleeps");
    }
}
