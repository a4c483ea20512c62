//! Every input of the corpus, and some made up on the spot, through every target.

use std::fs;
use std::path::{Path, PathBuf};

use procession_inputs::{TARGETS, run};

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

#[test]
fn every_input_of_the_corpus_ends_well() {
    for (name, target) in TARGETS {
        let folder = corpus().join(name);
        let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
        let mut count = 0;
        for file in files {
            let path = file.unwrap().path();
            target(&fs::read(&path).unwrap());
            count += 1;
        }
        assert!(count > 0, "{folder:?} is empty");
    }
}

#[test]
fn every_folder_of_the_corpus_belongs_to_a_target() {
    for folder in fs::read_dir(corpus()).unwrap() {
        let name = folder.unwrap().file_name();
        assert!(TARGETS.iter().any(|(target, _)| name == *target), "{name:?}");
    }
}

/// A fuzzer finds more, but is not there in every run.
#[test]
fn inputs_by_chance_end_well() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for _ in 0..300 {
        let len = next() % 200;
        // Small numbers are what lengths and tags are made of.
        let small = next() % 2 == 0;
        let byte = |number: u64| (if small { number % 12 } else { number }).to_le_bytes()[0];
        let input: Vec<u8> = (0..len).map(|_| byte(next())).collect();
        for (name, _) in TARGETS {
            run(name, &input);
        }
    }
}
