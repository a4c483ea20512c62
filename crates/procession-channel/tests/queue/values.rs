//! What is put is got, whatever its size.

use std::time::Duration;

use procession_channel::queue::{Queue, QueueError, RecvError, SendErrorKind, TaskDoneError};
use procession_shm::SharedSlice;

#[test]
fn values_come_in_order() {
    let queue = Queue::new().unwrap();
    for n in 0..1000_u64 {
        queue.put((n, "x".repeat(usize::try_from(n).unwrap()))).unwrap();
    }
    assert_eq!(queue.len(), 1000);
    for n in 0..1000_u64 {
        let (number, text) = queue.get().unwrap();
        assert_eq!((number, text.len() as u64), (n, n));
    }
    assert!(queue.is_empty());
}

#[test]
fn the_ring_grows_with_what_is_in_it_and_keeps_the_order() {
    let queue = Queue::builder().capacity(1 << 20).build().unwrap();
    let (mut put, mut got) = (0_u64, 0_u64);
    // Through every offset of every window: three steps forward, two back.
    while queue.try_put((put, vec![7_u8; 100])).is_ok() {
        put += 1;
        if put % 3 != 0 && !queue.is_empty() {
            assert_eq!(queue.get().unwrap().0, got);
            got += 1;
        }
    }
    assert!(put - got > 4000, "{put} {got}");
    assert_eq!(queue.len() as u64, put - got);
    while queue.try_put((put, Vec::new())).is_ok() {
        put += 1;
    }
    assert!(queue.is_full());
    for n in got..put {
        assert_eq!(queue.get().unwrap().0, n);
    }
}

#[test]
fn a_value_of_more_than_a_quarter_of_the_ring_goes_by_itself() {
    let queue = Queue::builder().capacity(4096).build().unwrap();
    for len in [0, 900, 1000, 1008, 1009, 1024, 4096, 1 << 20] {
        let text = "x".repeat(len);
        queue.put((1_u8, text.clone())).unwrap();
        queue.put((2, String::new())).unwrap();
        assert_eq!(queue.get().unwrap(), (1, text), "{len}");
        assert_eq!(queue.get().unwrap().0, 2);
    }
}

#[test]
fn a_value_over_the_limit_is_refused_and_comes_back() {
    let queue = Queue::builder().capacity(4096).max_message(10_000).build().unwrap();
    let error = queue.put("x".repeat(10_001)).unwrap_err();
    assert!(matches!(error.kind, SendErrorKind::TooLarge { limit: 10_000, .. }), "{error}");
    assert_eq!(error.value.len(), 10_001);
    queue.put("x".repeat(9_000)).unwrap();
    assert_eq!(queue.get().unwrap().len(), 9_000);
}

#[test]
fn a_value_over_the_limit_is_refused_also_where_the_ring_has_room_for_it() {
    let queue = Queue::builder().max_message(100).build().unwrap();
    let values = vec![vec![0_u8; 100], vec![0; 101]];
    let error = queue.put_many(values).unwrap_err();
    assert!(matches!(error.kind, SendErrorKind::TooLarge { len: 101, limit: 100 }), "{error}");
    assert_eq!((error.value.len(), queue.len()), (1, 1));
}

#[test]
fn a_bounded_queue_is_full_at_its_bound() {
    let queue = Queue::bounded(3).unwrap();
    assert_eq!(queue.capacity(), Some(3));
    queue.put_many([1, 2, 3]).unwrap();
    assert!(queue.is_full());
    let error = queue.try_put(4).unwrap_err();
    assert!(matches!(error.kind, SendErrorKind::Full) && error.value == 4);
    let error = queue.put_timeout(5, Duration::from_millis(1)).unwrap_err();
    assert!(matches!(error.kind, SendErrorKind::TimedOut) && error.value == 5);
    assert_eq!(queue.get().unwrap(), 1);
    assert!(!queue.is_full());
    queue.try_put(6).unwrap();
    assert_eq!((queue.get().unwrap(), queue.get().unwrap(), queue.get().unwrap()), (2, 3, 6));
    assert_eq!(Queue::<u8>::new().unwrap().capacity(), None);
}

#[test]
fn of_many_those_come_back_for_which_there_is_no_room_in_time() {
    let queue = Queue::bounded(3).unwrap();
    let error = queue.try_put_many([1, 2, 3, 4, 5]).unwrap_err();
    assert!(matches!(error.kind, SendErrorKind::Full) && error.value == [4, 5]);
    let error = queue.put_many_timeout([6, 7], Duration::from_millis(1)).unwrap_err();
    assert!(matches!(error.kind, SendErrorKind::TimedOut) && error.value == [6, 7]);
    std::thread::scope(|scope| {
        scope.spawn(|| queue.put_many_timeout(10..1000, None).unwrap());
        let mut got = Vec::new();
        while got.len() < 993 {
            let many = queue.get_many_timeout(9, Duration::from_secs(60)).unwrap().unwrap();
            got.extend(many.map(Result::unwrap));
        }
        assert!(got.into_iter().eq((1..=3).chain(10..1000)));
    });
    assert!(queue.is_empty());
}

