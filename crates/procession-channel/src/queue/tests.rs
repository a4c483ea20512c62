//! A queue whose memory somebody has overwritten: whatever it holds, no operation panics or reads what is not there.

use std::io::Read;
use std::os::fd::AsFd;
use std::time::Duration;

use proptest::prelude::*;

use super::control::low;
use super::put::Growth;
use super::store::Bytes;
use super::vigil::{Attempt, Patience};
use super::{Queue, RecvError, packets, parcel};
use crate::Fd;
use procession_shm::{Waitable, family};
use procession_sync::parts::Limit;

/// Numbers as they are found in the words, and others.
fn scribble() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        (0..70_u64, 0..600_u64).prop_map(|(items, granules)| items << 32 | granules),
        (0..14_u32).prop_map(|bit| 1 << bit),
        (0..4_u64, 0..4_u64, 0..3_u64)
            .prop_map(|(generation, slot, flags)| { generation << 32 | flags << 16 | slot }),
    ]
}

fn overwrite(queue: &Queue<Vec<u32>>, word: usize, value: u64) {
    use procession_shm::sync::atomic::Ordering::Release;
    let body = &queue.putter.seat.body;
    let control = &*body.control;
    let words = [
        &control.state.window,
        &control.put.tail,
        &control.put.head_seen,
        &control.get.cursor,
        &control.get.tail_seen,
        &control.get.taker,
        &control.get.forgotten,
        &control.get.head,
        &control.claims[0].owner,
        &control.claims[0].place,
        &control.claims[1].owner,
        &control.claims[1].place,
        &control.holders[0].member,
        &control.holders[0].count,
    ];
    match words.get(word) {
        Some(word) => word.store(value, Release),
        None if word == words.len() => {
            let end = low(value % 100);
            control.get.claims_end.store(end, Release);
        }
        None => body.bytes.write(8 * (word % 512), &value.to_le_bytes()),
    }
}

fn use_it(queue: &Queue<Vec<u32>>) {
    let _put = queue.try_put(vec![7; 20]);
    let _put = queue.try_put(vec![7; 1000]);
    let _got = queue.try_get();
    if let Ok(Some(claim)) = queue.try_claim() {
        drop(claim);
    }
    if let Ok(Some(claim)) = queue.try_claim() {
        claim.done();
    }
    let _got = queue.try_get();
    let _put = queue.put_timeout(vec![7; 300], Duration::ZERO);
    if let Ok(Some(many)) = queue.try_get_many(4) {
        many.for_each(drop);
    }
    let _done = queue.task_done();
    let _joined = queue.join_timeout(Duration::ZERO);
    let (_len, _full) = (queue.len(), queue.is_full());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    #[test]
    fn whatever_the_memory_holds_nothing_panics(
        scribbles in proptest::collection::vec((0..40_usize, scribble()), 1..12),
    ) {
        let queue = Queue::builder().capacity(4096).build().unwrap();
        for n in 0..6 {
            queue.put(vec![n; 30]).unwrap();
        }
        let _first = queue.claim().unwrap();
        queue.get().unwrap();
        for (word, value) in scribbles {
            overwrite(&queue, word, value);
            use_it(&queue);
        }
    }
}

#[test]
fn a_frame_that_cannot_be_is_corrupt() {
    let queue = Queue::builder().capacity(4096).build().unwrap();
    queue.put(vec![1]).unwrap();
    queue.putter.seat.body.bytes.write(0, &[255; 8]);
    assert!(matches!(queue.get(), Err(RecvError::Corrupt(_))));
}

#[test]
fn a_batch_in_which_a_frame_cannot_be_is_corrupt_and_nothing_of_it_is_got() {
    let lens = [[255; 4], [9, 0, 0, 0], 64_u32.to_le_bytes()];
    let headers = lens.map(|[a, b, c, d]| [a, b, c, d, 1, 1, 0, 0]);
    for header in
        headers.into_iter().chain([[255; 8], [8, 0, 0, 0, 2, 1, 0, 0], [0, 0, 0, 0, 1, 1, 1, 0]])
    {
        let queue = Queue::builder().capacity(4096).build().unwrap();
        queue.put_many([7_u64, 8]).unwrap();
        queue.putter.seat.body.bytes.write(16, &header);
        assert!(matches!(queue.try_get_many(3), Err(RecvError::Corrupt(_))), "{header:?}");
        assert_eq!(queue.len(), 2);
        assert_eq!(queue.get().unwrap(), 7);
    }
}

/// Nobody tells when it ends, so whoever would sleep until told must not be let believe that there is nothing.
#[test]
fn somebody_in_the_middle_of_a_get_for_long_hides_neither_items_nor_room() {
    let queue = Queue::builder().capacity(1 << 20).build().unwrap();
    queue.put(vec![7_u8]).unwrap();
    let (me, body) = (family::me().unwrap(), &queue.putter.seat.body);
    let stopped = body.hold_get(me, Limit::NEVER).unwrap().unwrap();
    assert!(queue.is_ready() && queue.putter.is_ready());
    // There is no room for it before the ring has grown, for which the other lock is needed, too.
    let (mut frame, mut handles) = (Vec::new(), Vec::new());
    parcel::encode(&vec![8_u8; 100_000], &mut frame, &body.settings).unwrap();
    let ends = [frame.len()];
    let mut put = || {
        let (handles, patience) = (&mut handles, &Patience::None);
        queue.putter.attempt(&mut frame, &ends, handles, patience, Growth::Now).unwrap()
    };
    assert!(matches!(put(), Attempt::Busy));
    drop(stopped);
    assert!(matches!(put(), Attempt::Done(1)));
}

/// As a process leaves it that is killed between its packet and its frame, or between its get and the drop of the packet.
#[test]
fn packets_without_an_item_are_dropped_by_who_looks_for_a_later_one() {
    let queue = Queue::new().unwrap();
    let (mut reader, writer) = std::io::pipe().unwrap();
    for tag in [1, 2] {
        assert!(packets::send(queue.putter.seat.socket(), tag, &[writer.as_fd()]).unwrap());
    }
    drop(writer);
    let (mut real, text) = std::io::pipe().unwrap();
    queue.put(Fd::new(text)).unwrap();
    drop(queue.get().unwrap().into_inner().unwrap());
    assert_eq!(real.read(&mut [0]).unwrap(), 0, "it was the one that was got");
    assert_eq!(reader.read(&mut [0]).unwrap(), 0, "the orphans are closed");
}
