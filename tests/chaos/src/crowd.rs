//! One pool and many threads, of which nobody gives a deadline: results with handles, conversations with workers, and a thread that
//! forks, whose copies drop, end or leave alone what they have inherited, while the others go on.

use std::ptr;

use procession::pipe::{Receiver, Sender};
use procession::prelude::*;

use crate::dice::Dice;
use crate::excuse::{judge, judged, must};
use crate::family::{builder, fork_and, leave};
use crate::ledger::{complain, doing, has_anybody_died};
use crate::patience::nap;
use crate::pools::{Kept, gifts, open};

pub(crate) fn crowd(seed: u64) {
    let mut dice = Dice::new(seed);
    let Some(Kept { pool, .. }) = &open(&mut dice) else { return };
    std::thread::scope(|scope| {
        (0..2).for_each(|_| drop(scope.spawn(|| (0..3).for_each(|_| gifts(pool)))));
        scope.spawn(|| (0..15).for_each(|value| conversation(pool, value)));
        scope.spawn(|| (0..10).for_each(|value| fork(&mut dice, pool, value)));
    });
}

/// A worker answers through pipes.
fn conversation(pool: &Pool, value: u64) {
    doing(c"conversation");
    let Some((ask, questions)) = must("questions", pipe::simplex()) else { return };
    let Some((answers, hear)) = must("answers", pipe::simplex()) else { return };
    let Some(task) = judged("submit", pool.submit(answer, (value, questions, answers))) else {
        return;
    };
    let is_answered = |n| ask.send(n).is_ok() && hear.recv().is_ok_and(|it| it == n + value);
    let is_whole = (0..20).all(is_answered);
    drop(ask);
    let is_told = judged("a conversation", task.get());
    let is_right = is_whole && is_told == Some(true);
    if !is_right && !has_anybody_died() {
        complain(format_args!("a conversation: {is_whole}, {is_told:?}"));
    }
}

fn answer((value, questions, answers): (u64, Receiver<u64>, Sender<u64>)) -> bool {
    questions.into_iter().all(|question| question.is_ok_and(|n| answers.send(n + value).is_ok()))
}

fn late(value: u64) -> u64 {
    nap(value);
    value
}

/// A task runs, a message is claimed and another one is in a pipe; and all of it is as before behind a fork.
fn fork(dice: &mut Dice, pool: &Pool, value: u64) {
    doing(c"fork");
    let Some(task) = judged("submit", pool.submit(late, value)) else { return };
    let Some(queue) = must("a queue", Queue::new()) else { return };
    let Some((sender, receiver)) = must("a pipe", pipe::simplex()) else { return };
    if queue.put(value).is_err() || sender.send(value).is_err() {
        return complain(format_args!("what is new takes nothing"));
    }
    let Some(claim) = judged("claim", queue.claim()) else { return };
    let inherited = (task, claim, queue, sender, receiver);
    let copy = {
        let way = dice.below(4);
        let parts = ptr::from_ref(&inherited);
        fork_and(7, || {
            doing(c"crowd's copy");
            // SAFETY: the copy leaves without using or dropping any of it again; the values are whole, as nobody else has them.
            drop(unsafe { ptr::read(parts) });
            match way {
                // SAFETY: as before. Other threads of the parent use the pool, which is what is tried here.
                0 => drop(unsafe { ptr::read(pool) }),
                1 => pool.terminate(),
                2 => drop(judged("a copy's child", builder(dice).spawn(late, 1))),
                _ => {}
            }
            leave(7);
        })
    };
    copy.wait();
    let (task, claim, queue, sender, receiver) = inherited;
    drop(sender);
    let left: Vec<u64> = receiver.into_iter().flatten().collect();
    let claimed = claim.done();
    if left != [value] || claimed != value || !queue.is_empty() {
        complain(format_args!("behind a fork: {left:?}, {claimed}, {} in the queue", queue.len()));
    }
    match task.get() {
        Ok(late) if late == value => {}
        Ok(late) => complain(format_args!("the result of {value} is {late} behind a fork")),
        Err(error) => judge("a task behind a fork", &error),
    }
}
