//! Vectors of numbers as one copy.
//!
//! serde hands a `Vec<u8>` to a format one element at a time. A message that is a `Vec` of a type in the table below is
//! recognised by its `TypeId` instead, and its memory is the message. The comparisons are between constants and vanish in an
//! optimised build, so other types do not pay for them.
//!
//! Specialisation would say this better and is not stable; a cast after the `TypeId` comparison would be as fast and unsafe.
//! `Any` gives the same cast checked.
//!
//! `bool` and `char` are not in the table, because not every bit pattern is one. `String` needs no place in it: serde hands
//! it over whole.

use std::any::{Any, TypeId};

use bytemuck::Pod;

use super::decoder::Input;
use super::encoder::write_len;
use super::{DecodeError, Limits};

/// Elements that are copied at a time where their type is known only by `Any`.
const BLOCK_LEN: usize = 64;

macro_rules! for_each_number {
    ($number:ident => $body:block) => {
        for_each_number!(@ $number $body
            u8 u16 u32 u64 u128 usize i8 i16 i32 i64 i128 isize f32 f64);
    };
    (@ $number:ident $body:block $($known:ty)*) => {
        $( { type $number = $known; $body } )*
    };
}

/// Appends `value` if it is a vector of numbers, and says whether it was.
#[inline]
pub(super) fn encode<T: Any>(value: &T, out: &mut Vec<u8>) -> bool {
    for_each_number!(Number => {
        if let Some(items) = (value as &dyn Any).downcast_ref::<Vec<Number>>() {
            write_len(items.len(), out);
            out.extend_from_slice(bytemuck::cast_slice(items));
            return true;
        }
    });
    false
}

/// Appends `items` as [`encode`] would a vector of them, and says whether they are numbers.
#[inline]
pub(super) fn encode_slice<T: Any>(items: &[T], out: &mut Vec<u8>) -> bool {
    for_each_number!(Number => {
        if TypeId::of::<T>() == TypeId::of::<Number>() {
            write_len(items.len(), out);
            append_blocks::<T, Number>(items, out);
            return true;
        }
    });
    false
}

/// Appends the memory of `items`, which are of type `Number`.
///
/// A slice cannot be downcast (`Any` wants a sized type), its elements can; the loop compiles to a copy of the block.
fn append_blocks<T: Any, Number: Pod>(items: &[T], out: &mut Vec<u8>) {
    out.reserve(size_of_val(items));
    for chunk in items.chunks(BLOCK_LEN) {
        let mut block = [Number::zeroed(); BLOCK_LEN];
        for (number, item) in block.iter_mut().zip(chunk) {
            *number = *(item as &dyn Any)
                .downcast_ref::<Number>()
                .expect("the caller compared the type ids");
        }
        out.extend_from_slice(bytemuck::cast_slice(&block[..chunk.len()]));
    }
}

/// Reads the whole of `bytes` as a vector of numbers, or returns `None` when `T` is none.
#[inline]
pub(super) fn decode<T: Any>(bytes: &[u8], limits: &Limits) -> Option<Result<T, DecodeError>> {
    for_each_number!(Number => {
        if TypeId::of::<T>() == TypeId::of::<Vec<Number>>() {
            return match read::<Number>(bytes, limits) {
                Ok(items) => same_type(items).map(Ok),
                Err(error) => Some(Err(error)),
            };
        }
    });
    None
}

fn read<Number: Pod>(bytes: &[u8], limits: &Limits) -> Result<Vec<Number>, DecodeError> {
    let mut input = Input::new(bytes, limits);
    let len = input.take_len()?;
    let size = len.saturating_mul(size_of::<Number>());
    input.charge(size)?;
    let memory = input.take_bytes(size)?;
    input.finish()?;
    Ok(to_numbers(memory))
}

/// One copy. A message may start at any address, so its numbers may lie across their alignment.
fn to_numbers<Number: Pod>(memory: &[u8]) -> Vec<Number> {
    match bytemuck::try_cast_slice(memory) {
        Ok(aligned) => aligned.to_vec(),
        Err(_misaligned) => {
            memory.chunks_exact(size_of::<Number>()).map(bytemuck::pod_read_unaligned).collect()
        }
    }
}

/// `value` as a `B`, if that is what it is.
fn same_type<A: Any, B: Any>(value: A) -> Option<B> {
    let mut slot = Some(value);
    (&mut slot as &mut dyn Any).downcast_mut::<Option<B>>()?.take()
}
