//! Models of the ring, the bell and the gate: loom runs them through every interleaving that its bounds allow.
//!
//! The victim of a death is a thread that stops after a number of steps without cleaning up. Each model is run once for each
//! number of steps.

use std::collections::VecDeque;
use std::sync::Arc;

use loom::sync::Mutex;
use loom::thread;
use procession_shm::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use procession_shm::sync::mortal;
use procession_shm::sync::one_sided::Fences;
use procession_shm::sync::stage::play;
use procession_shm::{Deadline, wait};

use crate::bell::{AT_ONCE, AT_REST, Bell};
use crate::gate::Gate;
use crate::loom_ring::RingOnHeap;
use crate::ring::{Consumer, Producer};

const CAPACITY: usize = 2;

struct Heap {
    ring: RingOnHeap,
    bell: AtomicU32,
    room: AtomicU32,
    started: AtomicU64,
    ruling: AtomicU64,
}

impl Heap {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            ring: RingOnHeap::new(CAPACITY),
            bell: AtomicU32::new(0),
            room: AtomicU32::new(0),
            started: AtomicU64::new(0),
            ruling: AtomicU64::new(0),
        })
    }

    fn gate(&self) -> Gate<'_> {
        Gate::new(&self.started, &self.ruling, Fences::offer())
    }
}

/// Sleeps until `ready`, as every sleeper on a bell does.
fn sleep_until(word: &AtomicU32, wanted: u32, mut ready: impl FnMut() -> bool) {
    let bell = Bell::new(word);
    while !ready() {
        bell.announce(wanted);
        if !ready() {
            wait(&[bell.watch(wanted)], &Deadline::NEVER);
        }
        bell.retract();
    }
}

#[test]
fn loom_ring_bytes_arrive_in_order_and_sleepers_are_woken() {
    play(|| {
        let heap = Heap::new();
        let sender = {
            let heap = Arc::clone(&heap);
            thread::spawn(move || {
                let mut producer = Producer::new(&heap.ring);
                for byte in 1..=3 {
                    sleep_until(&heap.room, AT_REST, || producer.free().unwrap() > 0);
                    assert_eq!(producer.write(&[byte]).unwrap(), 1);
                    producer.publish();
                    Bell::new(&heap.bell).ring(AT_REST);
                }
            })
        };
        let mut consumer = Consumer::new(&heap.ring);
        let mut got = Vec::new();
        while got.len() < 3 {
            sleep_until(&heap.bell, AT_REST, || consumer.available().unwrap() > 0);
            consumer.read(1, &mut got);
            consumer.release();
            Bell::new(&heap.room).ring(AT_REST);
        }
        sender.join().unwrap();
        assert_eq!(got, [1, 2, 3]);
    });
}

#[test]
fn loom_ring_a_dead_producer_has_sent_whole_messages_only() {
    for steps in 0..=4 {
        play(move || {
            let heap = Heap::new();
            let victim = {
                let heap = Arc::clone(&heap);
                thread::spawn(move || {
                    let mut producer = Producer::new(&heap.ring);
                    // Two messages of one byte: write, publish, write, publish; dead after `steps` of them.
                    for step in 0..steps {
                        match step % 2 {
                            0 => drop(producer.write(&[7 + step]).unwrap()),
                            _ => producer.publish(),
                        }
                    }
                })
            };
            let mut consumer = Consumer::new(&heap.ring);
            let early = consumer.available().unwrap();
            victim.join().unwrap();
            let sent = usize::from(steps / 2);
            assert!(early <= sent);
            assert_eq!(consumer.available().unwrap(), sent);
            let mut got = Vec::new();
            consumer.read(sent, &mut got);
            assert_eq!(got, [7, 9][..sent]);
        });
    }
}

#[test]
fn loom_gate_an_item_is_begun_or_taken_back_never_both_never_neither() {
    play(|| {
        let heap = Heap::new();
        let worker = {
            let heap = Arc::clone(&heap);
            thread::spawn(move || (0..2).take_while(|&n| heap.gate().begin(n)).count())
        };
        let begun = heap.gate().revoke().unwrap();
        let ran = worker.join().unwrap() as u64;
        assert_eq!(ran, begun);
        assert_eq!(heap.gate().started(), begun);
        assert!(heap.gate().is_revoked());
        heap.gate().resume();
        assert!(heap.gate().begin(ran));
    });
}