#[test]
fn nothing_to_get_is_none_and_not_an_error() {
    let queue = Queue::<u8>::new().unwrap();
    assert_eq!(queue.try_get().unwrap(), None);
    assert_eq!(queue.get_timeout(Duration::from_millis(1)).unwrap(), None);
    assert!(queue.try_get_many(3).unwrap().is_none());
    assert!(queue.get_many_timeout(3, Duration::from_millis(1)).unwrap().is_none());
    assert!(queue.try_claim().unwrap().is_none());
    assert!(queue.claim_timeout(Duration::ZERO).unwrap().is_none());
}

#[test]
fn what_cannot_be_encoded_comes_back_and_leaves_nothing() {
    let (queue, carrier) = (Queue::new().unwrap(), Queue::new().unwrap());
    let (sender, receiver) = procession_channel::pipe::simplex::<u8>().unwrap();
    carrier.put(receiver).unwrap();
    queue.put((1, Some(sender))).unwrap();
    let moved = queue.get().unwrap();
    let error = queue.put_many([(2, None), (3, None), moved]).map_err(|error| error.value.len());
    assert_eq!(error, Ok(()));
    let items: Vec<_> = queue.get_many(9).unwrap().map(Result::unwrap).collect();
    assert_eq!(items.iter().map(|item| item.0).collect::<Vec<_>>(), [2, 3], "handles go alone");
    let (_, sender) = queue.get().unwrap();
    sender.unwrap().send(9).unwrap();
    assert_eq!(carrier.get().unwrap().recv().unwrap(), 9);
}

#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "u8")]
struct Even(u8);

impl TryFrom<u8> for Even {
    type Error = &'static str;

    fn try_from(number: u8) -> Result<Self, Self::Error> {
        if number.is_multiple_of(2) { Ok(Self(number)) } else { Err("odd") }
    }
}

#[test]
fn an_item_that_cannot_be_decoded_costs_itself_only() {
    let queue = Queue::new().unwrap();
    queue.put_many([Even(0), Even(1), Even(2), Even(3), Even(4), Even(5), Even(6)]).unwrap();
    assert_eq!(queue.get().unwrap(), Even(0));
    assert!(matches!(queue.get(), Err(RecvError::Decode(_))));
    let many: Vec<_> = queue.get_many(3).unwrap().map(Result::ok).collect();
    assert_eq!(many, [Some(Even(2)), None, Some(Even(4))]);
    assert!(matches!(queue.claim(), Err(RecvError::Decode(_))), "and is not offered again");
    queue.claim().unwrap().done();
    assert!(queue.is_empty());
    // Of those that were got, each is owed, whatever it was; of those that were claimed, none.
    (0..5).for_each(|_| queue.task_done().unwrap());
    assert!(matches!(queue.task_done(), Err(TaskDoneError::TooMany)));
    queue.join().unwrap();
}

#[test]
fn many_at_once_go_in_order_through_a_small_ring() {
    let queue = Queue::builder().capacity(4096).build().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| queue.put_many(0..100_000_u32).unwrap());
        let mut next = 0;
        while next < 100_000 {
            for item in queue.get_many(64).unwrap() {
                assert_eq!(item.unwrap(), next);
                next += 1;
            }
        }
    });
}

/// What a batch copies ahead goes by the length of its first item, and is too little or too much for these. Some of them have a
/// handle, and go alone.
#[test]
fn batches_of_items_of_any_length_come_as_they_were_put() {
    const LENS: [usize; 12] = [1, 70, 16 << 10, 3, 40_000, 0, 16_360, 8, 8, 8, 30_000, 1];
    let queue = Queue::builder().capacity(512 << 10).build().unwrap();
    let item = |number: usize| {
        let bytes = vec![u8::try_from(number % 256).unwrap(); LENS[number % LENS.len()]];
        let slice = number.is_multiple_of(5).then(|| SharedSlice::from_slice(&bytes).unwrap());
        (bytes, slice)
    };
    let (mut put, mut got) = (0, 0);
    for round in 1..60 {
        queue.put_many((put..put + round % 17).map(item)).unwrap();
        put += round % 17;
        while let Some(many) = queue.try_get_many(1 + round % 13).unwrap() {
            assert!(many.len() <= 1 + round % 13);
            for found in many {
                let ((bytes, slice), (right, right_slice)) = (found.unwrap(), item(got));
                assert_eq!(bytes, right);
                assert_eq!(slice.as_deref(), right_slice.as_deref());
                got += 1;
            }
        }
        assert_eq!(got, put);
    }
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let made = [
        Queue::<u8>::bounded(0),
        Queue::builder().capacity(0).build(),
        Queue::builder().capacity(usize::MAX).build(),
        Queue::builder().max_message(0).build(),
    ];
    for queue in made {
        assert!(matches!(queue, Err(QueueError::Option { .. })), "{queue:?}");
    }
}
