//! A function that runs on a thread of this process, as if it had one of its own.
//!
//! Everything else is as for a process: the same payload is read, the same outbox is filled, and the same record tells
//! whoever waits that it is over.

use std::cell::Cell;
use std::sync::Arc;
use std::thread;

use procession_shm::fork::FirstWins;

use crate::child::{Child, Record};
use crate::ending::Ending;
use crate::errand;
use crate::error::SpawnError;
use crate::exit::Exit;
use crate::grip::Grip;
use crate::launcher::{OnExit, Start};
use crate::panics::{self, Printing};
use crate::standard::main_stack_bytes;

thread_local! {
    static IS_INLINE: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread runs such a function.
pub(crate) fn is_this_thread() -> bool {
    IS_INLINE.get()
}

/// Starts a thread that calls `main`, in a process of this fork generation.
pub(crate) fn start(
    start: Start,
    generation: u64,
    on_exit: Option<OnExit>,
    main: impl FnOnce(Start) -> i32 + Send + 'static,
) -> Result<Child, SpawnError> {
    static CAPTURES: FirstWins<()> = FirstWins::new();
    CAPTURES.get_or_try_init(|| {
        panics::capture(Printing::AsUsual);
        Ok::<_, SpawnError>(())
    })?;
    let ending = Ending { on_exit, group: None };
    let record = Arc::new(Record::new(std::process::id(), generation, Grip::Thread, ending));
    let name = start.name.clone();
    let end = End { record: Arc::clone(&record), exit: errand::EXIT_PANICKED };
    thread::Builder::new()
        .name(name)
        .stack_size(main_stack_bytes())
        .spawn(move || {
            IS_INLINE.set(true);
            end.comes(main(start));
        })
        .map_err(|error| SpawnError::system("start a thread", error))?;
    Ok(Child::new(record))
}

/// Tells of the end, however it comes.
struct End {
    record: Arc<Record>,
    exit: i32,
}

impl End {
    fn comes(mut self, exit: i32) {
        self.exit = exit;
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.record.finish(Exit::Code(self.exit));
    }
}
