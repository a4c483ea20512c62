//! The machine as a hostile peer makes it: the real atomics, but what is loaded from a ring is what a [liar](super::lies) says.
//!
//! Stores and the memory itself are as ever, so that a peer in another process, or the kernel, sees what it always sees. Only
//! the answers of loads and of read-modify-writes are false: no peer could do more, as it can write any value in front of a
//! load and the old one behind it.

pub mod atomic {
    //! Atomics that tell lies about what lies in a ring.
    pub use std::sync::atomic::{Ordering, fence};

    pub use crate::sync::fences::full_fence_after_rmw;
    use crate::sync::lies;

    macro_rules! doubtful_atomic {
        ($(#[$doc:meta])* $name:ident, $value:ty, $hearsay:ident) => {
            $(#[$doc])*
            #[derive(Debug, Default)]
            #[repr(transparent)]
            pub struct $name(std::sync::atomic::$name);

            impl $name {
                /// A new word.
                pub const fn new(value: $value) -> Self {
                    Self(std::sync::atomic::$name::new(value))
                }

                /// As in std.
                ///
                /// # Safety
                ///
                /// As in std.
                pub unsafe fn from_ptr<'a>(at: *mut $value) -> &'a Self {
                    // SAFETY: the caller's promise is what is needed: this type has the layout of std's, which has the integer's.
                    unsafe { &*at.cast::<Self>() }
                }

                /// As in std.
                pub const fn as_ptr(&self) -> *mut $value {
                    self.0.as_ptr()
                }

                /// Said of what was loaded from this word.
                fn hearsay(&self, truth: $value) -> $value {
                    lies::$hearsay(self.as_ptr().addr(), truth)
                }

                /// As in std, but for the lie.
                pub fn load(&self, order: Ordering) -> $value {
                    self.hearsay(self.0.load(order))
                }

                /// As in std.
                pub fn store(&self, value: $value, order: Ordering) {
                    self.0.store(value, order);
                }

                doubtful_atomic!(@exchange $value: compare_exchange compare_exchange_weak);
                doubtful_atomic!(@change $value: swap fetch_add fetch_sub fetch_or fetch_and fetch_max);
            }

            impl AsRef<std::sync::atomic::$name> for $name {
                /// The word as the kernel takes it.
                fn as_ref(&self) -> &std::sync::atomic::$name {
                    &self.0
                }
            }
        };
        (@exchange $value:ty: $($exchange:ident)+) => { $(
            /// As in std, but for the lie about the value that was there.
            ///
            /// # Errors
            ///
            /// The value that is said to have been there instead.
            pub fn $exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                let done = self.0.$exchange(current, new, success, failure);
                done.map_err(|instead| self.hearsay(instead))
            }
        )+ };
        (@change $value:ty: $($change:ident)+) => { $(
            /// As in std, but for the lie about the value that was there.
            pub fn $change(&self, value: $value, order: Ordering) -> $value {
                self.hearsay(self.0.$change(value, order))
            }
        )+ };
    }

    doubtful_atomic!(
        /// A shared word of 32 bits.
        AtomicU32, u32, half_word
    );
    doubtful_atomic!(
        /// A shared word of 64 bits.
        AtomicU64, u64, word
    );
}

pub use super::real::{hint, thread};

/// The word as the kernel takes it.
pub fn raw(word: &atomic::AtomicU32) -> &std::sync::atomic::AtomicU32 {
    word.as_ref()
}
