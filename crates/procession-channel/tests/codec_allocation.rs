//! What a message can make the decoder take from the allocator, counted at the allocator.

mod codec_types;

use std::collections::{BTreeMap, BTreeSet, HashMap, LinkedList, VecDeque};

use backstage::allocator::{Counting, measure};
use procession_channel::Message;
use procession_channel::codec::{self, Limits};
use proptest::collection::vec;
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use codec_types::{Bytes, Rich, Shape};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The bound that the module's documentation states: four times the limit, 48 bytes for each byte of the message, and a MiB
/// for each sequence that is open (here at most eight at a time, or 1024 small elements in each of 128).
fn check<T: Message>(bytes: &[u8], limits: &Limits) {
    let (_result, peak, _calls) = measure(|| codec::decode::<T>(bytes, limits).map(drop));
    let bound = 4 * limits.allocation_bytes + 48 * bytes.len() + (8 << 20);
    let name = std::any::type_name::<T>();
    assert!(peak <= bound, "{name}: {peak} bytes for {} with {limits:?}", bytes.len());
}

type Large = Option<[[u64; 16]; 8]>;

#[derive(Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "large elements are what is measured")]
#[expect(clippy::vec_box, reason = "values behind boxes are what is measured")]
enum Tree {
    Leaf,
    Small(Vec<Tree>),
    Boxed(Vec<Box<Large>>),
    Inline(Large),
}

fn check_every_type(bytes: &[u8], limits: &Limits) {
    check::<Vec<Large>>(bytes, limits);
    check::<Vec<Box<Large>>>(bytes, limits);
    check::<VecDeque<Large>>(bytes, limits);
    check::<LinkedList<Large>>(bytes, limits);
    check::<LinkedList<u8>>(bytes, limits);
    check::<LinkedList<()>>(bytes, limits);
    check::<BTreeSet<u8>>(bytes, limits);
    check::<BTreeMap<u64, Large>>(bytes, limits);
    check::<HashMap<u32, Large>>(bytes, limits);
    check::<HashMap<String, Vec<Vec<()>>>>(bytes, limits);
    check::<Vec<Vec<Large>>>(bytes, limits);
    check::<Vec<Vec<Vec<u8>>>>(bytes, limits);
    check::<Vec<Tree>>(bytes, limits);
    check::<Vec<Box<u8>>>(bytes, limits);
    check::<Vec<u64>>(bytes, limits);
    check::<Vec<u8>>(bytes, limits);
    check::<Vec<String>>(bytes, limits);
    check::<String>(bytes, limits);
    check::<Bytes>(bytes, limits);
    check::<Vec<Rich>>(bytes, limits);
    check::<Vec<Shape>>(bytes, limits);
}

/// A varint, then as many bytes of one value.
fn repeated(byte: u8, len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::encode(&(len,), &mut bytes).expect("a number can be sent");
    bytes.resize(bytes.len() + len, byte);
    bytes
}

proptest! {
    #[test]
    fn arbitrary_bytes(bytes in vec(prop_oneof![3 => 0_u8..4, 1 => any::<u8>()], 0..5000), shift in 8..24_u32) {
        check_every_type(&bytes, &Limits { allocation_bytes: 1 << shift, ..Limits::DEFAULT });
    }
}

#[test]
fn long_hostile_messages() {
    for byte in [0, 1, 2, 3, 0x7f, 0xff] {
        for limit in [0, 1 << 16, 1 << 22, 1 << 26] {
            let limits = Limits { allocation_bytes: limit, ..Limits::DEFAULT };
            check_every_type(&repeated(byte, 1 << 18), &limits);
            check_every_type(&vec![byte; 1 << 18], &limits);
        }
    }
}

/// The bound is not kept by refusing everything: just under the limit a value decodes.
#[test]
fn the_limit_can_be_used() {
    let len = 4096;
    let limits = Limits { allocation_bytes: len * size_of::<Large>(), ..Limits::DEFAULT };
    let (result, peak, _) = measure(|| codec::decode::<Vec<Large>>(&repeated(0, len), &limits));
    assert_eq!(result.unwrap().len(), len);
    assert!(peak >= limits.allocation_bytes);
    codec::decode::<Vec<Large>>(&repeated(0, len + 1), &limits).expect_err("one more");
}

#[test]
fn scalars_do_not_allocate() {
    let mut bytes = Vec::with_capacity(64);
    let value = (1_u64 << 40, Some('x'), [2.5_f64; 3], Ok::<i16, ()>(-3));
    let (result, peak, calls) = measure(|| {
        codec::encode(&value, &mut bytes).unwrap();
        codec::decode(&bytes, &Limits::DEFAULT)
    });
    assert_eq!((result, peak, calls), (Ok(value), 0, 0));
}

#[test]
fn bulk_is_one_allocation() {
    let numbers = vec![1.5_f64; 10_000];
    let mut bytes = Vec::new();
    codec::encode(&numbers, &mut bytes).unwrap();
    let (back, peak, calls) = measure(|| codec::decode::<Vec<f64>>(&bytes, &Limits::DEFAULT));
    assert_eq!(back, Ok(numbers));
    assert_eq!((peak, calls), (80_000, 1));
}
