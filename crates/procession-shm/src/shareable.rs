//! Which values mean the same in every process.
//!
//! [`Shareable`] is only about meaning: no pointer, no index into something that one process has. Whether several threads
//! may use a value at the same time is a different question, which Rust's own [`Sync`] answers; so a
//! `Mutex<Cell<u64>>` can be shared although a `Cell<u64>` alone cannot.

use std::cell::{Cell, UnsafeCell};
use std::marker::PhantomData;
use std::num::{
    NonZeroI8, NonZeroI16, NonZeroI32, NonZeroI64, NonZeroI128, NonZeroIsize, NonZeroU8,
    NonZeroU16, NonZeroU32, NonZeroU64, NonZeroU128, NonZeroUsize, Saturating, Wrapping,
};
// tidy: raw atomic: these are named as types that users may share, nothing is loaded or stored here
use std::sync::atomic::{
    AtomicBool, AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize, AtomicU8, AtomicU16,
    AtomicU32, AtomicU64, AtomicUsize,
};
use std::time::Duration;

/// Derives [`Shareable`](trait@Shareable).
///
/// ```
/// use procession_shm::{Shareable, Shared};
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// #[derive(Shareable)]
/// struct Progress<const N: usize> {
///     done: [AtomicU64; N],
///     total: u64,
/// }
///
/// let progress = Shared::new(Progress { done: [const { AtomicU64::new(0) }; 4], total: 100 })?;
/// progress.done[2].fetch_add(25, Ordering::Relaxed);
/// # assert_eq!(progress.total, 100);
/// # Ok::<(), procession_shm::SegmentError>(())
/// ```
///
/// A reference means nothing in another process:
///
/// ```compile_fail,E0277
/// #[derive(procession_shm::Shareable)]
/// struct Named {
///     name: &'static str,
/// }
/// ```
pub use procession_derive::Shareable;

#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot lie in memory that several processes map",
    label = "this means nothing in another process",
    note = "a reference, `Box`, `Rc` or `Arc`: the address it holds is another one in each process; store the value itself",
    note = "a `String` or `Vec`: its bytes lie on the heap of one process; use an array and a length, or send a `SharedSlice` beside it",
    note = "a function or raw pointer: store an index or a number that each process looks up in its own table",
    note = "a type of your own: add `#[derive(Shareable)]`; all of its fields must be `Shareable`"
)]
/// A value that means the same in every process that maps it: it holds no pointers.
///
/// Derive it: [`#[derive(Shareable)]`](derive@Shareable) checks every field.
///
/// All processes of a program run the same binary, so they agree on the layout of every type, of `Option`s and of enums with
/// data. What they do not agree on are addresses: the heap, statics and even functions lie elsewhere in each of them.
///
/// # Safety
///
/// * No byte of a value is, or stands for, an address, a file descriptor, a thread, or anything else that only one process
///   has. That holds for everything that can be reached by safe code that has the value.
/// * Safe code that gets `&Self` in another process than the one that made the value may rely on it as if it had been made
///   there. A type that is a proof of something (a token) is `Shareable` only if the proof holds in every process.
///
/// ```
/// use procession_shm::{Shareable, Shared};
///
/// #[derive(Shareable)]
/// struct Range { first: u64, last: Option<u64> }
///
/// let range = Shared::new(Range { first: 3, last: None })?;
/// assert!(range.first == 3 && range.last.is_none());
/// # Ok::<(), procession_shm::SegmentError>(())
/// ```
pub unsafe trait Shareable: 'static {}

macro_rules! shareable {
    ($($ty:ty),+ $(,)?) => { $(
        // SAFETY: a plain value without pointers; every process reads it alike.
        #[diagnostic::do_not_recommend]
        unsafe impl Shareable for $ty {}
    )+ };
}

shareable!(u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize);
shareable!(f32, f64, bool, char, (), Duration);
shareable!(NonZeroU8, NonZeroU16, NonZeroU32, NonZeroU64, NonZeroU128, NonZeroUsize);
shareable!(NonZeroI8, NonZeroI16, NonZeroI32, NonZeroI64, NonZeroI128, NonZeroIsize);
shareable!(AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize);
shareable!(AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize);
#[cfg(procession_hostile)]
shareable!(crate::sync::atomic::AtomicU32, crate::sync::atomic::AtomicU64);

// SAFETY: elements without pointers and nothing else.
#[diagnostic::do_not_recommend]
unsafe impl<T: Shareable, const N: usize> Shareable for [T; N] {}

// SAFETY: a value without pointers or none; where the compiler keeps the difference is the same in every process, which all
// run the same binary.
#[diagnostic::do_not_recommend]
unsafe impl<T: Shareable> Shareable for Option<T> {}

// SAFETY: as for `Option`.
#[diagnostic::do_not_recommend]
unsafe impl<T: Shareable, E: Shareable> Shareable for Result<T, E> {}

// SAFETY: no bytes at all, and it can be made anywhere.
#[diagnostic::do_not_recommend]
unsafe impl<T: 'static> Shareable for PhantomData<T> {}

// SAFETY: the bytes of a `T`. That several threads may not use it at once is said by `Sync`, which it is not.
#[diagnostic::do_not_recommend]
unsafe impl<T: Shareable> Shareable for Cell<T> {}

// SAFETY: as for `Cell`.
#[diagnostic::do_not_recommend]
unsafe impl<T: Shareable> Shareable for UnsafeCell<T> {}

// SAFETY: the bytes of a `T`.
#[diagnostic::do_not_recommend]
unsafe impl<T: Shareable> Shareable for Wrapping<T> {}

// SAFETY: the bytes of a `T`.
#[diagnostic::do_not_recommend]
unsafe impl<T: Shareable> Shareable for Saturating<T> {}

macro_rules! shareable_tuples {
    ($($first:ident $($rest:ident)*;)+) => { $(
        // SAFETY: fields without pointers and nothing else; the order in which the compiler puts them is the same in every
        // process, which all run the same binary.
        #[diagnostic::do_not_recommend]
        unsafe impl<$first: Shareable, $($rest: Shareable),*> Shareable for ($first, $($rest,)*) {}
    )+ };
}

shareable_tuples! {
    A;
    A B;
    A B C;
    A B C D;
    A B C D E;
    A B C D E F;
    A B C D E F G;
    A B C D E F G H;
}
