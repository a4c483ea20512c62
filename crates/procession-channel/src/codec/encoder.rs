//! The writing half: walks a value through serde and leaves scalars to postcard.
//!
//! Invariant: all that the reader refuses by shape (depth, lengths, empty elements) is refused or padded here. What remains to
//! the reader are its limits on memory, which depend on the sizes of the values it makes.

use serde::Serialize;
use serde::ser::{
    SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::output::Output;
use super::{EncodeError, Limits};

type Result<T, E = EncodeError> = std::result::Result<T, E>;

/// postcard's scalars, appended to what was written before.
struct Append<'a, O>(&'a mut O);

impl<O: Output> postcard::ser_flavors::Flavor for Append<'_, O> {
    type Output = ();

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend(bytes);
        Ok(())
    }

    #[inline]
    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// Appends a length as a varint.
#[inline]
pub(super) fn write_len(len: usize, out: &mut impl Output) {
    write_varint(len as u64, out);
}

/// Appends a number as a varint, as postcard would, which makes a call to copy the few bytes of it.
#[inline]
fn write_varint(number: u64, out: &mut impl Output) {
    let mut rest = number;
    while rest >= 0x80 {
        out.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    out.push(rest.to_le_bytes()[0]);
}

/// 0, -1, 1, -2 become 0, 1, 2, 3.
#[inline]
fn zigzag(number: impl Into<i64>) -> u64 {
    let number = number.into();
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

/// Writes one value. Each level of nesting gets its own copy, which knows how many levels may follow.
pub(super) struct Encoder<'a, O> {
    out: &'a mut O,
    depth_left: u32,
    depth_limit: u32,
}

impl<'a, O: Output> Encoder<'a, O> {
    #[inline]
    pub(super) fn new(out: &'a mut O, limits: &Limits) -> Self {
        Self { out, depth_left: limits.depth, depth_limit: limits.depth }
    }

    #[inline]
    fn enter(self) -> Result<Self> {
        match self.depth_left.checked_sub(1) {
            Some(depth_left) => Ok(Self { depth_left, ..self }),
            None => Err(EncodeError::DepthLimit { limit: self.depth_limit }),
        }
    }

    #[inline]
    fn scalar<T: Serialize>(self, value: T) -> Result<()> {
        postcard::serialize_with_flavor(&value, Append(self.out)).map_err(EncodeError::from_scalar)
    }

    #[inline]
    fn bytes(self, bytes: &[u8]) -> Result<()> {
        write_len(bytes.len(), self.out);
        self.out.extend(bytes);
        Ok(())
    }

    /// Enters a variant and writes its index.
    #[inline]
    fn variant(self, index: u32) -> Result<Self> {
        let mut inner = self.enter()?;
        inner.again().scalar(index)?;
        Ok(inner)
    }

    /// Enters a sequence or map and writes its length.
    #[inline]
    fn counted(self, what: &'static str, len: Option<usize>) -> Result<Elements<'a, O>> {
        let announced = len.ok_or(EncodeError::LengthUnknown { what })?;
        let encoder = self.enter()?;
        write_len(announced, encoder.out);
        let element_start = encoder.out.len();
        Ok(Elements { encoder, announced, written: 0, element_start })
    }

    /// An encoder for the next value on the same level.
    #[inline]
    fn again(&mut self) -> Encoder<'_, O> {
        Encoder { out: self.out, depth_left: self.depth_left, depth_limit: self.depth_limit }
    }
}

macro_rules! scalars {
    ($($method:ident: $scalar:ty),* $(,)?) => {
        $(
            #[inline]
            fn $method(self, value: $scalar) -> Result<()> {
                self.scalar(value)
            }
        )*
    };
}

macro_rules! varints {
    ($($method:ident: $number:ty => $widen:path),* $(,)?) => {
        $(
            #[inline]
            fn $method(self, value: $number) -> Result<()> {
                write_varint($widen(value), self.out);
                Ok(())
            }
        )*
    };
}

impl<'a, O: Output> Serializer for Encoder<'a, O> {
    type Ok = ();
    type Error = EncodeError;
    type SerializeSeq = Elements<'a, O>;
    type SerializeTuple = Fields<'a, O>;
    type SerializeTupleStruct = Fields<'a, O>;
    type SerializeTupleVariant = Fields<'a, O>;
    type SerializeMap = Elements<'a, O>;
    type SerializeStruct = Fields<'a, O>;
    type SerializeStructVariant = Fields<'a, O>;

    scalars! {
        serialize_bool: bool, serialize_char: char, serialize_f32: f32, serialize_f64: f64,
        serialize_i8: i8, serialize_i128: i128, serialize_u8: u8, serialize_u128: u128,
    }

    varints! {
        serialize_u16: u16 => u64::from, serialize_u32: u32 => u64::from, serialize_u64: u64 => u64::from,
        serialize_i16: i16 => zigzag, serialize_i32: i32 => zigzag, serialize_i64: i64 => zigzag,
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }

    #[inline]
    fn serialize_str(self, text: &str) -> Result<()> {
        self.bytes(text.as_bytes())
    }

    #[inline]
    fn serialize_bytes(self, bytes: &[u8]) -> Result<()> {
        self.bytes(bytes)
    }

    #[inline]
    fn serialize_none(self) -> Result<()> {
        self.enter()?.scalar(0_u8)
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<()> {
        let mut inner = self.enter()?;
        inner.again().scalar(1_u8)?;
        value.serialize(inner)
    }

    #[inline]
    fn serialize_unit(self) -> Result<()> {
        Ok(())
    }

    #[inline]
    fn serialize_unit_struct(self, _name: &'static str) -> Result<()> {
        Ok(())
    }

    #[inline]
    fn serialize_unit_variant(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
    ) -> Result<()> {
        self.variant(index).map(drop)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<()> {
        value.serialize(self.enter()?)
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
        value: &T,
    ) -> Result<()> {
        value.serialize(self.variant(index)?)
    }

    #[inline]
    fn serialize_seq(self, len: Option<usize>) -> Result<Elements<'a, O>> {
        self.counted("sequence", len)
    }

    #[inline]
    fn serialize_tuple(self, _len: usize) -> Result<Fields<'a, O>> {
        self.enter().map(Fields)
    }

    #[inline]
    fn serialize_tuple_struct(self, _name: &'static str, _len: usize) -> Result<Fields<'a, O>> {
        self.enter().map(Fields)
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
        _len: usize,
    ) -> Result<Fields<'a, O>> {
        self.variant(index).map(Fields)
    }

    #[inline]
    fn serialize_map(self, len: Option<usize>) -> Result<Elements<'a, O>> {
        self.counted("map", len)
    }

    #[inline]
    fn serialize_struct(self, _name: &'static str, _len: usize) -> Result<Fields<'a, O>> {
        self.enter().map(Fields)
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        _name: &'static str,
        index: u32,
        _variant: &'static str,
        _len: usize,
    ) -> Result<Fields<'a, O>> {
        self.variant(index).map(Fields)
    }
}

