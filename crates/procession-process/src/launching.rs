//! A child that is on its way.

use std::fmt;
use std::sync::mpsc::Receiver;

use crate::child::Child;
use crate::error::SpawnError;
use crate::offices;

/// A child that was asked for and that the kernel may not have started yet. Made by [`Launcher::begin`](crate::Launcher::begin).
///
/// Dropping it changes nothing: the child is started all the same, and reaped when it ends.
///
/// ```
/// use procession_process::{Exit, Launcher, Launching};
///
/// let all: Vec<Launching> = (0..3).map(|_| Launcher::new(|_| ()).begin()).collect::<Result<_, _>>()?;
/// for on_its_way in all {
///     assert_eq!(on_its_way.finish()?.wait(), Exit::Code(0));
/// }
/// # Ok::<(), procession_process::SpawnError>(())
/// ```
#[must_use = "only `finish` tells whether there is a child"]
pub struct Launching(State);

enum State {
    Over(Child),
    /// The spawner has the order and will answer.
    Ordered(Receiver<Result<Child, SpawnError>>),
}

impl fmt::Debug for Launching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_over = matches!(self.0, State::Over(_));
        f.debug_struct("Launching").field("is_over", &is_over).finish()
    }
}

impl Launching {
    pub(crate) fn over(child: Child) -> Self {
        Self(State::Over(child))
    }

    pub(crate) fn ordered(answer: Receiver<Result<Child, SpawnError>>) -> Self {
        Self(State::Ordered(answer))
    }

    /// Blocks until the kernel has started the program, as [`Launcher::launch`](crate::Launcher::launch) does.
    ///
    /// # Errors
    ///
    /// [`System`](SpawnError::System): the operating system has refused to start it; no process is left.
    ///
    /// ```
    /// use procession_process::{Exit, Launcher};
    ///
    /// let both = [3, 4].map(|code| Launcher::new(|start| std::process::exit(start.payload[0].into())).payload(vec![code]));
    /// let [first, second] = both.map(Launcher::begin);      // both start at the same time
    /// assert_eq!(first?.finish()?.wait(), Exit::Code(3));
    /// assert_eq!(second?.finish()?.wait(), Exit::Code(4));
    /// # Ok::<(), procession_process::SpawnError>(())
    /// ```
    pub fn finish(self) -> Result<Child, SpawnError> {
        match self.0 {
            State::Over(child) => Ok(child),
            // A spawner that ends takes the process along, so that an answer always comes.
            State::Ordered(answer) => answer.recv().unwrap_or_else(|_| Err(offices::gone())),
        }
    }
}
