//! What failed once is done again, and then it works: only one call fails in a round.

use std::error::Error;
use std::fmt::Debug;

use crate::scene::Played;

/// The one error of a round.
#[derive(Default)]
pub(crate) struct Retry {
    error: Option<Box<dyn Error>>,
}

impl Retry {
    /// Does it, and once more if it failed. The second error of a round is a bug.
    pub(crate) fn ask<T, E: Error + 'static>(
        &mut self,
        mut act: impl FnMut() -> Result<T, E>,
    ) -> T {
        match act() {
            Ok(value) => value,
            Err(error) => {
                self.note(error);
                act().unwrap_or_else(|error| panic!("though no further call failed: {error}"))
            }
        }
    }

    /// The error of this round.
    pub(crate) fn note<E: Error + 'static>(&mut self, error: E) {
        assert!(self.error.is_none(), "a second error, though one call failed: {error}");
        self.error = Some(Box::new(error));
    }

    /// Asserts that an error is of those that may be.
    #[track_caller]
    pub(crate) fn note_if<E: Error + 'static + Debug>(&mut self, error: E, may_be: fn(&E) -> bool) {
        assert!(may_be(&error), "it may not fail like this: {error:?}");
        self.note(error);
    }

    pub(crate) fn has_error(&self) -> bool {
        self.error.is_some()
    }

    /// For another thread, as errors need not be `Send`.
    pub(crate) fn into_text(self) -> Option<String> {
        self.error.map(|error| error.to_string())
    }

    pub(crate) fn played(self) -> Played {
        self.error.map_or(Ok(()), Err)
    }
}
