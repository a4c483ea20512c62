//! What the compiler says about programs that misuse Procession: see `tests/ui`.
//!
//! A crate of its own, so that nobody who runs an example waits for `trybuild` to be compiled.
