//! Models of the queue: loom runs them through every interleaving that its bounds allow, with a death at every step.

use std::os::fd::AsFd;
use std::sync::Arc;

use loom::cell::UnsafeCell;
use procession_shm::family;
use procession_shm::sync::stage::{play, play_every_death, survivor, victim};
use procession_sync::parts::Limit;

use super::control::{Control, Settings};
use super::ends::Ends;
use super::frame::{HEADER_LEN, Header, Kind};
use super::gather::Most;
use super::get::{Found, Haul, Item, Rest, Ticket};
use super::put::{Growth, Load};
use super::store::Bytes;
use super::vigil::{Patience, Vigil};
use super::{Corrupt, RecvError, SendErrorKind};

const WORDS: usize = 8;
const FRAME_LEN: usize = 16;

/// Bytes on the heap, in words that loom watches for races.
struct Heap([UnsafeCell<[u8; 8]>; WORDS]);

impl Bytes for Heap {
    fn write(&self, offset: usize, bytes: &[u8]) {
        for (word, bytes) in self.0[offset / 8..].iter().zip(bytes.chunks(8)) {
            // SAFETY: loom fails the model if anybody else has the word.
            word.with_mut(|word| unsafe { (*word).copy_from_slice(bytes) });
        }
    }

    fn read(&self, offset: usize, len: usize, out: &mut Vec<u8>) {
        for word in &self.0[offset / 8..(offset + len) / 8] {
            // SAFETY: loom fails the model if anybody writes the word.
            word.with(|word| out.extend_from_slice(unsafe { &*word }));
        }
    }

    fn header(&self, offset: usize) -> [u8; HEADER_LEN] {
        // SAFETY: as in `read`.
        self.0[offset / 8].with(|word| unsafe { *word })
    }

    fn claim(&self, _: std::ops::Range<usize>) -> Result<(), procession_shm::SegmentError> {
        Ok(())
    }
}

struct Model {
    ends: Ends<Box<Control>, Heap>,
}

// SAFETY: the words are only accessed as the protocol of the queue allows, which is what the models check.
unsafe impl Sync for Model {}
// SAFETY: as for Sync.
unsafe impl Send for Model {}

/// A queue with room for so many items at first, and for so many at most.
fn queue(first: usize, most: usize) -> Arc<Model> {
    let window = |items: usize| (items * FRAME_LEN) as u64;
    let settings = Settings { capacity: window(most), items_max: u32::MAX, len_max: 0 };
    let control = Box::new(Control::new(settings, window(first)));
    let heap = Heap(std::array::from_fn(|_| UnsafeCell::new([0; 8])));
    Arc::new(Model { ends: Ends::new(control, heap, settings) })
}

impl Model {
    fn try_put(&self, number: u64, growth: Growth) -> Result<usize, SendErrorKind> {
        let header = Header { len: 8, kind: Kind::Inline, descriptors: 0 };
        let mut bytes = header.to_bytes().to_vec();
        bytes.extend_from_slice(&number.to_le_bytes());
        let socket = std::io::stderr();
        let (ends, mut handles) = ([FRAME_LEN], Vec::new());
        let (bytes, handles) = (&mut bytes[..], &mut handles);
        let load = Load { bytes, ends: &ends, handles, socket: socket.as_fd(), growth };
        self.ends.put(family::me().unwrap(), load, Limit::NEVER).map(Option::unwrap_or_default)
    }

    /// Puts; false if the queue is closed.
    fn put(&self, number: u64) -> bool {
        let vigil = Vigil::new(&self.ends.control.not_full, &Patience::ENDLESS);
        let mut growth = Growth::Later;
        let put = vigil.keep(
            || false,
            || match (self.try_put(number, growth)?, std::mem::replace(&mut growth, Growth::Now)) {
                (0, Growth::Later) => Ok(None),
                (0, Growth::Now) => {
                    self.ends.refresh(family::me().unwrap())?;
                    Ok(None)
                }
                (count, _) => Ok::<_, SendErrorKind>(Some(count)),
            },
        );
        match put {
            Ok(Some(1)) => self.ends.control.not_empty.wake_one(),
            Err(SendErrorKind::Closed) => return false,
            other => panic!("{other:?}"),
        }
        true
    }

    /// Gets an item; `None` at the end.
    fn get(&self) -> Option<u64> {
        self.haul(Most::ONE).map(|haul| number(&haul))
    }

    /// Gets as many items as there are, at least one; none at the end.
    fn get_many(&self) -> Vec<u64> {
        let haul = self.haul(Most { items: 9, ..Most::ONE }).unwrap_or_default();
        haul.items.iter().map(|item| body(&haul, *item)).collect()
    }