/// The parent ends a worker that goes on after it was asked, just then: after that the worker begins nothing.
#[test]
fn loom_gate_is_closed_for_good_also_while_a_worker_goes_on() {
    play(|| {
        let heap = Heap::new();
        assert_eq!(heap.gate().revoke(), Some(0));
        let worker = {
            let heap = Arc::clone(&heap);
            thread::spawn(move || {
                heap.gate().resume();
                (0..2).take_while(|&n| heap.gate().begin(n)).count()
            })
        };
        let begun = heap.gate().close().unwrap();
        let ran = worker.join().unwrap() as u64;
        assert_eq!(ran, begun);
        heap.gate().resume();
        assert!(!heap.gate().begin(ran));
    });
}

/// A worker that dies while it tells of an item, or while the parent takes back what has not begun.
#[test]
fn loom_gate_a_death_leaves_at_most_the_item_that_was_told_of() {
    for steps in 0..=6 {
        play(move || {
            let heap = Heap::new();
            let worker = {
                let heap = Arc::clone(&heap);
                thread::spawn(move || {
                    let mut ran = 0;
                    let _killed = mortal::live_for(steps, || {
                        while ran < 2 && heap.gate().begin(ran) {
                            ran += 1;
                        }
                    });
                    ran
                })
            };
            let share = heap.gate().revoke().unwrap();
            let ran = worker.join().unwrap();
            // What it ran is its own. One item may be its own that it did not live to run.
            assert!(ran <= share && share <= ran + 1, "ran {ran} of {share}");
            assert_eq!(heap.gate().started(), share);
        });
    }
}

/// What goes beside an item: the worker looks, begins the item, and takes. A handle that has one owner is with the worker, or in the
/// socket for the parent, which asks for those of items that were not begun.
#[test]
fn loom_gate_a_handle_has_one_owner_wherever_the_worker_dies() {
    const ITEMS: u64 = 2;
    for steps in 0..=3 * ITEMS {
        play(move || {
            let heap = Heap::new();
            let socket = Arc::new(Mutex::new((0..ITEMS).collect::<VecDeque<_>>()));
            let worker = {
                let (heap, socket) = (Arc::clone(&heap), Arc::clone(&socket));
                thread::spawn(move || {
                    let (mut looked, mut begun) = (None, 0);
                    for step in 0..steps {
                        match step % 3 {
                            0 => looked = socket.lock().unwrap().front().copied(),
                            1 if heap.gate().begin(step / 3) => begun += 1,
                            // It was taken back: nothing is taken any more.
                            1 => break,
                            _ => assert_eq!(socket.lock().unwrap().pop_front(), looked),
                        }
                    }
                    begun
                })
            };
            // The parent ends it: nothing is begun after this, and what was not can be had once it is dead.
            let begun = heap.gate().revoke().unwrap();
            assert_eq!(worker.join().unwrap(), begun);
            let left = Vec::from_iter(socket.lock().unwrap().iter().copied());
            assert!((begun..ITEMS).all(|item| left.contains(&item)), "{left:?} of {begun}");
        });
    }
}

/// The worker's gate stands in for the fence of the bell it rings after a result in the middle of a chunk.
#[test]
fn loom_gate_wakes_a_parent_that_waits_for_a_result_in_the_middle() {
    play(|| {
        let heap = Heap::new();
        let worker = {
            let heap = Arc::clone(&heap);
            thread::spawn(move || {
                let mut results = Producer::new(&heap.ring);
                assert!(heap.gate().begin(0));
                results.write(&[1]).unwrap();
                results.publish();
                assert!(heap.gate().begin(1));
                Bell::new(&heap.bell).ring_after_fence(AT_ONCE);
                // The second item never ends: nothing else wakes the parent.
            })
        };
        let mut results = Consumer::new(&heap.ring);
        while results.available().unwrap() == 0 {
            let bell = Bell::new(&heap.bell);
            bell.announce(AT_ONCE);
            assert!(Fences::offer().rare());
            if results.available().unwrap() == 0 {
                wait(&[bell.watch(AT_ONCE)], &Deadline::NEVER);
            }
            bell.retract();
        }
        worker.join().unwrap();
    });
}

/// The control: without the fence between the news and the look at the bell, a wake-up is lost, and loom sees it.
#[test]
#[should_panic(expected = "deadlock")]
fn loom_bell_without_its_fence_loses_a_wake_up() {
    play(|| {
        let heap = Heap::new();
        let ringer = {
            let heap = Arc::clone(&heap);
            thread::spawn(move || {
                heap.ring.tail.store(1, Ordering::Release);
                if heap.bell.load(Ordering::Relaxed) >= AT_REST
                    && heap.bell.swap(0, Ordering::Relaxed) != 0
                {
                    procession_shm::wake_all(&heap.bell, false);
                }
            })
        };
        sleep_until(&heap.bell, AT_REST, || heap.ring.tail.load(Ordering::Acquire) == 1);
        ringer.join().unwrap();
    });
}
