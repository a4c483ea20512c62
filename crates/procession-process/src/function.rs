//! Functions that travel to another process of the same program.
//!
//! What travels is a pair of addresses, each as an offset into the program's image: the function itself, and an *entry* that
//! knows its types. The entry is a generic function of this crate, instantiated where the function was named, so it is the
//! one place that turns the function's address back into a typed pointer; both addresses are taken at the same call, which is
//! why they always fit together.
//!
//! Rejected: sending a closure's type and conjuring its value in the child. A zero-sized value can be a proof ("this library
//! has been initialised"), and the child has not earned it. A function pointer is never a proof.
//!
//! Invariants:
//!
//! * **F1** A [`Function`] is made only by [`Function::unary`] and its siblings, or read by [`link`](crate::link) from bytes that the parent's link
//!   wrote from one, or by `errand` from a payload that `errand` wrote from one. So its entry is always an `Entry` and its target always has the type which that entry expects.
//! * **F2** Parent and child run the same image: the child has compared its identity with the parent's before it serves.

use std::any::Any;
use std::fmt;
use std::mem;

use std::os::fd::OwnedFd;

use procession_channel::Message;
use procession_channel::codec::{DecodeError, Limits, decode};
use procession_shm::transfer::{Outgoing, Trust, receive_scope};

use crate::{SpawnError, image};

/// What an item's function gets to work with.
///
/// ```
/// use procession_channel::codec::encode;
/// use procession_process::function::{Context, Reply, Work};
///
/// let (mut input, mut bytes) = (Vec::new(), Vec::new());
/// encode(&20_u64, &mut input)?;
/// let reply = Reply { bytes: &mut bytes, handles: None };
/// let mut work = Work { input: &input, reply, context: &mut Context::default(), handles: None };
/// assert_eq!(work.argument::<u64>()?, 20);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Work<'a> {
    /// The encoded argument.
    pub input: &'a [u8],
    /// Where the result goes.
    pub reply: Reply<'a>,
    /// What all items of this call share.
    pub context: &'a mut Context,
    /// The descriptors of the handles in the argument; `None` where no handles can travel.
    pub handles: Option<Vec<OwnedFd>>,
}

/// Where a result goes.
///
/// ```
/// use procession_process::answer::{OK, finish};
/// use procession_process::function::Reply;
///
/// let mut bytes = Vec::new();
/// assert_eq!(finish(&mut Reply { bytes: &mut bytes, handles: None }, || 'a'), OK);
/// assert!(!bytes.is_empty());
/// ```
#[derive(Debug)]
pub struct Reply<'a> {
    /// Its encoded bytes; empty at first.
    pub bytes: &'a mut Vec<u8>,
    /// What goes beside them; `None` where no handles can travel.
    pub handles: Option<&'a mut Outgoing>,
}

impl Work<'_> {
    /// Decodes the argument, with the handles in it.
    ///
    /// # Errors
    ///
    /// What the codec finds wrong with it.
    ///
    /// ```
    /// use procession_process::function::{Context, Reply, Work};
    ///
    /// let mut bytes = Vec::new();
    /// let reply = Reply { bytes: &mut bytes, handles: None };
    /// let mut work = Work { input: &[], reply, context: &mut Context::default(), handles: None };
    /// assert!(work.argument::<u64>().is_err());             // there are no bytes
    /// ```
    pub fn argument<A: Message>(&mut self) -> Result<A, DecodeError> {
        self.decode_with(|input| decode(input, &Limits::DEFAULT))
    }

    /// Decodes the input in a way of the caller's own, with the handles in it.
    ///
    /// ```
    /// use procession_process::function::{Context, Reply, Work};
    ///
    /// let mut bytes = Vec::new();
    /// let reply = Reply { bytes: &mut bytes, handles: None };
    /// let mut work = Work { input: b"abc", reply, context: &mut Context::default(), handles: None };
    /// assert_eq!(work.decode_with(<[u8]>::len), 3);
    /// ```
    pub fn decode_with<T>(&mut self, decoder: impl FnOnce(&[u8]) -> T) -> T {
        let input = self.input;
        // Most have none, which one word tells. To move all of its words out, just stored, would wait for these stores.
        let handles = if self.handles.is_some() { self.handles.take() } else { None };
        with_handles(handles, || decoder(input))
    }
}

