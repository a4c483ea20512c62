//! Compiles the C library, where there is a C compiler. The program says so if there is none.

fn main() {
    println!("cargo::rerun-if-changed=src/decoder.c");
    println!("cargo::rustc-check-cfg=cfg(c_library)");
    if has_compiler() {
        cc::Build::new().file("src/decoder.c").compile("decoder");
        println!("cargo::rustc-cfg=c_library");
    }
}

fn has_compiler() -> bool {
    let compiler = cc::Build::new().try_get_compiler();
    compiler.is_ok_and(|compiler| compiler.to_command().arg("--version").output().is_ok())
}
