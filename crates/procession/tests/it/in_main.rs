//! A `main` with nothing to set up.

use crate::programs::example;

#[test]
fn a_pool_works_in_main() {
    let ran = example("squares").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&ran.stderr), "");
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "[0, 1, 4, 9, 16, 25, 36, 49, 64, 81]\n");
    assert!(ran.status.success(), "{}", ran.status);
}
