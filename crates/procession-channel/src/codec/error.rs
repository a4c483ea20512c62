//! Why a value could not be written or read.

use std::any::Any;
use std::borrow::Cow;
use std::fmt::{self, Display, Write};

/// A value that cannot be sent. Nothing was written.
///
/// ```
/// use procession_channel::codec::{EncodeError, encode};
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Sparse {
///     #[serde(skip_serializing_if = "Option::is_none")]
///     note: Option<String>,
/// }
///
/// let refused = encode(&Sparse { note: None }, &mut Vec::new());
/// assert_eq!(refused, Err(EncodeError::FieldSkipped { field: "note" }));
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The reader would refuse a value nested this deeply.
    #[error(
        "the value is nested deeper than {limit} levels; send it flat, for example as a Vec with indices"
    )]
    DepthLimit {
        /// The levels allowed.
        limit: u32,
    },
    /// A sequence or map does not say how many elements it has before it lists them. `#[serde(flatten)]` makes such a map.
    #[error(
        "a {what} does not know its length in advance; messages are not self-describing: #[serde(flatten)] does not work, \
         and a serializer that streams must collect into a Vec first"
    )]
    LengthUnknown {
        /// "sequence" or "map".
        what: &'static str,
    },
    /// A `Serialize` implementation announced another number of elements than it wrote.
    #[error(
        "a sequence or map announced {announced} elements and wrote {written}; correct its Serialize"
    )]
    LengthWrong {
        /// The length at the start.
        announced: usize,
        /// The elements that came.
        written: usize,
    },
    /// `#[serde(skip_serializing_if)]` left a field out, which a reader of bytes without names cannot see.
    #[error(
        "field `{field}` was left out; messages are not self-describing: #[serde(skip_serializing_if)] does not work"
    )]
    FieldSkipped {
        /// The field's name.
        field: &'static str,
    },
    /// The value's own `Serialize` returned an error.
    #[error("{reason}")]
    Refused {
        /// What it said, at most [`REASON_BYTES_MAX`](DecodeError::REASON_BYTES_MAX) bytes of it.
        reason: String,
    },
}

/// Bytes that are not the value they should be.
///
/// ```
/// use procession_channel::codec::{DecodeError, Limits, decode};
///
/// assert_eq!(decode::<(u8, u8)>(&[1, 2], &Limits::DEFAULT), Ok((1, 2)));
/// assert!(matches!(decode::<(u8, u8)>(&[1], &Limits::DEFAULT), Err(DecodeError::Truncated)));
/// assert!(matches!(decode::<(u8, u8)>(&[1, 2, 3], &Limits::DEFAULT), Err(DecodeError::TrailingBytes { count: 1 })));
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end in the middle of a value.
    #[error(
        "the message ends in the middle of a value: writer and reader must have the same type, and a hand-written Serialize must write all of it"
    )]
    Truncated,
    /// The value ends before the bytes do.
    #[error("{count} bytes are left after the value: writer and reader must have the same type")]
    TrailingBytes {
        /// The bytes left.
        count: usize,
    },
    /// The value is nested too deeply.
    #[error(
        "the message is nested deeper than {limit} levels: send it flat, for example as a Vec with indices"
    )]
    DepthLimit {
        /// [`Limits::depth`](super::Limits::depth).
        limit: u32,
    },
    /// Values nested in each other are too large together for the stack they are read on.
    #[error(
        "values nested in each other take more than {limit_bytes} bytes; put the large parts into a Vec or String"
    )]
    NestedBytesLimit {
        /// [`Limits::nested_bytes`](super::Limits::nested_bytes).
        limit_bytes: usize,
    },
    /// A sequence, map, string or byte array claims more than the message holds.
    #[error(
        "the message claims a length of {len} with {bytes_left} bytes left: writer and reader must have the same type, or its sender is broken or hostile"
    )]
    LengthLimit {
        /// The length claimed.
        len: usize,
        /// What could hold at most that many elements.
        bytes_left: usize,
    },
    /// The value would take too much memory.
    #[error(
        "the decoded message would take more than {limit_bytes} bytes of memory: send less at a time, or raise the limit (`max_message`)"
    )]
    AllocationLimit {
        /// [`Limits::allocation_bytes`](super::Limits::allocation_bytes).
        limit_bytes: usize,
    },
    /// The bytes mean nothing in this type, or its `Deserialize` refused them.
    #[error(
        "the message is not a value of its type (write what the type takes, and read the type that was written): {reason}"
    )]
    Invalid {
        /// What is wrong, at most [`REASON_BYTES_MAX`](DecodeError::REASON_BYTES_MAX) bytes of it.
        reason: Cow<'static, str>,
    },
    /// The type's `Deserialize` asks the message what type it is.
    #[error(
        "messages are not self-describing: #[serde(flatten)] and #[serde(untagged)] do not work, nor do internally tagged \
         enums and IgnoredAny; use an enum or struct without these attributes, or send the value as JSON in a String"
    )]
    NotSelfDescribing,
    /// A `Deserialize` implementation panicked on the message.
    #[error(
        "reading the message panicked: {message}; its Deserialize should return an error instead"
    )]
    Panicked {
        /// What the panic said, at most [`REASON_BYTES_MAX`](DecodeError::REASON_BYTES_MAX) bytes of it.
        message: String,
    },
}