    fn haul(&self, most: Most) -> Option<Haul> {
        let (me, mut haul) = (family::me().unwrap(), Haul::default());
        let socket = std::io::stderr();
        let got =
            self.await_items(|| self.ends.get(me, &mut haul, most, socket.as_fd(), Limit::NEVER))?;
        assert_eq!(got, Found::Items);
        self.ends.control.not_full.wake_all();
        Some(haul)
    }

    fn claim(&self) -> Option<(Ticket, u64)> {
        let (me, mut haul, mut ticket) = (family::me().unwrap(), Haul::default(), None);
        let socket = std::io::stderr();
        self.await_items(|| {
            match self.ends.claim(me, &mut haul, socket.as_fd(), Limit::NEVER)? {
                Ok(claimed) => {
                    ticket = Some(claimed);
                    Ok(Found::Items)
                }
                Err(other) => Ok(other),
            }
        })?;
        ticket.map(|ticket| (ticket, number(&haul)))
    }

    fn await_items(&self, mut get: impl FnMut() -> Result<Found, RecvError>) -> Option<Found> {
        let vigil = Vigil::new(&self.ends.control.not_empty, &Patience::ENDLESS);
        let got = vigil.keep(
            || false,
            || match get()? {
                Found::Items => Ok(Some(Found::Items)),
                Found::Nothing | Found::Busy => Ok(None),
                Found::TheEnd => Err(RecvError::Closed),
            },
        );
        match got {
            Err(RecvError::Closed) => None,
            other => other.unwrap(),
        }
    }

    /// Ends a claim, and tells as its handle does.
    fn end_claim(&self, ticket: Ticket, is_done: bool) {
        assert!(self.ends.end_claim(family::me().unwrap(), ticket, is_done));
        self.ends.control.not_empty.wake_all();
    }

    fn close(&self) {
        self.ends.close(family::me().unwrap());
        self.ends.control.not_empty.wake_all();
        self.ends.control.not_full.wake_all();
    }

    fn drain(&self) -> Vec<u64> {
        std::iter::from_fn(|| self.get()).collect()
    }

    /// How many items the dead have got and not done, and whether nothing else is open but `mine`.
    fn debts(&self, mine: usize) -> u32 {
        let me = family::me().unwrap();
        let mut items = 0;
        for _ in 0..mine {
            assert!(self.ends.task_done(me).is_some());
        }
        loop {
            match self.rest().unwrap() {
                Rest::Owed(debt) => items += debt.items,
                Rest::Nothing => return items,
                Rest::Some => panic!("something is open that nobody has"),
            }
        }
    }

    fn rest(&self) -> Result<Rest, Corrupt> {
        self.ends.rest(family::me().unwrap(), Limit::NEVER)
    }
}

fn number(haul: &Haul) -> u64 {
    body(haul, haul.items[0])
}

fn body(haul: &Haul, item: Item) -> u64 {
    u64::from_le_bytes(haul.body(item).try_into().unwrap())
}

#[test]
fn loom_queue_a_dead_putter_has_put_its_item_or_not() {
    play_every_death(|steps| {
        let queue = queue(2, 2);
        let theirs = Arc::clone(&queue);
        let dead = victim(1, steps, move || theirs.put(7));
        family::enter(2);
        assert!(queue.put(9));
        let end = dead.join().unwrap();
        queue.close();
        let mut all = queue.drain();
        all.sort_unstable();
        assert!(all == [7, 9] || (all == [9] && end.is_none()), "{all:?}");
        end.is_none()
    });
}

#[test]
fn loom_queue_a_dead_getter_has_got_its_item_or_not_and_owes_what_it_got() {
    play_every_death(|steps| {
        let queue = queue(2, 2);
        family::enter(2);
        assert!(queue.put(1) && queue.put(2));
        queue.close();
        let theirs = Arc::clone(&queue);
        let dead = victim(1, steps, move || theirs.get());
        let mine = queue.drain();
        let end = dead.join().unwrap();
        let died = end.is_none();
        let owed = match end {
            // It lives, and has it.
            Some(got) => usize::from(got.is_some()),
            None => queue.debts(mine.len()) as usize,
        };
        assert_eq!(mine.len() + owed, 2, "{mine:?}");
        died
    });
}

/// A batch is copied before anybody knows how many items are in it, and no further than what was put.
#[test]
fn loom_queue_a_batch_reads_nothing_that_is_being_put() {
    play_every_death(|steps| {
        let queue = queue(2, 2);
        family::enter(2);
        assert!(queue.put(1));
        let theirs = Arc::clone(&queue);
        let dead = victim(1, steps, move || theirs.put(2));
        let mut all = queue.get_many();
        let end = dead.join().unwrap();
        queue.close();
        all.extend(queue.get_many());
        assert!(all == [1, 2] || (all == [1] && end.is_none()), "{all:?}");
        end.is_none()
    });
}

