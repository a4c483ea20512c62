//! Descriptors run out in the caller while workers die and have to be replaced, and while results bring descriptors along.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use procession_channel::Fd;
use procession_pool::{Pool, TaskError};
use procession_process::Limits;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

use super::super::guard::guarded;
use super::super::long::{tell, times};
use super::super::program::{play, say};
use super::super::resources::holdings;
use super::super::scribbler::{Random, seed};
use super::{Arena, assert_over, below, call_in_all_ways, during, is_sent, pause, settled};

/// What a worker may open, whatever its parent may in the moment in which it is started.
const OF_A_WORKER: u64 = 256;

/// Now and then there is no descriptor left for some milliseconds, and a worker dies in it.
///
/// One that is ready is left: a pool without any gives up when it could start none five times.
fn run_out(arena: &Arena, over: &AtomicBool, lacks: &AtomicU32) {
    let mut random = Random(seed());
    let usual = getrlimit(Resource::Nofile);
    let used = holdings().0;
    while !over.load(Ordering::SeqCst) {
        let few = below(&mut random, used + 16) as u64;
        let victim = arena.choose(&mut random, 1).filter(|_| random.next().is_multiple_of(2));
        setrlimit(Resource::Nofile, Rlimit { current: Some(few), ..usual }).unwrap();
        victim.map(|pid| is_sent(pid, Signal::KILL));
        pause(&mut random, 1..20);
        setrlimit(Resource::Nofile, usual).unwrap();
        lacks.fetch_add(1, Ordering::SeqCst);
        pause(&mut random, 5..30);
    }
}

/// A pipe from which `n` can be read.
fn lend(n: u32) -> Fd<File> {
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(&n.to_le_bytes()).unwrap();
    Fd::new(File::from(OwnedFd::from(reader)))
}

/// Each item brings its own pipe, or the news that there was no descriptor for it. How many brought one.
fn borrow(pool: &Pool, items: u32) -> u32 {
    let mut borrowed = 0;
    for (n, lent) in (0_u32..).zip(pool.job().retries(1000).imap(lend, 0..items)) {
        match lent {
            Ok(pipe) => {
                let mut bytes = Vec::new();
                pipe.into_inner().unwrap().read_to_end(&mut bytes).unwrap();
                assert_eq!(bytes, n.to_le_bytes());
                borrowed += 1;
            }
            Err(TaskError::Decode { item, reason, .. }) => {
                assert_eq!(item, n as usize);
                assert!(reason.contains("no file descriptor left"), "{reason}");
            }
            Err(other) => panic!("item {n}: {other:?}"),
        }
    }
    borrowed
}

pub(super) fn role() {
    let limits = Limits::new().open_files(OF_A_WORKER);
    let arena = Arena::new(Pool::builder().limits(limits));
    let pool = &arena.pool;
    assert_eq!(borrow(pool, 100), 100);
    let before = settled(pool);
    let (lacks, lent) = (AtomicU32::new(0), times(1000, 100_000));
    let calls = || {
        call_in_all_ways(&pool.job().retries(1000), times(10_000, 1_000_000));
        say(&format!("borrowed {} of {lent} descriptors", borrow(pool, lent)));
    };
    during(|over| run_out(&arena, over, &lacks), calls);
    assert_eq!(borrow(pool, 100), 100);
    assert_over(pool, before);
    say(&format!("lacks {}", lacks.load(Ordering::SeqCst)));
}

#[test]
fn no_item_is_lost_for_lack_of_descriptors() {
    guarded(|| {
        let finished = play("chaos of descriptors").succeed();
        let (lacks, borrowed) = (finished.answer("lacks "), finished.answer("borrowed "));
        tell(&format!("descriptors: ran out {lacks} times; {borrowed} came"));
        assert_ne!(lacks, "0");
    });
}
