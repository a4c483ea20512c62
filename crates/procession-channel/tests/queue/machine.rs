//! Random programs, against a queue that is a list.

use std::collections::{BTreeMap, VecDeque};

use procession_channel::queue::{Claim, Queue, SendErrorKind};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    Put(usize),
    PutMany(Vec<usize>),
    Get,
    GetMany(usize),
    Claim,
    Done(usize),
    GiveBack(usize),
    TaskDone,
}

fn step() -> impl Strategy<Value = Step> {
    let len = || prop_oneof![8 => 0..200_usize, 1 => 900..1100_usize, 1 => 2000..9000_usize];
    prop_oneof![
        6 => len().prop_map(Step::Put),
        2 => proptest::collection::vec(0..60_usize, 0..12).prop_map(Step::PutMany),
        5 => Just(Step::Get),
        2 => (0..20_usize).prop_map(Step::GetMany),
        3 => Just(Step::Claim),
        2 => any::<usize>().prop_map(Step::Done),
        2 => any::<usize>().prop_map(Step::GiveBack),
        2 => Just(Step::TaskDone),
    ]
}

type Item = (u64, Vec<u8>);

/// In bytes: a page, so that it is neither rounded up nor down.
const CAPACITY: usize = 4096;

/// The queue, and what it should be.
struct Machine {
    queue: Queue<Item>,
    items_max: Option<usize>,
    waiting: VecDeque<(u64, usize)>,
    /// Offered again, by number.
    offered: BTreeMap<u64, usize>,
    claimed: Vec<(u64, usize, Claim<Item>)>,
    next: u64,
    undone: u64,
}

impl Machine {
    fn len(&self) -> usize {
        self.waiting.len() + self.offered.len() + self.claimed.len()
    }

    /// Whether there is room for a dozen short items for sure. What was claimed holds back all that was put after it.
    fn has_room(&self) -> bool {
        let waiting: usize = self.waiting.iter().map(|(_, len)| len + 64).sum();
        waiting < CAPACITY / 4 && self.claimed.is_empty() && self.offered.is_empty()
    }

    fn item(&mut self, len: usize) -> Item {
        let number = self.next;
        self.next += 1;
        (number, vec![number.to_le_bytes()[0]; len])
    }

    fn put(&mut self, len: usize) {
        let item = self.item(len);
        match self.queue.try_put(item) {
            Ok(()) => self.waiting.push_back((self.next - 1, len)),
            Err(error) => {
                assert!(matches!(error.kind, SendErrorKind::Full), "{error}");
                let is_bound = self.items_max == Some(self.len());
                assert!(is_bound || self.len() > 0, "an empty queue has room");
            }
        }
        if let Some(most) = self.items_max {
            assert!(self.len() <= most);
            assert!(self.len() < most || self.queue.is_full());
        }
    }

    fn expected(&mut self) -> Option<(u64, usize)> {
        self.offered.pop_first().or_else(|| self.waiting.pop_front())
    }

    fn check(&mut self, got: Option<Item>) {
        let expected = self.expected();
        assert_eq!(got.as_ref().map(|(number, bytes)| (*number, bytes.len())), expected);
        if let Some((number, bytes)) = got {
            assert!(bytes.iter().all(|byte| *byte == number.to_le_bytes()[0]));
            self.undone += 1;
        }
    }

    /// As many as there is room for are put, and the others come back.
    fn put_many(&mut self, lens: &[usize]) {
        let room = self.items_max.map_or(usize::MAX, |most| most - self.len());
        let must_fit = lens.len() <= room && self.has_room();
        let items: Vec<_> = lens.iter().map(|len| self.item(*len)).collect();
        let back = match self.queue.try_put_many(items.clone()) {
            Ok(()) => Vec::new(),
            Err(error) => {
                assert!(matches!(error.kind, SendErrorKind::Full) && !must_fit, "{error}");
                error.value
            }
        };
        let (put, others) = items.split_at(items.len() - back.len());
        assert!(put.len() <= room && others == back);
        self.waiting.extend(put.iter().map(|(number, bytes)| (*number, bytes.len())));
    }

    fn claim(&mut self) {
        let next = self.offered.first_key_value().map(|(n, len)| (*n, *len));
        let next = next.or_else(|| self.waiting.front().copied());
        // Large ones cannot be claimed.
        if next.is_none_or(|(_, len)| len < 900) && self.claimed.len() < 64 {
            let claim = self.queue.try_claim().unwrap();
            let expected = self.expected();
            assert_eq!(claim.as_ref().map(|claim| (claim.0, claim.1.len())), expected);
            self.claimed.extend(claim.zip(expected).map(|(claim, (n, len))| (n, len, claim)));
        }
    }

    fn take_claim(&mut self, which: usize) -> Option<(u64, usize, Claim<Item>)> {
        let count = self.claimed.len();
        (count > 0).then(|| self.claimed.remove(which % count))
    }

    fn play(&mut self, step: Step) {
        match step {
            Step::Put(len) => self.put(len),
            Step::PutMany(lens) => self.put_many(&lens),
            Step::Get => {
                let got = self.queue.try_get().unwrap();
                self.check(got);
            }
            Step::GetMany(max) => match self.queue.try_get_many(max).unwrap() {
                Some(many) => many.for_each(|item| self.check(Some(item.unwrap()))),
                None => self.check(None),
            },
            Step::Claim => self.claim(),
            Step::Done(which) => drop(self.take_claim(which).map(|(_, _, claim)| claim.done())),
            Step::GiveBack(which) => {
                if let Some((number, len, claim)) = self.take_claim(which) {
                    drop(claim);
                    self.offered.insert(number, len);
                }
            }
            Step::TaskDone => {
                assert_eq!(self.queue.task_done().is_ok(), self.undone > 0);
                self.undone = self.undone.saturating_sub(1);
            }
        }
        assert_eq!(self.queue.len(), self.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_queue_is_a_list(
        steps in proptest::collection::vec(step(), 1..150),
        items_max in proptest::option::of(1..30_usize),
    ) {
        let builder = Queue::builder().capacity(CAPACITY);
        let builder = items_max.map_or(builder, |items| builder.items(items));
        let mut machine = Machine {
            queue: builder.build().unwrap(),
            items_max,
            waiting: VecDeque::new(),
            offered: BTreeMap::new(),
            claimed: Vec::new(),
            next: 0,
            undone: 0,
        };
        steps.into_iter().for_each(|step| machine.play(step));
        machine.claimed.clear();
    }
}
