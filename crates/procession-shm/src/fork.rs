//! What a process must know about forks: whether it is still the one that made something, and how to make something once.
//!
//! A `fork` copies memory and not threads. Whatever relies on a thread, on a lock that another thread may have held at that
//! moment, or on a mapping that is not inherited, belongs to the [`generation`] of processes that made it. [`FirstWins`] is a
//! cell that a fork cannot leave locked, [`PerProcess`] one that each process of the line fills for itself.

mod first_wins;
mod generation;
mod per_process;
mod template;

pub use first_wins::FirstWins;
pub use generation::{current as generation, is_current};
pub use per_process::PerProcess;
pub(crate) use template::is_template;
pub use template::set_template;
