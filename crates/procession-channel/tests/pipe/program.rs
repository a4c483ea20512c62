//! Random programs of sends and receives, held against a plain queue.

use std::collections::VecDeque;
use std::thread;
use std::time::Duration;

use procession_channel::pipe::{self, Connection, Receiver, SendErrorKind, Sender};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde::{Deserialize, Serialize};

use crate::stage::{Other, play};

#[derive(Debug, Clone)]
enum Step {
    Try(usize),
    Timeout(usize),
    Receive,
    MoveSender,
    MoveReceiver,
}

fn step() -> impl Strategy<Value = Step> {
    let len = || prop_oneof![3 => 0_usize..64, 2 => 0_usize..4096, 1 => 0_usize..20_000];
    prop_oneof![
        4 => len().prop_map(Step::Try),
        1 => len().prop_map(Step::Timeout),
        4 => Just(Step::Receive),
        1 => Just(Step::MoveSender),
        1 => Just(Step::MoveReceiver),
    ]
}

fn travel<T: procession_channel::Message>(value: T) -> T {
    let (sender, receiver) = pipe::simplex().unwrap();
    sender.send(value).unwrap();
    receiver.recv().unwrap()
}

struct Machine {
    sender: Sender<Vec<u8>>,
    receiver: Receiver<Vec<u8>>,
    model: VecDeque<Vec<u8>>,
    counter: u8,
}

impl Machine {
    fn new() -> Self {
        let (sender, receiver) = pipe::builder().capacity(4096).simplex().unwrap();
        Self { sender, receiver, model: VecDeque::new(), counter: 0 }
    }

    fn run(mut self, step: &Step) -> Self {
        self.counter = self.counter.wrapping_add(1);
        match *step {
            Step::Try(len) => {
                let message = vec![self.counter; len];
                let sent = self.sender.try_send(message.clone());
                self.note(sent, message);
            }
            Step::Timeout(len) => {
                let message = vec![self.counter; len];
                let sent = self.sender.send_timeout(message.clone(), Duration::from_micros(10));
                self.note(sent, message);
            }
            Step::Receive => {
                assert_eq!(self.receiver.try_recv().unwrap(), self.model.pop_front());
            }
            Step::MoveSender => self.sender = travel(self.sender),
            Step::MoveReceiver => self.receiver = travel(self.receiver),
        }
        self
    }

