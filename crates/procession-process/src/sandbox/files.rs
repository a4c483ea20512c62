//! Landlock: which files may be opened for what, and which processes be reached.
//!
//! Any Landlock domain, whatever its rules, keeps those inside from tracing those outside (ptrace, `/proc/<pid>/mem`, descriptors).
//! From version 6 on it also keeps them from signalling, which before that is left to `calls`. Before version 2 (Linux 5.19) no file
//! can be moved or linked to another directory in any domain.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};

use super::Sandbox;
use crate::refusal::{self, Refusal};

/// From this version on Landlock knows that truncating a file is writing.
pub(super) const TRUNCATE_VERSION: i32 = 3;
/// From this version on it confines signals.
const SIGNAL_VERSION: i32 = 6;
/// The newest version whose rights this module has seen.
const KNOWN: ABI = ABI::V6;

/// What is enforced by Landlock, and need not be by others.
pub(super) struct Guard {
    pub(super) of_files: bool,
    pub(super) of_signals: bool,
}

/// The version of Landlock that this kernel has enabled, 0 for none.
pub(super) fn version() -> i32 {
    const ASK_FOR_VERSION: u32 = 1;
    let none = std::ptr::null::<u8>();
    // SAFETY: with this flag the call reads no memory and returns a number.
    let answer =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, 0_usize, ASK_FOR_VERSION) };
    i32::try_from(answer).unwrap_or(0).max(0)
}

/// Puts this thread, and those that it starts from now on, under the rules.
pub(super) fn enforce(sandbox: &Sandbox) -> Result<Guard, Refusal> {
    let version = version();
    if version > 0 {
        restrict(sandbox)?;
    }
    Ok(Guard { of_files: version > 0, of_signals: version >= SIGNAL_VERSION })
}

fn restrict(sandbox: &Sandbox) -> Result<(), Refusal> {
    let mut rules = Ruleset::default()
        .handle_access(handled(sandbox))
        .and_then(|rules| rules.scope(Scope::Signal))
        .and_then(Ruleset::create)
        .map_err(refused)?;
    rules = if sandbox.restricts_files { grant(rules, sandbox)? } else { let_move(rules)? };
    match rules.restrict_self().map_err(refused)?.ruleset {
        RulesetStatus::NotEnforced => {
            Err(Refusal::new(refusal::SANDBOX, "Landlock has enforced nothing"))
        }
        _ => Ok(()),
    }
}

fn refused(error: RulesetError) -> Refusal {
    Refusal::new(refusal::SANDBOX, format_args!("Landlock has refused the sandbox: {error}"))
}

type Rights = landlock::BitFlags<AccessFs>;

/// The rights that nobody has who was not granted them.
fn handled(sandbox: &Sandbox) -> Rights {
    if sandbox.restricts_files {
        AccessFs::from_all(KNOWN)
    } else {
        AccessFs::MakeBlock | AccessFs::MakeChar | AccessFs::Refer
    }
}

/// Files may go from one directory to another: of all rights, this is the one that nobody has in any sandbox who was not granted it.
fn let_move(rules: RulesetCreated) -> Result<RulesetCreated, Refusal> {
    // What lies elsewhere, in a place that no path leads to, stays in its directory.
    let Ok(root) = open(Path::new("/")) else { return Ok(rules) };
    rules.add_rule(PathBeneath::new(root, AccessFs::Refer)).map_err(refused)
}

fn grant(mut rules: RulesetCreated, sandbox: &Sandbox) -> Result<RulesetCreated, Refusal> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let devices = AccessFs::MakeBlock | AccessFs::MakeChar | AccessFs::IoctlDev;
    let write = AccessFs::from_all(KNOWN) & !(devices | AccessFs::Execute);
    for (paths, rights) in [(&sandbox.readable, read), (&sandbox.writable, write)] {
        for path in paths {
            let beneath = open(path).map_err(|error| {
                let why = format_args!("its path {} cannot be opened: {error}", path.display());
                Refusal::new(refusal::SANDBOX, why)
            })?;
            rules = rules.add_rule(PathBeneath::new(beneath, rights)).map_err(refused)?;
        }
    }
    let null = (Path::new("/dev/null").to_owned(), AccessFs::ReadFile | AccessFs::WriteFile);
    let own = loaded_files().into_iter().map(|path| (path.into(), AccessFs::ReadFile.into()));
    for (path, rights) in own.chain([null]) {
        // One that cannot be opened is not there to be read: it was replaced, or there is no /dev here.
        if let Ok(beneath) = open(&path) {
            rules = rules.add_rule(PathBeneath::new(beneath, rights)).map_err(refused)?;
        }
    }
    Ok(rules)
}

fn open(path: &Path) -> Result<PathFd, landlock::PathFdError> {
    PathFd::new(path)
}

/// The files that this program was loaded from, which backtraces look into.
fn loaded_files() -> BTreeSet<String> {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let paths = maps.lines().filter_map(|line| line.find('/').map(|at| line[at..].to_owned()));
    paths.collect()
}
