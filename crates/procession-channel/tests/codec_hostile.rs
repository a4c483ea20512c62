//! Bytes from an enemy are a value or an error: never a panic, an overflow of the stack, or a walk without end.

mod codec_types;
mod codec_values;

use std::collections::{BTreeMap, HashMap, LinkedList};
use std::ffi::OsString;
use std::fmt::Debug;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use procession_channel::Message;
use procession_channel::codec::{self, DecodeError, Limits};
use proptest::collection::vec;
use proptest::prelude::*;
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use codec_types::{Bytes, Newtype, Pair, Rich, Shape, Unit};
use codec_values::rich;

const FOUR_BILLION: [u8; 5] = [0xff, 0xff, 0xff, 0xff, 0x0f];

fn decoded<T: Message>(bytes: &[u8]) -> Result<T, DecodeError> {
    codec::decode(bytes, &Limits::DEFAULT)
}

/// The error of bytes that must not decode.
fn error<T: Message + Debug>(bytes: &[u8]) -> DecodeError {
    decoded::<T>(bytes).expect_err("hostile bytes")
}

fn reason<T: Message + Debug>(bytes: &[u8]) -> String {
    match error::<T>(bytes) {
        DecodeError::Invalid { reason } => reason.into_owned(),
        other => panic!("expected Invalid, got {other:?}"),
    }
}

/// What decodes can be sent again and is the same value, so it is a value of the type in every respect.
fn survives<T: Message>(bytes: &[u8]) {
    let Ok(value) = decoded::<T>(bytes) else { return };
    let mut again = Vec::new();
    codec::encode(&value, &mut again).expect("a received value can be sent on");
    let second = decoded::<T>(&again).expect("what was sent can be received");
    let mut third = Vec::new();
    codec::encode(&second, &mut third).expect("a received value can be sent on");
    assert_eq!(third.len(), again.len());
}

fn survives_as_every_type(bytes: &[u8]) {
    survives::<Rich>(bytes);
    survives::<Shape>(bytes);
    survives::<Vec<Shape>>(bytes);
    survives::<(Newtype, Pair, Unit, Bytes)>(bytes);
    survives::<Vec<u8>>(bytes);
    survives::<Vec<f64>>(bytes);
    survives::<Vec<u128>>(bytes);
    survives::<String>(bytes);
    survives::<char>(bytes);
    survives::<Vec<bool>>(bytes);
    survives::<Vec<Vec<Vec<()>>>>(bytes);
    survives::<LinkedList<()>>(bytes);
    survives::<BTreeMap<(), Vec<()>>>(bytes);
    survives::<HashMap<String, Option<char>>>(bytes);
    survives::<Result<Duration, SystemTime>>(bytes);
    survives::<OsString>(bytes);
    survives::<PathBuf>(bytes);
    survives::<[Option<i128>; 4]>(bytes);
    survives::<std::net::SocketAddr>(bytes);
    survives::<std::num::NonZeroU16>(bytes);
}

