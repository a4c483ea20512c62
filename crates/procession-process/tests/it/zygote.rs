//! Processes by fork.

use procession_process::{Process, StartMethod};

pub(crate) const ROLES: &[(&str, fn())] = &[];

#[test]
fn it_works() {
    let builder = Process::builder().start_method(StartMethod::Zygote);
    for n in 0..10 {
        assert_eq!(builder.spawn(|n: u64| n + 1, n).unwrap().join().unwrap(), n + 1);
    }
}
