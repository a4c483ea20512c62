//! Every value comes back as it was, whoever owned it when it was written, and no shorter message passes for it.

mod codec_types;
mod codec_values;

use std::collections::{BTreeMap, HashMap, LinkedList, VecDeque};
use std::ffi::OsString;
use std::fmt::Debug;
use std::net::IpAddr;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use procession_channel::codec::{self, DecodeError, EncodeError, Limits};
use procession_channel::{IntoArg, Message};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use codec_types::{Bytes, Shape, Unit};
use codec_values::{rich, shape};

fn encoded<T: Message>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::encode(value, &mut bytes).expect("can be sent");
    bytes
}

fn decoded<T: Message>(bytes: &[u8]) -> Result<T, DecodeError> {
    codec::decode(bytes, &Limits::DEFAULT)
}

/// There and back, and an error for every prefix and for one byte more.
fn check<T: Message + PartialEq + Debug>(value: T) {
    let mut bytes = encoded(&value);
    assert_eq!(decoded::<T>(&bytes).as_ref(), Ok(&value));
    for end in 0..bytes.len() {
        decoded::<T>(&bytes[..end]).expect_err("a part of a message");
    }
    bytes.push(0);
    decoded::<T>(&bytes).expect_err("more than a message");
}

fn argument<T, X: IntoArg<T>>(argument: X) -> Vec<u8> {
    let mut bytes = Vec::new();
    argument.encode_arg(&mut bytes, &Limits::DEFAULT).expect("can be sent");
    bytes
}

/// `&T`, `&[T]` and `Vec<T>` are the same message.
fn check_borrowed<T>(items: Vec<T>)
where
    T: Message + Clone + PartialEq + Debug,
{
    let bytes = encoded(&items);
    assert_eq!(argument::<Vec<T>, _>(&items[..]), bytes);
    assert_eq!(argument::<Vec<T>, _>(&items), bytes);
    assert_eq!(argument::<Vec<T>, _>(items.clone()), bytes);
    assert_eq!(IntoArg::<Vec<T>>::into_owned(&items[..]), items);
    assert_eq!(IntoArg::<Vec<T>>::into_owned(&items), items);
    assert_eq!(decoded::<Vec<T>>(&bytes), Ok(items));
}

/// [`check`] and [`check_borrowed`] for a vector of numbers, compared by their bytes (a NaN is no NaN's equal), at every
/// alignment.
fn check_numbers<T: Message + bytemuck::Pod + Debug>(numbers: Vec<T>) {
    let bytes = encoded(&numbers);
    assert_eq!(argument::<Vec<T>, _>(&numbers[..]), bytes);
    assert_eq!(argument::<Vec<T>, _>(&numbers), bytes);
    for shift in 0..align_of::<T>() {
        let mut shifted = vec![0; shift];
        codec::encode(&numbers, &mut shifted).expect("can be sent");
        let back = decoded::<Vec<T>>(&shifted[shift..]).expect("was sent");
        assert_eq!(bytemuck::cast_slice::<T, u8>(&back), bytemuck::cast_slice::<T, u8>(&numbers));
    }
    let longer = decoded::<Vec<T>>(&[&bytes[..], &[0]].concat());
    // Of single bytes, any number is a vector.
    assert_eq!(longer.is_ok(), size_of::<T>() == 1);
}

/// An array as a message by itself is its memory, whatever its length; inside another value it is not, and is the same again.
fn check_array<T: Message + bytemuck::Pod + PartialEq + Debug, const N: usize>(numbers: &[T])
where
    [T; N]: Message,
{
    let Some((array, _)) = numbers.split_first_chunk::<N>() else { return };
    let bytes = encoded(array);
    assert_eq!(bytes, bytemuck::cast_slice::<T, u8>(array));
    let mut shifted = vec![0; 1];
    codec::encode(array, &mut shifted).expect("can be sent");
    let back = decoded::<[T; N]>(&shifted[1..]).expect("was sent");
    assert_eq!(bytemuck::cast_slice::<T, u8>(&back), bytes);
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(decoded::<[T; N]>(&longer), Err(DecodeError::TrailingBytes { count: 1 }));
    assert_eq!(decoded::<[T; N]>(&bytes[1..]), Err(DecodeError::Truncated));
    let (inside,) = decoded::<([T; N],)>(&encoded(&(*array,))).expect("was sent");
    assert_eq!(bytemuck::cast_slice::<T, u8>(&inside), bytes);
}

fn check_arrays<T: Message + bytemuck::Pod + PartialEq + Debug>(raw: &[u8]) {
    let numbers = numbers::<T>(raw);
    check_array::<T, 1>(&numbers);
    check_array::<T, 2>(&numbers);
    check_array::<T, 7>(&numbers);
    check_array::<T, 32>(&numbers);
}

