//! What comes back from a function that ran in another process: a tag that says what it is, and its encoded bytes.
//!
//! | tag | bytes |
//! |---|---|
//! | [`OK`] | the function's value |
//! | [`OK_WITH_HANDLES`] | the function's value, whose handles came beside it |
//! | [`FAILED`] | the [`Report`] of its failure |
//! | [`PANICKED`] | message, location and backtrace |
//! | [`DECODE`] | why the argument could not be decoded |
//! | [`ENCODE`] | why the result could not be encoded |

use std::cell::Cell;
use std::marker::PhantomData;

use procession_channel::Message;
use procession_channel::codec::{EncodeError, Limits, decode, encode, encode_owned, is_plain};
use procession_shm::transfer::{Outgoing, send_scope};

use crate::failure::{Report, shorten};
use crate::function::{Reply, Task, Work};
use crate::outcome::Outcome;
use crate::panics::{self, Told};

/// The function's value.
pub const OK: u8 = 0;
/// The report of the function's failure.
pub const FAILED: u8 = 1;
/// Message, location and backtrace of a panic.
pub const PANICKED: u8 = 2;
/// Why the argument could not be decoded.
pub const DECODE: u8 = 3;
/// Why the result could not be encoded.
pub const ENCODE: u8 = 4;

/// The function's value, whose handles came beside it.
pub const OK_WITH_HANDLES: u8 = 5;

/// How many bytes the explanation of a failure may have; longer texts are cut.
pub const TROUBLE_LEN_MAX: usize = 64 << 10;

/// What of that is text; the rest is for the lengths of the texts.
const TEXT_LEN_MAX: usize = TROUBLE_LEN_MAX - 1024;

thread_local! {
    /// How many bytes a value may have. Only an honest process keeps to it; whoever receives the value checks for himself.
    static LEN_MAX: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// From now on a value of a function that this thread runs, and whose encoding is longer than `len` bytes, is answered by
/// [`ENCODE`].
///
/// ```
/// use procession_process::answer::{ENCODE, finish, set_len_max};
/// use procession_process::function::Reply;
///
/// set_len_max(10);
/// let mut bytes = Vec::new();
/// let tag = finish(&mut Reply { bytes: &mut bytes, handles: None }, || "longer than that".to_owned());
/// assert_eq!(tag, ENCODE);
/// ```
pub fn set_len_max(len: usize) {
    LEN_MAX.set(len);
}

/// An answer that is not a value, as its receiver reads it.
///
/// ```
/// use procession_process::Failure;
/// use procession_process::answer::{FAILED, Trouble, finish};
/// use procession_process::function::Reply;
///
/// let mut bytes = Vec::new();
/// let tag = finish(&mut Reply { bytes: &mut bytes, handles: None }, || Err::<u64, _>(Failure::msg("no")));
/// assert_eq!(tag, FAILED);
/// let Some(Trouble::Failed(report)) = Trouble::read(tag, &bytes) else { panic!("it should have failed") };
/// assert_eq!(report.to_string(), "no");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The function returned a failure.
    Failed(Report),
    /// The function panicked.
    Panicked(Told),
    /// The argument could not be decoded, and why.
    Decode(String),
    /// The result could not be encoded, and why.
    Encode(String),
}

impl Trouble {
    /// `None` if it makes no sense: an honest process does not write it.
    ///
    /// ```
    /// use procession_process::answer::{OK, PANICKED, Trouble};
    ///
    /// assert_eq!(Trouble::read(PANICKED, &[255; 3]), None);
    /// assert_eq!(Trouble::read(OK, &[]), None);             // that is no trouble
    /// ```
    pub fn read(tag: u8, bytes: &[u8]) -> Option<Self> {
        let limits = Limits::DEFAULT;
        match tag {
            FAILED => decode(bytes, &limits).ok().map(Self::Failed),
            PANICKED => decode(bytes, &limits).ok().map(Self::Panicked),
            DECODE => decode(bytes, &limits).ok().map(Self::Decode),
            ENCODE => decode(bytes, &limits).ok().map(Self::Encode),
            _ => None,
        }
    }
}

/// Runs a function of one argument, or of none.
///
/// ```
/// use procession_process::Plain;
/// use procession_process::answer::One;
/// use procession_process::function::Function;
///
/// // `One` is what lets another process decode the argument, call the function and encode its value.
/// let square = Function::unary::<One<Plain>, u64, u64>(|n| n * n)?;
/// let cube = Function::unary::<One<Plain>, u64, u64>(|n| n * n * n)?;
/// assert_ne!(square, cube);
/// # Ok::<(), procession_process::SpawnError>(())
/// ```
#[derive(Debug)]
pub struct One<K>(PhantomData<K>);

