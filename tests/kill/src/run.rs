//! All cases that were asked for, one after the other, and the sum of it.

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::campaign::{self, Figures};
use crate::options::{Density, Options};
use crate::performance::Director;
use crate::probe;
use crate::scene::{Case, Expect};
use crate::subjects;

#[derive(Debug, Default)]
struct Sum {
    passed: usize,
    failed: usize,
    kills: usize,
    pairs: usize,
    states: usize,
    drifted: usize,
    late: usize,
    worst: Duration,
}

/// Runs what `options` ask for; prints a line for each case, and the sum as the last line.
pub(crate) fn all(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    let mut cases = subjects::all();
    cases.retain(|case| options.wants(&case.name));
    if cases.is_empty() {
        return Err(format!("no case has `{}` in its name", options.filter.join("` and `")).into());
    }
    if options.is_list {
        cases.iter().for_each(|case| println!("{}", case.name));
        return Ok(ExitCode::SUCCESS);
    }
    probe::pin_to_one_core()?;
    if let Some(reason) = probe::refusal() {
        return skip_all(&cases, &reason);
    }
    run(&cases, options.density)
}

fn skip_all(cases: &[Case], reason: &str) -> Result<ExitCode, Box<dyn Error>> {
    for case in cases {
        skips::announce(&case.name, reason)?;
    }
    println!("0 passed, 0 failed, {} skipped", cases.len());
    Ok(ExitCode::SUCCESS)
}

fn run(cases: &[Case], density: Density) -> Result<ExitCode, Box<dyn Error>> {
    let started = Instant::now();
    let mut director = Director::new()?;
    subjects::warm_up()?;
    let mut sum = Sum::default();
    for case in cases {
        match campaign::run(&mut director, case, density) {
            Ok(figures) => sum.add(case, &figures),
            Err(error) => {
                sum.failed += 1;
                println!("FAILED  {:<44} could not be played: {error}", case.name);
            }
        }
    }
    if probe::has_children() {
        return Err("a process of a scene was left behind".into());
    }
    sum.print(started.elapsed());
    Ok(if sum.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Sum {
    fn add(&mut self, case: &Case, figures: &Figures) {
        let is_passed = figures.is_as_expected(case.expect);
        let mark = if is_passed { "ok" } else { "FAILED" };
        println!("{mark:<7} {:<44} {figures}", case.name);
        let how = if case.expect == Expect::Bad { "found, as it must be" } else { "!!!" };
        figures.faults.iter().for_each(|fault| println!("        {how}: {fault}"));
        if !is_passed && case.expect == Expect::Bad {
            println!("        !!! this must fail at some point, and did not");
        }
        self.passed += usize::from(is_passed);
        self.failed += usize::from(!is_passed);
        self.kills += figures.kills;
        self.pairs += figures.pairs;
        self.states += figures.states;
        self.drifted += figures.drifted;
        self.late += figures.late;
        self.worst = self.worst.max(figures.worst);
    }

    fn print(&self, took: Duration) {
        let build = if cfg!(debug_assertions) { "debug" } else { "release" };
        println!(
            "\n{} kills, {} pairs of deaths, {} shared states, {} drifted, {} late; the others got on after at most {:.1} ms; {:.1} s ({build} build)",
            self.kills,
            self.pairs,
            self.states,
            self.drifted,
            self.late,
            self.worst.as_secs_f64() * 1e3,
            took.as_secs_f64()
        );
        println!("{} passed, {} failed, 0 skipped", self.passed, self.failed);
    }
}
