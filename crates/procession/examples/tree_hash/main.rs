//! Hashes every file of a tree with SHA-256 on worker processes, one task per file, and prints what `sha256sum` would print.
//!
//! ```text
//! cargo run --release --example tree_hash -- DIR [--sorted] [--workers N] [--chaos]
//! ```
//!
//! `--chaos` kills a random worker every 100 ms meanwhile. The output stays the same. In a program of your own the files of this
//! folder need `cargo add indicatif sha2`, `cargo add rustix --features process` and `cargo add serde --features derive`.
//!
//! The walk pulls folders only as fast as results are taken, so a tree of any size needs little memory (with `--sorted` all
//! lines are kept). A file that cannot be read costs that file.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a program for a terminal")]

mod chaos;
mod hash;
mod lines;
mod options;
mod pending;
mod screen;
mod summary;
mod walk;

use std::env;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use procession::Pool;

use crate::hash::hash_file;
use crate::lines::Lines;
use crate::options::{Options, USAGE};
use crate::pending::Pending;
use crate::screen::{AboveBar, Screen};
use crate::summary::Summary;
use crate::walk::Walk;

/// Under chaos a file is begun again as often as its worker is killed. A file that takes longer than the killer's period needs
/// luck, so it gets many tries.
const RETRIES_UNDER_CHAOS: u32 = 1000;

fn main() -> ExitCode {
    let options = match Options::parse(env::args_os().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(complaint) => {
            eprint!("tree_hash: {complaint}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    run(&options).unwrap_or_else(|failure| {
        eprintln!("tree_hash: {failure}");
        ExitCode::FAILURE
    })
}

fn run(options: &Options) -> procession::Result<ExitCode> {
    let started = Instant::now();
    let mut builder = Pool::builder().name("tree_hash");
    if let Some(workers) = options.workers {
        builder = builder.workers(workers);
    }
    let pool = builder.build()?;
    let screen = Screen::new();
    let summary = if options.has_chaos {
        chaos::during(&pool, screen.kills(), || hash_tree(&pool, options, &screen))
    } else {
        hash_tree(&pool, options, &screen)
    };
    match summary {
        Ok(summary) => {
            screen.close(&summary.conclude(pool.workers(), started.elapsed()), options.has_chaos);
            Ok(if screen.complaints() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        // Whoever read the lines, like `head`, has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            pool.terminate();
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            pool.terminate();
            Err(format!("cannot write the output: {error}"))?
        }
    }
}

/// The main job: a tree goes in, lines come out, what goes wrong is on the screen.
fn hash_tree(pool: &Pool, options: &Options, screen: &Screen) -> io::Result<Summary> {
    let mut lines = Lines::new(AboveBar::new(screen), options.is_sorted);
    let mut summary = Summary::default();
    let pending = Pending::default();
    let files = Walk::new(&options.root)
        .filter_map(|found| found.map_err(|e| screen.complain(&e.folder, &e.error)).ok())
        .inspect(|(folder, name)| pending.add(Path::new(folder).join(name)));
    let job = pool.job().retries(if options.has_chaos { RETRIES_UNDER_CHAOS } else { 0 });
    for answer in job.istarmap_unordered(hash_file, files) {
        match answer {
            Ok(answer) => {
                pending.remove(&answer.path);
                match &answer.hash {
                    Ok(hash) => lines.put(&answer.path, &hash.digest)?,
                    Err(error) => screen.complain(&answer.path, error),
                }
                summary.add(&answer);
            }
            // The worker died on this file, say. Every other file is none the worse for it.
            Err(error) => match error.item().and_then(|item| pending.remove_item(item)) {
                Some(path) => screen.complain(&path, &error),
                None => screen.complain(&options.root, &error),
            },
        }
        if screen.is_due() {
            screen.show(&summary);
            lines.flush()?;
        }
    }
    lines.finish()?;
    Ok(summary)
}