/// The elements of a sequence, or the entries of a map. None of them is empty on the wire.
pub(super) struct Elements<'a, O> {
    encoder: Encoder<'a, O>,
    announced: usize,
    written: usize,
    /// Where the current element begins in `out`.
    element_start: usize,
}

impl<O: Output> Elements<'_, O> {
    #[inline]
    fn write<T: Serialize + ?Sized>(&mut self, part: &T) -> Result<()> {
        part.serialize(self.encoder.again())
    }

    #[inline]
    fn end_element(&mut self) {
        if self.encoder.out.len() == self.element_start {
            self.encoder.out.push(0);
        }
        self.element_start = self.encoder.out.len();
        self.written += 1;
    }

    #[inline]
    fn finish(self) -> Result<()> {
        let Self { announced, written, .. } = self;
        if announced == written {
            Ok(())
        } else {
            Err(EncodeError::LengthWrong { announced, written })
        }
    }
}

impl<O: Output> SerializeSeq for Elements<'_, O> {
    type Ok = ();
    type Error = EncodeError;

    #[inline]
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.write(value)?;
        self.end_element();
        Ok(())
    }

    #[inline]
    fn end(self) -> Result<()> {
        self.finish()
    }
}

impl<O: Output> SerializeMap for Elements<'_, O> {
    type Ok = ();
    type Error = EncodeError;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        self.write(key)
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        self.write(value)?;
        self.end_element();
        Ok(())
    }

    #[inline]
    fn end(self) -> Result<()> {
        self.finish()
    }
}

/// The fields of a tuple, struct or variant. Their number is part of the type, so it is not written.
pub(super) struct Fields<'a, O>(Encoder<'a, O>);

macro_rules! positional_fields {
    ($($serialize:ident::$method:ident),*) => {
        $(
            impl<O: Output> $serialize for Fields<'_, O> {
                type Ok = ();
                type Error = EncodeError;

                #[inline]
                fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
                    value.serialize(self.0.again())
                }

                #[inline]
                fn end(self) -> Result<()> {
                    Ok(())
                }
            }
        )*
    };
}

macro_rules! named_fields {
    ($($serialize:ident),*) => {
        $(
            impl<O: Output> $serialize for Fields<'_, O> {
                type Ok = ();
                type Error = EncodeError;

                #[inline]
                fn serialize_field<T: Serialize + ?Sized>(
                    &mut self,
                    _name: &'static str,
                    value: &T,
                ) -> Result<()> {
                    value.serialize(self.0.again())
                }

                fn skip_field(&mut self, field: &'static str) -> Result<()> {
                    Err(EncodeError::FieldSkipped { field })
                }

                #[inline]
                fn end(self) -> Result<()> {
                    Ok(())
                }
            }
        )*
    };
}

positional_fields!(
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field
);
named_fields!(SerializeStruct, SerializeStructVariant);