impl DecodeError {
    /// The longest text of an error, in bytes. A text may quote the message, and a message may be large.
    ///
    /// ```
    /// use procession_channel::codec::DecodeError;
    ///
    /// let panicked = DecodeError::Panicked { message: "no".to_owned() };
    /// assert!(panicked.to_string().len() < DecodeError::REASON_BYTES_MAX);
    /// ```
    pub const REASON_BYTES_MAX: usize = 512;

    pub(super) const fn invalid(reason: &'static str) -> Self {
        Self::Invalid { reason: Cow::Borrowed(reason) }
    }

    #[cold]
    pub(super) fn from_scalar(error: postcard::Error) -> Self {
        use postcard::Error;
        match error {
            Error::DeserializeUnexpectedEnd => Self::Truncated,
            Error::DeserializeBadVarint => Self::invalid("a number is too large for its type"),
            Error::DeserializeBadBool => Self::invalid("a bool is neither 0 nor 1"),
            Error::DeserializeBadChar => Self::invalid("a char is not one UTF-8 character"),
            other => Self::Invalid { reason: bounded_text(&other).into() },
        }
    }

    #[cold]
    pub(super) fn panicked(payload: &(dyn Any + Send)) -> Self {
        let text = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("the panic carried no text");
        Self::Panicked { message: bounded_text(&text) }
    }
}

impl serde::de::Error for DecodeError {
    #[cold]
    fn custom<T: Display>(message: T) -> Self {
        Self::Invalid { reason: bounded_text(&message).into() }
    }
}

impl EncodeError {
    #[cold]
    pub(super) fn from_scalar(error: postcard::Error) -> Self {
        Self::Refused { reason: bounded_text(&error) }
    }
}

impl serde::ser::Error for EncodeError {
    #[cold]
    fn custom<T: Display>(message: T) -> Self {
        let mut reason = bounded_text(&message);
        // This is how serde words it for Path and PathBuf.
        if reason == "path contains invalid UTF-8 characters" {
            reason.push_str("; use OsString, which carries any path");
        }
        Self::Refused { reason }
    }
}

/// A text of at most `REASON_BYTES_MAX` bytes, cut between characters.
struct BoundedText(String);

impl Write for BoundedText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if self.0.len() + character.len_utf8() > DecodeError::REASON_BYTES_MAX {
                return Err(fmt::Error);
            }
            self.0.push(character);
        }
        Ok(())
    }
}

fn bounded_text(message: &dyn Display) -> String {
    let mut text = BoundedText(String::new());
    // An error only says that the text was cut, or that its Display gave up: what came until then is the text.
    let _cut = write!(text, "{message}");
    text.0
}
