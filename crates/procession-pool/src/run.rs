//! Both ends of an item: encoded in the caller, run in the worker.

use std::iter::Fuse;
use std::marker::PhantomData;

use procession_channel::codec::{
    DecodeError, EncodeError, Limits, decode, encode, fixed_len, is_plain,
};
use procession_channel::{IntoArg, Message};
use procession_process::Outcome;
use procession_process::answer::{self, finish, reason};
use procession_process::function::{Task, Work};
use procession_process::link::{Frame, Handles, SharedValue};
use procession_process::panics::quietly;
use procession_shm::transfer::{Outgoing, send_scope};

use crate::error::SubmitError;

/// Adds items of an input to a frame: [`fill_one`] or [`fill_two`]. One call for many items, so that what is done for each can be
/// compiled into one loop.
pub(crate) type Fill<I> = fn(&mut Fuse<I>, &mut Frame, &mut usize, Room) -> Filled;

/// How much a frame may hold: no item is added to one that has as many, or as many bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    pub(crate) items: usize,
    pub(crate) bytes: usize,
}

/// Why no more items were added to a frame.
pub(crate) enum Filled {
    Full,
    /// There are none.
    Over,
    /// The last one is a frame of its own.
    Alone(Frame),
    /// The last one cannot be sent.
    Refused(SubmitError),
}

/// Adds single arguments to a frame.
pub(crate) fn fill_one<T: Message, I: Iterator<Item: IntoArg<T>>>(
    input: &mut Fuse<I>,
    frame: &mut Frame,
    pulled: &mut usize,
    room: Room,
) -> Filled {
    if let Some(len) = fixed_len::<T>()
        && frame.has_long_messages()
    {
        return fill_numbers::<T, I>(input, frame, pulled, room, len);
    }
    fill(input, frame, pulled, room, encode_one::<T, I::Item>)
}

/// The same for items that all have the same length, that of a number.
#[inline]
fn fill_numbers<T: Message, I: Iterator<Item: IntoArg<T>>>(
    input: &mut Fuse<I>,
    frame: &mut Frame,
    pulled: &mut usize,
    room: Room,
    len: usize,
) -> Filled {
    while frame.count() < room.items && frame.len() < room.bytes {
        let goes_on = frame.push_fixed(len, (room.items, room.bytes), pulled, |slot| {
            let Some(item) = input.next() else { return false };
            slot.copy_from_slice(item.as_message().expect("a number's memory is its message"));
            true
        });
        if !goes_on {
            return Filled::Over;
        }
    }
    Filled::Full
}

/// Adds pairs of arguments to a frame.
pub(crate) fn fill_two<A, B, I: Iterator<Item: IntoPair<A, B>>>(
    input: &mut Fuse<I>,
    frame: &mut Frame,
    pulled: &mut usize,
    room: Room,
) -> Filled {
    fill(input, frame, pulled, room, encode_two::<A, B, I::Item>)
}

/// Adds items to a frame, and counts each of them in `pulled` as soon as it is there: the input may panic.
#[inline]
fn fill<I: Iterator>(
    input: &mut Fuse<I>,
    frame: &mut Frame,
    pulled: &mut usize,
    room: Room,
    encode: impl Fn(I::Item, &mut Frame) -> Result<Option<Frame>, SubmitError>,
) -> Filled {
    while frame.count() < room.items && frame.len() < room.bytes {
        let Some(item) = input.next() else { return Filled::Over };
        let pushed = encode(item, frame);
        *pulled += 1;
        match pushed {
            Ok(None) => {}
            Ok(Some(alone)) => return Filled::Alone(alone),
            Err(error) => return Filled::Refused(error),
        }
    }
    Filled::Full
}

/// Runs an encoder and gathers the handles in what it encodes.
#[inline]
fn gather(encode: impl FnOnce() -> Result<(), SubmitError>) -> Result<Outgoing, SubmitError> {
    let sent = send_scope(encode);
    let ((), outgoing) = sent.map_err(|unsent| match unsent.failure {
        Some(failure) => SubmitError::Handle(failure),
        None => unsent.error,
    })?;
    Ok(outgoing)
}

/// Encodes a single argument.
#[inline]
pub(crate) fn encode_one<T: Message, X: IntoArg<T>>(
    item: X,
    frame: &mut Frame,
) -> Result<Option<Frame>, SubmitError> {
    let item = match item.into_message() {
        Ok(bytes) if Frame::is_long(bytes.len()) => return Ok(Some(frame.alone(bytes)?)),
        Ok(bytes) => {
            return push_plain(frame, |out| {
                out.extend_from_slice(&bytes);
                Ok(())
            });
        }
        Err(item) => item,
    };
    if is_plain::<T>() {
        return push_plain(frame, |out| item.encode_arg(out, &Limits::DEFAULT));
    }
    frame.push(|out| {
        let outgoing = gather(|| Ok(item.encode_arg(out, &Limits::DEFAULT)?))?;
        Ok(Handles::take(outgoing)?)
    })
}