/// Who was woken for an item and dies takes no wake-up along.
#[test]
fn loom_queue_a_death_takes_no_wake_up_along() {
    play_every_death(|steps| {
        let queue = queue(2, 2);
        let (one, two) = (Arc::clone(&queue), Arc::clone(&queue));
        let dead = victim(1, steps, move || one.get());
        let other = survivor(2, move || two.get());
        family::enter(3);
        assert!(queue.put(1) && queue.put(2));
        assert!(other.join().unwrap().is_some());
        dead.join().unwrap().is_none()
    });
}

#[test]
fn loom_queue_two_who_wait_get_an_item_each() {
    play(|| {
        let queue = queue(2, 2);
        let getters = [1, 2].map(|slot| {
            let queue = Arc::clone(&queue);
            survivor(slot, move || queue.get())
        });
        family::enter(3);
        assert!(queue.put(1) && queue.put(2));
        let mut all = getters.map(|getter| getter.join().unwrap());
        all.sort_unstable();
        assert_eq!(all, [Some(1), Some(2)]);
    });
}

#[test]
fn loom_queue_who_waits_for_room_hears_of_it() {
    play(|| {
        let queue = queue(1, 1);
        family::enter(2);
        assert!(queue.put(1));
        let theirs = Arc::clone(&queue);
        let getter = survivor(1, move || [theirs.get(), theirs.get()]);
        assert!(queue.put(2));
        assert_eq!(getter.join().unwrap(), [Some(1), Some(2)]);
    });
}

/// The getter may die between its get and what makes room of it.
#[test]
fn loom_queue_what_the_dead_have_got_makes_room() {
    play_every_death(|steps| {
        let queue = queue(1, 1);
        family::enter(2);
        assert!(queue.put(1));
        let (one, two) = (Arc::clone(&queue), Arc::clone(&queue));
        let dead = victim(1, steps, move || one.get());
        let putter = survivor(3, move || two.put(2));
        let end = dead.join().unwrap();
        let died = end.is_none();
        if died && queue.rest().unwrap() == Rest::Some {
            assert_eq!(queue.get(), Some(1), "it had got nothing");
        }
        assert!(putter.join().unwrap());
        assert_eq!(queue.get(), Some(2));
        died
    });
}

#[test]
fn loom_queue_a_put_is_before_the_close_or_refused() {
    play(|| {
        let queue = queue(2, 2);
        let theirs = Arc::clone(&queue);
        let putter = survivor(1, move || theirs.put(7));
        let other = Arc::clone(&queue);
        let getter = survivor(3, move || other.drain());
        family::enter(2);
        queue.close();
        let was_put = putter.join().unwrap();
        assert_eq!(getter.join().unwrap(), if was_put { vec![7] } else { vec![] });
    });
}

#[test]
fn loom_queue_what_a_dead_claimer_has_not_done_is_offered_again() {
    play_every_death(|steps| {
        let queue = queue(2, 2);
        family::enter(2);
        assert!(queue.put(1) && queue.put(2));
        queue.close();
        let theirs = Arc::clone(&queue);
        let dead = victim(1, steps, move || {
            let (ticket, number) = theirs.claim()?;
            theirs.end_claim(ticket, true);
            Some(number)
        });
        let mut all = queue.drain();
        let mine = all.len();
        let end = dead.join().unwrap();
        let died = end.is_none();
        all.extend(end.flatten());
        all.sort_unstable();
        // Who dies right after it was done has done it.
        assert!(all == [1, 2] || (died && all.len() == 1), "{all:?}");
        assert_eq!(queue.debts(mine), 0, "what is claimed is owed by nobody");
        died
    });
}

#[test]
fn loom_queue_what_is_offered_again_is_got_once_and_owed_once() {
    play_every_death(|steps| {
        let queue = queue(2, 2);
        family::enter(2);
        assert!(queue.put(1));
        let (ticket, _) = queue.claim().unwrap();
        queue.end_claim(ticket, false);
        queue.close();
        let theirs = Arc::clone(&queue);
        let dead = victim(1, steps, move || theirs.get());
        let mine = queue.drain();
        let end = dead.join().unwrap();
        let died = end.is_none();
        let theirs = match end {
            Some(got) => got.iter().len(),
            None => queue.debts(mine.len()) as usize,
        };
        assert_eq!(mine.len() + theirs, 1);
        died
    });
}

#[test]
fn loom_queue_a_death_while_it_grows_changes_nothing() {
    play_every_death(|steps| {
        let queue = queue(2, 4);
        family::enter(2);
        // The window begins in its middle.
        assert!(queue.put(0) && queue.put(1) && queue.get() == Some(0) && queue.put(2));
        let theirs = Arc::clone(&queue);
        let dead = victim(1, steps, move || theirs.put(3));
        assert_eq!(queue.get(), Some(1));
        let died = dead.join().unwrap().is_none();
        queue.close();
        let rest = queue.drain();
        assert!(rest == [2, 3] || (died && rest == [2]), "{rest:?}");
        died
    });
}