    fn note(&mut self, sent: Result<(), pipe::SendError<Vec<u8>>>, message: Vec<u8>) {
        match sent {
            Ok(()) => self.model.push_back(message),
            Err(error) => {
                let is_room = matches!(
                    error.kind,
                    SendErrorKind::Full | SendErrorKind::TimedOut | SendErrorKind::TooLarge { .. }
                );
                assert!(is_room && error.value == message, "{error}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_pipe_is_a_queue(steps in prop::collection::vec(step(), 1..60)) {
        let machine = steps.iter().fold(Machine::new(), Machine::run);
        let Machine { sender, receiver, model, .. } = machine;
        drop(sender);
        let rest: VecDeque<Vec<u8>> = receiver.into_iter().map(Result::unwrap).collect();
        prop_assert_eq!(rest, model);
    }

    /// Two threads at their own pace: what was sent arrives, what expired does not, and in order.
    #[test]
    fn two_threads_agree(
        lens in prop::collection::vec(prop_oneof![0_usize..100, 0_usize..30_000], 1..60),
        patience_us in 1_u64..300,
        moves in any::<bool>(),
    ) {
        let (mut sender, mut receiver) = pipe::builder().capacity(4096).simplex::<Vec<u8>>().unwrap();
        let patience = Duration::from_micros(patience_us);
        let producer = thread::spawn(move || {
            let mut sent = Vec::new();
            for (n, len) in (0_u8..).zip(lens) {
                let message = vec![n; len];
                if sender.send_timeout(message.clone(), patience).is_ok() {
                    sent.push(message);
                }
                if moves && n % 7 == 0 {
                    sender = travel(sender);
                }
            }
            sent
        });
        let mut received = Vec::new();
        loop {
            match receiver.recv_timeout(patience) {
                Ok(Some(message)) => received.push(message),
                Ok(None) if moves => receiver = travel(receiver),
                Ok(None) => {}
                Err(pipe::RecvError::Closed) => break,
                Err(error) => panic!("{error}"),
            }
        }
        prop_assert!(producer.join().unwrap() == received);
    }
}

/// What another process is to do with the ends that it has.
#[derive(Serialize, Deserialize)]
enum Order {
    HoldSender(Sender<Vec<u8>>),
    HoldReceiver(Receiver<Vec<u8>>),
    GiveSender,
    GiveReceiver,
    Send(Vec<u8>, Option<Duration>),
    Receive,
}

#[derive(Serialize, Deserialize)]
enum Answer {
    Held,
    Sender(Sender<Vec<u8>>),
    Receiver(Receiver<Vec<u8>>),
    /// Whether it was.
    Sent(bool),
    Received(Option<Vec<u8>>),
}

/// Does as it is told for as long as somebody tells.
fn obey(parent: &Connection<Answer, Order>) {
    let (mut sender, mut receiver) = (None, None);
    for order in parent {
        let answer = match order.unwrap() {
            Order::HoldSender(end) => {
                sender = Some(end);
                Answer::Held
            }
            Order::HoldReceiver(end) => {
                receiver = Some(end);
                Answer::Held
            }
            Order::GiveSender => Answer::Sender(sender.take().unwrap()),
            Order::GiveReceiver => Answer::Receiver(receiver.take().unwrap()),
            Order::Send(message, patience) => {
                Answer::Sent(send(sender.as_ref().unwrap(), message, patience))
            }
            Order::Receive => Answer::Received(receiver.as_ref().unwrap().try_recv().unwrap()),
        };
        parent.send(answer).unwrap();
    }
}

/// Without patience it does not wait. Whether it was sent.
fn send(sender: &Sender<Vec<u8>>, message: Vec<u8>, patience: Option<Duration>) -> bool {
    match patience {
        Some(patience) => sender.send_timeout(message, patience).is_ok(),
        None => sender.try_send(message).is_ok(),
    }
}

/// The ends of a pipe, each of which is here or with the other process.
struct Couple {
    other: Connection<Order, Answer>,
    sender: Option<Sender<Vec<u8>>>,
    receiver: Option<Receiver<Vec<u8>>>,
    model: VecDeque<Vec<u8>>,
    counter: u8,
}

impl Couple {
    fn ask(&self, order: Order) -> Answer {
        self.other.send(order).unwrap();
        self.other.recv().unwrap()
    }

    fn step(&mut self, step: &Step) {
        self.counter = self.counter.wrapping_add(1);
        match *step {
            Step::Try(len) => self.send(len, None),
            Step::Timeout(len) => self.send(len, Some(Duration::from_micros(10))),
            Step::Receive => {
                let received = match &self.receiver {
                    Some(receiver) => receiver.try_recv().unwrap(),
                    None => match self.ask(Order::Receive) {
                        Answer::Received(message) => message,
                        _ => panic!("another answer"),
                    },
                };
                assert!(received == self.model.pop_front());
            }
            Step::MoveSender => {
                self.sender = match self.sender.take() {
                    Some(end) => self.hold(Order::HoldSender(end)),
                    None => match self.ask(Order::GiveSender) {
                        Answer::Sender(end) => Some(end),
                        _ => panic!("another answer"),
                    },
                }
            }
            Step::MoveReceiver => {
                self.receiver = match self.receiver.take() {
                    Some(end) => self.hold(Order::HoldReceiver(end)),
                    None => match self.ask(Order::GiveReceiver) {
                        Answer::Receiver(end) => Some(end),
                        _ => panic!("another answer"),
                    },
                }
            }
        }
    }

    /// The other process has it, and this one has none.
    fn hold<T>(&self, order: Order) -> Option<T> {
        assert!(matches!(self.ask(order), Answer::Held));
        None
    }

    fn send(&mut self, len: usize, patience: Option<Duration>) {
        let message = vec![self.counter; len];
        let is_sent = match &self.sender {
            Some(sender) => send(sender, message.clone(), patience),
            None => match self.ask(Order::Send(message.clone(), patience)) {
                Answer::Sent(is_sent) => is_sent,
                _ => panic!("another answer"),
            },
        };
        if is_sent {
            self.model.push_back(message);
        }
    }
}

/// Ends that go back and forth between two processes, with whatever is under way.
#[test]
fn two_processes_agree() {
    const TEST: &str = "program::two_processes_agree";
    play(TEST, |parent: Connection<Answer, Order>| obey(&parent));
    let config = ProptestConfig { cases: 30, failure_persistence: None, ..Default::default() };
    let programs = prop::collection::vec(step(), 1..80);
    let run = |steps: Vec<Step>| {
        let (other, there) = pipe::duplex().unwrap();
        let child = Other::start(TEST, there);
        let (sender, receiver) = pipe::builder().capacity(4096).simplex().unwrap();
        let (sender, receiver) = (Some(sender), Some(receiver));
        let mut couple = Couple { other, sender, receiver, model: VecDeque::new(), counter: 0 };
        steps.iter().for_each(|step| couple.step(step));
        while !couple.model.is_empty() {
            couple.step(&Step::Receive);
        }
        drop(couple);
        child.join();
        Ok(())
    };
    TestRunner::new(config).run(&programs, run).unwrap();
}
