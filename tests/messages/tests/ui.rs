//! What must not compile, and that the compiler then says what to do.

#[test]
fn misuse_does_not_compile_and_the_message_says_what_to_do() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