/// Adds what has no handles.
#[inline]
fn push_plain(
    frame: &mut Frame,
    encode: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<Option<Frame>, SubmitError> {
    frame.push_plain(|out| Ok::<_, SubmitError>(encode(out)?))?;
    Ok(None)
}

/// Encodes what all items share, of which each worker gets a copy.
pub(crate) fn encode_shared<C: Message>(context: &C) -> Result<SharedValue, SubmitError> {
    let mut bytes = Vec::new();
    let outgoing = gather(|| Ok(encode(context, &mut bytes)?))?;
    Ok(SharedValue { bytes, handles: for_all(outgoing)? })
}

/// Encodes an argument that each worker gets.
pub(crate) fn encode_for_all<T, X: IntoArg<T>>(
    argument: &X,
    out: &mut Vec<u8>,
) -> Result<Handles, SubmitError> {
    for_all(gather(|| Ok(argument.encode_arg(out, &Limits::DEFAULT)?))?)
}

fn for_all(outgoing: Outgoing) -> Result<Handles, SubmitError> {
    if outgoing.is_moving() {
        return Err(SubmitError::SharedMove);
    }
    Ok(Handles::take(outgoing)?)
}

/// What [`starmap`](crate::Pool::starmap) and its siblings take for a function of an `A` and a `B`: a pair of arguments, or a
/// reference to one.
///
/// It is implemented for `(X, Y)` where `X` and `Y` can be passed for the parameters, and for `&(X, Y)` where references to them can.
/// What stands for what is the rule of [`IntoArg`]: a reference stands for a clone.
///
/// ```
/// fn check<A, B, P: procession_pool::IntoPair<A, B>>(_function: fn(A, B), _pair: P) {}
/// fn join(_words: Vec<String>, _times: u32) {}
///
/// check(join, (vec!["one".to_owned()], 2));
/// check(join, &(vec!["one".to_owned()], 2));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a pair of arguments for a function of `{A}` and `{B}`",
    label = "expected a pair `({A}, {B})` or a reference to one",
    note = "in a pair each part is what its parameter is, or a reference to it, which stands for a clone",
    note = "for a function of one argument there is `map`; for one of three, `map` with `|(a, b, c)| f(a, b, c)`"
)]
pub trait IntoPair<A, B>: sealed::Sealed {
    /// Appends the bytes of the `A`, says where they end, and appends those of the `B`.
    ///
    /// # Errors
    ///
    /// As [`IntoArg::encode_arg`].
    #[doc(hidden)]
    fn encode_pair(&self, out: &mut Vec<u8>) -> Result<usize, EncodeError>;
}

mod sealed {
    /// Other types could not be told apart from a pair by the compiler.
    pub trait Sealed {}
    impl<X, Y> Sealed for (X, Y) {}
    impl<X, Y> Sealed for &(X, Y) {}
}

impl<A, B, X: IntoArg<A>, Y: IntoArg<B>> IntoPair<A, B> for (X, Y) {
    fn encode_pair(&self, out: &mut Vec<u8>) -> Result<usize, EncodeError> {
        encode_parts(&self.0, &self.1, out)
    }
}

impl<'a, A, B, X, Y> IntoPair<A, B> for &'a (X, Y)
where
    &'a X: IntoArg<A>,
    &'a Y: IntoArg<B>,
{
    fn encode_pair(&self, out: &mut Vec<u8>) -> Result<usize, EncodeError> {
        let (first, second) = *self;
        encode_parts(&first, &second, out)
    }
}

fn encode_parts<A, B, X: IntoArg<A>, Y: IntoArg<B>>(
    first: &X,
    second: &Y,
    out: &mut Vec<u8>,
) -> Result<usize, EncodeError> {
    first.encode_arg(out, &Limits::DEFAULT)?;
    let end = out.len();
    second.encode_arg(out, &Limits::DEFAULT)?;
    Ok(end)
}

/// Encodes two arguments: the length of the first as a u32, the first, the second.
pub(crate) fn encode_two<A, B, P: IntoPair<A, B>>(
    pair: P,
    frame: &mut Frame,
) -> Result<Option<Frame>, SubmitError> {
    frame.push(|out| {
        let outgoing = gather(|| {
            let start = out.len();
            out.extend_from_slice(&[0; 4]);
            let len = pair.encode_pair(out)? - start - 4;
            let len = u32::try_from(len).map_err(|_| SubmitError::too_large(len))?;
            out[start..start + 4].copy_from_slice(&len.to_le_bytes());
            Ok(())
        })?;
        Ok(Handles::take(outgoing)?)
    })
}

/// Runs a function of two arguments.
pub(crate) struct Two<K>(PhantomData<K>);

impl<A: Message, B: Message, R: Outcome<K>, K: 'static> Task<fn(A, B) -> R> for Two<K> {
    fn run(function: fn(A, B) -> R, work: &mut Work<'_>) -> u8 {
        match quietly(|| work.decode_with(decode_two)) {
            Ok((first, second)) => finish(&mut work.reply, || function(first, second)),
            Err(error) => reason(work.reply.bytes, answer::DECODE, &error.to_string()),
        }
    }
}

fn decode_two<A: Message, B: Message>(input: &[u8]) -> Result<(A, B), DecodeError> {
    let (first, second) = halves(input);
    Ok((decode(first, &Limits::DEFAULT)?, decode(second, &Limits::DEFAULT)?))
}

fn halves(input: &[u8]) -> (&[u8], &[u8]) {
    let split = input
        .split_first_chunk::<4>()
        .and_then(|(len, rest)| rest.split_at_checked(u32::from_le_bytes(*len) as usize));
    split.unwrap_or_default()
}

/// Runs a function of a context that all items share and one argument.
pub(crate) struct With<K>(PhantomData<K>);

impl<C: Message, A: Message, R: Outcome<K>, K: 'static> Task<fn(&C, A) -> R> for With<K> {
    fn run(function: fn(&C, A) -> R, work: &mut Work<'_>) -> u8 {
        let argument = quietly(|| work.argument::<A>());
        let context = quietly(|| work.context.get::<C>());
        match (context, argument) {
            (Ok(context), Ok(argument)) => finish(&mut work.reply, || function(context, argument)),
            (Err(error), _) | (_, Err(error)) => {
                reason(work.reply.bytes, answer::DECODE, &error.to_string())
            }
        }
    }
}
