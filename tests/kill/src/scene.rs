//! What a subject is to the harness: a scene that can be set up as often as there are kill points, roles in it, and an
//! oracle that says whether the end is one of those that are promised.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::actor::{Cue, Role};
use crate::memory::View;

/// Shared memory, what each role does to it, and what may come of it. Made anew for each kill point.
pub(crate) trait Scene {
    /// The bytes that make the shared state.
    fn views(&self) -> Vec<View>;

    /// Plays a role, in a process of its own; what it returns is what the judge reads. An error is a failure of the point.
    fn play(&self, role: Role, cue: &Cue) -> Result<String, String>;

    /// What an heir does: what a survivor does, all of which it is stepped through.
    fn inherit(&self, cue: &Cue) -> Result<String, String> {
        cue.operate(|| self.play(Role::Survivor, cue))?
    }

    /// Whether the actors must be members of a family.
    fn in_family(&self) -> bool {
        true
    }

    /// Whether all others must have come as far as they can before the director looks at the victim's kill point, and the
    /// family must know of the death before he does something about it: for a director who uses the subject himself, and
    /// who cannot tell of deaths while he waits.
    fn wants_quiet(&self) -> bool {
        false
    }

    /// How long those who live may need to get on after the death before a wake-up is said to be lost. A sleeper in the family
    /// looks by itself whether whom it waits for is dead, first 100 ms after it fell asleep, and so makes up for a wake-up that
    /// was lost. Most have slept for some time when the victim dies.
    fn slack(&self) -> Duration {
        Duration::from_millis(50)
    }

    /// Whether the others go as far as they can after each of the victim's system calls, so that it finds the same at each
    /// walk: for an operation in which it works with others hand in hand.
    fn in_turns(&self) -> bool {
        false
    }

    /// What the director does while the victim is stopped at its kill point.
    fn at_point(&self) {}

    /// What whoever notices the last death does, in addition to what the family does.
    fn after_death(&self) {}

    /// Whether the end is one that is promised. All actors are gone.
    fn judge(&self, ending: &Ending) -> Result<(), String>;
}

/// Where the victim was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// Before the first instruction of the operation.
    First,
    Inside,
    /// After the last.
    Last,
}

/// How a scene ended.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) place: Place,
    pub(crate) victim_pid: u32,
    /// Of the one who was killed after the victim, if there was one.
    pub(crate) heir_pid: Option<u32>,
    /// Where that was.
    pub(crate) heir_place: Option<Place>,
    pub(crate) reports: Vec<(Role, String)>,
}

impl Ending {
    /// What the actors of this role have reported.
    pub(crate) fn said(&self, role: Role) -> impl Iterator<Item = &str> {
        self.reports.iter().filter(move |(who, _)| *who == role).map(|(_, what)| what.as_str())
    }

    /// What all actors have reported.
    pub(crate) fn all(&self) -> impl Iterator<Item = &str> {
        self.reports.iter().map(|(_, what)| what.as_str())
    }
}

/// Who else is there, and when they come.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Plot {
    pub(crate) setting: &'static str,
    /// Before the victim.
    pub(crate) first: &'static [Role],
    /// When the victim stands at the entry of the operation.
    pub(crate) then: &'static [Role],
    /// Between kill point and death.
    pub(crate) at_point: &'static [Role],
    /// If an heir comes after the death and is killed as well: who comes between its kill point and its death.
    pub(crate) second: Option<&'static [Role]>,
    /// At how many states of the first, and of the second, it is tried to kill them, unless all is asked for, which here is all
    /// states and not all instructions. `None`: at all states, or all instructions.
    pub(crate) sample: Option<(usize, usize)>,
    /// After the last death.
    pub(crate) late: &'static [Role],
}

/// What a case must come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    /// At every kill point all get on and the judge is content.
    Good,
    /// At some kill point they do not: a control, which proves that the harness can see it.
    Bad,
}

/// One operation of one subject in one setting.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) plot: Plot,
    pub(crate) expect: Expect,
    pub(crate) build: Box<dyn Fn() -> io::Result<Box<dyn Scene>>>,
}

impl Case {
    pub(crate) fn new(
        name: &str,
        plot: Plot,
        build: impl Fn() -> io::Result<Box<dyn Scene>> + 'static,
    ) -> Self {
        let name = format!("{name}, {}", plot.setting);
        Self { name, plot, expect: Expect::Good, build: Box::new(build) }
    }

    pub(crate) fn that_must_fail(mut self) -> Self {
        self.expect = Expect::Bad;
        self
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case").field("name", &self.name).finish_non_exhaustive()
    }
}
