//! What a function that runs in another process may return.

use procession_channel::Message;

use crate::failure::Failure;

/// What a function that runs in another process may return: a plain value, or a `Result` whose error is a [`Failure`].
///
/// A `Result<T, Failure>` is flattened: its caller gets a `T`, or the failure as one of the errors that a task can have. Every
/// other type, a `Result` with an error type of your own included, is a plain value and arrives as it is.
///
/// `K` only tells the two apart and is always inferred.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be returned from a function that runs in another process",
    label = "this result cannot be sent back",
    note = "a `Result` with an error that cannot be serialized, like `io::Error`: return `Result<T, procession::Failure>`, `?` converts the error",
    note = "a type of your own: add `#[derive(serde::Serialize, serde::Deserialize)]`"
)]
pub trait Outcome<K>: 'static {
    /// What the caller gets when all went well.
    type Ok: Message;

    /// The value, or the failure that is reported instead.
    ///
    /// # Errors
    ///
    /// The function's own failure.
    fn into_result(self) -> Result<Self::Ok, Failure>;
}

/// Marks an [`Outcome`] that is a plain value.
#[derive(Debug)]
pub struct Plain;

/// Marks an [`Outcome`] that is a `Result` with a [`Failure`].
#[derive(Debug)]
pub struct Fallible;

#[diagnostic::do_not_recommend]
impl<T: Message> Outcome<Plain> for T {
    type Ok = T;

    fn into_result(self) -> Result<T, Failure> {
        Ok(self)
    }
}

#[diagnostic::do_not_recommend]
impl<T: Message> Outcome<Fallible> for Result<T, Failure> {
    type Ok = T;

    fn into_result(self) -> Self {
        self
    }
}