/// Runs a decoder with the descriptors that came with what it decodes.
fn with_handles<T>(handles: Option<Vec<OwnedFd>>, decoder: impl FnOnce() -> T) -> T {
    match handles {
        // Who started this process shares its memory with it in any case.
        Some(handles) => receive_scope(handles, Trust::Trusting, decoder).value,
        None => decoder(),
    }
}

/// What all items of a call share: sent once to each worker, decoded by the first item that wants it.
///
/// ```
/// use procession_channel::codec::encode;
/// use procession_process::function::Context;
///
/// let mut context = Context::default();
/// encode(&7_u64, &mut context.encoded)?;
/// assert_eq!(context.get::<u64>()?, &7);                // decoded by the first item that wants it
/// assert!(context.decoded.is_some());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct Context {
    /// The encoded value, until it is decoded.
    pub encoded: Vec<u8>,
    /// The descriptors of the handles in it, until it is decoded.
    pub handles: Option<Vec<OwnedFd>>,
    /// The decoded value.
    pub decoded: Option<Box<dyn Any>>,
}

impl Context {
    /// The value, decoded if no item before wanted it.
    ///
    /// # Errors
    ///
    /// What the codec finds wrong with it; then, and for every item after it, that it cannot be decoded.
    ///
    /// ```
    /// use procession_channel::codec::encode;
    /// use procession_process::function::Context;
    ///
    /// let mut context = Context::default();
    /// encode(&7_u64, &mut context.encoded)?;
    /// assert_eq!(context.get::<u64>()?, &7);
    /// assert!(context.get::<String>().is_err());            // it has another type
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn get<C: Message>(&mut self) -> Result<&C, DecodeError> {
        if self.decoded.is_none() {
            let (encoded, handles) = (&self.encoded, self.handles.take());
            let decoded: C = with_handles(handles, || decode(encoded, &Limits::DEFAULT))?;
            self.decoded = Some(Box::new(decoded));
        }
        let decoded = self.decoded.as_ref().and_then(|any| any.downcast_ref());
        let reason = std::borrow::Cow::Borrowed("the context has another type");
        decoded.ok_or(DecodeError::Invalid { reason })
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("encoded", &self.encoded.len())
            .field("decoded", &self.decoded.is_some())
            .finish()
    }
}

/// How to run a function of type `F` on encoded bytes: decode, call, encode.
///
/// The number it returns goes back to the parent with the output and says what the output is.
///
/// ```
/// use procession_process::function::{Function, Task, Work};
///
/// /// Runs functions of bytes, which need no codec.
/// struct Raw;
///
/// impl Task<fn(&[u8]) -> u8> for Raw {
///     fn run(function: fn(&[u8]) -> u8, work: &mut Work<'_>) -> u8 { work.decode_with(function) }
/// }
///
/// # use procession_process::function::{Context, Reply};
/// # let (mut bytes, mut context) = (Vec::new(), Context::default());
/// # let reply = Reply { bytes: &mut bytes, handles: None };
/// # let mut work = Work { input: b"abc", reply, context: &mut context, handles: None };
/// assert_eq!(Raw::run(|bytes| bytes[0], &mut work), b'a');
/// ```
pub trait Task<F>: 'static {
    /// Runs `function` once. It must not panic.
    ///
    /// ```
    /// use procession_process::Plain;
    /// use procession_process::answer::{One, PANICKED};
    /// use procession_process::function::{Context, Reply, Task, Work};
    ///
    /// let (mut bytes, mut context) = (Vec::new(), Context::default());
    /// let reply = Reply { bytes: &mut bytes, handles: None };
    /// let mut work = Work { input: &[], reply, context: &mut context, handles: None };
    /// let careless: fn() -> u64 = || panic!("no");
    /// assert_eq!(<One<Plain> as Task<fn() -> u64>>::run(careless, &mut work), PANICKED);
    /// ```
    fn run(function: F, work: &mut Work<'_>) -> u8;
}

