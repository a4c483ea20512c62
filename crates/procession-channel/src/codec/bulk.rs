//! Numbers, arrays and vectors of numbers as one copy.
//!
//! serde hands a `Vec<u8>` to a format one element at a time. A message that is a number of a type in the table below, an array of
//! them that serde knows, or a `Vec` of them, is recognised by its `TypeId` instead, and its memory is the message. The comparisons
//! are between constants and vanish in an optimised build, so other types do not pay for them.
//!
//! The memory of a number or array is no value of another size on the way: what is stored by halves and loaded whole holds a
//! processor up for longer than the whole copy takes.
//!
//! Specialisation would say this better and is not stable. `Any` gives the same cast checked, but for slices, which it does
//! not know.
//!
//! `bool` and `char` are not in the table, because not every bit pattern is one. `String` needs no place in it: serde hands
//! it over whole.

use std::any::{Any, TypeId};

use bytemuck::Pod;

use super::decoder::Input;
use super::{DecodeError, Limits};

macro_rules! for_each_number {
    ($number:ident => $body:block) => {
        for_each_number!(@ $number $body
            u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64);
    };
    (@ $number:ident $body:block $($known:ty)*) => {
        $( { type $number = $known; $body } )*
    };
}

/// Whether a `T` is a number, or an array of as many as serde knows in arrays.
#[inline]
pub(super) fn is_numbers<T: Any>() -> bool {
    for_each_number!(Number => {
        if TypeId::of::<T>() == TypeId::of::<Number>() || is_array_of::<Number, T>() {
            return true;
        }
    });
    false
}

/// Of the lengths only the one that a `T` could have is looked at, also by the compiler.
#[inline]
fn is_array_of<Number: Any, T: Any>() -> bool {
    macro_rules! one_of {
        ($($len:literal)*) => {
            match const { size_of::<T>() / size_of::<Number>() } {
                $( $len => TypeId::of::<T>() == TypeId::of::<[Number; $len]>(), )*
                _ => false,
            }
        };
    }
    one_of!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32)
}

/// The memory of `value`, which is its message, if it is a number, or an array or vector of numbers.
#[inline]
pub(super) fn memory_of<T: Any>(value: &T) -> Option<&[u8]> {
    if is_numbers::<T>() {
        let memory = std::ptr::from_ref(value).cast();
        // SAFETY: a number or an array of numbers has no padding: all its bytes are there, for as long as `value` is.
        return Some(unsafe { std::slice::from_raw_parts(memory, size_of::<T>()) });
    }
    for_each_number!(Number => {
        if let Some(items) = (value as &dyn Any).downcast_ref::<Vec<Number>>() {
            return Some(bytemuck::cast_slice(items));
        }
    });
    None
}

/// How much more room is made for a vector than it takes: whoever pads a message need not move it for that.
const SLACK: usize = 16;

/// Appends `value` if it is a number, or an array or vector of numbers, and says whether it was.
#[inline]
pub(super) fn encode<T: Any>(value: &T, out: &mut Vec<u8>) -> bool {
    let Some(memory) = memory_of(value) else { return false };
    append(memory, out);
    true
}

fn append(memory: &[u8], out: &mut Vec<u8>) {
    out.reserve(memory.len() + SLACK);
    out.extend_from_slice(memory);
}

/// Whether a `T` is a number, text or nothing, or an array or vector of numbers.
#[inline]
pub(super) fn is_plain<T: Any>() -> bool {
    let this = TypeId::of::<T>();
    for_each_number!(Number => {
        if this == TypeId::of::<Vec<Number>>() {
            return true;
        }
    });
    is_numbers::<T>()
        || this == TypeId::of::<()>()
        || this == TypeId::of::<bool>()
        || this == TypeId::of::<char>()
        || this == TypeId::of::<String>()
}

/// Appends `items` as [`encode`] would a vector of them, and says whether they are numbers.
#[inline]
pub(super) fn encode_slice<T: Any>(items: &[T], out: &mut Vec<u8>) -> bool {
    for_each_number!(Number => {
        if let Some(numbers) = same_elements::<T, Number>(items) {
            append(bytemuck::cast_slice(numbers), out);
            return true;
        }
    });
    false
}

