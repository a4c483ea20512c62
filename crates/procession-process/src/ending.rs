//! What is due when a process ends, by whoever finds out.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::cgroup::Group;
use crate::exit::Exit;
use crate::launcher::OnExit;
use crate::stderr::complain;

/// What is due when a process ends. Nothing is called for a process that was never started; its group is removed.
#[derive(Default)]
pub(crate) struct Ending {
    pub(crate) on_exit: Option<OnExit>,
    pub(crate) group: Option<Group>,
}

impl Ending {
    /// The process ended like this; how it did, all things considered.
    pub(crate) fn comes(&mut self, exit: Exit) -> Exit {
        let exit = self.group.take().map_or(exit, |group| group.judge(exit));
        if let Some(on_exit) = self.on_exit.take() {
            call(on_exit, exit);
        }
        exit
    }
}

/// Others wait for what comes after the call, for ever if it did not return.
fn call(on_exit: OnExit, exit: Exit) {
    if catch_unwind(AssertUnwindSafe(|| on_exit(exit))).is_err() {
        complain(format_args!(
            "a function that was given to `on_exit` panicked (see above), aborting"
        ));
        std::process::abort();
    }
}
