//! Both ends of an item: encoded in the caller, run in the worker.

use std::marker::PhantomData;

use procession_channel::codec::{DecodeError, Limits, decode};
use procession_channel::{IntoArg, Message};
use procession_process::Outcome;
use procession_process::answer::{self, finish, reason};
use procession_process::function::{Task, Work};
use procession_process::panics::quietly;

use crate::error::SubmitError;

/// Appends an item's encoded argument.
pub(crate) type Encode<X> = fn(&X, &mut Vec<u8>) -> Result<(), SubmitError>;

/// Encodes a single argument.
pub(crate) fn encode_one<T, X: IntoArg<T>>(item: &X, out: &mut Vec<u8>) -> Result<(), SubmitError> {
    Ok(item.encode_arg(out, &Limits::DEFAULT)?)
}

/// Encodes two arguments: the length of the first as a u32, the first, the second.
pub(crate) fn encode_two<A, B, X: IntoArg<A>, Y: IntoArg<B>>(
    (first, second): &(X, Y),
    out: &mut Vec<u8>,
) -> Result<(), SubmitError> {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    first.encode_arg(out, &Limits::DEFAULT)?;
    let len = out.len() - start - 4;
    let len = u32::try_from(len).map_err(|_| SubmitError::too_large(len))?;
    out[start..start + 4].copy_from_slice(&len.to_le_bytes());
    Ok(second.encode_arg(out, &Limits::DEFAULT)?)
}

/// Runs a function of two arguments.
pub(crate) struct Two<K>(PhantomData<K>);

impl<A: Message, B: Message, R: Outcome<K>, K: 'static> Task<fn(A, B) -> R> for Two<K> {
    fn run(function: fn(A, B) -> R, work: &mut Work<'_>) -> u8 {
        let limits = Limits::DEFAULT;
        let (first, second) = halves(work.input);
        let decoded: Result<(A, B), DecodeError> =
            quietly(|| Ok((decode(first, &limits)?, decode(second, &limits)?)));
        match decoded {
            Ok((first, second)) => finish(work.output, || function(first, second)),
            Err(error) => reason(work.output, answer::DECODE, &error.to_string()),
        }
    }
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
        let limits = Limits::DEFAULT;
        if work.context.decoded.is_none() {
            match quietly(|| decode::<C>(&work.context.encoded, &limits)) {
                Ok(context) => work.context.decoded = Some(Box::new(context)),
                Err(error) => return reason(work.output, answer::DECODE, &error.to_string()),
            }
        }
        let context = work.context.decoded.as_ref().and_then(|any| any.downcast_ref::<C>());
        match (context, quietly(|| decode::<A>(work.input, &limits))) {
            (Some(context), Ok(argument)) => finish(work.output, || function(context, argument)),
            (None, _) => reason(work.output, answer::DECODE, "the context has another type"),
            (_, Err(error)) => reason(work.output, answer::DECODE, &error.to_string()),
        }
    }
}