/// An entry: turns the address back into the function of the type it knows, and runs it.
type Entry = fn(usize, &mut Work<'_>) -> u8;

/// A function of this program, in a form that another process of the same program understands.
///
/// ```
/// use procession_process::Plain;
/// use procession_process::answer::One;
/// use procession_process::function::Function;
///
/// let square: Function = Function::unary::<One<Plain>, u64, u64>(|n| n * n)?;
/// assert_eq!(square, square.clone());
/// # Ok::<(), procession_process::SpawnError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Function {
    entry: u64,
    target: u64,
}

impl Function {
    /// A function of one argument, run by `T`.
    ///
    /// # Errors
    ///
    /// [`SpawnError::NotRestartable`] when the function is not part of the main program.
    ///
    /// ```
    /// use procession_process::answer::One;
    /// use procession_process::function::Function;
    /// use procession_process::{Failure, Fallible};
    ///
    /// fn parse(text: String) -> Result<u64, Failure> { Ok(text.parse()?) }
    ///
    /// assert!(Function::unary::<One<Fallible>, _, _>(parse).is_ok());
    /// ```
    pub fn unary<T, A, R>(function: fn(A) -> R) -> Result<Self, SpawnError>
    where
        T: Task<fn(A) -> R>,
        A: 'static,
        R: 'static,
    {
        fn entry<T: Task<fn(A) -> R>, A, R>(target: usize, work: &mut Work<'_>) -> u8 {
            let target = std::ptr::with_exposed_provenance::<()>(target);
            // SAFETY: by F1 the target was taken from a `fn(A) -> R` together with this very entry.
            let function = unsafe { mem::transmute::<*const (), fn(A) -> R>(target) };
            T::run(function, work)
        }
        Self::new(entry::<T, A, R>, function as usize)
    }

    /// A function without arguments, run by `T`.
    ///
    /// # Errors
    ///
    /// [`SpawnError::NotRestartable`] when the function is not part of the main program.
    ///
    /// ```
    /// use procession_process::Plain;
    /// use procession_process::answer::One;
    /// use procession_process::function::Function;
    ///
    /// assert!(Function::nullary::<One<Plain>, u32>(std::process::id).is_ok());
    /// ```
    pub fn nullary<T, R>(function: fn() -> R) -> Result<Self, SpawnError>
    where
        T: Task<fn() -> R>,
        R: 'static,
    {
        fn entry<T: Task<fn() -> R>, R>(target: usize, work: &mut Work<'_>) -> u8 {
            let target = std::ptr::with_exposed_provenance::<()>(target);
            // SAFETY: by F1 the target was taken from a `fn() -> R` together with this very entry.
            let function = unsafe { mem::transmute::<*const (), fn() -> R>(target) };
            T::run(function, work)
        }
        Self::new(entry::<T, R>, function as usize)
    }

    /// A function of two arguments, run by `T`.
    ///
    /// # Errors
    ///
    /// [`SpawnError::NotRestartable`] when the function is not part of the main program.
    ///
    /// ```
    /// use procession_process::function::{Function, Task, Work};
    ///
    /// /// Calls functions of the first two bytes.
    /// struct OfBytes;
    ///
    /// impl Task<fn(u8, u8) -> u8> for OfBytes {
    ///     fn run(function: fn(u8, u8) -> u8, work: &mut Work<'_>) -> u8 { function(work.input[0], work.input[1]) }
    /// }
    ///
    /// assert!(Function::binary::<OfBytes, u8, u8, u8>(u8::wrapping_add).is_ok());
    /// ```
    pub fn binary<T, A, B, R>(function: fn(A, B) -> R) -> Result<Self, SpawnError>
    where
        T: Task<fn(A, B) -> R>,
        A: 'static,
        B: 'static,
        R: 'static,
    {
        fn entry<T: Task<fn(A, B) -> R>, A, B, R>(target: usize, work: &mut Work<'_>) -> u8 {
            let target = std::ptr::with_exposed_provenance::<()>(target);
            // SAFETY: by F1 the target was taken from a `fn(A, B) -> R` together with this very entry.
            let function = unsafe { mem::transmute::<*const (), fn(A, B) -> R>(target) };
            T::run(function, work)
        }
        Self::new(entry::<T, A, B, R>, function as usize)
    }

