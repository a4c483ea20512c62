//! `bench`: what things cost, beside what they cost others, measured in turns in one run.
//!
//! `bench main` races a whole program. `bench AREA` runs the cases of an area, with `--peers` those of the peers too.
//! `bench growth` asks what happens when there is more of something. `bench readme` puts recorded figures into the README, which
//! `--record` does besides.

mod area;
mod document;
mod growth;
mod json;
mod options;
mod plot;
mod programs;
mod readme;
mod results;
mod table;
mod targets;
mod tree;

use std::process::ExitCode;

use crate::Verdict;
use crate::workspace::Workspace;
use options::Options;

const USAGE: &str = "usage: cargo xtask bench main [DIR] [--rounds N] [--check]
       cargo xtask bench [AREA] [--peers] [--check] [--record] [--quick] [--rounds N]
       cargo xtask bench growth [--record] [--quick] [--rounds N]
       cargo xtask bench readme";

/// The areas, in the order in which they are run and shown.
const AREAS: [&str; 5] = ["pipe", "queue", "locks", "spawn", "pool"];

pub(crate) fn run(args: &[String]) -> Verdict {
    if args.first().is_some_and(|name| name == "main") {
        return tree::run(args);
    }
    let options = Options::parse(args).ok_or(USAGE)?;
    match options.area.as_deref() {
        Some("growth") => growth::run(&options),
        Some("readme") => {
            readme::update(Workspace::find()?.root())?;
            Ok(ExitCode::SUCCESS)
        }
        Some(area) if AREAS.contains(&area) => area::run(&[area], &options),
        None => area::run(&AREAS, &options),
        Some(unknown) => {
            Err(format!("there is no area {unknown}; there are {AREAS:?}, main, growth and readme")
                .into())
        }
    }
}