impl<R: Outcome<K>, K: 'static> Task<fn() -> R> for One<K> {
    fn run(function: fn() -> R, work: &mut Work<'_>) -> u8 {
        finish(&mut work.reply, function)
    }
}

impl<A: Message, R: Outcome<K>, K: 'static> Task<fn(A) -> R> for One<K> {
    fn run(function: fn(A) -> R, work: &mut Work<'_>) -> u8 {
        // Nothing in a number or text can panic, so that nobody need be told to keep quiet.
        let argument = if is_plain::<A>() {
            work.argument::<A>()
        } else {
            panics::quietly(|| work.argument::<A>())
        };
        match argument {
            Ok(argument) => finish(&mut work.reply, || function(argument)),
            Err(error) => reason(work.reply.bytes, DECODE, &error.to_string()),
        }
    }
}

/// Calls the function and writes down what came of it; the tag.
///
/// ```
/// use procession_channel::codec::{Limits, decode};
/// use procession_process::answer::{OK, finish};
/// use procession_process::function::Reply;
///
/// let mut bytes = Vec::new();
/// let tag = finish(&mut Reply { bytes: &mut bytes, handles: None }, || 7_u64);
/// assert_eq!((tag, decode::<u64>(&bytes, &Limits::DEFAULT)?), (OK, 7));
/// # Ok::<(), procession_channel::codec::DecodeError>(())
/// ```
pub fn finish<R: Outcome<K>, K>(reply: &mut Reply<'_>, call: impl FnOnce() -> R) -> u8 {
    let done = panics::catch(|| match call().into_result() {
        Ok(value) => match write(value, reply) {
            Ok(()) if reply.bytes.len() > LEN_MAX.get() => too_long(reply),
            Ok(()) => OK,
            Err(why) => reason(reply.bytes, ENCODE, &why),
        },
        Err(failure) => tell(reply.bytes, FAILED, &failure.into_report().shortened(TEXT_LEN_MAX)),
    });
    done.unwrap_or_else(|(mut message, mut location, mut backtrace)| {
        let share = TEXT_LEN_MAX / 3;
        for text in [&mut message, &mut location, &mut backtrace] {
            shorten(text, share);
        }
        tell(reply.bytes, PANICKED, &(message, location, backtrace))
    })
}

/// Encodes a value, with the handles in it where they can travel.
fn write<T: Message>(value: T, reply: &mut Reply<'_>) -> Result<(), String> {
    let bytes = &mut *reply.bytes;
    let Some(handles) = reply.handles.as_mut().filter(|_| !is_plain::<T>()) else {
        return encode_owned(value, bytes).map_err(|error: EncodeError| error.to_string());
    };
    let ((), outgoing) = send_scope(|| encode_owned(value, bytes)).map_err(|unsent| {
        unsent.failure.map_or_else(|| unsent.error.to_string(), |failure| failure.to_string())
    })?;
    **handles = outgoing;
    Ok(())
}

fn too_long(reply: &mut Reply<'_>) -> u8 {
    let (len, limit) = (reply.bytes.len(), LEN_MAX.get());
    if let Some(handles) = &mut reply.handles {
        **handles = Outgoing::default();
    }
    let text = format!(
        "the result has {len} bytes, over the limit of {limit}: return it in parts, through a file, or raise `result_len_max` of the builder"
    );
    reason(reply.bytes, ENCODE, &text)
}

/// Replaces the output by why it could not be made; returns `tag`.
///
/// ```
/// use procession_process::answer::{DECODE, Trouble, reason};
///
/// let mut output = b"half a value".to_vec();
/// let tag = reason(&mut output, DECODE, "it is too short");
/// assert_eq!(Trouble::read(tag, &output), Some(Trouble::Decode("it is too short".to_owned())));
/// ```
pub fn reason(output: &mut Vec<u8>, tag: u8, text: &str) -> u8 {
    let mut text = text.to_owned();
    shorten(&mut text, TEXT_LEN_MAX);
    tell(output, tag, &text)
}

/// Replaces the output by an explanation.
fn tell<T: Message>(output: &mut Vec<u8>, tag: u8, explanation: &T) -> u8 {
    output.clear();
    // Texts and chains of texts can always be encoded. If that were ever wrong, an explanation that cannot be decoded tells
    // the parent that this process does not make sense.
    let _ = encode(explanation, output);
    tag
}
