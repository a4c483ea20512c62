//! What comes back from a function that ran in another process: a tag that says what it is, and its encoded bytes.
//!
//! | tag | bytes |
//! |---|---|
//! | [`OK`] | the function's value |
//! | [`FAILED`] | the [`Report`] of its failure |
//! | [`PANICKED`] | message, location and backtrace |
//! | [`DECODE`] | why the argument could not be decoded |
//! | [`ENCODE`] | why the result could not be encoded |

use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};

use procession_channel::Message;
use procession_channel::codec::{Limits, decode, encode, encode_owned};

use crate::failure::{Report, shorten};
use crate::function::{Task, Work};
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

/// How many bytes the explanation of a failure may have; longer texts are cut.
pub const TROUBLE_LEN_MAX: usize = 64 << 10;

/// What of that is text; the rest is for the lengths of the texts.
const TEXT_LEN_MAX: usize = TROUBLE_LEN_MAX - 1024;

/// How many bytes a value may have. Relaxed: set before anything is run, and only an honest process keeps to it; whoever
/// receives the value checks for himself.
static LEN_MAX: AtomicUsize = AtomicUsize::new(usize::MAX);

/// From now on a value whose encoding is longer than `len` bytes is answered by [`ENCODE`].
pub fn set_len_max(len: usize) {
    LEN_MAX.store(len, Ordering::Relaxed);
}

/// An answer that is not a value, as its receiver reads it.
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

/// Runs a function of one argument.
#[derive(Debug)]
pub struct One<K>(PhantomData<K>);

impl<A: Message, R: Outcome<K>, K: 'static> Task<fn(A) -> R> for One<K> {
    fn run(function: fn(A) -> R, work: &mut Work<'_>) -> u8 {
        match panics::quietly(|| work.argument::<A>()) {
            Ok(argument) => finish(work.output, || function(argument)),
            Err(error) => reason(work.output, DECODE, &error.to_string()),
        }
    }
}

/// Calls the function and writes down what came of it; the tag.
pub fn finish<R: Outcome<K>, K>(output: &mut Vec<u8>, call: impl FnOnce() -> R) -> u8 {
    let done = panics::catch(|| match call().into_result() {
        Ok(value) => match encode_owned(value, output) {
            Ok(()) if output.len() > LEN_MAX.load(Ordering::Relaxed) => too_long(output),
            Ok(()) => OK,
            Err(error) => reason(output, ENCODE, &error.to_string()),
        },
        Err(failure) => tell(output, FAILED, &failure.into_report().shortened(TEXT_LEN_MAX)),
    });
    done.unwrap_or_else(|(mut message, mut location, mut backtrace)| {
        let share = TEXT_LEN_MAX / 3;
        for text in [&mut message, &mut location, &mut backtrace] {
            shorten(text, share);
        }
        tell(output, PANICKED, &(message, location, backtrace))
    })
}

fn too_long(output: &mut Vec<u8>) -> u8 {
    let (len, limit) = (output.len(), LEN_MAX.load(Ordering::Relaxed));
    let text = format!(
        "the result has {len} bytes, over the limit of {limit}: return it in parts, through a file, or raise `result_len_max` of the builder"
    );
    reason(output, ENCODE, &text)
}

/// Replaces the output by why it could not be made; returns `tag`.
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
