//! Random programs of sends and receives, held against a plain queue.

use std::collections::VecDeque;
use std::thread;
use std::time::Duration;

use procession_channel::pipe::{self, Receiver, SendErrorKind, Sender};
use proptest::prelude::*;

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