proptest! {
    #[test]
    fn structs_and_enums(value in rich()) {
        check(value);
    }

    #[test]
    fn trees(value in shape()) {
        check(value);
    }

    #[test]
    fn integers(small: (bool, u8, i8, u16, i16), middle: (u32, i32, u64, i64), large: (u128, i128, usize, isize)) {
        check(small);
        check(middle);
        check(large);
    }

    #[test]
    fn floats_keep_their_bits(bits: (u32, u64)) {
        let (single, double) = (f32::from_bits(bits.0), f64::from_bits(bits.1));
        let back: (f32, f64) = decoded(&encoded(&(single, double))).unwrap();
        prop_assert_eq!((back.0.to_bits(), back.1.to_bits()), bits);
    }

    #[test]
    fn texts(character: char, text: String) {
        check(character);
        check(text.clone());
        prop_assert_eq!(argument::<String, _>(text.as_str()), encoded(&text));
        prop_assert_eq!(argument::<String, _>(&text), encoded(&text));
        let path = PathBuf::from(&text);
        prop_assert_eq!(argument::<PathBuf, _>(path.as_path()), encoded(&path));
        check(path);
    }

    #[test]
    fn any_path_as_os_string(bytes in vec(any::<u8>(), 0..40)) {
        check(OsString::from_vec(bytes));
    }

    #[test]
    fn vectors_of_numbers(raw in vec(any::<u8>(), 0..2000)) {
        check_numbers::<u8>(raw.clone());
        check_numbers::<i8>(bytemuck::cast_slice(&raw).to_vec());
        check_numbers::<u16>(numbers(&raw));
        check_numbers::<i16>(numbers(&raw));
        check_numbers::<u32>(numbers(&raw));
        check_numbers::<i32>(numbers(&raw));
        check_numbers::<u64>(numbers(&raw));
        check_numbers::<i64>(numbers(&raw));
        check_numbers::<u128>(numbers(&raw));
        check_numbers::<i128>(numbers(&raw));
        check_numbers::<usize>(numbers(&raw));
        check_numbers::<isize>(numbers(&raw));
        check_numbers::<f32>(numbers(&raw));
        check_numbers::<f64>(numbers(&raw));
    }

    #[test]
    fn arrays_of_numbers(raw in vec(any::<u8>(), 512)) {
        check_arrays::<u8>(&raw);
        check_arrays::<i16>(&raw);
        check_arrays::<u32>(&raw);
        check_arrays::<u64>(&raw);
        check_arrays::<i128>(&raw);
        check_arrays::<usize>(&raw);
        check_arrays::<f32>(&raw);
        check_arrays::<f64>(&raw);
    }

    #[test]
    fn arrays_of_other_things(flags: [bool; 32], characters: [char; 4], nested: [[u8; 3]; 5], none: [u64; 0]) {
        check(flags);
        check(characters);
        check(nested);
        check(none);
    }

    #[test]
    fn borrowed_is_owned(rich in vec(rich(), 0..4), units: Vec<()>, bools: Vec<bool>, texts: Vec<String>, nested: Vec<Vec<u8>>) {
        check_borrowed(rich);
        check_borrowed(units);
        check_borrowed(bools);
        check_borrowed(texts);
        check_borrowed(nested);
    }

    #[test]
    fn collections(
        map in btree_map(any::<String>(), any::<Option<u32>>(), 0..8),
        bytes in vec(any::<u8>(), 0..40),
        len in 0_usize..300,
    ) {
        check(map.clone().into_iter().collect::<HashMap<_, _>>());
        check(map);
        check(bytes.iter().copied().collect::<VecDeque<u8>>());
        check(Bytes(bytes));
        check(vec![(); len]);
        check(vec![Unit; len]);
        check(vec![[(); 3]; len]);
        check(std::iter::repeat_n((), len).collect::<LinkedList<()>>());
        check(vec![vec![(); len]; 3]);
    }
}

fn numbers<T: bytemuck::Pod>(raw: &[u8]) -> Vec<T> {
    raw.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned).collect()
}

#[test]
fn std_types() {
    check(());
    check(Unit);
    check(Some(Some(())));
    check(None::<Option<()>>);
    check(Duration::new(u64::MAX, 999_999_999));
    check("::ffff:1.2.3.4".parse::<IpAddr>().unwrap());
    check(BTreeMap::from([((), ())]));
    check(Ok::<u8, String>(3));
    check(Err::<u8, String>("three".to_owned()));
    check(Box::new(7_u64));
    check([1_u8; 32]);
}

#[test]
fn large_vectors_of_numbers() {
    check_numbers((0..1 << 20).collect::<Vec<u32>>());
    check_numbers(vec![0x5a_u8; (1 << 20) + 1]);
    check_numbers::<u128>(Vec::new());
}

#[test]
fn wire_format() {
    assert_eq!(encoded(&300_u16), [0x2c, 0x01]);
    assert_eq!(encoded(&(300_u16,)), [0xac, 0x02]);
    assert_eq!(encoded(&(-2_i64,)), [3]);
    assert_eq!(encoded(&"no".to_owned()), [2, b'n', b'o']);
    assert_eq!(encoded(&Some(true)), [1, 1]);
    assert_eq!(encoded(&Shape::Named { left: 1, right: None }), [3, 1, 0]);
    assert_eq!(encoded(&vec![(), ()]), [2, 0, 0]);
    assert_eq!(encoded(&BTreeMap::from([((), 5_u8)])), [1, 5]);
    assert_eq!(encoded(&vec![1_u16, 2]), [1, 0, 2, 0]);
    assert_eq!(encoded(&(vec![1_u16, 2],)), [2, 1, 2]);
}

