//! Values to bytes and back, where the bytes may come from an enemy.
//!
//! [`encode`] runs in the process that owns the value and trusts it. [`decode`] trusts nothing: whatever the bytes are, it
//! returns a value or an error, in time and memory bounded by the message and by [`Limits`].
//!
//! # Wire format
//!
//! Both sides are the same program, so a message carries no type names, field names or versions: the type says what to read.
//!
//! | Rust | bytes |
//! |---|---|
//! | `bool`, `u8`, `i8` | one byte |
//! | `u16` to `u128`, `usize` | varint: seven bits a byte, lowest first, the top bit says that more follow |
//! | `i16` to `i128`, `isize` | zigzag (0, -1, 1, -2 become 0, 1, 2, 3), then as unsigned |
//! | `f32`, `f64` | four, eight bytes, little-endian |
//! | `String`, `char`, bytes | length in bytes as varint, then the bytes |
//! | `Option` | 0, or 1 and the value |
//! | `()`, unit struct | nothing |
//! | newtype, tuple, struct | the fields in order |
//! | enum | index of the variant as varint, then its fields |
//! | sequence, map | number of elements as varint, then each element, or key and value; one that wrote nothing is followed by a 0 |
//! | a whole message that is a number, an array of 1 to 32 numbers, or a `Vec` of numbers | their memory as it is; its length says how many they are |
//!
//! This is [postcard](https://docs.rs/postcard)'s format with two changes, the last two rows. The *pad byte* of empty elements
//! makes every element cost a byte, so one comparison bounds every length. The *bulk* row makes a `Vec<u8>` or `Vec<f64>` one
//! copy, where serde makes a call for each element; it is chosen by the type alone, and only for a message that *is* such a
//! number, array or vector, never for one inside a struct (use `serde_bytes` there). So encodings do not nest: the bytes of an `A` and of a
//! `B`, one after the other, are not the bytes of an `(A, B)`.
//!
//! # What bounds a hostile message
//!
//! 1. **Depth.** Each option, newtype, tuple, struct, enum, sequence and map takes one of [`Limits::depth`] levels, so a
//!    recursive type cannot overflow the stack. The encoder counts alike: what cannot be read is refused at the sender. Values
//!    in vectors and boxes that lie in each other may together take [`Limits::nested_bytes`] (only the reader knows their sizes),
//!    because large values make large stack frames. With the defaults, recursive types of up to 43
//!    fields took 1.3 MiB of stack at most without optimisation and 0.4 MiB with it, beyond what the message's own type takes.
//! 2. **Length.** A sequence, map, string or byte array cannot be longer than the bytes left.
//! 3. **Memory.** Sizes of decoded values are added up before they are made: each element of a sequence or map, each string,
//!    and each value behind a `Box`, by its size in memory. The sum stays below [`Limits::allocation_bytes`]. The total taken
//!    from the allocator may exceed it by what collections do beside their values: a vector or hash table that grows
//!    holds up to four times its content for a moment, a list or tree adds up to 48 bytes for each byte of the message, and
//!    each open sequence may reserve up to a MiB ahead.
//! 4. **Time** is linear in the message but for what the collections themselves add.
//! 5. **Panics** of `Deserialize` implementations are caught and become [`DecodeError::Panicked`] (the panic hook still
//!    runs). In a program built with `panic = "abort"` nothing can be caught.
//!
//! Not bounded: what a `Deserialize` implementation does by itself (one that reads a number and allocates that much, or
//! recurses without asking the decoder).
//!
//! # Why not postcard alone
//!
//! Its scalars are used as they are. Its traversal is not: a recursive enum and 4 MiB of `0x01` overflow the stack, five bytes
//! claim a `LinkedList<()>` of four thousand million nodes, one byte may become a kilobyte in memory without an account of it,
//! its errors drop the text that a type gives as its reason, and a field left out by `skip_serializing_if` shifts all that
//! follow it without an error on either side.

mod bulk;
mod decoder;
mod encoder;
mod error;
mod output;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Serialize;

use crate::Message;
use decoder::{Decoder, Input};
use encoder::Encoder;
pub use error::{DecodeError, EncodeError};
pub(crate) use output::{Buffer, KEPT_BYTES_MAX, Output, SHORT_BYTES_MAX};

/// What a message may ask of the process that decodes it.
///
/// ```
/// use procession_channel::codec::Limits;
///
/// let limits = Limits { depth: 16, ..Limits::DEFAULT };
/// assert_eq!(limits.allocation_bytes, 1 << 30);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many values may be nested in each other. Writer and reader must use the same number.
    pub depth: u32,
    /// How many bytes values in vectors, maps and boxes that lie in each other may take together, each by its own size without
    /// what it points to. Bounds the stack. One element of a `Vec` cannot be larger.
    pub nested_bytes: usize,
    /// How many bytes of memory the decoded value may take beyond its own size.
    pub allocation_bytes: usize,
}

