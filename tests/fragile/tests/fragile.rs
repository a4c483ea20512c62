//! A C library may do what it likes to its worker, and nothing to its caller.

use std::env;
use std::process::Command;

const EXPECTED: &str = "\
file 0: 0 pixels
file 1: 10 pixels
file 2: 20 pixels
file 3: the decoder died: SIGSEGV (segmentation fault)
file 4: 40 pixels
file 5: the decoder died: SIGABRT (aborted)
file 6: 60 pixels
file 7: stopped after 500ms
file 8: the decoder died: exit code 4
file 9: 90 pixels
";

#[test]
fn each_bad_file_costs_itself_and_no_other() {
    let ran = Command::new(env!("CARGO_BIN_EXE_fragile")).output().unwrap();
    let stdout = String::from_utf8(ran.stdout).unwrap();
    if stdout.contains("there is no C compiler here") {
        return skips::skipped(
            "fragile::each_bad_file_costs_itself_and_no_other",
            "needs a C compiler",
        );
    }
    assert_eq!(stdout, EXPECTED);
    assert!(ran.status.success(), "{}: {}", ran.status, String::from_utf8_lossy(&ran.stderr));
}