    /// A function of a context that all items share and one argument, run by `T`.
    ///
    /// # Errors
    ///
    /// [`SpawnError::NotRestartable`] when the function is not part of the main program.
    ///
    /// ```
    /// use procession_process::function::{Function, Task, Work};
    ///
    /// /// Calls functions of the context and the first byte.
    /// struct OfByte;
    ///
    /// impl Task<fn(&u8, u8) -> u8> for OfByte {
    ///     fn run(function: fn(&u8, u8) -> u8, work: &mut Work<'_>) -> u8 {
    ///         let byte = work.input[0];
    ///         work.context.get().map_or(0, |context| function(context, byte))
    ///     }
    /// }
    ///
    /// assert!(Function::with_context::<OfByte, u8, u8, u8>(|context, byte| context + byte).is_ok());
    /// ```
    pub fn with_context<T, C, A, R>(function: fn(&C, A) -> R) -> Result<Self, SpawnError>
    where
        T: Task<fn(&C, A) -> R>,
        C: 'static,
        A: 'static,
        R: 'static,
    {
        fn entry<T: Task<fn(&C, A) -> R>, C, A, R>(target: usize, work: &mut Work<'_>) -> u8 {
            let target = std::ptr::with_exposed_provenance::<()>(target);
            // SAFETY: by F1 the target was taken from a `fn(&C, A) -> R` together with this very entry.
            let function = unsafe { mem::transmute::<*const (), fn(&C, A) -> R>(target) };
            T::run(function, work)
        }
        Self::new(entry::<T, C, A, R>, function as usize)
    }

    fn new(entry: Entry, target: usize) -> Result<Self, SpawnError> {
        Ok(Self { entry: image::offset_of(entry as usize)?, target: image::offset_of(target)? })
    }

    pub(crate) fn to_words(self) -> [u64; 2] {
        [self.entry, self.target]
    }

    /// # Safety
    ///
    /// The words must be what [`to_words`](Self::to_words) gave for a function, in this process or in one that runs the same
    /// image (F1, F2).
    pub(crate) unsafe fn from_words([entry, target]: [u64; 2]) -> Self {
        Self { entry, target }
    }

    /// The addresses in this process, or `None` when they are not code of this program, which by F2 cannot be.
    pub(crate) fn locate(self) -> Option<Located> {
        let target = image::address_of(self.target)?;
        let entry = std::ptr::with_exposed_provenance::<()>(image::address_of(self.entry)?);
        // SAFETY: by F1 and F2 this is the address of an `Entry` in this process.
        let entry = unsafe { mem::transmute::<*const (), Entry>(entry) };
        Some(Located { entry, target })
    }
}

/// A [`Function`] at its addresses in this process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Located {
    entry: Entry,
    target: usize,
}

impl Located {
    pub(crate) fn run(self, work: &mut Work<'_>) -> u8 {
        (self.entry)(self.target, work)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Twice;

    impl Task<fn(u8) -> u8> for Twice {
        fn run(function: fn(u8) -> u8, work: &mut Work<'_>) -> u8 {
            work.reply.bytes.push(function(work.input[0]));
            7
        }
    }

    #[test]
    fn a_function_comes_back_from_its_words_and_runs() {
        let function = Function::unary::<Twice, u8, u8>(|n| 2 * n).unwrap();
        // SAFETY: the words are those of a function of this process.
        let again = unsafe { Function::from_words(function.to_words()) };
        assert_eq!(again, function);
        let (mut output, mut context) = (Vec::new(), Context::default());
        let reply = Reply { bytes: &mut output, handles: None };
        let mut work = Work { input: &[21], reply, context: &mut context, handles: None };
        assert_eq!(again.locate().unwrap().run(&mut work), 7);
        assert_eq!(output, [42]);
    }

    #[test]
    fn words_that_are_not_code_are_not_located() {
        // SAFETY: not sound to run, and `locate` refuses it, which is the point of the test.
        let rubbish = unsafe { Function::from_words([u64::MAX, 1 << 60]) };
        assert!(rubbish.locate().is_none());
    }
}
