//! Calls a C library that crashes, aborts, hangs and exits on some files. Each such file costs itself and no other.
#![expect(clippy::print_stdout, reason = "it is a program for a terminal")]

#[cfg(c_library)]
fn main() -> procession::Result<()> {
    use std::time::Duration;

    let pool = procession::Pool::with_workers(2)?;
    let job = pool.job().timeout(Duration::from_millis(500));
    for (file, decoded) in job.imap(library::decode, 0..10).enumerate() {
        use procession::TaskError::{Died, TimedOut};
        match decoded {
            Ok(pixels) => println!("file {file}: {pixels} pixels"),
            Err(Died { exit, .. }) => println!("file {file}: the decoder died: {exit}"),
            Err(TimedOut { after, .. }) => println!("file {file}: stopped after {after:?}"),
            Err(error) => println!("{error}"),
        }
    }
    Ok(())
}

#[cfg(c_library)]
mod library {
    //! The C library, as safe as a library in another process can be made.

    use std::ffi::c_int;

    unsafe extern "C" {
        #[link_name = "decode"]
        fn c_decode(file: c_int) -> c_int;
    }

    pub(super) fn decode(file: c_int) -> c_int {
        // SAFETY: the function takes and returns plain numbers. What else it does, it does to the process that it runs in,
        // and that is a worker.
        unsafe { c_decode(file) }
    }
}

#[cfg(not(c_library))]
fn main() {
    println!("there is no C compiler here, so there is no C library");
}
