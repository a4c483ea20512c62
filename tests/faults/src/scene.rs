//! One operation, played again and again with another call that fails.

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::census::{Census, Kept};
use crate::fault::{Aim, Fault, Target};

/// Nothing takes this long to go away.
const GUARD: Duration = Duration::from_secs(20);
/// A toy leaks for ever.
const TOY_GUARD: Duration = Duration::from_millis(200);

/// What a scene came to: an error is one that the operation may have, and everything that may not be is a panic.
pub(crate) type Played = Result<(), Box<dyn Error>>;

/// An operation under test.
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    pub(crate) play: fn(&Fault) -> Played,
    pub(crate) setting: Setting,
}

/// Where a scene is played.
#[derive(Clone, Copy)]
pub(crate) enum Setting {
    /// In a process that has played it before; with what it may have more after a round.
    Again(Kept),
    /// In a process of its own each time, since the first time is different; with what it then keeps.
    First(Kept),
}

/// Which of the calls fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Walk {
    pub(crate) from: Target,
    /// Every so many calls.
    pub(crate) stride: usize,
}

impl Walk {
    fn after(self, target: Target, aim: Aim) -> Target {
        match aim {
            Aim::Hit => Target { error: target.error + 1, ..target },
            Aim::NoSuchError | Aim::OverBefore => {
                Target { nth: target.nth + self.stride, error: 0 }
            }
        }
    }
}

impl Scene {
    /// One that leaves nothing behind once it has been played.
    pub(crate) fn again(name: &'static str, play: fn(&Fault) -> Played) -> Self {
        Self { name, play, setting: Setting::Again(Kept::default()) }
    }

    /// Plays until there is no further call, and says after each time what it came to.
    pub(crate) fn walk(&self, fault: &Fault, walk: Walk, say: fn(&str)) -> Result<(), String> {
        let kept = match self.setting {
            Setting::Again(kept) => {
                self.warm_up(fault)?;
                kept
            }
            Setting::First(kept) => kept,
        };
        let mut target = walk.from;
        loop {
            let (aim, outcome) = self.round(fault, target, kept)?;
            match aim {
                Aim::OverBefore => break say("OVER"),
                Aim::NoSuchError => say("PAST"),
                Aim::Hit => say(&match outcome {
                    Ok(()) => "DONE".to_owned(),
                    Err(error) => format!("ERROR {error}"),
                }),
            }
            if matches!(self.setting, Setting::First(_)) {
                break;
            }
            target = walk.after(target, aim);
        }
        Ok(())
    }

    /// What a process makes once is there after it.
    fn warm_up(&self, fault: &Fault) -> Result<(), String> {
        for _ in 0..3 {
            fault.aim(None);
            (self.play)(fault).map_err(|error| format!("without a fault: {error}"))?;
        }
        Ok(())
    }

    /// Whether it is there to be found.
    pub(crate) fn is_toy(&self) -> bool {
        self.name.starts_with("toy: ")
    }

    fn guard(&self) -> Duration {
        if self.is_toy() { TOY_GUARD } else { GUARD }
    }

    fn round(&self, fault: &Fault, target: Target, kept: Kept) -> Result<(Aim, Played), String> {
        let before = Census::take().map_err(|error| error.to_string())?;
        fault.aim(Some(target));
        let outcome = catch_unwind(AssertUnwindSafe(|| (self.play)(fault)));
        let outcome = outcome.map_err(|_| "a panic, see above".to_owned())?;
        let aim = fault.result();
        if let (Aim::OverBefore | Aim::NoSuchError, Err(error)) = (aim, &outcome) {
            return Err(format!("no call failed, and yet: {error}"));
        }
        // An error is made for somebody to read.
        if outcome.as_ref().is_err_and(|error| error.to_string().is_empty()) {
            return Err("an error that says nothing".to_owned());
        }
        Census::returns_to(before, kept, self.guard())?;
        Ok((aim, outcome))
    }
}
