//! One performance of a scene: the actors come, the victim is stepped to its point and killed, the others must get on.

use std::io;
use std::time::{Duration, Instant};

use procession_shm::family::{self, Watcher};
use procession_shm::sync::atomic::Ordering;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::actor::{Actor, Progress, Role};
use crate::marks;
use crate::memory::fingerprint;
use crate::scene::{Case, Ending, Expect, Place, Plot, Scene};
use crate::search::{Aim, Search};
use crate::trace::Trace;
use crate::tracer::{CodeMap, Next, Step, Tracee};

/// How long those who live may take after the death before they are said to hang. It is generous: the machine may be busy.
const HANG: Duration = Duration::from_secs(2);

/// The same for a case that is there to hang.
const WANTED_HANG: Duration = Duration::from_millis(500);

/// How long setting the scene may take.
const SETUP: Duration = Duration::from_secs(10);

/// More instructions than any operation here has.
const STEPS_MAX: usize = 1_000_000;

/// How long one look around lasts when there is no news.
const NAP: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000 };

/// The root of the family that all actors belong to, and what it has learnt of the program's code.
#[derive(Debug)]
pub(crate) struct Director {
    watcher: Watcher,
    code: CodeMap,
}

/// Where one performance kills.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Script<'a> {
    /// Where the victim is killed; `None` is at the end of the operation.
    pub(crate) victim: Option<Aim<'a>>,
    /// The same for the heir, if the plot has one.
    pub(crate) heir: Option<Aim<'a>>,
}

impl Script<'_> {
    pub(crate) const TO_THE_END: Self = Self { victim: None, heir: None };
}

/// What is to be recorded, if anything.
#[derive(Debug, Default)]
pub(crate) struct Records<'a> {
    pub(crate) victim: Option<&'a mut Trace>,
    pub(crate) heir: Option<&'a mut Trace>,
}

/// What a performance came to.
#[derive(Debug)]
pub(crate) struct Performance {
    /// Where the victim was killed.
    pub(crate) victim: Reached,
    /// The same of the heir, if there was one.
    pub(crate) heir: Option<Reached>,
    /// The longest that it took until those were done, or up, who were to be woken: by the death or before.
    pub(crate) progress: Duration,
    /// Whether that is longer than a wake-up takes.
    pub(crate) is_late: bool,
    /// Why it was bad, if it was.
    pub(crate) verdict: Result<(), String>,
}

/// Where somebody who is stepped through an operation has been brought.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reached {
    /// After so many instructions.
    pub(crate) steps: usize,
    pub(crate) position: u64,
    /// It is another place than was meant.
    pub(crate) has_drifted: bool,
    place: Place,
}

/// A death: who, where and when.
#[derive(Debug, Clone, Copy)]
struct Death {
    pid: u32,
    reached: Reached,
    at: Instant,
    /// The family's epoch just before.
    epoch: u32,
}

/// A performance while it goes on.
struct Show<'a> {
    director: &'a mut Director,
    scene: &'a dyn Scene,
    actors: Vec<Actor>,
    /// The longest that anybody needed who was to be woken.
    slowest: Duration,
}

impl Director {
    pub(crate) fn new() -> Result<Self, family::FamilyError> {
        Ok(Self { watcher: family::found()?, code: CodeMap::new() })
    }

    /// Plays `case` and kills where `script` says.
    pub(crate) fn perform(
        &mut self,
        case: &Case,
        script: Script<'_>,
        records: Records<'_>,
    ) -> io::Result<Performance> {
        let scene = (case.build)()?;
        let mut show =
            Show { director: self, scene: &*scene, actors: Vec::new(), slowest: Duration::ZERO };
        let victim = show.kill_victim(&case.plot, script.victim, records.victim)?;
        if case.plot.second.is_some() {
            show.await_notice(victim.epoch)?;
        }
        let heir = match case.plot.second {
            Some(others) => Some(show.kill_heir(others, script.heir, records.heir)?),
            None => None,
        };
        let last = heir.unwrap_or(victim);
        if scene.wants_quiet() {
            show.await_notice(last.epoch)?;
        }
        scene.after_death();
        let all_done = show.await_ending(case, last.at)?;
        let verdict = show.verdict(all_done, victim, heir);
        let (progress, heir) = (show.slowest, heir.map(|heir| heir.reached));
        show.end(last.epoch)?;
        let is_late = progress >= scene.slack();
        Ok(Performance { victim: victim.reached, heir, progress, is_late, verdict })
    }
}

