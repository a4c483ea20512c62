//! The reading half: walks a type through serde over bytes that may be hostile, and leaves scalars to postcard.
//!
//! Invariants:
//!
//! * I1: an element of a sequence or map takes at least one byte, by its pad byte if by nothing else. With lengths checked
//!   against the bytes left, the number of elements in a message is below its number of bytes.
//! * I2: no value is made before its size was charged. `prepaid_bytes` is the part of it that lies inside a value charged
//!   before: a field lies in its struct and costs nothing again, but a value behind a `Box` is larger than the box.
//! * I3: every way from a value to a value inside it goes through `enter`, which takes a level.
//! * I4: what is charged to memory is also charged to `nested_left_bytes` for as long as the value is being read. Stack frames
//!   hold copies of the values they make (up to 16 in a build without optimisation, measured), so this bounds the stack where
//!   the number of levels alone does not.

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

use super::{DecodeError, Limits};

type Result<T, E = DecodeError> = std::result::Result<T, E>;

/// The most elements a collection is told to make room for in advance. serde's own collections also keep to a MiB; others
/// may take the hint as it is.
const SIZE_HINT_MAX: usize = 1024;

/// The bytes not yet read and the memory not yet spent.
pub(super) struct Input<'de> {
    bytes: &'de [u8],
    allocation_left_bytes: usize,
    /// Not a copy, which would be loaded wider than it has just been stored.
    limits: &'de Limits,
}

impl<'de> Input<'de> {
    #[inline]
    pub(super) fn new(bytes: &'de [u8], limits: &'de Limits) -> Self {
        Self { bytes, allocation_left_bytes: limits.allocation_bytes, limits }
    }

    /// A number, bool or char.
    #[inline]
    fn take<T: Deserialize<'de>>(&mut self) -> Result<T> {
        let (value, rest) =
            postcard::take_from_bytes(self.bytes).map_err(DecodeError::from_scalar)?;
        self.bytes = rest;
        Ok(value)
    }

    /// The length of something of which each element takes at least one byte.
    #[inline]
    pub(super) fn take_len(&mut self) -> Result<usize> {
        let len = self.take::<usize>()?;
        let bytes_left = self.bytes.len();
        if len <= bytes_left { Ok(len) } else { Err(DecodeError::LengthLimit { len, bytes_left }) }
    }

    #[inline]
    pub(super) fn take_bytes(&mut self, count: usize) -> Result<&'de [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or(DecodeError::Truncated)?;
        self.bytes = rest;
        Ok(taken)
    }

    /// A byte array with its length before it, which the visitor will copy.
    #[inline]
    fn take_counted_bytes(&mut self) -> Result<&'de [u8]> {
        let len = self.take_len()?;
        self.charge(len)?;
        self.take_bytes(len)
    }

    #[inline]
    fn take_str(&mut self) -> Result<&'de str> {
        let bytes = self.take_counted_bytes()?;
        // Most texts are, and are seen to be by whole vectors. The check below goes by words, and by bytes up to the first of them.
        if bytes.is_ascii() {
            // SAFETY: ASCII is UTF-8.
            return Ok(unsafe { std::str::from_utf8_unchecked(bytes) });
        }
        std::str::from_utf8(bytes).map_err(|_| DecodeError::invalid("a string is not UTF-8"))
    }

    /// Ends an element that began with `bytes_left_before` bytes left.
    #[inline]
    fn end_element(&mut self, bytes_left_before: usize) -> Result<()> {
        if self.bytes.len() != bytes_left_before {
            return Ok(());
        }
        match self.take::<u8>()? {
            0 => Ok(()),
            _ => Err(DecodeError::invalid("the pad byte of an empty element is not 0")),
        }
    }

    #[inline]
    pub(super) fn charge(&mut self, bytes: usize) -> Result<()> {
        match self.allocation_left_bytes.checked_sub(bytes) {
            Some(left) => self.allocation_left_bytes = left,
            None => {
                let limit_bytes = self.limits.allocation_bytes;
                return Err(DecodeError::AllocationLimit { limit_bytes });
            }
        }
        Ok(())
    }

    #[inline]
    pub(super) fn finish(self) -> Result<()> {
        match self.bytes.len() {
            0 => Ok(()),
            count => Err(DecodeError::TrailingBytes { count }),
        }
    }
}

