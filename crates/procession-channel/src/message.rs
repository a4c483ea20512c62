//! What may travel between processes, and what may stand for it in a call.

use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{self, EncodeError, Limits};

/// A value that can be sent to another process: every owned type with serde's `Serialize` and `Deserialize`.
///
/// There is nothing to implement. A struct or enum of yours gets both by `#[derive(Serialize, Deserialize)]`.
///
/// Messages are owned, because the receiver lives in another address space: a function takes a `String` where it would take
/// a `&str`, and a `Vec<T>` for a `&[T]`. The caller may still pass the reference, see [`IntoArg`]. When the compiler says
/// that an implementation of `Deserialize` is not general enough, the function has a parameter like `&str`: take a `String`.
///
/// Messages carry no names of types or fields. `#[serde(flatten)]`, `#[serde(untagged)]`, `#[serde(tag = "..")]` and
/// `#[serde(skip_serializing_if = "..")]` need these and do not work: sending or receiving such a value is an error.
///
/// ```
/// use procession_channel::{Message, pipe};
///
/// #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
/// struct Point { x: f64, y: f64 }
///
/// fn there_and_back<T: Message>(value: T) -> Result<T, Box<dyn std::error::Error>> {
///     let (sender, receiver) = pipe::simplex()?;
///     sender.send(value).map_err(|error| error.kind)?;
///     Ok(receiver.recv()?)
/// }
///
/// assert_eq!(there_and_back(Point { x: 1.0, y: 2.0 })?, Point { x: 1.0, y: 2.0 });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent to another process",
    label = "this type cannot be a message",
    note = "a parameter like `&str` or `&[T]`: take a `String` or a `Vec<T>`, arguments are owned; callers may still pass the reference",
    note = "a result with an error that cannot be serialized, like `io::Error`: return `Result<T, procession::Failure>`, `?` converts the error",
    note = "a type of your own: add `#[derive(serde::Serialize, serde::Deserialize)]`",
    note = "a type of another crate: look for its feature named `serde`"
)]
pub trait Message: Serialize + DeserializeOwned + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + 'static> Message for T {}

mod sealed {
    use std::path::{Path, PathBuf};

    /// Who may be an argument is decided here, so that [`IntoArg`](super::IntoArg) can grow.
    pub trait Sealed<T> {}

    impl<T> Sealed<T> for T {}
    impl<T> Sealed<T> for &T {}
    impl Sealed<String> for &str {}
    impl Sealed<PathBuf> for &Path {}
    impl<T> Sealed<Vec<T>> for &[T] {}
}

/// What a caller may pass for a parameter of type `T`: a `T`, or a reference that stands for a clone without making one.
///
/// | parameter | caller passes |
/// |---|---|
/// | `T` | `T`, or `&T` if `T: Clone` |
/// | `String` | also `&str` |
/// | `PathBuf` | also `&Path` |
/// | `Vec<T>` | also `&[T]` if `T: Clone` |
///
/// The reference is encoded where it lies: the bytes are those of the owned value. A handle that can only be moved is no
/// `Clone`, so a reference to it is refused. The trait is sealed.
///
/// ```
/// use procession_channel::{IntoArg, codec::Limits};
///
/// let (mut owned, mut borrowed) = (Vec::new(), Vec::new());
/// IntoArg::<String>::encode_arg(&"word".to_owned(), &mut owned, &Limits::DEFAULT)?;
/// IntoArg::<String>::encode_arg(&"word", &mut borrowed, &Limits::DEFAULT)?;
/// assert_eq!(owned, borrowed);
/// # Ok::<(), procession_channel::codec::EncodeError>(())
/// ```
///
/// A handle that can only be moved is not taken by reference:
///
/// ```compile_fail,E0277
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Handle(u32);
///
/// fn call<A, X: procession_channel::IntoArg<A>>(_function: fn(A), _argument: X) {}
/// call(|handle: Handle| drop(handle), &Handle(3));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be passed for a parameter of type `{T}`",
    label = "expected `{T}` or a reference to it",
    note = "a reference stands for a clone: it needs `{T}: Clone`, so a handle that can only be moved must be passed by value"
)]
pub trait IntoArg<T>: sealed::Sealed<T> {
    /// Appends the bytes of the `T` that this argument stands for.
    ///
    /// # Errors
    ///
    /// As [`codec::encode_with`]; `out` is then as it was.
    ///
    /// ```
    /// use procession_channel::{IntoArg, codec::Limits};
    ///
    /// let mut bytes = Vec::new();
    /// IntoArg::<Vec<u64>>::encode_arg(&[1_u64, 2].as_slice(), &mut bytes, &Limits::DEFAULT)?;
    /// assert_eq!(bytes.len(), 16);                          // those of the vector that the slice stands for
    /// # Ok::<(), procession_channel::codec::EncodeError>(())
    /// ```
    fn encode_arg(&self, out: &mut Vec<u8>, limits: &Limits) -> Result<(), EncodeError>;

