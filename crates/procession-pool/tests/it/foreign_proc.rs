//! A program whose `/proc` is that of another pid namespace: the numbers in it are those of other processes.

use std::collections::BTreeSet;
use std::process::Command;

use procession_pool::Pool;

use super::guard::guarded;
use super::program::{Role, VARIABLE, command, finish, say};

pub(crate) const ROLES: &[Role] =
    &[("limit the memory of workers where proc counts otherwise", || {
        // Of each worker here there is another process of the same number there, which uses other amounts.
        let pool = Pool::builder().workers(1).max_memory_per_worker(100 << 20).build().unwrap();
        let leak = |mib: usize| {
            std::hint::black_box(vec![1_u8; mib << 20]).leak();
            std::process::id()
        };
        let pids: BTreeSet<u32> =
            pool.job().chunk(1).map(leak, vec![30; 20]).unwrap().into_iter().collect();
        assert!((5..=7).contains(&pids.len()), "30 MiB fit three times: {pids:?}");
        let used = pool.insights().total.peak_memory_bytes;
        assert!(used > 30 << 20, "{used}");
        pool.terminate();
        say("DONE");
        // The children of this process are to be found in no `/proc`.
        std::process::exit(0);
    })];

#[test]
fn memory_is_limited_where_proc_is_that_of_another_namespace() {
    guarded(|| {
        let namespace = |program: &Command| {
            let mut command = Command::new("unshare");
            command.args(["--pid", "--fork", "--kill-child"]).arg(program.get_program());
            command.args(program.get_args()).env(VARIABLE, ROLES[0].0);
            command
        };
        let probe = namespace(&Command::new("true")).output();
        if !probe.is_ok_and(|output| output.status.success()) {
            let test = "memory_is_limited_where_proc_is_that_of_another_namespace";
            return skips::skipped(test, "no pid namespace can be made, or there is no unshare(1)");
        }
        finish(&mut namespace(&command(ROLES[0].0))).succeed();
    });
}
