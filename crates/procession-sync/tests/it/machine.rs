//! Random plays of three actors against a plain reference model, once with threads and once with processes that are killed.
//!
//! Nothing in a play blocks, so that each answer is one that the model knows. What is true after every step: each lock has
//! the holders that the model says, and is torn exactly if the model says so; as many permits are free; a cell keeps its
//! first value; an event is what was last done to it.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Scope;

use procession_shm::Shared;
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use crate::player::{Hands, PERMITS, Table, perform};
use skips::has_pidfds;

use crate::stage::Player;

const ACTORS: usize = 3;

/// Some more often than others.
const VERBS: [&str; 22] = [
    "try_lock",
    "try_lock",
    "unlock",
    "lock_or_reset",
    "try_read",
    "try_read",
    "end_read",
    "try_write",
    "try_write",
    "end_write",
    "write_or_reset",
    "try_acquire",
    "try_acquire",
    "try_acquire",
    "release",
    "forget",
    "add 1",
    "available",
    "set",
    "clear",
    "init 1",
    "init 2",
];

#[derive(Debug, Clone)]
enum Action {
    Do(usize, &'static str),
    Kill(usize),
}

/// A lock that is open, torn by the process with this pid, or held to write by this actor.
#[derive(Clone, Copy, PartialEq)]
enum Owner {
    Nobody,
    Torn(u32),
    Actor(usize),
}

impl Owner {
    fn dies(&mut self, actor: usize, pid: u32) {
        if *self == Self::Actor(actor) {
            *self = Self::Torn(pid);
        }
    }

    fn lets_go(&mut self, actor: usize) -> String {
        if *self == Self::Actor(actor) {
            *self = Self::Nobody;
        }
        "done".into()
    }

    /// What one gets who tries to take it, which is possible only if nobody else `shares` it.
    fn is_tried(&mut self, taker: Option<usize>, is_shared: bool) -> String {
        match (*self, taker) {
            (Self::Torn(pid), _) => format!("died {pid}"),
            (Self::Actor(_), _) => "not yet".into(),
            (Self::Nobody, Some(_)) if is_shared => "not yet".into(),
            (Self::Nobody, Some(actor)) => {
                *self = Self::Actor(actor);
                "held".into()
            }
            (Self::Nobody, None) => "held".into(),
        }
    }
}

struct Model {
    mutex: Owner,
    writer: Owner,
    reads: [u32; ACTORS],
    permits: u32,
    taken: [u32; ACTORS],
    cell: Option<&'static str>,
    is_set: bool,
}

impl Model {
    fn new() -> Self {
        let nobody = Owner::Nobody;
        let (reads, taken) = ([0; ACTORS], [0; ACTORS]);
        Self {
            mutex: nobody,
            writer: nobody,
            reads,
            permits: PERMITS,
            taken,
            cell: None,
            is_set: false,
        }
    }

    fn free(&self) -> u32 {
        self.permits - self.taken.iter().sum::<u32>()
    }

    fn is_read(&self) -> bool {
        self.reads.iter().any(|reads| *reads > 0)
    }

    /// What would block, or makes no sense, is not played.
    fn allows(&self, actor: usize, verb: &str) -> bool {
        match verb {
            "lock_or_reset" => !matches!(self.mutex, Owner::Actor(_)),
            "write_or_reset" => !matches!(self.writer, Owner::Actor(_)) && !self.is_read(),
            "forget" => self.taken[actor] > 0,
            _ => true,
        }
    }

    fn answer(&mut self, actor: usize, verb: &'static str) -> String {
        let is_read = self.is_read();
        match verb {
            "try_lock" => self.mutex.is_tried(Some(actor), false),
            "unlock" => self.mutex.lets_go(actor),
            "lock_or_reset" => {
                self.mutex = Owner::Actor(actor);
                "held".into()
            }
            "try_read" => {
                let answer = self.writer.is_tried(None, is_read);
                self.reads[actor] += u32::from(answer == "held");
                answer
            }
            "end_read" => {
                self.reads[actor] = self.reads[actor].saturating_sub(1);
                "done".into()
            }
            "try_write" => self.writer.is_tried(Some(actor), is_read),
            "end_write" => self.writer.lets_go(actor),
            "write_or_reset" => {
                self.writer = Owner::Actor(actor);
                "held".into()
            }
            _ => self.answer_on_the_rest(actor, verb),
        }
    }

