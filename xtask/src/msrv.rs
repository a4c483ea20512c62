//! `msrv`: the oldest Rust we promise to build with, stated in one place and tried. Where it is not installed, clippy looks
//! whether a name is used that the standard library of that time had not.

use std::fs;
use std::process::ExitCode;

use crate::Verdict;
use crate::command::Invocation;
use crate::workspace::Workspace;

pub(crate) fn run(args: &[String]) -> Verdict {
    if !args.is_empty() {
        return Err("usage: cargo xtask msrv".into());
    }
    let workspace = Workspace::find()?;
    let manifest = fs::read_to_string(workspace.root().join("Cargo.toml"))?;
    let msrv =
        stated(&manifest, "rust-version").ok_or("the root manifest states no rust-version")?;
    let clippy = fs::read_to_string(workspace.root().join("clippy.toml"))?;
    agree(msrv, stated(&clippy, "msrv"))?;
    println!("the oldest supported Rust is {msrv}");
    try_build(&workspace, msrv)
}

/// Clippy takes the manifest's word unless its own file says otherwise, and then it must say the same.
fn agree(manifest: &str, clippy: Option<&str>) -> Result<(), String> {
    match clippy {
        Some(clippy) if clippy != manifest => {
            Err(format!("Cargo.toml says rust-version {manifest}, clippy.toml says msrv {clippy}"))
        }
        _ => Ok(()),
    }
}

fn try_build(workspace: &Workspace, msrv: &str) -> Verdict {
    let installed = toolchain(msrv).args("--version").succeeds(workspace.root());
    if !installed {
        println!(
            "!!! skipped: a build with Rust {msrv}, which is not installed; `rustup toolchain install {msrv}` brings it"
        );
    }
    // Clippy knows since when each name of the standard library is there, but not each form of the language.
    let names = "clippy --workspace -- -A clippy::all -D clippy::incompatible_msrv";
    let check = if installed {
        toolchain(msrv).args("check --workspace")
    } else {
        Invocation::cargo(names)
    };
    let finished = check.run(workspace.root())?;
    Ok(if finished.success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What `cargo +<msrv>` means, in the form that also works where `cargo` is not rustup's own and that never
/// downloads anything.
fn toolchain(msrv: &str) -> Invocation {
    Invocation::new("rustup").args("run").args(msrv).args("cargo").env("RUSTUP_AUTO_INSTALL", "0")
}

/// The string that `key = "..."` gives, wherever in the file it stands first.
fn stated<'a>(toml: &'a str, key: &str) -> Option<&'a str> {
    toml.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        (name.trim() == key).then(|| value.trim().trim_matches('"'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_its_line() {
        let manifest = "[workspace.package]\nedition = \"2024\"\nrust-version = \"1.88\"\n";
        assert_eq!(stated(manifest, "rust-version"), Some("1.88"));
        assert_eq!(stated(manifest, "msrv"), None);
    }

    #[test]
    fn two_files_may_not_disagree() {
        assert!(agree("1.88", None).is_ok());
        assert!(agree("1.88", Some("1.88")).is_ok());
        assert!(agree("1.88", Some("1.85")).unwrap_err().contains("1.85"));
    }
}
