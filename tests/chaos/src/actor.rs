//! A process that does what its dice say, with what it has: a queue and a lock that are everybody's, a bag of handles, children, a
//! pool.
//!
//! It gives deadlines where others may keep it waiting. Who waits without one is in a [chain](crate::chain) or a
//! [crowd](crate::crowd).

use std::ffi::CStr;

use procession::prelude::*;
use procession::sync::Mutex;
use serde::{Deserialize, Serialize};

use crate::dice::Dice;
use crate::excuse::{judge, must};
use crate::family::{self, finish};
use crate::ledger::{complain, doing};
use crate::letter::{Letter, Load, Twins};
use crate::{pipes, pools, queues};

/// What is over this is dropped now and then.
const BAG_MAX: usize = 12;

/// With what an actor begins.
#[derive(Serialize, Deserialize)]
pub(crate) struct Orders {
    pub(crate) seed: u64,
    /// How many actors are above it.
    pub(crate) depth: u32,
    pub(crate) steps: u32,
    pub(crate) queue: Queue<Letter>,
    pub(crate) lock: Shared<Mutex<Twins>>,
    pub(crate) bag: Vec<Load>,
}

pub(crate) struct Actor {
    pub(crate) dice: Dice,
    pub(crate) orders: Orders,
    pub(crate) children: Vec<Process<u64>>,
    pub(crate) pool: Option<pools::Kept>,
}

/// Its name, and what an actor does then.
type Step = (&'static CStr, fn(&mut Actor));

/// What an actor can do.
const STEPS: &[Step] = &[
    (c"put", queues::put),
    (c"put many", queues::put_many),
    (c"get", queues::get),
    (c"get", queues::get),
    (c"claim", queues::claim),
    (c"new pipe", pipes::make),
    (c"send", pipes::send),
    (c"send", pipes::send),
    (c"receive", pipes::receive),
    (c"receive", pipes::receive),
    (c"wait for any", pipes::wait_for_any),
    (c"lock", Actor::lock),
    (c"handles", Actor::handles),
    (c"handles", Actor::handles),
    (c"start", family::start),
    (c"children", family::children),
    (c"fork", family::fork),
    (c"die", family::die),
    (c"pool", pools::step),
    (c"pool", pools::step),
];

/// What a child begins with.
pub(crate) fn play(mut orders: Orders) -> u64 {
    orders.bag.iter_mut().for_each(Load::look);
    let seed = orders.seed;
    Actor { dice: Dice::new(seed), orders, children: Vec::new(), pool: None }.live();
    seed
}

impl Actor {
    fn live(mut self) {
        for _ in 0..self.orders.steps {
            let (name, step) = self.dice.pick(STEPS);
            doing(name);
            step(&mut self);
        }
        let Self { orders, children, pool, .. } = self;
        doing(c"drop the bag");
        drop(orders.bag);
        doing(c"drop the pool");
        drop(pool);
        children.into_iter().for_each(finish);
    }

    /// A message with some of the bag.
    pub(crate) fn letter(&mut self, is_trusting: bool) -> Letter {
        let mut loads = Vec::new();
        for _ in 0..*self.dice.pick(&[0, 0, 0, 1, 1, 3]) {
            loads.extend(self.take(|load| is_trusting || !load.is_trusting()));
        }
        Letter::new(&mut self.dice, loads)
    }

    /// Something out of the bag, if there is any like that.
    pub(crate) fn take(&mut self, is_wanted: impl Fn(&Load) -> bool) -> Option<Load> {
        let bag = &mut self.orders.bag;
        let wanted: Vec<usize> = (0..bag.len()).filter(|at| is_wanted(&bag[*at])).collect();
        let at = self.dice.place(wanted.len())?;
        Some(bag.swap_remove(wanted[at]))
    }

    fn handles(&mut self) {
        while self.orders.bag.len() > BAG_MAX {
            self.take(|_| true);
        }
        if let Some(load) = self.take(|load| !matches!(load, Load::Out(_) | Load::In(_))) {
            let altered = must("to alter a handle", load.altered(&mut self.dice));
            self.orders.bag.extend(altered.into_iter().flatten());
        }
        let new = Load::new(&mut self.dice, &self.orders.queue);
        self.orders.bag.extend(must("a new handle", new));
    }

    /// What the lock guards is whole, or its last owner has died.
    fn lock(&mut self) {
        let (lock, dice) = (&self.orders.lock, &mut self.dice);
        let guard = match dice.below(3) {
            0 => lock.lock_timeout(dice.millis(5)),
            1 => lock.try_lock(),
            _ => lock.lock().map(Some),
        };
        match guard {
            Ok(Some(mut twins)) => {
                twins.one += 1;
                std::thread::sleep(dice.millis(2));
                twins.other += 1;
                if twins.one != twins.other {
                    complain(format_args!("twins of {} and {}", twins.one, twins.other));
                }
            }
            Ok(None) => {}
            Err(error) => {
                judge("lock", &error);
                drop(lock.lock_or_reset(Twins::default));
            }
        }
    }
}