proptest! {
    #[test]
    fn arbitrary_bytes(bytes in vec(any::<u8>(), 0..300)) {
        survives_as_every_type(&bytes);
    }

    /// Small bytes are lengths, tags and indices that are accepted, so these get further.
    #[test]
    fn arbitrary_small_bytes(bytes in vec(0_u8..6, 0..300)) {
        survives_as_every_type(&bytes);
    }

    #[test]
    fn a_valid_message_with_some_bytes_changed(
        value in rich(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = Vec::new();
        codec::encode(&value, &mut bytes).unwrap();
        for (index, byte) in changes {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        survives_as_every_type(&bytes);
    }
}

#[derive(Debug, Serialize, Deserialize)]
enum Recursive {
    Leaf,
    Node(Box<Recursive>),
}

#[derive(Debug, Serialize, Deserialize)]
struct Endless(Box<Endless>);

#[derive(Debug, Serialize, Deserialize)]
struct Rose(Vec<Rose>);

#[test]
fn nesting_ends_at_the_limit_and_not_at_the_end_of_the_stack() {
    let ones = vec![1; 4 << 20];
    let too_deep = DecodeError::DepthLimit { limit: 128 };
    assert_eq!(error::<Recursive>(&ones), too_deep);
    assert_eq!(error::<Rose>(&ones), too_deep);
    assert_eq!(error::<Vec<Recursive>>(&ones), too_deep);
    assert_eq!(error::<Endless>(&[]), too_deep, "consumes nothing and still ends");
    let deepest = [[1; 127].as_slice(), &[0]].concat();
    assert!(matches!(decoded::<Recursive>(&deepest), Ok(Recursive::Node(_))));
    let limits = Limits { depth: 0, ..Limits::DEFAULT };
    assert!(matches!(
        codec::decode::<Recursive>(&[0], &limits),
        Err(DecodeError::DepthLimit { .. })
    ));
    assert_eq!(codec::decode::<u8>(&[5], &limits), Ok(5), "a scalar has no depth");
}

#[derive(Debug, Serialize, Deserialize)]
struct LargeBoxed {
    content: [[[u64; 16]; 8]; 8],
    next: Option<Box<LargeBoxed>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct LargeElements {
    content: [[u64; 32]; 16],
    children: Vec<LargeElements>,
}

/// One node after the other, each the only child of the one before.
fn nodes(content_len: usize, count: usize) -> Vec<u8> {
    let node = [vec![0; content_len], vec![1]].concat();
    let mut bytes = node.repeat(count);
    bytes.pop();
    bytes.push(0);
    bytes
}

/// Sixty of these would take megabytes of stack.
#[test]
fn nesting_of_large_values_ends_before_the_stack_does() {
    let too_large = DecodeError::NestedBytesLimit { limit_bytes: 32 << 10 };
    assert_eq!(error::<LargeBoxed>(&nodes(1024, 60)), too_large);
    assert_eq!(error::<LargeElements>(&nodes(512, 60)), too_large);
    assert!(decoded::<LargeBoxed>(&nodes(1024, 4)).is_ok());
    assert!(decoded::<LargeElements>(&nodes(512, 8)).is_ok());
    let siblings = [vec![0; 512], vec![100], nodes(512, 1).repeat(100)].concat();
    assert_eq!(decoded::<LargeElements>(&siblings).map(|root| root.children.len()), Ok(100));
}

#[test]
fn a_length_is_at_most_the_bytes_left() {
    fn check<T: Message + Debug>() {
        let claim = DecodeError::LengthLimit { len: 0xffff_ffff, bytes_left: 0 };
        assert_eq!(error::<T>(&FOUR_BILLION), claim);
        let most = [[0xff; 9].as_slice(), &[1], &[0; 100]].concat();
        let claim = DecodeError::LengthLimit { len: usize::MAX, bytes_left: 100 };
        assert_eq!(error::<T>(&most), claim);
    }
    check::<LinkedList<()>>();
    check::<Vec<()>>();
    check::<Vec<Unit>>();
    check::<BTreeMap<(), ()>>();
    check::<HashMap<u8, u8>>();
    check::<Vec<Option<u8>>>();
    check::<Vec<String>>();
    check::<String>();
    check::<PathBuf>();
    check::<Bytes>();
}

#[test]
fn an_empty_element_is_paid_with_its_pad_byte() {
    assert_eq!(decoded::<Vec<()>>(&[3, 0, 0, 0]), Ok(vec![(); 3]));
    assert!(matches!(
        error::<Vec<()>>(&[3, 0, 0]),
        DecodeError::LengthLimit { len: 3, bytes_left: 2 }
    ));
    assert_eq!(reason::<Vec<()>>(&[1, 1]), "the pad byte of an empty element is not 0");
    assert_eq!(error::<Vec<()>>(&[1, 0, 0]), DecodeError::TrailingBytes { count: 1 });
}

#[test]
fn a_vector_of_numbers_is_a_whole_number_of_them() {
    assert_eq!(decoded::<Vec<u16>>(&[1, 0, 2, 0]), Ok(vec![1, 2]));
    assert_eq!(decoded::<Vec<u16>>(&[]), Ok(vec![]));
    let cut = "a vector of numbers ends in the middle of one";
    assert_eq!(reason::<Vec<u16>>(&[1, 0, 2]), cut);
    assert_eq!(reason::<Vec<u128>>(&[0; 17]), cut);
}

#[test]
fn bytes_that_mean_nothing() {
    assert_eq!(reason::<bool>(&[2]), "a bool is neither 0 nor 1");
    assert_eq!(reason::<Option<u8>>(&[2, 0]), "the tag of an Option is neither 0 nor 1");
    assert_eq!(reason::<String>(&[1, 0xff]), "a string is not UTF-8");
    assert_eq!(reason::<char>(&[0]), "a char is not one UTF-8 character");
    assert_eq!(reason::<char>(&[1, 0xff]), "a char is not one UTF-8 character");
    assert_eq!(reason::<(u16,)>(&[0xff, 0xff, 0xff]), "a number is too large for its type");
    assert!(reason::<Recursive>(&[2]).contains("variant index"));
    assert!(reason::<std::num::NonZeroU8>(&[0]).contains("nonzero"));
    assert_eq!(error::<u64>(&[0x80]), DecodeError::Truncated);
    assert_eq!(error::<f64>(&[0; 7]), DecodeError::Truncated);
    assert_eq!(error::<u64>(&[0; 9]), DecodeError::TrailingBytes { count: 1 });
    assert_eq!(error::<(u64,)>(&[0x80]), DecodeError::Truncated);
    assert_eq!(error::<()>(&[0]), DecodeError::TrailingBytes { count: 1 });
}

#[test]
fn memory_is_counted_before_it_is_taken() {
    let limits = Limits { allocation_bytes: 1000, ..Limits::DEFAULT };
    let over = |result: Result<(), DecodeError>| {
        assert_eq!(result, Err(DecodeError::AllocationLimit { limit_bytes: 1000 }));
    };
    let ones = |count: u16| {
        let mut bytes = Vec::new();
        codec::encode(&(count,), &mut bytes).unwrap();
        bytes.resize(bytes.len() + usize::from(count), 0);
        bytes
    };
    over(codec::decode::<Vec<Option<[u64; 30]>>>(&ones(5), &limits).map(drop));
    assert!(codec::decode::<Vec<Option<[u64; 30]>>>(&ones(4), &limits).is_ok());
    over(codec::decode::<Vec<Box<Option<[u64; 30]>>>>(&ones(5), &limits).map(drop));
    over(codec::decode::<BTreeMap<u64, Option<[u64; 30]>>>(&ones(10), &limits).map(drop));
    over(codec::decode::<String>(&ones(1001), &limits).map(drop));
    assert!(codec::decode::<String>(&ones(1000), &limits).is_ok());
    over(codec::decode::<Vec<u8>>(&[0; 1001], &limits).map(drop));
    assert!(codec::decode::<Vec<u8>>(&[0; 1000], &limits).is_ok());
    over(codec::decode_owned::<Vec<u8>>(vec![0; 1001], &limits).map(drop));
    assert!(codec::decode_owned::<Vec<u8>>(vec![0; 1000], &limits).is_ok());
    over(codec::decode::<Bytes>(&ones(1001), &limits).map(drop));
}

/// Fields and variants lie inside the value that was paid for: a struct does not cost more for having structs in it.
#[test]
fn memory_is_counted_once() {
    type Nested = Option<((Newtype, (Newtype, Newtype)), Result<Newtype, Unit>)>;
    let values: Vec<Nested> = vec![
        Some(((Newtype(1), (Newtype(2), Newtype(3))), Ok(Newtype(4)))),
        Some(((Newtype(1), (Newtype(2), Newtype(3))), Err(Unit))),
        None,
    ];
    let mut bytes = Vec::new();
    codec::encode(&values, &mut bytes).unwrap();
    let size = size_of_val(&values[..]);
    let enough = Limits { allocation_bytes: size, ..Limits::DEFAULT };
    assert_eq!(codec::decode(&bytes, &enough), Ok(values));
    let short = Limits { allocation_bytes: size - 1, ..Limits::DEFAULT };
    let limit = DecodeError::AllocationLimit { limit_bytes: size - 1 };
    assert_eq!(codec::decode::<Vec<Nested>>(&bytes, &short), Err(limit));
}

#[derive(Debug, Serialize)]
struct Panics;

impl<'de> Deserialize<'de> for Panics {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u8::deserialize(deserializer)? {
            0 => panic!("a static text"),
            1 => panic!("a text with {}", "arguments"),
            2 => std::panic::panic_any(7_u8),
            _ => panic!("{}", "long ".repeat(1000)),
        }
    }
}

#[test]
fn a_panic_of_deserialize_is_an_error() {
    let message = |byte| match error::<Vec<Panics>>(&[1, byte]) {
        DecodeError::Panicked { message } => message,
        other => panic!("expected Panicked, got {other:?}"),
    };
    assert_eq!(message(0), "a static text");
    assert_eq!(message(1), "a text with arguments");
    assert_eq!(message(2), "the panic carried no text");
    assert_eq!(message(3).len(), DecodeError::REASON_BYTES_MAX);
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(untagged)]
enum Untagged {
    Number(u8),
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "kind")]
enum Tagged {
    Number { value: u8 },
}

#[derive(Debug, Deserialize, Serialize)]
struct Flattened {
    #[serde(flatten)]
    rest: BTreeMap<String, u8>,
}

#[derive(Debug, Serialize)]
struct Ignores;

impl<'de> Deserialize<'de> for Ignores {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

#[test]
fn types_that_ask_the_message_what_it_is() {
    assert_eq!(error::<Untagged>(&[1]), DecodeError::NotSelfDescribing);
    assert_eq!(
        error::<Tagged>(&[6, b'N', b'u', b'm', b'b', b'e', b'r', 1]),
        DecodeError::NotSelfDescribing
    );
    assert_eq!(error::<Flattened>(&[1, 1, b'a', 1]), DecodeError::NotSelfDescribing);
    assert_eq!(error::<Ignores>(&[1]), DecodeError::NotSelfDescribing);
    let text = DecodeError::NotSelfDescribing.to_string();
    assert!(
        text.contains("not self-describing: #[serde(flatten)] and #[serde(untagged)] do not work")
    );
}

/// Takes the first element and leaves the rest.
struct TakesOne;

impl<'de> Visitor<'de> for TakesOne {
    type Value = u8;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<u8, A::Error> {
        assert!(elements.size_hint() <= Some(1024));
        Ok(elements.next_element()?.unwrap_or(0))
    }
}

#[derive(Debug, Serialize)]
struct FirstOfMany(u8);

impl<'de> Deserialize<'de> for FirstOfMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(TakesOne).map(Self)
    }
}

