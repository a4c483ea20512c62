//! Letters go through processes, from pipe to pipe, and nobody gives a deadline. In the middle of a stream a process gives both of
//! its ends to another one, which goes on.

use procession::prelude::*;
use serde::{Deserialize, Serialize};

use crate::dice::Dice;
use crate::excuse::{judged, must};
use crate::family::{builder, finish, may_end};
use crate::ledger::{complain, doing, has_anybody_died};
use crate::letter::{In, Letter, Load, Out, pair};

#[derive(Serialize, Deserialize)]
struct Stage {
    seed: u64,
    from: In,
    to: Out,
    /// How often the ends may be given away.
    heirs: u32,
}

fn pass_on(mut stage: Stage) -> u64 {
    let mut dice = Dice::new(stage.seed);
    let most = if stage.heirs > 0 { 5 + dice.below(40) } else { u32::MAX };
    for _ in 0..most {
        doing(c"stage");
        let Some(mut letter) = next(&mut stage.from) else { return 0 };
        letter.look();
        if dice.one_in(120) {
            may_end(&mut dice, ());
        }
        stage.to.send_at_last(letter);
        if stage.to.is_closed {
            return 0;
        }
    }
    let heir = Stage { seed: dice.number(), heirs: stage.heirs - 1, ..stage };
    judged("an heir", builder(&mut dice).spawn(pass_on, heir)).into_iter().for_each(finish);
    0
}

fn next(from: &mut In) -> Option<Letter> {
    let received = from.end.recv().map(Some);
    from.look(received).flatten()
}

pub(crate) fn chain(seed: u64) {
    let mut dice = Dice::new(seed);
    let is_trusting = dice.one_in(2);
    let pairs = (0..2 + dice.below(3)).map_while(|_| must("a pipe", pair(&mut dice, is_trusting)));
    let (outs, ins): (Vec<Out>, Vec<In>) = pairs.collect();
    let (mut outs, mut ins) = (outs.into_iter(), ins.into_iter().rev());
    let (Some(first), Some(mut last)) = (outs.next(), ins.next()) else { return };
    let stages: Vec<_> = outs
        .zip(ins.rev())
        .filter_map(|(to, from)| {
            let stage = Stage { seed: dice.number(), from, to, heirs: dice.below(4) };
            judged("a stage", builder(&mut dice).spawn(pass_on, stage))
        })
        .collect();
    let count = 50 + dice.below(200);
    let feeder = std::thread::spawn(move || feed(dice, first, count));
    let came = std::iter::from_fn(|| next(&mut last)).map(|letter| drop(letter.open())).count();
    if came as u64 != u64::from(count) && !has_anybody_died() {
        complain(format_args!("a chain ends after {came} of {count}"));
    }
    drop(last);
    must("to feed a chain", feeder.join().map_err(|_| "a panic"));
    stages.into_iter().for_each(finish);
}

fn feed(mut dice: Dice, mut first: Out, count: u32) {
    for _ in 0..count {
        doing(c"feed");
        let loads = if dice.one_in(3) { load(&mut dice, first.is_trusting, 2) } else { Vec::new() };
        let letter = Letter::new(&mut dice, loads);
        first.send_at_last(letter);
    }
}

/// An end of a pipe in which a letter waits that has such a load itself, or something else.
fn load(dice: &mut Dice, is_trusting: bool, depth: u32) -> Vec<Load> {
    let trusted = |load: &Load| is_trusting || !load.is_trusting();
    if depth == 0 || dice.one_in(2) {
        let queue = must("a queue", Queue::new());
        let load = queue.and_then(|queue| must("a handle", Load::new(dice, &queue)));
        return load.into_iter().filter(trusted).collect();
    }
    let Some((mut out, into)) = must("a pipe", pair(dice, false)) else { return Vec::new() };
    let inner = load(dice, false, depth - 1);
    let letter = Letter::new(dice, inner);
    out.send(letter, |end, letter| Some(end.try_send(letter)));
    vec![Load::In(into), Load::Out(out)].into_iter().skip(dice.below(2) as usize).collect()
}
