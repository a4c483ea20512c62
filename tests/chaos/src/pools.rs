//! Steps with a pool: each task has its own result or an error that fits it, and is begun once unless it may be tried again,
//! whatever its worker does and whoever kills that.

use std::fs::File;
use std::process::exit;
use std::time::Duration;

use procession::prelude::*;
use procession::{Cause, Failure, Fd, Job, StartMethod};
use rustix::process::{Pid, Signal, getpid, kill_process};
use serde::{Deserialize, Serialize};

use crate::actor::Actor;
use crate::dice::Dice;
use crate::excuse::{judge, judged};
use crate::ledger::{
    a_death_comes, begun, complain, doing, has_anybody_died, may_die, new_message,
};
use crate::letter::{Letter, Load};
use crate::patience::{nap, soon};

/// A pool, and whether its workers are trusted.
pub(crate) struct Kept {
    pub(crate) pool: Pool,
    is_trusting: bool,
}

/// What a worker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Deed {
    Quick,
    Nap,
    Panic,
    Fail,
    Exit,
    Kill,
}

use Deed::{Exit, Fail, Kill, Nap, Panic, Quick};

const EASY: &[Deed] = &[Quick, Quick, Quick, Nap];
const HARD: &[Deed] = &[Quick, Quick, Quick, Quick, Quick, Nap, Nap, Panic, Fail, Exit, Kill];

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Errand {
    number: u32,
    deed: Deed,
    value: u64,
    terms: Terms,
}

/// What may come of a task besides what its deed says.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Terms {
    has_retries: bool,
    has_timeout: bool,
    is_stopped: bool,
}

fn run(errand: Errand) -> procession::Result<u64> {
    begun(errand.number, errand.terms.has_retries);
    doing(c"a task");
    match errand.deed {
        Quick => {}
        Nap => nap(errand.value % 5),
        Panic => panic!("as the dice say"),
        Fail => return Err(Failure::msg("as the dice say")),
        Exit => exit(3),
        Kill => kill_process(getpid(), Signal::KILL)?,
    }
    Ok(errand.value ^ 77)
}

impl Errand {
    fn some(dice: &mut Dice, terms: Terms, most: u32, deeds: &[Deed]) -> Vec<Self> {
        let count = 1 + dice.below(most);
        let new = |_| {
            let deed = *dice.pick(deeds);
            let is_fatal = matches!(deed, Exit | Kill);
            if is_fatal && may_die() {
                a_death_comes();
            }
            let deed = if is_fatal && !may_die() { Quick } else { deed };
            Self { number: new_message(), deed, value: dice.number(), terms }
        };
        (0..count).map(new).collect()
    }

    fn check(&self, result: Result<u64, TaskError>) {
        let is_right = match &result {
            Ok(value) => *value == self.value ^ 77 && matches!(self.deed, Quick | Nap),
            Err(TaskError::Panicked { .. }) => self.deed == Panic,
            Err(TaskError::Failed { .. }) => self.deed == Fail,
            Err(TaskError::TimedOut { .. }) => self.terms.has_timeout,
            Err(TaskError::Cancelled { .. } | TaskError::Closed) => self.terms.is_stopped,
            Err(error) => return judge("a task", error),
        };
        if !is_right {
            complain(format_args!("{self:?} came to {result:?}"));
        }
    }
}

pub(crate) fn step(actor: &mut Actor) {
    let dice = &mut actor.dice;
    let Some(kept) = actor.pool.take() else {
        actor.pool = open(dice);
        return;
    };
    let way = dice.below(9);
    let (has_retries, has_timeout) = (dice.one_in(3), dice.one_in(2));
    let terms = Terms { has_retries, has_timeout, is_stopped: way == 0 };
    let job = kept.pool.job().chunk(1 + dice.below(8) as usize);
    let job = if has_retries { job.retries(2) } else { job };
    let job = if has_timeout { job.timeout(Duration::from_millis(100)) } else { job };
    match way {
        // With tasks that somebody still asks for.
        0 => {
            let mut end = dice.clone();
            return submit(dice, job, terms, || stop(&mut end, &kept.pool));
        }
        1 => return,
        2 => submit(dice, job, terms, || ()),
        3 => map(dice, job, terms),
        4 => imap(dice, job, terms),
        5 => kill_workers(dice, &kept.pool),
        6 => gifts(&kept.pool),
        _ => relay(actor, &kept),
    }
    no_worker_has_ended(&kept.pool);
    actor.pool = Some(kept);
}

/// Where nobody dies, the pool alone ends its workers.
fn no_worker_has_ended(pool: &Pool) {
    let deaths = pool.insights().deaths;
    let is_its_own = |cause| matches!(cause, Cause::TimedOut | Cause::Cancelled);
    if deaths.iter().any(|(cause, _)| !is_its_own(*cause)) && !has_anybody_died() {
        complain(format_args!("workers have ended: {deaths:?}"));
    }
}