#[derive(Debug, Serialize)]
struct FirstOfTwo(u8);

impl<'de> Deserialize<'de> for FirstOfTwo {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_tuple(2, TakesOne).map(Self)
    }
}

#[test]
fn what_a_visitor_leaves_is_not_taken_for_the_next_value() {
    let unread = "there are more elements than the type takes";
    assert_eq!(decoded::<FirstOfMany>(&[1, 5]).unwrap().0, 5);
    assert_eq!(reason::<(FirstOfMany, u8)>(&[2, 5, 6]), unread);
    assert_eq!(reason::<(FirstOfTwo, u8)>(&[5, 6]), unread);
    let long = [[0x88, 0x27].as_slice(), &[7; 5000]].concat();
    assert_eq!(reason::<FirstOfMany>(&long), unread);
}

/// Puts the message into its error.
#[derive(Debug, Serialize)]
struct Quotes;

impl<'de> Deserialize<'de> for Quotes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Err(serde::de::Error::custom(format_args!("cannot use {text:?}")))
    }
}

#[test]
fn an_error_quotes_a_bounded_part_of_the_message() {
    let mut bytes = Vec::new();
    codec::encode(&"ä".repeat(100_000), &mut bytes).unwrap();
    let text = reason::<Quotes>(&bytes);
    assert!(text.starts_with("cannot use \"ää"));
    assert!(
        (DecodeError::REASON_BYTES_MAX - 3..=DecodeError::REASON_BYTES_MAX).contains(&text.len())
    );
}