/// Reads one value. Each level of nesting gets its own copy, which knows how many levels may follow.
pub(super) struct Decoder<'a, 'de> {
    input: &'a mut Input<'de>,
    depth_left: u32,
    nested_left_bytes: usize,
    prepaid_bytes: usize,
}

impl<'a, 'de> Decoder<'a, 'de> {
    /// A decoder for a `T` that its caller has room for.
    #[inline]
    pub(super) fn for_value<T>(input: &'a mut Input<'de>) -> Self {
        let &Limits { depth, nested_bytes, .. } = input.limits;
        Self {
            input,
            depth_left: depth,
            nested_left_bytes: nested_bytes,
            prepaid_bytes: size_of::<T>(),
        }
    }

    /// Takes a level for a value of type `T`, and charges what of it lies outside the value around it.
    #[inline]
    fn enter<T>(self) -> Result<Self> {
        let Some(depth_left) = self.depth_left.checked_sub(1) else {
            return Err(DecodeError::DepthLimit { limit: self.input.limits.depth });
        };
        let size = size_of::<T>();
        let mut inner = Self { depth_left, prepaid_bytes: size, ..self };
        inner.charge(size.saturating_sub(self.prepaid_bytes))?;
        Ok(inner)
    }

    /// Charges the value about to be read to the message's memory and to the nesting.
    #[inline]
    fn charge(&mut self, bytes: usize) -> Result<()> {
        let Some(nested_left_bytes) = self.nested_left_bytes.checked_sub(bytes) else {
            let limit_bytes = self.input.limits.nested_bytes;
            return Err(DecodeError::NestedBytesLimit { limit_bytes });
        };
        self.nested_left_bytes = nested_left_bytes;
        self.input.charge(bytes)
    }

    /// A decoder for a `T` inside the value that was entered.
    #[inline]
    fn part<T>(&mut self) -> Decoder<'_, 'de> {
        Decoder { input: self.input, prepaid_bytes: size_of::<T>(), ..*self }
    }

    #[inline]
    fn visit_fields<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value> {
        let mut fields = Fields { decoder: self, left: len };
        let value = visitor.visit_seq(&mut fields)?;
        all_read(fields.left)?;
        Ok(value)
    }
}

/// What a visitor leaves unread would be taken for the value that follows.
#[inline]
fn all_read(left: usize) -> Result<()> {
    match left {
        0 => Ok(()),
        _ => Err(DecodeError::invalid("there are more elements than the type takes")),
    }
}

macro_rules! scalars {
    ($($method:ident $visit:ident),* $(,)?) => {
        $(
            #[inline]
            fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
                visitor.$visit(self.input.take()?)
            }
        )*
    };
}

impl<'de> Deserializer<'de> for Decoder<'_, 'de> {
    type Error = DecodeError;

    scalars! {
        deserialize_bool visit_bool, deserialize_char visit_char,
        deserialize_f32 visit_f32, deserialize_f64 visit_f64,
        deserialize_i8 visit_i8, deserialize_i16 visit_i16, deserialize_i32 visit_i32,
        deserialize_i64 visit_i64, deserialize_i128 visit_i128,
        deserialize_u8 visit_u8, deserialize_u16 visit_u16, deserialize_u32 visit_u32,
        deserialize_u64 visit_u64, deserialize_u128 visit_u128,
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value> {
        Err(DecodeError::NotSelfDescribing)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value> {
        Err(DecodeError::NotSelfDescribing)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value> {
        Err(DecodeError::NotSelfDescribing)
    }

    #[inline]
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_borrowed_str(self.input.take_str()?)
    }

    #[inline]
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_str(visitor)
    }

    #[inline]
    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_borrowed_bytes(self.input.take_counted_bytes()?)
    }

