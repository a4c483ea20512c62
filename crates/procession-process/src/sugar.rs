//! `spawn!`: a call, written as a call, that runs in another process.
//!
//! `spawn!(f(a, b))` is `|(a, b)| f(a, b)`, a function of one tuple, and the tuple `(a, b)` of its arguments. What the macro
//! adds to [`Process::spawn`](crate::Process::spawn) is that each argument may be a reference that stands for a clone.
//!
//! The arguments are encoded one after the other, each behind its length as a u64 in little endian: encodings do not nest.

use std::marker::PhantomData;

use procession_channel::codec::{DecodeError, EncodeError, Limits, decode};
use procession_channel::{IntoArg, Message};

use crate::answer::{self, finish, reason};
use crate::builder::ProcessBuilder;
use crate::function::{Function, Task, Work};
use crate::outcome::Outcome;
use crate::process::Process;
use crate::process_error::ProcessError;

/// Starts a process that makes a call: `spawn!(function(argument, ...))`, as
/// [`Process::spawn`](crate::Process::spawn), for up to 8 arguments.
///
/// Each argument is a value or a reference that stands for a clone, like the argument of `Process::spawn`. The arguments are
/// evaluated here, the call is made there. The function is a path, and it cannot be a variable.
///
/// ```
/// use procession_process::spawn;
///
/// fn repeat(word: String, times: usize) -> String {
///     word.repeat(times)
/// }
///
/// fn nothing() {}
///
/// let process = spawn!(repeat("ab", 3))?;
/// assert_eq!(process.join()?, "ababab");
/// spawn!(nothing())?.join()?;
/// # Ok::<(), procession_process::ProcessError>(())
/// ```
///
/// What is called must not capture anything of this process:
///
/// ```compile_fail,E0308
/// let offset = 3;
/// let add = |n: u32| n + offset;
/// let process = procession_process::spawn!(add(4));
/// ```
///
/// # Errors
///
/// The value is a `Result` as that of `Process::spawn`.
#[macro_export]
macro_rules! spawn {
    // All arguments have a name: each expansion makes another `argument`.
    (@call [$($function:tt)+] [$($name:ident = $given:expr,)*]) => {
        $crate::sugar::spawn(|($($name,)*)| $($function)+($($name),*), ($($given,)*))
    };
    (@call [$($function:tt)+] [$($named:tt)*] $given:expr $(, $rest:expr)*) => {
        $crate::spawn!(@call [$($function)+] [$($named)* argument = $given,] $($rest),*)
    };
    // The last group of the call holds the arguments, what is before it is the function.
    (@split [$($function:tt)+] ($($given:expr),* $(,)?)) => {
        $crate::spawn!(@call [$($function)+] [] $($given),*)
    };
    (@split [$($function:tt)*] $next:tt $($rest:tt)+) => {
        $crate::spawn!(@split [$($function)* $next] $($rest)+)
    };
    (@split $($rest:tt)*) => {
        ::core::compile_error!("expected a call: spawn!(function(argument, ...))")
    };
    ($($call:tt)*) => {
        $crate::spawn!(@split [] $($call)*)
    };
}

/// Several arguments, as the caller passes them for parameters `P`.
pub trait Arguments<P> {
    /// Appends all of them.
    ///
    /// # Errors
    ///
    /// One cannot be encoded.
    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError>;
}

/// Several parameters, as the function gets them.
pub trait Parameters: Sized + 'static {
    /// Reads what [`Arguments::encode`] wrote.
    ///
    /// # Errors
    ///
    /// One cannot be decoded.
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError>;
}

/// What [`spawn!`](crate::spawn) comes to.
///
/// # Errors
///
/// As [`Process::spawn`](crate::Process::spawn).
pub fn spawn<P, X, O, K>(function: fn(P) -> O, arguments: X) -> Result<Process<O::Ok>, ProcessError>
where
    P: Parameters,
    X: Arguments<P>,
    O: Outcome<K>,
    K: 'static,
{
    let function = Function::unary::<Several<K>, P, O>(function)?;
    let encode = |out: &mut Vec<u8>| arguments.encode(out);
    ProcessBuilder::new().start(function, encode, |bytes| decode(bytes, &Limits::DEFAULT))
}

struct Several<K>(PhantomData<K>);

impl<P: Parameters, O: Outcome<K>, K: 'static> Task<fn(P) -> O> for Several<K> {
    fn run(function: fn(P) -> O, work: &mut Work<'_>) -> u8 {
        match work.decode_with(P::decode) {
            Ok(parameters) => finish(&mut work.reply, || function(parameters)),
            Err(error) => reason(work.reply.bytes, answer::DECODE, &error.to_string()),
        }
    }
}

fn encode_one<T, X: IntoArg<T>>(argument: &X, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    out.extend_from_slice(&[0; 8]);
    argument.encode_arg(out, &Limits::DEFAULT)?;
    let len = (out.len() - start - 8) as u64;
    out[start..start + 8].copy_from_slice(&len.to_le_bytes());
    Ok(())
}

fn decode_one<T: Message>(bytes: &mut &[u8]) -> Result<T, DecodeError> {
    let (len, rest) = bytes.split_first_chunk::<8>().ok_or(DecodeError::Truncated)?;
    let len = usize::try_from(u64::from_le_bytes(*len)).unwrap_or(usize::MAX);
    let (one, rest) = rest.split_at_checked(len).ok_or(DecodeError::Truncated)?;
    *bytes = rest;
    decode(one, &Limits::DEFAULT)
}

impl Arguments<()> for () {
    fn encode(&self, _: &mut Vec<u8>) -> Result<(), EncodeError> {
        Ok(())
    }
}

impl Parameters for () {
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        complete((), bytes)
    }
}

fn complete<T>(all: T, rest: &[u8]) -> Result<T, DecodeError> {
    if rest.is_empty() { Ok(all) } else { Err(DecodeError::TrailingBytes { count: rest.len() }) }
}

macro_rules! tuples {
    ($($parameter:ident $argument:ident $field:tt),*) => {
        #[diagnostic::do_not_recommend]
        impl<$($parameter, $argument: IntoArg<$parameter>),*> Arguments<($($parameter,)*)> for ($($argument,)*) {
            fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
                $(encode_one::<$parameter, $argument>(&self.$field, out)?;)*
                Ok(())
            }
        }

        #[diagnostic::do_not_recommend]
        impl<$($parameter: Message),*> Parameters for ($($parameter,)*) {
            fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
                let mut rest = bytes;
                let all = ($(decode_one::<$parameter>(&mut rest)?,)*);
                complete(all, rest)
            }
        }
    };
}

tuples!(A X 0);
tuples!(A X 0, B Y 1);
tuples!(A X 0, B Y 1, C Z 2);
tuples!(A X 0, B Y 1, C Z 2, D W 3);
tuples!(A X 0, B Y 1, C Z 2, D W 3, E V 4);
tuples!(A X 0, B Y 1, C Z 2, D W 3, E V 4, F U 5);
tuples!(A X 0, B Y 1, C Z 2, D W 3, E V 4, F U 5, G T 6);
tuples!(A X 0, B Y 1, C Z 2, D W 3, E V 4, F U 5, G T 6, H S 7);
