//! What a function that runs in another process may return.

use procession_channel::Message;

use crate::failure::Failure;

/// What a function that runs in another process may return: a plain value, or a `Result` whose error is a [`Failure`].
///
/// A `Result<T, Failure>` is flattened: its caller gets a `T`, or the failure as one of the errors that a task can have. Every
/// other type, a `Result` with an error type of your own included, is a plain value and arrives as it is.
///
/// `K` only tells the two apart and is always inferred.
///
/// ```
/// use procession_process::{Failure, Outcome};
///
/// /// Takes functions of both kinds; `K` is inferred.
/// fn call<R: Outcome<K>, K>(function: fn() -> R) -> Result<R::Ok, Failure> { function().into_result() }
///
/// fn plain() -> u64 { 7 }
/// fn fallible() -> Result<u64, Failure> { Err("no".into()) }
///
/// assert_eq!(call(plain)?, 7);
/// assert_eq!(call(fallible).unwrap_err().to_string(), "no");
/// # Ok::<(), Failure>(())
/// ```
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
    ///
    /// ```
    /// use procession_process::{Failure, Fallible, Outcome, Plain};
    ///
    /// assert_eq!(Outcome::<Plain>::into_result(7_u64)?, 7);
    /// assert!(Outcome::<Fallible>::into_result(Err::<u64, _>(Failure::msg("no"))).is_err());
    /// # Ok::<(), Failure>(())
    /// ```
    fn into_result(self) -> Result<Self::Ok, Failure>;
}

/// Marks an [`Outcome`] that is a plain value.
///
/// ```
/// use procession_process::{Outcome, Plain};
///
/// fn is_plain<T: Outcome<Plain>>() -> bool { true }
///
/// assert!(is_plain::<Vec<u64>>() && is_plain::<Result<u64, String>>());
/// ```
#[derive(Debug)]
pub struct Plain;

/// Marks an [`Outcome`] that is a `Result` with a [`Failure`].
///
/// ```
/// use procession_process::{Failure, Fallible, Outcome};
///
/// fn may_fail<T: Outcome<Fallible, Ok = u64>>() -> bool { true }
///
/// assert!(may_fail::<Result<u64, Failure>>());
/// ```
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
