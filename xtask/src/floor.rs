//! `floor`: the tests as on older kernels and in containers, by filters that answer single system calls with an error.
//!
//! What a kernel does not have it answers by ENOSYS, what a container forbids by EPERM; both must lead to the fallback. `clone3`
//! is refused by ENOSYS only: glibc itself starts no thread where it is EPERM.

use crate::Verdict;
use crate::board::Board;
use crate::command::Invocation;
use crate::tally::Runner;
use crate::workspace::Workspace;

/// What is refused, and how.
const FLOORS: &[(&str, &str)] = &[
    ("ENOSYS", "futex_waitv"),
    ("EPERM", "futex_waitv"),
    ("ENOSYS", "clone3"),
    ("ENOSYS", "pidfd_open"),
    ("EPERM", "pidfd_open"),
    ("ENOSYS", "memfd_flags"),
    ("ENOSYS", "membarrier"),
    ("EPERM", "membarrier"),
    ("ENOSYS", "populate_write"),
    ("ENOSYS", "pidfd_info"),
];

pub(crate) fn run(args: &[String]) -> Verdict {
    let workspace = Workspace::find()?;
    let all = workspace.crates()?;
    let wanted = |name: &str| args.is_empty() || args.iter().any(|arg| arg == name);
    let is_known = |arg: &String| all.contains(arg) || FLOORS.iter().any(|(_, call)| call == arg);
    if let Some(unknown) = args.iter().find(|arg| !is_known(arg)) {
        return Err(format!("{unknown} is neither a crate nor a call that can be refused").into());
    }
    let names_crate = args.iter().any(|arg| all.contains(arg));
    let names_call = args.iter().any(|arg| !all.contains(arg));
    let mut board = Board::new(workspace.root().to_owned());
    board.check("launcher", &Invocation::cargo("build --quiet --package procession-floor"));
    for (answer, call) in FLOORS.iter().filter(|(_, call)| !names_call || wanted(call)) {
        for name in all.iter().filter(|name| !names_crate || wanted(name)) {
            let part = format!("{call} {answer} {name}");
            board.count(&part, Runner::Libtest, tests(&workspace, answer, call, name));
        }
    }
    Ok(board.finish())
}

fn tests(workspace: &Workspace, answer: &str, call: &str, name: &str) -> Invocation {
    let launcher = workspace.target_dir().join("debug/procession-floor");
    Invocation::new(&launcher.to_string_lossy())
        .args(answer)
        .args(call)
        .args("cargo test --no-fail-fast --lib --tests --package")
        .args(name)
}
