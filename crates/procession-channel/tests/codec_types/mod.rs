//! Types of every kind that serde knows.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Unit;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Newtype(pub(crate) u32);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pair(pub(crate) i16, pub(crate) String);

/// Goes through `serialize_bytes`, as `serde_bytes` does.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = Bytes;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Bytes, E> {
                Ok(Bytes(bytes.to_vec()))
            }
        }
        deserializer.deserialize_byte_buf(Visitor)
    }
}

/// All four kinds of variants; recursive through a box and through a vector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Shape {
    Leaf,
    Node(Box<Shape>),
    Both(Box<Shape>, i32),
    Named { left: u8, right: Option<Box<Shape>> },
    Many(Vec<Shape>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Rich {
    pub(crate) unit: Unit,
    pub(crate) newtype: Newtype,
    pub(crate) pair: Pair,
    pub(crate) flags: (bool, Option<char>, [i8; 3]),
    pub(crate) wide: (u128, i128),
    pub(crate) text: String,
    pub(crate) bytes: Bytes,
    pub(crate) numbers: Vec<i64>,
    pub(crate) empties: Vec<Unit>,
    pub(crate) set: BTreeSet<u16>,
    pub(crate) map: BTreeMap<String, Vec<Option<u64>>>,
    pub(crate) outcome: Result<u8, String>,
    pub(crate) shape: Shape,
}
