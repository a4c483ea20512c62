//! All kill points of one case: the recording, the choice of points, and what came of each.

use std::fmt;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crate::options::Density;
use crate::performance::{Director, Performance, Reached, Records, Script};
use crate::place;
use crate::scene::{Case, Expect};
use crate::search::Aim;
use crate::trace::{Point, Trace};

/// After so many bad points a case is given up: each may have taken as long as a hang takes.
const FAULTS_MAX: usize = 3;

/// A busy machine can be late at a point, for as long as it is busy; who is late so often in a row has lost a wake-up there.
const LATE_MAX: u32 = 8;

/// How much longer is waited each time before a late point is tried again.
const PAUSE: Duration = Duration::from_millis(100);

/// What trying one case has shown.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// Instructions of the operation.
    pub(crate) steps: usize,
    /// Different shared states that it goes through.
    pub(crate) states: usize,
    /// How many processes were killed.
    pub(crate) kills: usize,
    /// How often two were, one after the other.
    pub(crate) pairs: usize,
    /// How often one of them was killed elsewhere than meant: it had taken another way there.
    pub(crate) drifted: usize,
    /// The longest that the others needed to get on after a death.
    pub(crate) worst: Duration,
    /// How often they needed so long that a sleeper's own check-up may have helped, and the point was tried again.
    pub(crate) late: usize,
    pub(crate) took: Duration,
    /// The bad points, as text.
    pub(crate) faults: Vec<String>,
}

impl Figures {
    /// Whether the case came to what it must come to.
    pub(crate) fn is_as_expected(&self, expect: Expect) -> bool {
        self.faults.is_empty() == (expect == Expect::Good)
    }

    fn add(&mut self, performance: &Performance) {
        match &performance.verdict {
            Ok(()) => self.worst = self.worst.max(performance.progress),
            Err(why) => self.faults.push(format!("{}: {why}", self.place(performance))),
        }
    }

    fn count(&mut self, performance: &Performance) {
        let heir = performance.heir;
        self.kills += 1 + usize::from(heir.is_some());
        self.pairs += usize::from(heir.is_some());
        let is_elsewhere = |reached: Reached| usize::from(reached.has_drifted);
        self.drifted += is_elsewhere(performance.victim) + heir.map_or(0, is_elsewhere);
    }

    fn place(&self, performance: &Performance) -> String {
        let at = |reached: Reached| {
            format!(
                "instruction {}, before the one at {}",
                reached.steps,
                place::name(reached.position)
            )
        };
        let heir = performance.heir.map(|heir| format!(", and the heir after {}", at(heir)));
        let heir = heir.unwrap_or_default();
        format!("of {}, killed after {}{heir}", self.steps, at(performance.victim))
    }

    fn is_enough(&self, expect: Expect) -> bool {
        self.faults.len() >= if expect == Expect::Good { FAULTS_MAX } else { 1 }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>6} instructions {:>4} states {:>5} kills {:>3} drifted, worst {:>6.1} ms, {:>5.1} s",
            self.steps,
            self.states,
            self.kills,
            self.drifted,
            self.worst.as_secs_f64() * 1e3,
            self.took.as_secs_f64()
        )
    }
}

/// Tries a case at all points that `density` asks for.
pub(crate) fn run(director: &mut Director, case: &Case, density: Density) -> io::Result<Figures> {
    let started = Instant::now();
    let mut campaign = Campaign { director, case, figures: Figures::default() };
    if case.plot.second.is_some() {
        campaign.kill_two(density)?;
    } else {
        campaign.kill_one(density)?;
    }
    campaign.figures.took = started.elapsed();
    Ok(campaign.figures)
}

struct Campaign<'a> {
    director: &'a mut Director,
    case: &'a Case,
    figures: Figures,
}

