//! What a process does that was forked by hand from one that has everything: what it has inherited is its parent's, says so, and
//! comes to no harm, whatever it does to it; and whatever it makes itself works.

use procession::prelude::*;
use procession::{TaskError, queue};

use crate::actor::Actor;
use crate::dice::Dice;
use crate::excuse::{judged, must};
use crate::family::{builder, leave};
use crate::ledger::{complain, doing};
use crate::letter::Load;
use crate::patience::NOW;

/// Ends with the exit code 0.
pub(crate) fn live(actor: &mut Actor) {
    doing(c"copy: inherited");
    actor.orders.bag.iter().for_each(is_not_mine);
    is_not_mine(&Load::Queue(actor.orders.queue.clone()));
    if actor.dice.one_in(2) {
        actor.orders.bag.clear();
    }
    if actor.dice.one_in(3) {
        actor.children.clear();
    }
    match &actor.pool {
        Some(kept) if actor.dice.one_in(2) => {
            if !matches!(kept.pool.apply(|n: u64| n, 1), Err(TaskError::Broken(_))) {
                complain(format_args!("a forked process uses its parent's pool"));
            }
        }
        _ => actor.pool = None,
    }
    own(&mut actor.dice);
    doing(c"copy: leave");
    if actor.dice.one_in(3) { leave(0) } else { std::process::exit(0) }
}

fn is_not_mine(load: &Load) {
    use queue::RecvError::NotAMember;
    let is_told = match load {
        Load::Out(out) => matches!(
            out.end.try_send_bytes(b"x"),
            Err(pipe::SendErrorKind::Moved(_) | pipe::SendErrorKind::Closed)
        ),
        Load::In(into) => matches!(into.end.try_recv_bytes(), Err(pipe::RecvError::Moved(_))),
        Load::Queue(queue) => matches!(queue.get_timeout(NOW), Err(NotAMember(_))),
        _ => true,
    };
    if !is_told {
        complain(format_args!("a forked process uses what is its parent's"));
    }
}

/// What it makes itself.
fn own(dice: &mut Dice) {
    doing(c"copy: own pipe");
    if let Some((sender, receiver)) = must("a copy's pipe", pipe::simplex::<u64>()) {
        let thread = std::thread::spawn(move || receiver.into_iter().flatten().sum::<u64>());
        let is_sent = (0..100).all(|number| sender.send(number).is_ok());
        drop(sender);
        if !is_sent || thread.join().ok() != Some(4950) {
            complain(format_args!("a copy's own pipe loses messages"));
        }
    }
    doing(c"copy: own child");
    let child = judged("a copy's child", builder(dice).spawn(|n: u64| n * 2, 21));
    let value = child.and_then(|child| judged("a copy's child", child.join()));
    doing(c"copy: own pool");
    let pool = dice.one_in(3).then(|| judged("a copy's pool", Pool::with_workers(1))).flatten();
    let sums = pool.and_then(|pool| judged("a copy's map", pool.map(|n: u64| n + 1, 0..50)));
    let sum = sums.map(|sums| sums.into_iter().sum());
    // An error was judged before.
    if value.unwrap_or(42) != 42 || sum.unwrap_or(1275) != 1275 {
        complain(format_args!("a copy's own work: {value:?}, {sum:?}"));
    }
}
