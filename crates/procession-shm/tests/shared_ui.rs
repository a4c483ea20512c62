//! What must not compile, and what the compiler says then.

#[test]
fn the_compiler_refuses() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/ui/derive_takes.rs");
    cases.compile_fail("tests/ui/derive_refuses_*.rs");
    cases.compile_fail("tests/ui/shared_*.rs");
}