impl Show<'_> {
    /// The first half of a scene, up to the death that it is about.
    fn kill_victim(
        &mut self,
        plot: &Plot,
        aim: Option<Aim<'_>>,
        record: Option<&mut Trace>,
    ) -> io::Result<Death> {
        self.enter_all(plot.first)?;
        let (pid, tracee) = self.bring(Role::Victim)?;
        self.enter_all(plot.then)?;
        let reached = self.step_to(&tracee, aim, record)?;
        if self.scene.wants_quiet() {
            self.settle_all()?;
        }
        self.scene.at_point();
        self.enter_all(plot.at_point)?;
        let epoch = epoch();
        tracee.kill()?;
        Ok(Death { pid, reached, at: Instant::now(), epoch })
    }

    /// Another death, of one who came after the first.
    fn kill_heir(
        &mut self,
        others: &[Role],
        aim: Option<Aim<'_>>,
        record: Option<&mut Trace>,
    ) -> io::Result<Death> {
        let (pid, tracee) = self.bring(Role::Heir)?;
        let reached = self.step_to(&tracee, aim, record)?;
        self.enter_all(others)?;
        let epoch = epoch();
        tracee.kill()?;
        Ok(Death { pid, reached, at: Instant::now(), epoch })
    }

    /// Waits until all have got on, then until those have who come last; whoever uses a lock after a lost wake-up makes up for
    /// it, so they come when the others are done.
    fn await_ending(&mut self, case: &Case, death: Instant) -> io::Result<bool> {
        let hang = if case.expect == Expect::Good { HANG } else { WANTED_HANG };
        let all_done = self.finish_all(hang)?;
        self.slowest = self.slowest.max(death.elapsed());
        if !all_done || case.plot.late.is_empty() {
            return Ok(all_done);
        }
        let start = Instant::now();
        for role in case.plot.late {
            self.actors.push(Actor::start(self.scene, *role)?);
        }
        let all_done = self.finish_all(hang)?;
        self.slowest = self.slowest.max(start.elapsed());
        Ok(all_done)
    }

    /// Starts actors one after the other; each comes as far as it can before the next.
    fn enter_all(&mut self, roles: &[Role]) -> io::Result<()> {
        for role in roles {
            self.actors.push(Actor::start(self.scene, *role)?);
            if *role == Role::Corpse {
                self.kill_corpse()?;
            } else {
                self.settle()?;
            }
        }
        Ok(())
    }

    /// Waits until the latest actor is done, holds something, or sleeps.
    fn settle(&mut self) -> io::Result<()> {
        let settled = self.drive(SETUP, |show| Ok(show.actors.last().is_none_or(is_settled)))?;
        if settled { Ok(()) } else { Err(self.stuck("has not settled")) }
    }

    fn settle_all(&mut self) -> io::Result<()> {
        let settled = self.drive(SETUP, |show| Ok(show.actors.iter().all(is_settled)))?;
        if settled { Ok(()) } else { Err(self.stuck("has not settled")) }
    }

    fn kill_corpse(&mut self) -> io::Result<()> {
        self.settle()?;
        let Some(mut corpse) = self.actors.pop() else { return Ok(()) };
        if *corpse.progress() != Progress::Held {
            return Err(io::Error::other(format!("a corpse holds nothing: {corpse:?}")));
        }
        let before = epoch();
        corpse.take_pid().map_or(Ok(()), crate::tracer::kill_and_reap)?;
        self.await_notice(before)
    }

    /// Waits until the family has told of a death, which no other performance must be disturbed by.
    fn await_notice(&mut self, before: u32) -> io::Result<()> {
        if !self.scene.in_family() || self.drive(SETUP, |_| Ok(epoch() != before))? {
            return Ok(());
        }
        Err(io::Error::other("the family was not told of a death"))
    }

    /// Starts one who is to be killed, and waits until it stands at the entry of the operation.
    fn bring(&mut self, role: Role) -> io::Result<(u32, Tracee)> {
        let mut victim = Actor::start(self.scene, role)?;
        let pid = victim.pid().ok_or_else(|| io::Error::other("the victim has no pid"))?;
        let mut stopped = None;
        self.drive(SETUP, |_| {
            victim.listen()?;
            if let Progress::Done(result) = victim.progress() {
                return Err(io::Error::other(format!("the victim ended early: {result:?}")));
            }
            stopped = Tracee::stopped(pid)?;
            Ok(stopped.is_some())
        })?;
        let tracee = stopped.ok_or_else(|| self.stuck("waits for its victim"))?;
        victim.take_pid();
        Ok((pid.as_raw_nonzero().get().cast_unsigned(), tracee))
    }

    /// Steps through the operation, as far as `aim` or to its end.
    fn step_to(
        &mut self,
        tracee: &Tracee,
        aim: Option<Aim<'_>>,
        mut trace: Option<&mut Trace>,
    ) -> io::Result<Reached> {
        let views = self.scene.views();
        let state = || fingerprint(&views);
        if let Some(trace) = &mut trace {
            trace.begin(state());
        }
        let mut search = Search::new(aim, state);
        for steps in 0..STEPS_MAX {
            let position = tracee.position()?;
            let is_last = position == marks::end();
            if is_last || search.is_over(position) {
                let inside = if steps == 0 { Place::First } else { Place::Inside };
                let has_drifted = search.has_drifted(position, false, state);
                let place = if is_last { Place::Last } else { inside };
                return Ok(Reached { steps, position, has_drifted, place });
            }
            let next = tracee.next(position, &mut self.director.code)?;
            if tracee.step(next)? == Step::Asleep {
                if let Some(trace) = &mut trace {
                    trace.sleep(position);
                }
                if search.is_over_asleep(position) || !self.release_held()? {
                    let has_drifted = search.has_drifted(position, true, state);
                    return Ok(Reached { steps, position, has_drifted, place: Place::Inside });
                }
                let released = Instant::now();
                tracee.finish_step()?;
                self.slowest = self.slowest.max(released.elapsed());
            }
            if next != Next::Ordinary && self.scene.in_turns() {
                self.settle_all()?;
            }
            search.step(position, next != Next::Ordinary, state);
            if let Some(trace) = &mut trace {
                trace.step(position, next != Next::Ordinary, state());
            }
        }
        Err(io::Error::other(format!("the operation has more than {STEPS_MAX} instructions")))
    }

    /// Lets all go on that hold something, and says whether there were any.
    fn release_held(&mut self) -> io::Result<bool> {
        let mut any = false;
        for actor in &mut self.actors {
            actor.listen()?;
            if *actor.progress() == Progress::Held {
                actor.release()?;
                any = true;
            }
        }
        Ok(any)
    }

    /// Waits until all are done; whoever gets something meanwhile does not keep it.
    fn finish_all(&mut self, timeout: Duration) -> io::Result<bool> {
        self.drive(timeout, |show| {
            show.release_held()?;
            Ok(show.actors.iter().all(Actor::is_done))
        })
    }

    fn verdict(&self, all_done: bool, victim: Death, heir: Option<Death>) -> Result<(), String> {
        let mut reports = Vec::new();
        for actor in &self.actors {
            if let Progress::Done(result) = actor.progress() {
                let report = result.clone().map_err(|what| format!("{:?}: {what}", actor.role))?;
                reports.push((actor.role, report));
            }
        }
        if !all_done {
            return Err(format!("HANG: {}; done: {reports:?}", self.unfinished()));
        }
        let (place, victim_pid) = (victim.reached.place, victim.pid);
        let (heir_pid, heir_place) = heir.map(|heir| (heir.pid, heir.reached.place)).unzip();
        let ending = Ending { place, victim_pid, heir_pid, heir_place, reports };
        self.scene.judge(&ending).map_err(|why| format!("{why} ({ending:?})"))
    }

    /// Ends those who hang, and waits until the family has heard of every death.
    fn end(&mut self, before: u32) -> io::Result<()> {
        self.actors.clear();
        self.await_notice(before)
    }

    /// Does the root's duties until `is_over` or `timeout`; says which.
    fn drive(
        &mut self,
        timeout: Duration,
        mut is_over: impl FnMut(&mut Self) -> io::Result<bool>,
    ) -> io::Result<bool> {
        let started = Instant::now();
        loop {
            self.director.watcher.turn().map_err(io::Error::other)?;
            for actor in &mut self.actors {
                if !actor.is_done() {
                    actor.listen()?;
                }
            }
            if is_over(self)? {
                return Ok(true);
            }
            if started.elapsed() > timeout {
                return Ok(false);
            }
            self.nap()?;
        }
    }

    fn nap(&self) -> io::Result<()> {
        let waiting = self.actors.iter().filter(|actor| !actor.is_done());
        let mut fds: Vec<_> = waiting.map(|actor| PollFd::new(actor, PollFlags::IN)).collect();
        fds.push(PollFd::new(&self.director.watcher, PollFlags::IN));
        match poll(&mut fds, Some(&NAP)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn unfinished(&self) -> String {
        let unfinished = self.actors.iter().filter(|actor| !actor.is_done());
        let each = unfinished.map(|actor| {
            let how = if actor.is_asleep() { "asleep" } else { "awake" };
            format!("{:?} is {how}", actor.role)
        });
        each.collect::<Vec<_>>().join(", ")
    }

    fn stuck(&self, what: &str) -> io::Error {
        io::Error::other(format!("the scene {what}: {}", self.unfinished()))
    }
}

fn is_settled(actor: &Actor) -> bool {
    *actor.progress() != Progress::Playing || actor.is_asleep()
}

fn epoch() -> u32 {
    family::epoch().load(Ordering::Acquire)
}
