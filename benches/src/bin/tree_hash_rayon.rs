//! The twin of the example `tree_hash` on rayon's threads: the same walk, the same task, the same lines.
//!
//! ```text
//! tree_hash_rayon DIR [--sorted]
//! ```
#![expect(clippy::print_stderr, reason = "it is a program for a terminal")]

#[path = "../../../crates/procession/examples/tree_hash/hash.rs"]
mod hash;
#[path = "../../../crates/procession/examples/tree_hash/lines.rs"]
mod lines;
#[path = "../../../crates/procession/examples/tree_hash/walk.rs"]
mod walk;

use std::env;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

use rayon::iter::{ParallelBridge, ParallelIterator};

use crate::hash::{Answer, hash_file};
use crate::lines::Lines;
use crate::walk::Walk;

fn main() -> ExitCode {
    let mut args = env::args_os().skip(1);
    let (Some(root), sort) = (args.next(), args.next()) else {
        eprintln!("usage: tree_hash_rayon DIR [--sorted]");
        return ExitCode::from(2);
    };
    match hash_tree(Path::new(&root), sort.is_some_and(|flag| flag == "--sorted")) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("tree_hash_rayon: cannot write the output: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Says whether everything could be read. The lines are written by this thread while the others hash, as in the example.
fn hash_tree(root: &Path, is_sorted: bool) -> io::Result<bool> {
    let mut lines = Lines::new(io::stdout(), is_sorted);
    let is_complete = AtomicBool::new(true);
    let complain = |path: &Path, error: &str| {
        is_complete.store(false, Ordering::Relaxed);
        eprintln!("tree_hash_rayon: {path:?}: {error}");
    };
    let (sender, answers) = mpsc::channel::<Answer>();
    thread::scope(|scope| {
        scope.spawn(|| {
            let found = Walk::new(root);
            let files = found.filter_map(|found| {
                found.map_err(|e| complain(&e.folder, &e.error.to_string())).ok()
            });
            let answers = files.par_bridge().map(|(folder, name)| hash_file(folder, name));
            // Nobody listens any more once a line could not be written.
            answers.try_for_each_with(sender, |sender, answer| sender.send(answer)).ok()
        });
        for answer in answers {
            match &answer.hash {
                Ok(hash) => lines.put(&answer.path, &hash.digest)?,
                Err(error) => complain(Path::new(&answer.path), error),
            }
        }
        lines.finish()
    })?;
    Ok(is_complete.into_inner())
}
