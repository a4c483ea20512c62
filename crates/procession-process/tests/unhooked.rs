//! A program whose start-up hook was lost: a child of it would run `main`. It must not get one.
//!
//! The hook is taken out of a copy of this test binary, by pointing its entry in the table of
//! constructors to the next constructor.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]
#![cfg(target_arch = "x86_64")]

use std::fs;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use procession_process::{Launcher, SpawnError};

const ROLE: &str = "PROCESSION_TEST_UNHOOKED";

#[test]
fn program() {
    if std::env::var_os(ROLE).is_none() {
        return;
    }
    println!("MAIN RUNS");
    match Launcher::new(|_| println!("CHILD SERVES")).launch() {
        Ok(child) => println!("{}", child.wait()),
        Err(error @ SpawnError::HookDidNotRun { .. }) => println!("HOOK DID NOT RUN: {error}"),
        Err(other) => println!("{other}"),
    }
}

fn run(program: &Path) -> String {
    let mut command = Command::new(program);
    let command = command.args(["--exact", "program", "--nocapture"]).env(ROLE, "");
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(status.success(), "{status} {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

#[test]
fn a_program_without_its_hook_launches_nothing() {
    let directory = std::env::temp_dir().join(format!("procession-hook-{}", std::process::id()));
    let directory = Directory(directory);
    fs::create_dir_all(&directory.0).unwrap();
    let copy = directory.0.join("program");
    let mut file = fs::read(std::env::current_exe().unwrap()).unwrap();
    let mut outputs = Vec::new();
    for patched in [false, true] {
        if patched {
            remove_hook(&mut file);
        }
        fs::write(&copy, &file).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
        outputs.push(run(&copy));
        fs::remove_file(&copy).unwrap();
    }
    let [hooked, unhooked] = &outputs[..] else { unreachable!() };
    assert!(hooked.contains("CHILD SERVES"), "{hooked}");
    assert!(unhooked.contains("HOOK DID NOT RUN: the start-up hook did not run"), "{unhooked}");
    for output in outputs {
        assert_eq!(output.matches("MAIN RUNS").count(), 1, "{output}");
    }
}

/// Removed when the test ends, also by a failure.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// The second constructor, behind the one with which std records the arguments, is the hook.
fn remove_hook(file: &mut [u8]) {
    let elf = Elf::read(file);
    let hook = elf.relocation_of(file, elf.constructors.start + 8);
    let next = elf.relocation_of(file, elf.constructors.start + 16);
    file.copy_within(next + 16..next + 24, hook + 16);
}

/// What the dynamic section says, in addresses.
struct Elf {
    segments: Vec<Segment>,
    constructors: Range<u64>,
    relocations: Range<u64>,
}

struct Segment {
    kind: u64,
    offset: u64,
    address: u64,
    size: u64,
}

impl Elf {
    fn read(file: &[u8]) -> Self {
        let headers = index(word(file, 32));
        let count = usize::from(u16::from_le_bytes(file[56..58].try_into().unwrap()));
        let segments: Vec<Segment> = (0..count)
            .map(|number| headers + number * 56)
            .map(|at| Segment {
                kind: word(file, at) & 0xffff_ffff,
                offset: word(file, at + 8),
                address: word(file, at + 16),
                size: word(file, at + 32),
            })
            .collect();
        let dynamic = segments.iter().find(|segment| segment.kind == 2).unwrap();
        let start = index(dynamic.offset);
        let end = start + index(dynamic.size);
        let value = |tag| {
            let mut entries = (start..end).step_by(16);
            word(file, entries.find(|at| word(file, *at) == tag).unwrap() + 8)
        };
        let (constructors, relocations) = (value(25), value(7));
        Self {
            constructors: constructors..constructors + value(27),
            relocations: relocations..relocations + value(8),
            segments,
        }
    }

    fn offset(&self, address: u64) -> usize {
        let mut loaded = self.segments.iter().filter(|segment| segment.kind == 1);
        let holds = |segment: &&Segment| address.wrapping_sub(segment.address) < segment.size;
        let segment = loaded.find(holds).unwrap();
        index(address - segment.address + segment.offset)
    }

    /// Where in the file the relative relocation of the word at `address` is: three words, the
    /// address, the kind (8) and the value.
    fn relocation_of(&self, file: &[u8], address: u64) -> usize {
        assert!(self.constructors.contains(&address));
        let start = self.offset(self.relocations.start);
        let end = start + index(self.relocations.end - self.relocations.start);
        let mut all = (start..end).step_by(24);
        all.find(|at| word(file, *at) == address && word(file, at + 8) == 8).unwrap()
    }
}

fn word(file: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(file[at..at + 8].try_into().unwrap())
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap()
}
