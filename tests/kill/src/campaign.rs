//! All kill points of one case: the recording, the choice of points, and what came of each.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use crate::options::Density;
use crate::performance::{Director, Performance};
use crate::place;
use crate::scene::{Case, Expect};
use crate::trace::{Point, Trace};

/// After so many bad points a case is given up: each may have taken as long as a hang takes.
const FAULTS_MAX: usize = 3;

/// Sleepers look by themselves whether whom they wait for is dead, first 100 ms after they fell asleep, and so make up for a
/// wake-up that was lost. Most have slept for some time when the victim dies.
const LATE: Duration = Duration::from_millis(50);

/// A busy machine can be late at a point once; one that is late so often in a row has lost a wake-up there.
const LATE_MAX: usize = 4;

/// What trying one case has shown.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    /// Instructions of the operation.
    pub(crate) steps: usize,
    /// Different shared states that it goes through.
    pub(crate) states: usize,
    /// How often a victim was killed.
    pub(crate) kills: usize,
    /// How often it stood elsewhere than the recording says: it had taken another way there.
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

    fn place(&self, performance: &Performance) -> String {
        let place = place::name(performance.position);
        let (steps, all) = (performance.steps, self.steps);
        format!("killed after instruction {steps} of {all}, before the one at {place}")
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
    let mut trace = Trace::default();
    director.perform(case, None, Some(&mut trace))?;
    let mut figures = Figures { steps: trace.len(), states: trace.states(), ..Figures::default() };
    figures.kills += 1;
    let points = trace.points(density).into_iter().map(Some);
    for point in std::iter::once(None).chain(points) {
        if figures.is_enough(case.expect) {
            break;
        }
        let performance = try_point(director, case, point, &mut figures)?;
        let has_drifted = point.is_some_and(|point| has_drifted(&trace, point, &performance));
        figures.drifted += usize::from(has_drifted);
        figures.add(&performance);
    }
    figures.took = started.elapsed();
    Ok(figures)
}

/// Plays one point, and again while the others are late there.
fn try_point(
    director: &mut Director,
    case: &Case,
    point: Option<Point>,
    figures: &mut Figures,
) -> io::Result<Performance> {
    let mut late = 0;
    loop {
        let mut performance = director.perform(case, point, None)?;
        figures.kills += 1;
        if performance.verdict.is_err() || performance.progress < LATE {
            return Ok(performance);
        }
        figures.late += 1;
        late += 1;
        if late == LATE_MAX {
            performance.verdict = Err(format!(
                "LATE: got on after {:.1?}, and as late each of {LATE_MAX} times: a check-up made up for a lost wake-up",
                performance.progress
            ));
            return Ok(performance);
        }
    }
}

/// A victim that sleeps in its last instruction stands at one that the recording has not got.
fn has_drifted(trace: &Trace, point: Point, performance: &Performance) -> bool {
    let recorded = trace.position(point.steps);
    performance.steps != point.steps
        || recorded.is_some_and(|position| position != performance.position)
}
