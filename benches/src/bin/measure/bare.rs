//! What no program can be faster than.

pub(crate) mod futex;
pub(crate) mod line;
pub(crate) mod pthread;
pub(crate) mod ring;
pub(crate) mod start;