/// `items` as what they are, if they are of type `Number`.
#[inline]
fn same_elements<T: Any, Number: Pod>(items: &[T]) -> Option<&[Number]> {
    if TypeId::of::<T>() != TypeId::of::<Number>() {
        return None;
    }
    // SAFETY: `T` and `Number` are the same type, so this is the slice that it was.
    Some(unsafe { std::slice::from_raw_parts(items.as_ptr().cast(), items.len()) })
}

/// What `value` encodes to, without a copy, if it is a vector of bytes; otherwise gives it back.
#[inline]
pub(super) fn into_bytes<T: Any>(value: T) -> Result<Vec<u8>, T> {
    cast(value)
}

/// The value that `bytes` encode, without a copy, if a `T` is a vector of bytes; otherwise gives them back.
#[inline]
pub(super) fn from_bytes<T: Any>(bytes: Vec<u8>) -> Result<T, Vec<u8>> {
    cast(bytes)
}

/// The number, or array of numbers, whose memory `bytes` are; `None` if a `T` is none, or of another length.
#[inline]
pub(super) fn read_numbers<T: Any>(bytes: &[u8]) -> Option<T> {
    if !is_numbers::<T>() || bytes.len() != size_of::<T>() {
        return None;
    }
    // SAFETY: there are as many bytes as a `T` has, and all bit patterns of numbers are numbers.
    Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

/// Reads the whole of `bytes` as a number, or an array or vector of numbers, or returns `None` when `T` is none of them.
#[inline]
pub(super) fn decode<T: Any>(bytes: &[u8], limits: &Limits) -> Option<Result<T, DecodeError>> {
    if is_numbers::<T>() {
        return Some(match (read_numbers(bytes), bytes.len().checked_sub(size_of::<T>())) {
            (Some(value), _) => Ok(value),
            (None, Some(count)) => Err(DecodeError::TrailingBytes { count }),
            (None, None) => Err(DecodeError::Truncated),
        });
    }
    for_each_number!(Number => {
        if TypeId::of::<T>() == TypeId::of::<Vec<Number>>() {
            return match read::<Number>(bytes, limits) {
                Ok(items) => cast(items).ok().map(Ok),
                Err(error) => Some(Err(error)),
            };
        }
    });
    None
}

fn read<Number: Pod>(bytes: &[u8], limits: &Limits) -> Result<Vec<Number>, DecodeError> {
    Input::new(bytes, limits).charge(bytes.len())?;
    if !bytes.len().is_multiple_of(size_of::<Number>()) {
        return Err(DecodeError::invalid("a vector of numbers ends in the middle of one"));
    }
    Ok(to_numbers(bytes))
}

/// One copy. A message may start at any address, so its numbers may lie across their alignment.
fn to_numbers<Number: Pod>(memory: &[u8]) -> Vec<Number> {
    match bytemuck::try_cast_slice(memory) {
        Ok(aligned) => {
            let mut numbers = Vec::with_capacity(aligned.len());
            procession_shm::huge::advise(&mut numbers);
            numbers.extend_from_slice(aligned);
            numbers
        }
        Err(_misaligned) => {
            memory.chunks_exact(size_of::<Number>()).map(bytemuck::pod_read_unaligned).collect()
        }
    }
}

/// Whether a `T` is a vector of bytes, which can become its message, and come of it, without a copy.
#[inline]
pub(super) fn is_bytes<T: Any>() -> bool {
    TypeId::of::<T>() == TypeId::of::<Vec<u8>>()
}

/// `value` as a `B`, if that is what it is; otherwise gives it back.
#[inline]
fn cast<A: Any, B: Any>(value: A) -> Result<B, A> {
    let mut slot = Some(value);
    match (&mut slot as &mut dyn Any).downcast_mut::<Option<B>>() {
        Some(same) => Ok(same.take().expect("it was filled two lines above")),
        None => Err(slot.expect("it was filled above, and nobody took it")),
    }
}
