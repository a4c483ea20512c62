//! A library deep in the dependency tree may use a pool, and the program need not know.

use std::process::Command;

#[test]
fn a_program_that_does_not_know_of_the_pool_works() {
    let ran = Command::new(env!("CARGO_BIN_EXE_unaware")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&ran.stderr), "");
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "main runs\n[1, 2, 3]\n");
    assert!(ran.status.success(), "{}", ran.status);
}
