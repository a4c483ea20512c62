//! The ring by itself: positions, wrap-around, and peers that lie.

use super::*;

fn ring() -> (Producer, Consumer, Ring) {
    let (ring, segment) = Ring::new(4096).unwrap();
    let other = Ring::over(&segment).unwrap();
    (Producer::new(ring.clone()), Consumer::new(other), ring)
}

#[test]
fn bytes_arrive_in_order_across_the_wrap() {
    let (mut producer, mut consumer, _) = ring();
    for round in 0..100_usize {
        let message: Vec<u8> = (0..1000 + round).map(|i| (round + i).to_le_bytes()[0]).collect();
        assert_eq!(producer.write(&message).unwrap(), message.len());
        producer.publish();
        let mut got = Vec::new();
        assert_eq!(consumer.available().unwrap(), message.len());
        consumer.read(message.len(), &mut got);
        consumer.release();
        assert_eq!(got, message, "round {round}");
    }
}

#[test]
fn what_is_not_published_is_not_seen() {
    let (mut producer, mut consumer, _) = ring();
    producer.write(b"half a message").unwrap();
    assert_eq!(consumer.available().unwrap(), 0);
    producer.publish();
    assert_eq!(consumer.available().unwrap(), 14);
}

#[test]
fn a_full_ring_takes_what_fits_and_the_rest_after_a_release() {
    let (mut producer, mut consumer, ring) = ring();
    let message = vec![7; ring.capacity() + 100];
    assert_eq!(producer.write(&message).unwrap(), ring.capacity());
    producer.publish();
    assert_eq!(producer.write(&message).unwrap(), 0);
    let mut got = Vec::new();
    assert_eq!(consumer.available().unwrap(), ring.capacity());
    consumer.read(100, &mut got);
    assert_eq!(producer.free().unwrap(), 0, "read is not yet released");
    consumer.release();
    assert_eq!(producer.write(&message[ring.capacity()..]).unwrap(), 100);
}

#[test]
fn a_view_in_place_is_contiguous_across_the_wrap() {
    let (mut producer, mut consumer, ring) = ring();
    let first = vec![1; ring.capacity() - 10];
    producer.write(&first).unwrap();
    producer.publish();
    assert_eq!(consumer.available().unwrap(), first.len());
    consumer.skip(first.len());
    consumer.release();
    let second: Vec<u8> = (0..100).collect();
    producer.write(&second).unwrap();
    producer.publish();
    assert_eq!(consumer.available().unwrap(), 100);
    // SAFETY: the producer of this test follows the protocol.
    assert_eq!(unsafe { consumer.view(100) }, second);
}

#[test]
fn a_tail_that_cannot_be_is_corrupt() {
    for lie in [4097, u64::MAX, 1 << 63] {
        let (_, mut consumer, ring) = ring();
        ring.tail().store(lie, Ordering::Release);
        assert!(consumer.available().is_err(), "tail {lie}");
    }
}

#[test]
fn a_tail_that_runs_backwards_is_corrupt() {
    let (mut producer, mut consumer, ring) = ring();
    producer.write(&[0; 64]).unwrap();
    producer.publish();
    assert_eq!(consumer.available().unwrap(), 64);
    ring.tail().store(63, Ordering::Release);
    assert!(consumer.available().is_err());
}

#[test]
fn a_head_that_cannot_be_is_corrupt() {
    for lie in [1, u64::MAX, 1 << 63] {
        let (mut producer, _, ring) = ring();
        ring.head().store(lie, Ordering::Release);
        assert!(producer.free().is_err(), "head {lie}");
    }
    let (mut producer, _, ring) = ring();
    producer.write(&[0; 64]).unwrap();
    ring.head().store(64, Ordering::Release);
    producer.free().unwrap();
    ring.head().store(63, Ordering::Release);
    assert!(producer.free().is_err(), "backwards");
}

#[test]
fn a_segment_of_the_wrong_shape_is_refused() {
    let segment = Segment::new(page_size() * 4).unwrap();
    assert!(matches!(Ring::over(&segment), Err(SegmentError::Foreign { .. })));
}

#[test]
fn what_is_padded_ends_in_zeros_wherever_it_lies() {
    let (mut producer, mut consumer, ring) = ring();
    ring.write(0, &vec![0xff; ring.capacity()]);
    for len in 1..=600_usize {
        let bytes = vec![len.to_le_bytes()[0] | 1; len];
        let padded_len = len.next_multiple_of(8);
        assert!(producer.room(padded_len).unwrap() >= padded_len);
        producer.write_padded(&bytes);
        producer.publish();
        assert_eq!(consumer.available().unwrap(), padded_len);
        let mut got = Vec::new();
        consumer.read(padded_len, &mut got);
        consumer.release();
        let (whole, padding) = got.split_at(len);
        assert_eq!(whole, bytes);
        assert!(padding.iter().all(|&byte| byte == 0), "{len}");
    }
}

#[test]
#[should_panic(expected = "beyond what is free")]
fn what_is_padded_does_not_go_beyond_what_is_free() {
    let (mut producer, _, ring) = ring();
    producer.write(&vec![0; ring.capacity() - 8]).unwrap();
    producer.write_padded(&[0; 9]);
}