impl Campaign<'_> {
    fn kill_one(&mut self, density: Density) -> io::Result<()> {
        let trace = self.walk_of_victim()?;
        let points = trace.points(density).into_iter().map(Some);
        for victim in std::iter::once(None).chain(points) {
            let victim = victim.map(|point| Aim { point, walk: &trace });
            self.try_script(Script { victim, heir: None })?;
            if self.figures.is_enough(self.case.expect) {
                break;
            }
        }
        Ok(())
    }

    /// Each point of the heir's work, for each of the victim's: all states of both, or a sample of them if the plot has one.
    ///
    /// If every instruction is wanted, it is every one of the heir's, for each of the victim's behind which the state is another or
    /// the kernel has done something. A dead process leaves nothing but these behind: for its heir it is the same after which of
    /// the instructions between two of them the victim has died, and what others find there its case without an heir has shown.
    fn kill_two(&mut self, density: Density) -> io::Result<()> {
        let trace = self.walk_of_victim()?;
        let is_all = density.short == usize::MAX;
        let sample = self.case.plot.sample;
        let (victims, heirs) = sample.filter(|_| !is_all).unwrap_or((usize::MAX, usize::MAX));
        let chosen = |trace: &Trace, count, density| {
            if is_all && sample.is_none() {
                trace.points(density)
            } else {
                spread(trace.distinct_points(), count)
            }
        };
        let victims = chosen(&trace, victims, Density::EVENTS).into_iter().map(Some);
        for victim in std::iter::once(None).chain(victims) {
            let victim = victim.map(|point| Aim { point, walk: &trace });
            let walk = self.walk_of_heir(victim)?;
            let heirs = chosen(&walk, heirs, density).into_iter().map(Some);
            for heir in std::iter::once(None).chain(heirs) {
                let heir = heir.map(|point| Aim { point, walk: &walk });
                self.try_script(Script { victim, heir })?;
                if self.figures.is_enough(self.case.expect) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn walk_of_victim(&mut self) -> io::Result<Trace> {
        let mut trace = Trace::default();
        let records = Records { victim: Some(&mut trace), heir: None };
        let performance = self.director.perform(self.case, Script::TO_THE_END, records)?;
        self.figures.count(&performance);
        self.figures.steps = trace.len();
        self.figures.states += trace.states();
        Ok(trace)
    }

    fn walk_of_heir(&mut self, victim: Option<Aim<'_>>) -> io::Result<Trace> {
        let mut trace = Trace::default();
        let records = Records { victim: None, heir: Some(&mut trace) };
        let script = Script { victim, heir: None };
        let performance = self.director.perform(self.case, script, records)?;
        self.figures.count(&performance);
        self.figures.states += trace.states();
        Ok(trace)
    }

    /// Plays one script, and again while the others are late there.
    fn try_script(&mut self, script: Script<'_>) -> io::Result<()> {
        let mut late = 0;
        loop {
            let mut performance = self.director.perform(self.case, script, Records::default())?;
            self.figures.count(&performance);
            let is_late = performance.verdict.is_ok() && performance.is_late;
            late += u32::from(is_late);
            self.figures.late += usize::from(is_late);
            if late == LATE_MAX {
                performance.verdict = Err(format!(
                    "LATE: got on after {:.1?}, and as late each of {LATE_MAX} times: a check-up made up for a lost wake-up",
                    performance.progress
                ));
            }
            if !is_late || late == LATE_MAX {
                self.figures.add(&performance);
                return Ok(());
            }
            thread::sleep(PAUSE * late);
        }
    }
}

/// So many of them, with the same distance between them.
fn spread(points: Vec<Point>, count: usize) -> Vec<Point> {
    if points.len() <= count {
        return points;
    }
    (1..=count).map(|index| points[index * points.len() / (count + 1)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_spread_over_the_points() {
        let mut trace = Trace::default();
        trace.begin(0);
        (0..9).for_each(|position| trace.step(position, false, 0));
        let points = trace.points(Density { short: 9, sample: 0 });
        let steps = |count| -> Vec<usize> {
            spread(points.clone(), count).iter().map(|point| point.steps).collect()
        };
        assert_eq!(steps(2), [3, 6]);
        assert_eq!(steps(20), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    }
}
