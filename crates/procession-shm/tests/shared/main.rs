//! The handles: `Shared`, `SharedBuf`, `SharedSlice`, and how they travel.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod buf;
mod processes;
mod slice;
mod transfer;
mod travel;
mod value;
