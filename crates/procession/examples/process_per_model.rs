//! A process for each class of model, all fitting the same samples. A method is a function, so it can run in another process.
//!
//! In a program of your own it needs `cargo add serde --features derive`.
#![expect(clippy::print_stdout, reason = "it is a program for a terminal")]

use procession::prelude::*;
use serde::{Deserialize, Serialize};

type Samples = Vec<(f64, f64)>;

#[derive(Serialize, Deserialize)]
struct Constant(Samples);

impl Constant {
    /// The constant with the least squared error is the mean.
    fn fit(self) -> String {
        let mean = self.0.iter().map(|(_, y)| y).sum::<f64>() / self.0.len() as f64;
        format!("y = {mean:.1}")
    }
}

#[derive(Serialize, Deserialize)]
struct Proportional(Samples);

impl Proportional {
    fn fit(self) -> String {
        let (xy, xx) = self.0.iter().fold((0.0, 0.0), |(xy, xx), (x, y)| (xy + x * y, xx + x * x));
        format!("y = {:.1} x", xy / xx)
    }
}

#[derive(Serialize, Deserialize)]
struct Line(Samples);

impl Line {
    fn fit(self) -> String {
        let n = self.0.len() as f64;
        let (x, y) = self.0.iter().fold((0.0, 0.0), |sum, at| (sum.0 + at.0 / n, sum.1 + at.1 / n));
        let rise: f64 = self.0.iter().map(|at| (at.0 - x) * (at.1 - y)).sum();
        let run: f64 = self.0.iter().map(|at| (at.0 - x).powi(2)).sum();
        format!("y = {:.1} x + {:.1}", rise / run, y - rise / run * x)
    }
}

fn main() -> procession::Result<()> {
    let samples: Samples = (0..10).map(f64::from).map(|x| (x, 2.0 * x + 1.0)).collect();
    let constant = Process::spawn(Constant::fit, Constant(samples.clone()))?;
    let proportional = Process::spawn(Proportional::fit, Proportional(samples.clone()))?;
    let line = Process::spawn(Line::fit, Line(samples))?;
    for fitting in [constant, proportional, line] {
        println!("{}", fitting.join()?);
    }
    Ok(())
}