/// One that goes on however many of its workers die.
pub(crate) fn open(dice: &mut Dice) -> Option<Kept> {
    let workers = 1 + dice.below(3) as usize;
    let builder =
        Pool::builder().workers(workers).restart_intensity(1 << 20, Duration::from_secs(1));
    let builder = builder.start_method(*dice.pick(&[StartMethod::Zygote, StartMethod::Spawn]));
    let tasks = if dice.one_in(3) { 1 + dice.below(20) } else { u32::MAX };
    let builder = builder.max_tasks_per_worker(tasks.into());
    let builder = if dice.one_in(3) { builder.idle_timeout(dice.millis(30)) } else { builder };
    let is_trusting = dice.one_in(2);
    let builder = if is_trusting { builder.trusting() } else { builder };
    Some(Kept { pool: judged("a pool", builder.build())?, is_trusting })
}

fn map(dice: &mut Dice, job: Job<'_>, terms: Terms) {
    let errands = Errand::some(dice, terms, 200, EASY);
    match job.map(run, &errands) {
        Ok(values) => {
            errands.iter().zip(&values).for_each(|(errand, value)| errand.check(Ok(*value)));
            if values.len() != errands.len() {
                complain(format_args!("{} results of {} tasks", values.len(), errands.len()));
            }
        }
        Err(error) => match error.item().and_then(|item| errands.get(item)) {
            Some(errand) => errand.check(Err(error)),
            None => judge("map", &error),
        },
    }
}

/// In order or not, and perhaps not to the end.
fn imap(dice: &mut Dice, job: Job<'_>, terms: Terms) {
    let errands = Errand::some(dice, terms, 80, HARD);
    if dice.one_in(2) {
        let results = job.imap(run, &errands);
        return errands.iter().zip(results).for_each(|(errand, result)| errand.check(result));
    }
    let most = dice.below(80) as usize;
    let results: Vec<_> = job.imap_unordered(run, &errands).take(most).collect();
    let (count, last) = (results.len(), results.last());
    match last {
        // What was not pulled has no outcome then.
        Some(Err(error @ TaskError::Broken(_))) => judge("imap", error),
        _ if count == errands.len().min(most) => {}
        _ => complain(format_args!("{count} results of {} tasks, {most} at most", errands.len())),
    }
}

fn submit(dice: &mut Dice, job: Job<'_>, terms: Terms, then: impl FnOnce()) {
    let errands = Errand::some(dice, terms, 20, HARD);
    let submitted = |errand| Some((errand, judged("submit", job.submit(run, errand))?));
    let tasks: Vec<(Errand, Task<u64>)> = errands.into_iter().filter_map(submitted).collect();
    then();
    for (mut errand, mut task) in tasks {
        doing(c"get");
        let time = dice.millis(10);
        let result = match dice.below(6) {
            0 => {
                errand.terms.is_stopped |= task.cancel();
                Some(task.get())
            }
            1 => continue,
            2 => {
                drop(task.cancel_on_drop());
                continue;
            }
            3 => soon(task, time),
            4 => task.get_timeout(time).transpose(),
            _ => Some(task.get()),
        };
        result.into_iter().for_each(|result| errand.check(result));
    }
}

/// In one of the ways in which a pool ends, after which every task has an end.
fn stop(dice: &mut Dice, pool: &Pool) {
    match dice.below(4) {
        0 => drop(pool.shutdown(dice.millis(50))),
        1 => pool.terminate(),
        2 => pool.close(),
        _ => pool.join(),
    }
}

fn kill_workers(dice: &mut Dice, pool: &Pool) {
    for pid in pool.worker_pids() {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let Some(pid) = pid.filter(|_| may_die() && dice.one_in(2)) else { continue };
        a_death_comes();
        // It may have ended by itself.
        let _ended = kill_process(pid, *dice.pick(&[Signal::KILL, Signal::TERM]));
    }
}

/// A handle with one owner goes there, is used, and comes back.
fn relay(actor: &mut Actor, kept: &Kept) {
    let is_single = |load: &Load| matches!(load, Load::Out(_) | Load::In(_) | Load::Buf(..));
    let may_go = |load: &Load| is_single(load) && (kept.is_trusting || !load.is_trusting());
    let Some(load) = actor.take(may_go) else { return };
    let Some(task) = judged("relay", kept.pool.submit(use_and_return, load)) else { return };
    match task.get() {
        Ok(load) => actor.orders.bag.push(load),
        // Who has learnt that nobody has the other side has nothing left to give back.
        Err(TaskError::Encode { reason, .. }) if reason.contains("nothing left to send") => {}
        Err(error) => judge("relay", &error),
    }
}

fn use_and_return(mut load: Load) -> Load {
    doing(c"use and return");
    load.look();
    if let Load::Out(out) = &mut load {
        let letter = Letter::new(&mut Dice::new(out.next.into()), Vec::new());
        out.send(letter, |end, letter| Some(end.try_send(letter)));
    }
    load
}

/// Results with handles, which have a way of their own.
pub(crate) fn gifts(pool: &Pool) {
    for (value, gift) in (0..).zip(pool.imap(gift, 0..20)) {
        doing(c"gift");
        let Some((first, file, slice)) = judged("a gift", gift) else { continue };
        let is_whole = first == value && slice.iter().all(|item| *item == value);
        if !is_whole || file.into_inner().is_err() {
            complain(format_args!("gift {value} is not what was given"));
        }
    }
}

fn gift(value: u64) -> procession::Result<(u64, Fd<File>, SharedSlice<u64>)> {
    Ok((value, Fd::new(File::open("/dev/null")?), SharedSlice::from_slice(&[value; 600])?))
}
