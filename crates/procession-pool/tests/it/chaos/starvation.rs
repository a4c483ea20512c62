//! Nobody gets the processor: caller and workers share one core with processes that never sleep, and are less important than these.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use procession_pool::Pool;
use procession_process::Process;
use rustix::process::{getpriority_process, setpriority_process};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::super::guard::guarded;
use super::super::long::{tell, times};
use super::super::program::{play, say};
use super::super::scribbler::{Random, seed};
use super::{Arena, assert_over, below, call_in_all_ways, during, pause, settled};

/// Puts this process, and what it starts from now on, on one of the cores that it may use.
fn share_one_core(random: &mut Random) {
    let all = sched_getaffinity(None).unwrap();
    let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|&core| all.is_set(core)).collect();
    let mut one = CpuSet::new();
    one.set(cores[below(random, cores.len())]);
    sched_setaffinity(None, &one).unwrap();
}

/// Uses all of the processor that it gets, until its parent has gone or has killed it.
fn burn(_: ()) {
    loop {
        std::hint::black_box(());
    }
}

/// Now and then a worker dies, so that starting another has to find its time, too.
fn hinder(arena: &Arena, over: &AtomicBool, kills: &AtomicU32) {
    let mut random = Random(seed());
    while !over.load(Ordering::SeqCst) {
        pause(&mut random, 50..150);
        kills.fetch_add(arena.kill_one(&mut random).into(), Ordering::SeqCst);
    }
}

pub(super) fn role() {
    let random = &mut Random(seed());
    share_one_core(random);
    let nice = below(random, 6);
    let rivals = 1 + below(random, 3);
    let burning = Process::builder().daemon(true);
    let burning: Vec<_> = (0..rivals).map(|_| burning.spawn(burn, ()).unwrap()).collect();
    let own = getpriority_process(None).unwrap();
    setpriority_process(None, own + i32::try_from(nice).unwrap()).unwrap();

    let arena = Arena::new(Pool::builder());
    let before = settled(&arena.pool);
    let kills = AtomicU32::new(0);
    let calls = || call_in_all_ways(&arena.pool.job().retries(1000), times(3000, 200_000));
    during(|over| hinder(&arena, over, &kills), calls);
    assert_over(&arena.pool, before);
    drop(arena);
    for rival in burning {
        assert!(rival.is_alive(), "it has let the others run");
        rival.kill().unwrap();
        rival.wait();
    }
    let kills = kills.load(Ordering::SeqCst);
    say(&format!("rivals {rivals}, nice {nice}: {kills} workers killed"));
}

#[test]
fn nothing_is_lost_for_lack_of_a_processor() {
    guarded(|| {
        let finished = play("chaos without a processor").succeed();
        tell(&format!("one core, rivals {}", finished.answer("rivals ")));
    });
}