    #[inline]
    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.deserialize_bytes(visitor)
    }

    #[inline]
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let inner = self.enter::<V::Value>()?;
        match inner.input.take::<u8>()? {
            0 => visitor.visit_none(),
            1 => visitor.visit_some(inner),
            _ => Err(DecodeError::invalid("the tag of an Option is neither 0 nor 1")),
        }
    }

    #[inline]
    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_unit()
    }

    #[inline]
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_newtype_struct(self.enter::<V::Value>()?)
    }

    #[inline]
    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let decoder = self.enter::<V::Value>()?;
        let left = decoder.input.take_len()?;
        let mut elements = Elements { decoder, left, bytes_left_before: 0 };
        let value = visitor.visit_seq(&mut elements)?;
        all_read(elements.left)?;
        Ok(value)
    }

    #[inline]
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        let decoder = self.enter::<V::Value>()?;
        let left = decoder.input.take_len()?;
        let mut elements = Elements { decoder, left, bytes_left_before: 0 };
        let value = visitor.visit_map(&mut elements)?;
        all_read(elements.left)?;
        Ok(value)
    }

    #[inline]
    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value> {
        self.enter::<V::Value>()?.visit_fields(len, visitor)
    }

    #[inline]
    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_tuple(len, visitor)
    }

    #[inline]
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.deserialize_tuple(fields.len(), visitor)
    }

    #[inline]
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        visitor.visit_enum(self.enter::<V::Value>()?)
    }
}

impl<'de> EnumAccess<'de> for Decoder<'_, 'de> {
    type Error = DecodeError;
    type Variant = Self;

    #[inline]
    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self)> {
        let index = self.input.take::<u32>()?;
        let tag = seed.deserialize(IntoDeserializer::<DecodeError>::into_deserializer(index))?;
        Ok((tag, self))
    }
}

impl<'de> VariantAccess<'de> for Decoder<'_, 'de> {
    type Error = DecodeError;

    #[inline]
    fn unit_variant(self) -> Result<()> {
        Ok(())
    }

    #[inline]
    fn newtype_variant_seed<S: DeserializeSeed<'de>>(mut self, seed: S) -> Result<S::Value> {
        seed.deserialize(self.part::<S::Value>())
    }

    #[inline]
    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value> {
        self.visit_fields(len, visitor)
    }

    #[inline]
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.visit_fields(fields.len(), visitor)
    }
}

/// The fields of a tuple, struct or variant: as many as the type has, inside its memory.
struct Fields<'a, 'de> {
    decoder: Decoder<'a, 'de>,
    left: usize,
}

impl<'de> SeqAccess<'de> for Fields<'_, 'de> {
    type Error = DecodeError;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(self.decoder.part::<S::Value>()).map(Some)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.left.min(SIZE_HINT_MAX))
    }
}

/// The elements of a sequence, or the entries of a map: as many as the message says, each in memory of its own.
struct Elements<'a, 'de> {
    decoder: Decoder<'a, 'de>,
    left: usize,
    /// The bytes left when the current element began.
    bytes_left_before: usize,
}

impl<'de> Elements<'_, 'de> {
    /// Whether there is another element. If so, it begins here.
    #[inline]
    fn begin_element(&mut self) -> bool {
        let Some(left) = self.left.checked_sub(1) else { return false };
        self.left = left;
        self.bytes_left_before = self.decoder.input.bytes.len();
        true
    }

    #[inline]
    fn read<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value> {
        let mut element = self.decoder.part::<S::Value>();
        element.charge(size_of::<S::Value>())?;
        seed.deserialize(element)
    }

    #[inline]
    fn end_element(&mut self) -> Result<()> {
        self.decoder.input.end_element(self.bytes_left_before)
    }
}

impl<'de> SeqAccess<'de> for Elements<'_, 'de> {
    type Error = DecodeError;

    #[inline]
    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        if !self.begin_element() {
            return Ok(None);
        }
        let value = self.read(seed)?;
        self.end_element()?;
        Ok(Some(value))
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.left.min(SIZE_HINT_MAX))
    }
}

impl<'de> MapAccess<'de> for Elements<'_, 'de> {
    type Error = DecodeError;

    #[inline]
    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        if !self.begin_element() {
            return Ok(None);
        }
        self.read(seed).map(Some)
    }

    #[inline]
    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value> {
        let value = self.read(seed)?;
        self.end_element()?;
        Ok(value)
    }

    #[inline]
    fn size_hint(&self) -> Option<usize> {
        Some(self.left.min(SIZE_HINT_MAX))
    }
}
