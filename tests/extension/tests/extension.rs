//! A library that starts processes is harmless to load, and starts them through a helper program.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// This test is compiled for two packages, which differ in the linker of their library.
const PACKAGE: &str = env!("CARGO_PKG_NAME");
const HOST: &str = match (
    option_env!("CARGO_BIN_EXE_extension-host"),
    option_env!("CARGO_BIN_EXE_extension-gnu-ld-host"),
) {
    (Some(host), _) | (None, Some(host)) => host,
    (None, None) => panic!("both packages have a program of one of these names"),
};

/// The library, if it was linked by the linker that this package is about.
fn library(test: &str) -> Option<PathBuf> {
    let name = format!("lib{}.so", PACKAGE.replace('-', "_"));
    let path = env::current_exe().unwrap().parent().unwrap().join(name);
    let library = fs::read(&path).unwrap();
    let is_lld = contains(&library, b"Linker: LLD");
    if is_lld == (PACKAGE == "extension") {
        return Some(path);
    }
    let linker = if is_lld { "GNU ld is not installed" } else { "lld is not the linker here" };
    skips::skipped(&format!("{PACKAGE}::{test}"), linker);
    None
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn say(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn host(library: &Path, verb: &[&str]) -> String {
    say(Command::new(HOST).arg(library).args(verb))
}

#[test]
fn it_is_loaded_and_unloaded() {
    let Some(library) = library("it_is_loaded_and_unloaded") else { return };
    assert_eq!(host(&library, &["load"]), "loaded");
    assert_eq!(host(&library, &["serve"]), "not a child");
}

#[test]
fn it_does_not_start_the_program_again_that_has_loaded_it() {
    let test = "it_does_not_start_the_program_again_that_has_loaded_it";
    let Some(library) = library(test) else { return };
    assert_eq!(host(&library, &["refuse"]), "1");
}

#[test]
fn it_starts_processes_through_a_helper_program() {
    let test = "it_starts_processes_through_a_helper_program";
    let Some(library) = library(test) else { return };
    assert_eq!(host(&library, &["square", library.to_str().unwrap()]), "49");
}

#[test]
fn it_has_a_pool_of_helper_programs() {
    let Some(library) = library("it_has_a_pool_of_helper_programs") else { return };
    assert_eq!(host(&library, &["sum", library.to_str().unwrap()]), "332833500");
    assert_eq!(host(&library, &["sum", "/nonexistent/library.so"]), "-2");
}

#[test]
fn a_helper_that_loads_another_build_calls_nothing() {
    let Some(library) = library("a_helper_that_loads_another_build_calls_nothing") else { return };
    let other = env::temp_dir().join(format!("procession-{PACKAGE}-{}.so", std::process::id()));
    let mut bytes = fs::read(&library).unwrap();
    // The type of the note, its owner, and then the build-id.
    let note = b"\x03\0\0\0GNU\0";
    let at = bytes.windows(note.len()).position(|window| window == note).unwrap();
    bytes[at + note.len()] ^= 1;
    fs::write(&other, bytes).unwrap();
    let answer = host(&library, &["square", other.to_str().unwrap()]);
    fs::remove_file(&other).unwrap();
    assert_eq!(answer, "-115");
}

#[test]
fn python_loads_it_and_helps() {
    let Some(library) = library("python_loads_it_and_helps") else { return };
    if Command::new("python3").args(["-c", "import ctypes"]).output().is_err() {
        return skips::skipped(
            &format!("{PACKAGE}::python_loads_it_and_helps"),
            "python3 is not installed",
        );
    }
    let script = "
import ctypes, sys
library = ctypes.CDLL(sys.argv[1])
assert library.extension_refuses() == 1
helper = [sys.executable, '-c', 'import ctypes; ctypes.CDLL(%r).extension_serve()' % sys.argv[1]]
square = library.extension_square
square.argtypes, square.restype = [ctypes.c_int64, ctypes.c_char_p], ctypes.c_int64
total = library.extension_sum_of_squares
total.argtypes, total.restype = square.argtypes, square.restype
assert total(1000, '\\n'.join(helper).encode()) == sum(n * n for n in range(1000))
print([square(n, '\\n'.join(helper).encode()) for n in range(4)])
";
    let answer = say(Command::new("python3").args(["-c", script]).arg(&library));
    assert_eq!(answer, "[0, 1, 4, 9]");
}