impl Limits {
    /// 128 levels, 32 KiB nested, 1 GiB in all.
    ///
    /// ```
    /// use procession_channel::codec::{DecodeError, Limits, decode};
    ///
    /// let less = Limits { allocation_bytes: 1000, ..Limits::DEFAULT };
    /// assert_eq!(decode::<Vec<u8>>(&[0; 2000], &less), Err(DecodeError::AllocationLimit { limit_bytes: 1000 }));
    /// assert_eq!(decode::<Vec<u8>>(&[0; 2000], &Limits::DEFAULT)?.len(), 2000);
    /// # Ok::<(), DecodeError>(())
    /// ```
    pub const DEFAULT: Self =
        Self { depth: 128, nested_bytes: 32 << 10, allocation_bytes: 1 << 30 };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Appends `value` to `out`, to be read by [`decode`] as the same type.
///
/// Does not allocate but to let `out` grow. Runs the `Serialize` implementations of the value's types; if one panics, the
/// panic goes through to the caller and `out` is left with a part of the message.
///
/// # Errors
///
/// As [`encode_with`], at the depth of [`Limits::DEFAULT`].
///
/// ```
/// use procession_channel::codec::{Limits, decode, encode};
///
/// let mut bytes = Vec::new();
/// encode(&("page", 7).1, &mut bytes)?;
/// assert_eq!(decode(&bytes, &Limits::DEFAULT), Ok(7));
/// # Ok::<(), procession_channel::codec::EncodeError>(())
/// ```
#[inline]
pub fn encode<T: Message>(value: &T, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    encode_with(value, out, &Limits::DEFAULT)
}

/// What [`encode`] would append, without a copy: of numbers, and arrays and vectors of them, their memory.
///
/// ```
/// use procession_channel::codec::as_message;
///
/// assert_eq!(as_message(&vec![1_u16, 2]).map(<[u8]>::len), Some(4));
/// assert_eq!(as_message(&vec!["one".to_owned()]), None);
/// ```
#[inline]
pub fn as_message<T: Message>(value: &T) -> Option<&[u8]> {
    bulk::memory_of(value)
}

/// How many bytes the message of every `T` has, if it is the value's memory: that of a number, or of an array of numbers that serde
/// knows.
///
/// ```
/// use procession_channel::codec::fixed_len;
///
/// assert_eq!(fixed_len::<u64>(), Some(8));
/// assert_eq!(fixed_len::<[u16; 3]>(), Some(6));
/// assert_eq!(fixed_len::<String>(), None);
/// ```
#[inline]
pub fn fixed_len<T: Message>() -> Option<usize> {
    bulk::is_numbers::<T>().then_some(size_of::<T>())
}

/// The value whose memory is `bytes`, if a `T` is of [fixed length](fixed_len) and they are as long.
#[inline]
pub(crate) fn read_fixed<T: Message>(bytes: &[u8]) -> Option<T> {
    bulk::read_numbers(bytes)
}

/// Whether [`decode_owned`] makes a `T` of its message without a copy.
///
/// ```
/// use procession_channel::codec::keeps_message;
///
/// assert!(keeps_message::<Vec<u8>>() && !keeps_message::<Vec<String>>());
/// ```
#[inline]
pub fn keeps_message<T: Message>() -> bool {
    bulk::is_bytes::<T>()
}

/// Whether a `T` is a number, text or nothing, or an array or vector of numbers: no handle can be in it, and nobody need look for one.
///
/// ```
/// use procession_channel::codec::is_plain;
///
/// assert!(is_plain::<u64>() && is_plain::<String>() && is_plain::<Vec<f32>>());
/// assert!(!is_plain::<Vec<String>>());
/// ```
#[inline]
pub fn is_plain<T: Message>() -> bool {
    bulk::is_plain::<T>()
}

/// What [`encode`] would append, if that is the memory of a value that is not needed any more; otherwise gives it back.
///
/// # Errors
///
/// The value, if it is no `Vec<u8>`.
///
/// ```
/// use procession_channel::codec::into_message;
///
/// assert_eq!(into_message(vec![1_u8, 2]), Ok(vec![1, 2]));
/// assert_eq!(into_message("text".to_owned()), Err("text".to_owned()));
/// ```
#[inline]
pub fn into_message<T: Message>(value: T) -> Result<Vec<u8>, T> {
    bulk::into_bytes(value)
}

/// [`encode`] of a value that is not needed any more, to an empty `out`: a `Vec<u8>` becomes the message without a copy.
///
/// # Errors
///
/// As [`encode`].
///
/// ```
/// use procession_channel::codec::{Limits, decode, encode_owned};
///
/// let mut message = Vec::new();
/// encode_owned("text".to_owned(), &mut message)?;
/// assert_eq!(decode(&message, &Limits::DEFAULT), Ok("text".to_owned()));
/// # Ok::<(), procession_channel::codec::EncodeError>(())
/// ```
#[inline]
pub fn encode_owned<T: Message>(value: T, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    debug_assert!(out.is_empty(), "what is in `out` would be lost");
    match into_message(value) {
        Ok(bytes) => *out = bytes,
        Err(value) => encode(&value, out)?,
    }
    Ok(())
}

/// [`encode`] for a reader with other limits than the default. Only [`Limits::depth`] matters to the writer.
///
/// # Errors
///
/// `out` is then as it was before.
///
/// * [`EncodeError::DepthLimit`]: the value is nested too deeply for its reader.
/// * [`EncodeError::LengthUnknown`], [`LengthWrong`](EncodeError::LengthWrong), [`FieldSkipped`](EncodeError::FieldSkipped):
///   the type's `Serialize` does what this format has no bytes for.
/// * [`EncodeError::Refused`]: the type's `Serialize` returned an error.
///
/// ```
/// use procession_channel::codec::{EncodeError, Limits, encode_with};
///
/// let (mut out, flat) = (Vec::new(), Limits { depth: 2, ..Limits::DEFAULT });
/// let nested = vec![vec![vec!["deep".to_owned()]]];
/// assert_eq!(encode_with(&nested, &mut out, &flat), Err(EncodeError::DepthLimit { limit: 2 }));
/// assert!(out.is_empty());
/// ```
#[inline]
pub fn encode_with<T: Message>(
    value: &T,
    out: &mut Vec<u8>,
    limits: &Limits,
) -> Result<(), EncodeError> {
    if bulk::encode(value, out) {
        return Ok(());
    }
    encode_by_parts(value, out, limits)
}

/// Encodes `items` to the bytes of a `Vec` that owned them.
pub(crate) fn encode_slice<T: Serialize + Any>(
    items: &[T],
    out: &mut Vec<u8>,
    limits: &Limits,
) -> Result<(), EncodeError> {
    if bulk::encode_slice(items, out) {
        return Ok(());
    }
    encode_by_parts(items, out, limits)
}

/// Encodes through serde. Right only for types that the bulk format does not know.
#[inline]
pub(crate) fn encode_by_parts<T: Serialize + ?Sized>(
    value: &T,
    out: &mut impl Output,
    limits: &Limits,
) -> Result<(), EncodeError> {
    let start = out.len();
    let result = value.serialize(Encoder::new(out, limits));
    if result.is_err() {
        out.truncate(start);
    }
    result
}

/// Reads a `T` that takes up the whole of `bytes`, which may hold anything at all.
///
/// # Errors
///
/// * [`DecodeError::Truncated`], [`TrailingBytes`](DecodeError::TrailingBytes): `bytes` is a part of a message, or more.
/// * [`DecodeError::DepthLimit`], [`NestedBytesLimit`](DecodeError::NestedBytesLimit),
///   [`LengthLimit`](DecodeError::LengthLimit), [`AllocationLimit`](DecodeError::AllocationLimit): the message asks for more than it may.
/// * [`DecodeError::Invalid`]: these bytes are no `T`, or its `Deserialize` refused them.
/// * [`DecodeError::NotSelfDescribing`]: no bytes can be a `T`, because its `Deserialize` asks the format for the type.
/// * [`DecodeError::Panicked`]: its `Deserialize` panicked.
///
/// ```
/// use procession_channel::codec::{DecodeError, Limits, decode};
///
/// let claims_four_billion = [0xff, 0xff, 0xff, 0xff, 0x0f];
/// let result = decode::<Vec<String>>(&claims_four_billion, &Limits::DEFAULT);
/// assert!(matches!(result, Err(DecodeError::LengthLimit { .. })));
/// ```
#[inline]
pub fn decode<T: Message>(bytes: &[u8], limits: &Limits) -> Result<T, DecodeError> {
    if let Some(result) = bulk::decode(bytes, limits) {
        return result;
    }
    if is_plain::<T>() {
        // serde's own implementations for numbers and text, which do not panic.
        return decode_by_parts(bytes, limits);
    }
    // The decoder's state is dropped with the panic, so no broken invariant can be seen afterwards.
    catch_unwind(AssertUnwindSafe(|| decode_by_parts(bytes, limits)))
        .unwrap_or_else(|payload| Err(DecodeError::panicked(&*payload)))
}

/// [`decode`] of bytes that are not needed any more: they become a `Vec<u8>` without a copy.
///
/// # Errors
///
/// As [`decode`].
///
/// ```
/// use procession_channel::codec::{Limits, decode_owned};
///
/// let message = vec![1, 2, 3];
/// let place = message.as_ptr();
/// let bytes: Vec<u8> = decode_owned(message, &Limits::DEFAULT)?;
/// assert_eq!(bytes.as_ptr(), place);                    // the same memory
/// # Ok::<(), procession_channel::codec::DecodeError>(())
/// ```
#[inline]
pub fn decode_owned<T: Message>(bytes: Vec<u8>, limits: &Limits) -> Result<T, DecodeError> {
    let len = bytes.len();
    match bulk::from_bytes(bytes) {
        Ok(_) if len > limits.allocation_bytes => {
            Err(DecodeError::AllocationLimit { limit_bytes: limits.allocation_bytes })
        }
        Ok(value) => Ok(value),
        Err(bytes) => decode(&bytes, limits),
    }
}

#[inline]
fn decode_by_parts<T: Message>(bytes: &[u8], limits: &Limits) -> Result<T, DecodeError> {
    let mut input = Input::new(bytes, limits);
    let value = T::deserialize(Decoder::for_value::<T>(&mut input))?;
    input.finish()?;
    Ok(value)
}