    fn answer_on_the_rest(&mut self, actor: usize, verb: &'static str) -> String {
        match verb {
            "try_acquire" if self.free() == 0 => "not yet".into(),
            "try_acquire" => {
                self.taken[actor] += 1;
                "held".into()
            }
            "available" => self.free().to_string(),
            "init 1" | "init 2" => self.cell.get_or_insert(&verb[5..]).to_string(),
            _ => {
                match verb {
                    "release" => self.taken[actor] = self.taken[actor].saturating_sub(1),
                    "forget" => {
                        self.permits -= 1;
                        self.taken[actor] -= 1;
                    }
                    "add 1" => self.permits += 1,
                    "set" => self.is_set = true,
                    "clear" => self.is_set = false,
                    other => panic!("no such verb: {other}"),
                }
                "done".into()
            }
        }
    }

    fn dies(&mut self, actor: usize, pid: u32) {
        self.mutex.dies(actor, pid);
        self.writer.dies(actor, pid);
        self.reads[actor] = 0;
        self.taken[actor] = 0;
    }

    fn agrees_with(&self, table: &Table) -> TestCaseResult {
        prop_assert_eq!(table.seats.available_permits(), self.free());
        prop_assert_eq!(table.event.is_set(), self.is_set);
        let cell = table.cell.get().map(u64::to_string);
        prop_assert_eq!(cell.as_deref(), self.cell);
        Ok(())
    }
}

fn play(
    actions: &[Action],
    table: &Table,
    mut ask: impl FnMut(usize, &'static str) -> String,
    mut kill: impl FnMut(usize) -> u32,
) -> TestCaseResult {
    let mut model = Model::new();
    for action in actions {
        match *action {
            Action::Do(actor, verb) if model.allows(actor, verb) => {
                let answer = ask(actor, verb);
                prop_assert_eq!(answer, model.answer(actor, verb), "{} by actor {}", verb, actor);
            }
            Action::Do(..) => {}
            Action::Kill(actor) => model.dies(actor, kill(actor)),
        }
        model.agrees_with(table)?;
    }
    Ok(())
}

fn deeds() -> impl Strategy<Value = Action> {
    (0..ACTORS, proptest::sample::select(&VERBS[..]))
        .prop_map(|(actor, verb)| Action::Do(actor, verb))
}

fn deeds_and_deaths() -> impl Strategy<Value = Action> {
    prop_oneof![12 => deeds(), 1 => (0..ACTORS).prop_map(Action::Kill)]
}

/// A thread that does what it is told.
struct Hand {
    commands: Sender<&'static str>,
    answers: Receiver<String>,
}

impl Hand {
    fn start<'scope>(scope: &'scope Scope<'scope, '_>, table: &'scope Table) -> Self {
        let (commands, told) = channel();
        let (says, answers) = channel();
        scope.spawn(move || {
            let mut hands = Hands::default();
            for command in told {
                says.send(perform(table, &mut hands, command, &mut |_| {})).unwrap();
            }
        });
        Self { commands, answers }
    }
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(64))]

    #[test]
    fn threads_agree_with_the_model(actions in proptest::collection::vec(deeds(), 1..120)) {
        let table = Table::new();
        std::thread::scope(|scope| {
            let actors = [(); ACTORS].map(|()| Hand::start(scope, &table));
            let ask = |actor: usize, verb| {
                actors[actor].commands.send(verb).unwrap();
                actors[actor].answers.recv().unwrap()
            };
            play(&actions, &table, ask, |_| unreachable!("nobody kills a thread"))
        })?;
    }
}

proptest! {
    #![proptest_config(config(12))]

    #[test]
    fn processes_agree_with_the_model(
        actions in proptest::collection::vec(deeds_and_deaths(), 20..80),
    ) {
        if !has_pidfds("machine::processes_agree_with_the_model") {
            return Ok(());
        }
        let table = Shared::new(Table::new()).unwrap();
        let actors = std::cell::RefCell::new([(); ACTORS].map(|()| Player::start(&table)));
        let ask = |actor: usize, verb| actors.borrow()[actor].ask(verb);
        let kill = |actor: usize| {
            let dead = std::mem::replace(&mut actors.borrow_mut()[actor], Player::start(&table));
            let pid = dead.pid();
            dead.kill();
            pid
        };
        play(&actions, &table, ask, kill)?;
    }
}