    /// The `T` itself, for a call in this process. Clones what is borrowed.
    ///
    /// ```
    /// use procession_channel::IntoArg;
    ///
    /// fn own<T, X: IntoArg<T>>(argument: X) -> T { argument.into_owned() }
    ///
    /// let name: String = own("Ada");
    /// assert_eq!(name, "Ada");
    /// ```
    fn into_owned(self) -> T;

    /// What [`encode_arg`](Self::encode_arg) would append, if that is memory of this argument's own; otherwise gives it back.
    ///
    /// # Errors
    ///
    /// The argument: it has to be encoded.
    #[doc(hidden)]
    #[inline]
    fn into_message(self) -> Result<Vec<u8>, Self>
    where
        Self: Sized,
    {
        Err(self)
    }

    /// Its message, if that is the memory of the `T`.
    #[doc(hidden)]
    #[inline]
    fn as_message(&self) -> Option<&[u8]> {
        None
    }
}

#[diagnostic::do_not_recommend]
impl<T: Message> IntoArg<T> for T {
    #[inline]
    fn encode_arg(&self, out: &mut Vec<u8>, limits: &Limits) -> Result<(), EncodeError> {
        codec::encode_with(self, out, limits)
    }

    #[inline]
    fn into_owned(self) -> T {
        self
    }

    #[inline]
    fn into_message(self) -> Result<Vec<u8>, Self> {
        codec::into_message(self)
    }

    #[inline]
    fn as_message(&self) -> Option<&[u8]> {
        codec::as_message(self)
    }
}

#[diagnostic::do_not_recommend]
impl<T: Message + Clone> IntoArg<T> for &T {
    #[inline]
    fn encode_arg(&self, out: &mut Vec<u8>, limits: &Limits) -> Result<(), EncodeError> {
        codec::encode_with(*self, out, limits)
    }

    #[inline]
    fn into_owned(self) -> T {
        self.clone()
    }

    #[inline]
    fn as_message(&self) -> Option<&[u8]> {
        codec::as_message(*self)
    }
}

#[diagnostic::do_not_recommend]
impl IntoArg<String> for &str {
    #[inline]
    fn encode_arg(&self, out: &mut Vec<u8>, limits: &Limits) -> Result<(), EncodeError> {
        codec::encode_by_parts(*self, out, limits)
    }

    #[inline]
    fn into_owned(self) -> String {
        self.to_owned()
    }
}

#[diagnostic::do_not_recommend]
impl IntoArg<PathBuf> for &Path {
    #[inline]
    fn encode_arg(&self, out: &mut Vec<u8>, limits: &Limits) -> Result<(), EncodeError> {
        codec::encode_by_parts(*self, out, limits)
    }

    #[inline]
    fn into_owned(self) -> PathBuf {
        self.to_owned()
    }
}

#[diagnostic::do_not_recommend]
impl<T: Message + Clone> IntoArg<Vec<T>> for &[T] {
    #[inline]
    fn encode_arg(&self, out: &mut Vec<u8>, limits: &Limits) -> Result<(), EncodeError> {
        codec::encode_slice(self, out, limits)
    }

    #[inline]
    fn into_owned(self) -> Vec<T> {
        self.to_vec()
    }
}
