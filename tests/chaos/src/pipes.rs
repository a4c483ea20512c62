//! Steps with pipes, whose ends travel: what comes is whole and in its order, and a pipe that is closed has given out all that was
//! sent.

use std::sync::atomic::Ordering::SeqCst;

use procession::Waitable;
use procession::pipe::{RecvError, SendError, SendErrorKind, Sender};

use crate::actor::Actor;
use crate::excuse::{judge, must};
use crate::ledger::{complain, ledger, sent_or_not};
use crate::letter::{In, Letter, Load, Out, pair};
use crate::patience::soon;

pub(crate) fn make(actor: &mut Actor) {
    let is_trusting = actor.dice.one_in(2);
    if let Some((out, into)) = must("a pipe", pair(&mut actor.dice, is_trusting)) {
        actor.orders.bag.extend([Load::Out(out), Load::In(into)]);
    }
}

pub(crate) fn send(actor: &mut Actor) {
    let Some(Load::Out(mut out)) = actor.take(|load| matches!(load, Load::Out(_))) else { return };
    let letter = actor.letter(out.is_trusting);
    let (time, way) = (actor.dice.millis(10), actor.dice.below(3));
    let back = out.send(letter, |end, letter| match way {
        0 => Some(end.try_send(letter)),
        1 => soon(end.send_async(letter), time),
        _ => Some(end.send_timeout(letter, time)),
    });
    actor.orders.bag.extend(back.into_iter().flat_map(|letter| letter.loads));
    if !out.is_closed {
        actor.orders.bag.push(Load::Out(out));
    }
}

impl Out {
    /// Sends as soon as there is room, unless nobody is there to receive it.
    pub(crate) fn send_at_last(&mut self, letter: Letter) {
        let mut back = Some(letter);
        while let Some(letter) = back.filter(|_| !self.is_closed) {
            // Too many handles may be under way.
            back = self.send(letter, |end, letter| Some(end.send(letter)));
        }
    }

    /// Sends in some way, which may be given up. What was not sent comes back.
    pub(crate) fn send(
        &mut self,
        mut letter: Letter,
        way: impl FnOnce(&mut Sender<Letter>, Letter) -> Option<Result<(), SendError<Letter>>>,
    ) -> Option<Letter> {
        letter.place = self.next;
        let number = letter.number;
        let sent = way(&mut self.end, letter);
        sent_or_not(number, matches!(sent, Some(Ok(()))));
        match sent? {
            Ok(()) => {
                ledger().last_sent(self.pipe).store(self.next, SeqCst);
                self.next += 1;
                None
            }
            Err(error) => {
                // What is longer than the buffer is refused to who does not wait.
                if !matches!(error.kind, SendErrorKind::TooLarge { .. }) {
                    judge("send", &error.kind);
                }
                self.is_closed = matches!(error.kind, SendErrorKind::Closed);
                Some(error.value)
            }
        }
    }
}

pub(crate) fn receive(actor: &mut Actor) {
    let Some(Load::In(mut into)) = actor.take(|load| matches!(load, Load::In(_))) else { return };
    for _ in 0..=actor.dice.below(4) {
        let time = actor.dice.millis(8);
        let received = match actor.dice.below(3) {
            0 => into.end.try_recv(),
            1 => soon(into.end.recv_async(), time).transpose(),
            _ => into.end.recv_timeout(time),
        };
        match into.look(received) {
            Some(Some(letter)) => actor.orders.bag.extend(letter.open()),
            Some(None) => {}
            // Its other side is gone.
            None => return,
        }
    }
    actor.orders.bag.push(Load::In(into));
}

impl In {
    /// What has come, if the pipe goes on.
    pub(crate) fn look(&mut self, it: Result<Option<Letter>, RecvError>) -> Option<Option<Letter>> {
        match it {
            Ok(None) => Some(None),
            Ok(Some(letter)) => {
                if letter.place != self.last + 1 {
                    complain(format_args!("place {} of a pipe after {}", letter.place, self.last));
                }
                self.last = letter.place;
                Some(Some(letter))
            }
            Err(error) => {
                judge("receive", &error);
                let (last, sent) = (self.last, ledger().last_sent(self.pipe).load(SeqCst));
                if matches!(error, RecvError::Closed) && last < sent {
                    complain(format_args!("a pipe is closed after place {last} of {sent}"));
                }
                None
            }
        }
    }
}

pub(crate) fn wait_for_any(actor: &mut Actor) {
    let mut any: Vec<&dyn Waitable> = vec![&actor.orders.queue];
    any.extend(actor.children.iter().map(|child| child as &dyn Waitable));
    any.extend(actor.orders.bag.iter().filter_map(|load| match load {
        Load::In(into) => Some(&into.end as &dyn Waitable),
        Load::Queue(queue) => Some(queue),
        Load::Getter(getter) => Some(getter),
        _ => None,
    }));
    must("wait for any", procession::wait(&any, actor.dice.millis(20)));
}
