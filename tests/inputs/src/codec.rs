//! Bytes that are to be a value of some type, recursive ones and ones without a size among them.

use std::collections::{BTreeMap, HashMap, LinkedList, VecDeque};
use std::fmt::Debug;
use std::time::Duration;

use procession_channel::Message;
use procession_channel::codec::{Limits, decode, encode};
use serde::{Deserialize, Serialize};

use crate::bytes::Bytes;

/// No input here needs more; one that asks for more must be refused.
pub(crate) const LIMITS: Limits = Limits { allocation_bytes: 1 << 20, ..Limits::DEFAULT };

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Tree {
    Leaf(u64),
    Text(String),
    Branch(Vec<Tree>),
    Boxed(Box<Tree>),
    Pair { left: Box<Tree>, right: Option<Box<Tree>> },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Nothing;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Large([[u64; 32]; 4], Vec<[[u64; 32]; 4]>);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Record {
    name: String,
    flags: (bool, char, Option<i128>),
    places: BTreeMap<u16, Vec<Option<Nothing>>>,
    wait: Duration,
    more: VecDeque<Record>,
}

pub(crate) fn run(input: &[u8]) {
    let mut input = Bytes::new(input);
    let check = match input.u8() % 9 {
        0 => check::<Tree>,
        1 => check::<Vec<()>>,
        2 => check::<LinkedList<Nothing>>,
        3 => check::<Record>,
        4 => check::<Large>,
        5 => check::<HashMap<String, Tree>>,
        6 => check::<Vec<Vec<Vec<Nothing>>>>,
        7 => check::<Result<(char, String), Vec<Option<()>>>>,
        _ => check::<(u128, i8, std::net::SocketAddr, std::path::PathBuf)>,
    };
    check(input.rest());
}

/// What can be decoded can be encoded again, and is then the same value.
pub(crate) fn check<T: Message + PartialEq + Debug>(bytes: &[u8]) {
    let Ok(value) = decode::<T>(bytes, &LIMITS) else { return };
    let mut again = Vec::new();
    encode(&value, &mut again).expect("it was decoded within the limits of the encoder");
    assert_eq!(decode::<T>(&again, &LIMITS).as_ref(), Ok(&value));
}
