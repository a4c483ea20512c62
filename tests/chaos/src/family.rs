//! Steps with processes: children by both ways to start one, which are joined, awaited, killed, left alone; forks by hand; and the
//! end of an actor by its own hand.

use std::sync::atomic::Ordering::SeqCst;

use procession::prelude::*;
use procession::{ProcessBuilder, StartMethod};
use rustix::process::{
    Pid, Signal, WaitOptions, WaitStatus, getpid, getppid, kill_process, waitpid,
};

use crate::actor::{Actor, Orders, play};
use crate::dice::Dice;
use crate::excuse::{judge, judged, must};
use crate::ledger::{a_death_comes, complain, doing, has_anybody_died, ledger, may_die};
use crate::patience::soon;
use crate::{copy, pipes, queues};

const DEPTH_MAX: u32 = 3;
const CHILDREN_MAX: usize = 4;
/// By the actors of one act.
const BIRTHS_MAX: u32 = 60;

/// A way to start a process.
pub(crate) fn builder(dice: &mut Dice) -> ProcessBuilder {
    let ways = [StartMethod::Zygote, StartMethod::Spawn];
    Process::builder().start_method(*dice.pick(&ways))
}

/// Waits for a child for as long as it lives.
pub(crate) fn finish(child: Process<u64>) {
    doing(c"join a child");
    judged("a child", child.join());
}

fn may_be_born() -> bool {
    ledger().births.fetch_add(1, SeqCst) < BIRTHS_MAX
}

pub(crate) fn start(actor: &mut Actor) {
    let depth = actor.orders.depth + 1;
    if depth > DEPTH_MAX || actor.children.len() >= CHILDREN_MAX || !may_be_born() {
        return;
    }
    let bag = if actor.dice.one_in(2) { actor.letter(true).loads } else { Vec::new() };
    let Orders { steps, queue, lock, .. } = &actor.orders;
    let (seed, steps) = (actor.dice.number(), (steps / 2).max(10));
    let orders = Orders { seed, depth, steps, queue: queue.clone(), lock: lock.clone(), bag };
    let is_daemon = may_die() && actor.dice.one_in(4);
    let child = builder(&mut actor.dice).daemon(is_daemon).spawn(play, orders);
    actor.children.extend(judged("to start a child", child));
}

pub(crate) fn children(actor: &mut Actor) {
    let Some(at) = actor.dice.place(actor.children.len()) else { return };
    let mut child = actor.children.swap_remove(at);
    let (time, way) = (actor.dice.millis(10), actor.dice.below(8));
    match way {
        0 | 1 if may_die() => {
            a_death_comes();
            must("to end a child", if way == 0 { child.kill() } else { child.terminate() });
        }
        2 => return drop(child),
        3 => return child.detach(),
        4 => {
            soon(child, time).map(|end| judged("a child", end));
            return;
        }
        5 => {
            let handle = child.clone();
            let (exit, later) = (handle.wait_timeout(time), handle.exit_status());
            if exit.is_some() && exit != later {
                complain(format_args!("a child has ended by {exit:?} and by {later:?}"));
            }
        }
        6 => return finish(child),
        _ => match child.join_timeout(time) {
            Ok(None) => {}
            Ok(Some(_)) => return,
            Err(error) => return judge("a child", &error),
        },
    }
    actor.children.push(child);
}

/// Forks by hand, in the middle of everything, and sometimes goes on at once.
pub(crate) fn fork(actor: &mut Actor) {
    if !may_be_born() {
        return;
    }
    let copy = fork_and(0, || copy::live(actor));
    if actor.dice.one_in(2) {
        for step in [pipes::send, pipes::receive, queues::get].repeat(6) {
            step(actor);
        }
    }
    copy.wait();
}

/// A process that was forked by hand, and with which code it has to leave.
pub(crate) struct Copy {
    pid: Pid,
    code: i32,
}

/// Forks. The copy dies with its parent, as all of a program does.
pub(crate) fn fork_and(code: i32, live: impl FnOnce()) -> Copy {
    let parent = getpid();
    // SAFETY: of the other threads of this process, none holds anything that the copy uses but locks of the library and of the
    // allocator, and that these are whole in a copy is what is tried here.
    let pid = unsafe { libc::fork() };
    let Some(pid) = Pid::from_raw(pid) else {
        let set = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
        if set.is_ok() && getppid() == Some(parent) {
            live();
        }
        leave(code)
    };
    Copy { pid, code }
}

impl Copy {
    pub(crate) fn wait(self) {
        doing(c"wait for a copy");
        let waited = rustix::io::retry_on_intr(|| waitpid(Some(self.pid), WaitOptions::empty()));
        let status = waited.ok().flatten().map(|(_, status)| status);
        let is_right = status.and_then(WaitStatus::exit_status) == Some(self.code);
        if !is_right && !has_anybody_died() {
            complain(format_args!("a forked process has ended with {status:?}"));
        }
    }
}

/// Ends, with the lock and a message in its hands.
pub(crate) fn die(actor: &mut Actor) {
    if actor.orders.depth == 0 || !actor.dice.one_in(8) {
        return;
    }
    let lock = actor.orders.lock.lock_timeout(actor.dice.millis(5));
    let claim = actor.orders.queue.try_claim();
    may_end(&mut actor.dice, (lock, claim));
}

/// Ends this process in one of the ways in which a process can end, unless nobody dies; mostly with what it has in its hands.
pub(crate) fn may_end<T>(dice: &mut Dice, held: T) {
    if !may_die() {
        return;
    }
    a_death_comes();
    match dice.below(4) {
        0 => panic!("as the dice say"),
        1 => {
            // Who exits waits for its children, which may want this.
            drop(held);
            std::process::exit(7)
        }
        2 => leave(9),
        _ => must("to kill oneself", kill_process(getpid(), Signal::KILL)),
    };
}

/// Ends this process, past all that runs at an end.
pub(crate) fn leave(code: i32) -> ! {
    // SAFETY: runs nothing of this process.
    unsafe { libc::_exit(code) }
}
