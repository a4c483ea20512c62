//! The examples of this crate, run as the programs that they are.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The example with this name, up to date.
///
/// Cargo tells tests where binaries are, but not where examples are, and whether it has built them depends on the targets that
/// were asked for. So this asks cargo, which has little to do if they are there.
pub(crate) fn example(name: &str) -> Command {
    static EXAMPLES: OnceLock<Vec<PathBuf>> = OnceLock::new();
    let mut programs = EXAMPLES.get_or_init(build).iter();
    Command::new(programs.find(|path| path.ends_with(name)).unwrap())
}

/// Builds all examples, in the profile of this test, and returns where they are.
fn build() -> Vec<PathBuf> {
    let profile = if cfg!(debug_assertions) { "dev" } else { "release" };
    let built = Command::new(env!("CARGO"))
        .args(["build", "--examples", "--message-format", "json", "--profile", profile])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(built.status.success(), "the examples do not build");
    String::from_utf8(built.stdout).unwrap().lines().filter_map(executable).collect()
}

/// The program that one of cargo's messages is about.
fn executable(message: &str) -> Option<PathBuf> {
    let (_, rest) = message.split_once("\"executable\":\"")?;
    Some(Path::new(rest.split_once('"')?.0).to_owned())
}
