//! Random programs of queue operations in several processes, held against what must hold for any order of them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use procession::prelude::*;
use procession::queue::SendErrorKind;

const PLAYERS: u32 = 3;
const STEPS: u32 = 400;

/// Who put it, and as its how-manieth; bytes that tell how many they are.
type Item = (u32, u64, Vec<u8>);

/// Numbers that look random (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// What one process has done: how many it put, and what it got for good, in order.
type Done = (u64, Vec<(u32, u64)>);

struct Player {
    queue: Queue<Item>,
    who: u32,
    random: Random,
    put: u64,
    got: Vec<(u32, u64)>,
}

impl Player {
    fn item(&mut self, ahead: u64) -> Item {
        let len = [0, 10, 500, 3000][usize::try_from(self.random.below(4)).unwrap()];
        (self.who, self.put + ahead, vec![self.who.to_le_bytes()[0]; len])
    }

    fn take(&mut self, (who, n, bytes): Item) {
        assert!(bytes.iter().all(|&byte| byte == who.to_le_bytes()[0]), "torn");
        self.got.push((who, n));
    }

    fn step(&mut self, gives_back: bool) -> procession::Result<()> {
        match self.random.below(8) {
            0..3 => {
                let item = self.item(0);
                match self.queue.try_put(item) {
                    Ok(()) => self.put += 1,
                    Err(error) => assert!(matches!(error.kind, SendErrorKind::Full), "{error}"),
                }
            }
            3..5 => {
                if let Some(item) = self.queue.try_get()? {
                    self.take(item);
                    self.queue.task_done()?;
                }
            }
            5 => {
                let wait = Duration::from_micros(self.random.below(200));
                if let Some(item) = self.queue.get_timeout(wait)? {
                    self.take(item);
                    self.queue.task_done()?;
                }
            }
            // One with bytes apart has a descriptor, and cannot be claimed.
            6 => match self.queue.try_claim() {
                Ok(Some(claim)) if gives_back && self.random.below(2) == 0 => drop(claim),
                Ok(Some(claim)) => {
                    let item = claim.done();
                    self.take(item);
                }
                Ok(None) | Err(procession::queue::RecvError::NotClaimable { .. }) => {}
                Err(error) => return Err(error.into()),
            },
            _ => {
                let item = self.item(0);
                let wait = Duration::from_micros(self.random.below(200));
                self.put += u64::from(self.queue.put_timeout(item, wait).is_ok());
            }
        }
        Ok(())
    }
}

fn play(queue: Queue<Item>, who: u32, seed: u64, gives_back: bool) -> procession::Result<Done> {
    let random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut player = Player { queue, who, random, put: 0, got: Vec::new() };
    (0..STEPS).try_for_each(|_| player.step(gives_back))?;
    Ok((player.put, player.got))
}

/// What one has got of another is in the order in which it was put.
fn is_in_order(got: &[(u32, u64)]) -> bool {
    let mut last = BTreeMap::new();
    got.iter().all(|&(who, n)| last.insert(who, n).is_none_or(|before| before < n))
}

#[test]
fn whatever_processes_do_each_item_is_got_once_and_in_order() {
    skips::needs_pidfds!();
    for round in 0..16_u64 {
        let gives_back = round % 2 == 1;
        let builder = Queue::builder().capacity(8192);
        let builder = if round % 4 < 2 { builder.items(5) } else { builder };
        let queue = builder.build().unwrap();
        let players: Vec<_> = (0..PLAYERS)
            .map(|who| {
                let seed = round * 10 + u64::from(who) + 1;
                spawn!(play(&queue, who, seed, gives_back)).unwrap()
            })
            .collect();
        let done: Vec<Done> = players.into_iter().map(|player| player.join().unwrap()).collect();
        let mut rest = Vec::new();
        while let Some((who, n, _)) = queue.try_get().unwrap() {
            rest.push((who, n));
            queue.task_done().unwrap();
        }
        assert!(queue.is_empty() && queue.join_timeout(Duration::from_secs(60)).unwrap());
        let all = done.iter().flat_map(|(_, got)| got).chain(&rest);
        let mut once = BTreeSet::new();
        assert!(all.into_iter().all(|item| once.insert(*item)), "round {round}: twice");
        let put = (0..).zip(&done).flat_map(|(who, (put, _))| (0..*put).map(move |n| (who, n)));
        assert!(once.into_iter().eq(put), "round {round}: lost, or got without having been put");
        let orders = done.iter().map(|(_, got)| got).chain([&rest]);
        assert!(gives_back || orders.into_iter().all(|got| is_in_order(got)), "round {round}");
    }
}
