//! Steps with the queue: each message is put whole and got once, whoever puts, gets and claims.

use procession::queue::RecvError;

use crate::actor::Actor;
use crate::excuse::{judge, judged, must};
use crate::ledger::{Fate, mark, sent_or_not};
use crate::letter::Letter;
use crate::patience::soon;

fn letter(actor: &mut Actor) -> Letter {
    let letter = actor.letter(true);
    mark(letter.number, Fate::QUEUED);
    letter
}

pub(crate) fn put(actor: &mut Actor) {
    let letter = letter(actor);
    let (queue, number, time) = (&actor.orders.queue, letter.number, actor.dice.millis(20));
    let put = match actor.dice.below(3) {
        0 => queue.try_put(letter),
        1 => match soon(queue.put_async(letter), time) {
            Some(put) => put,
            // The future was dropped, and the message with it.
            None => return sent_or_not(number, false),
        },
        _ => queue.put_timeout(letter, time),
    };
    sent_or_not(number, put.is_ok());
    if let Err(error) = put {
        judge("put", &error.kind);
        actor.orders.bag.extend(error.value.loads);
    }
}

pub(crate) fn put_many(actor: &mut Actor) {
    let letters: Vec<Letter> = (0..=actor.dice.below(5)).map(|_| letter(actor)).collect();
    let numbers: Vec<u32> = letters.iter().map(|letter| letter.number).collect();
    let back = match actor.orders.queue.put_many_timeout(letters, actor.dice.millis(20)) {
        Ok(()) => Vec::new(),
        Err(error) => {
            judge("put many", &error.kind);
            error.value
        }
    };
    let sent = numbers.len() - back.len();
    (0..).zip(numbers).for_each(|(at, number)| sent_or_not(number, at < sent));
    actor.orders.bag.extend(back.into_iter().flat_map(|letter| letter.loads));
}

pub(crate) fn get(actor: &mut Actor) {
    let (queue, time) = (&actor.orders.queue, actor.dice.millis(15));
    let got = match actor.dice.below(4) {
        0 => queue.try_get(),
        1 => soon(queue.get_async(), time).transpose(),
        2 => {
            judged("join", queue.join_timeout(time));
            return;
        }
        _ => queue.get_timeout(time),
    };
    if let Some(letter) = judged("get", got).flatten() {
        actor.orders.bag.extend(letter.open());
        must("task_done", actor.orders.queue.task_done());
    }
}

/// Who dies with a claim has not got the message.
pub(crate) fn claim(actor: &mut Actor) {
    let time = actor.dice.millis(15);
    let claim = judged("claim", actor.orders.queue.claim_timeout(time)).flatten();
    let Some(claim) = claim.filter(|_| !actor.dice.one_in(3)) else { return };
    std::thread::sleep(actor.dice.millis(2));
    let letter = claim.done();
    actor.orders.bag.extend(letter.open());
}

/// What is left in the end.
pub(crate) fn drain(queue: &procession::Queue<Letter>) {
    loop {
        match queue.get() {
            Ok(letter) => drop(letter.open()),
            Err(RecvError::Closed) => return,
            Err(error) => return judge("get in the end", &error),
        }
        must("task_done in the end", queue.task_done());
    }
}