#[test]
fn encoding_appends() {
    let mut bytes = vec![9];
    codec::encode(&1_u8, &mut bytes).unwrap();
    codec::encode(&vec![2_u8], &mut bytes).unwrap();
    assert_eq!(bytes, [9, 1, 2]);
}

#[test]
fn a_vector_of_bytes_is_its_message_without_a_copy() {
    let (value, mut message) = (vec![7_u8; 1000], Vec::new());
    let memory = value.as_ptr();
    codec::encode_owned(value, &mut message).unwrap();
    assert_eq!(message.as_ptr(), memory);
    let back: Vec<u8> = codec::decode_owned(message, &Limits::DEFAULT).unwrap();
    assert_eq!((back.as_ptr(), back), (memory, vec![7; 1000]));
}

#[test]
fn owned_messages_are_those_that_are_borrowed() {
    let value = vec![("a".to_owned(), 1_u64), ("b".to_owned(), 2)];
    let mut message = Vec::new();
    codec::encode_owned(value.clone(), &mut message).unwrap();
    assert_eq!(message, encoded(&value));
    assert_eq!(codec::decode_owned(message, &Limits::DEFAULT), Ok(value));
}

fn refused<T: Message>(value: &T) -> EncodeError {
    let mut bytes = vec![1, 2, 3];
    let error = codec::encode(value, &mut bytes).expect_err("cannot be sent");
    assert_eq!(bytes, [1, 2, 3], "an error leaves the buffer as it was");
    error
}

#[test]
fn a_path_that_is_not_utf8_names_the_way_out() {
    let path = PathBuf::from(OsString::from_vec(vec![b'/', 0xff]));
    let error = refused(&("first", path.clone()).1);
    assert!(error.to_string().contains("use OsString"), "{error}");
    let mut bytes = Vec::new();
    IntoArg::<PathBuf>::encode_arg(&Path::new(&path), &mut bytes, &Limits::DEFAULT)
        .expect_err("cannot be sent");
    assert_eq!(bytes, []);
    check(path.into_os_string());
}

#[derive(Serialize, Deserialize)]
struct Skips {
    before: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    maybe: Option<u8>,
    after: u8,
}

#[derive(Serialize, Deserialize)]
struct Flattens {
    before: u8,
    #[serde(flatten)]
    rest: BTreeMap<String, u8>,
}

#[test]
fn attributes_that_need_names_are_refused_at_the_sender() {
    let error = refused(&Skips { before: 1, maybe: None, after: 2 });
    assert_eq!(error, EncodeError::FieldSkipped { field: "maybe" });
    let whole: Skips = decoded(&encoded(&Skips { before: 1, maybe: Some(5), after: 2 })).unwrap();
    assert_eq!((whole.before, whole.maybe, whole.after), (1, Some(5), 2));

    let error = refused(&Flattens { before: 1, rest: BTreeMap::new() });
    assert_eq!(error, EncodeError::LengthUnknown { what: "map" });
    assert!(error.to_string().contains("#[serde(flatten)]"), "{error}");
}

#[derive(Deserialize)]
struct Liar;

impl Serialize for Liar {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeSeq;
        let mut elements = serializer.serialize_seq(Some(2))?;
        elements.serialize_element(&1_u8)?;
        elements.end()
    }
}

#[derive(Debug, Deserialize)]
struct Refuses;

impl Serialize for Refuses {
    fn serialize<S: serde::Serializer>(&self, _serializer: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("not today"))
    }
}

#[test]
fn a_serialize_that_fails_says_why() {
    assert_eq!(refused(&Liar), EncodeError::LengthWrong { announced: 2, written: 1 });
    assert_eq!(refused(&vec![Some(Refuses)]).to_string(), "not today");
}

/// `levels` enums in each other, made from the inside.
fn chain(levels: u32) -> Shape {
    (1..levels).fold(Shape::Leaf, |inner, _| Shape::Node(Box::new(inner)))
}

#[test]
fn what_the_reader_would_find_too_deep_is_not_sent() {
    for depth in 1..20 {
        let limits = Limits { depth, ..Limits::DEFAULT };
        for levels in 1..20 {
            let value = chain(levels);
            let mut bytes = Vec::new();
            let sent = codec::encode_with(&value, &mut bytes, &limits);
            assert_eq!(sent.is_ok(), levels <= depth, "{levels} levels, limit {depth}");
            if sent.is_ok() {
                assert_eq!(codec::decode::<Shape>(&bytes, &limits), Ok(value));
            }
        }
    }
    assert_eq!(refused(&chain(5000)), EncodeError::DepthLimit { limit: 128 });
}

const fn assert_error<T: std::error::Error + Clone + Send + Sync + 'static>() {}
const _: () = assert_error::<EncodeError>();
const _: () = assert_error::<DecodeError>();
const _: () = assert!(size_of::<DecodeError>() <= 32 && size_of::<EncodeError>() <= 32);
