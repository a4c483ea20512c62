//! Has the library linked by GNU ld, where that is installed; the test sees which linker it was.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if Command::new("ld.bfd").arg("--version").output().is_ok() {
        println!("cargo::rustc-link-arg-cdylib=-fuse-ld=bfd");
    }
}
