//! A player: holds what it is told to take, in this process or in one of its own.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use procession_shm::{Shareable, Waitable, Watch, family, until_ready, wait_any};
use procession_sync::{
    Barrier, BarrierError, Condvar, Event, LockError, Mutex, MutexGuard, Once, OnceLock, Permit,
    RwLock, RwLockReadGuard, RwLockWriteGuard, Semaphore,
};

pub(crate) const PERMITS: u32 = 3;

/// One of each. The pairs are equal whenever nobody is inside.
#[derive(Shareable)]
pub(crate) struct Table {
    pub(crate) mutex: Mutex<[u64; 2]>,
    pub(crate) brought: Condvar,
    pub(crate) lock: RwLock<[u64; 2]>,
    pub(crate) narrow: RwLock<u64, 1>,
    pub(crate) seats: Semaphore,
    pub(crate) barrier: Barrier,
    pub(crate) small: Barrier<2>,
    pub(crate) event: Event,
    pub(crate) cell: OnceLock<u64>,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self {
            mutex: Mutex::new([0; 2]),
            brought: Condvar::new(),
            lock: RwLock::new([0; 2]),
            narrow: RwLock::with_holders(0),
            seats: Semaphore::new(PERMITS),
            barrier: Barrier::new(2),
            small: Barrier::with_holders(3),
            event: Event::new(),
            cell: OnceLock::new(),
        }
    }
}

/// What a player has in its hands.
#[derive(Default)]
pub(crate) struct Hands<'a> {
    mutex: Option<MutexGuard<'a, [u64; 2]>>,
    reads: Vec<RwLockReadGuard<'a, [u64; 2]>>,
    narrow: Option<RwLockReadGuard<'a, u64, 1>>,
    write: Option<RwLockWriteGuard<'a, [u64; 2]>>,
    permits: Vec<Permit<'a>>,
}

/// Does one thing and says what came of it. `say` is for what has to be said before it is over.
pub(crate) fn perform<'a>(
    table: &'a Table,
    hands: &mut Hands<'a>,
    command: &str,
    say: &mut dyn FnMut(&str),
) -> String {
    let (verb, argument) = command.split_once(' ').unwrap_or((command, "0"));
    let number: u64 = argument.parse().unwrap();
    let answer = on_mutex(table, hands, verb, number)
        .or_else(|| on_lock(table, hands, verb))
        .or_else(|| on_semaphore(table, hands, verb, number))
        .or_else(|| on_the_rest(table, verb, number, say));
    answer.unwrap_or_else(|| panic!("no such command: {command}")).unwrap_or_else(name_of)
}

type Answer = Option<Result<String, LockError>>;

fn name_of(error: LockError) -> String {
    match error {
        LockError::OwnerDied { pid } => format!("died {pid}"),
        LockError::Poisoned => "poisoned".into(),
        LockError::NotAMember { reason } => format!("nobody: {reason}"),
        LockError::TooManyHolders { cells } => format!("full {cells}"),
        other => panic!("{other}"),
    }
}

/// Puts what was taken, if anything, into the hand.
fn hold<G>(hand: &mut Option<G>, taken: Result<Option<G>, LockError>) -> Answer {
    Some(taken.map(|guard| {
        let Some(guard) = guard else { return "not yet".into() };
        *hand = Some(guard);
        "held".into()
    }))
}

/// As `hold`, of what is had or ends in a panic.
fn repair<G>(hand: &mut Option<G>, take: impl FnOnce() -> G) -> Answer {
    match catch_unwind(AssertUnwindSafe(take)) {
        Ok(guard) => hold(hand, Ok(Some(guard))),
        Err(_) => Some(Ok("panicked".into())),
    }
}

fn done() -> Answer {
    Some(Ok("done".into()))
}

fn on_mutex<'a>(table: &'a Table, hands: &mut Hands<'a>, verb: &str, number: u64) -> Answer {
    let mutex = &table.mutex;
    match verb {
        "lock" => hold(&mut hands.mutex, mutex.lock().map(Some)),
        "try_lock" => hold(&mut hands.mutex, mutex.try_lock()),
        "lock_or_reset" => repair(&mut hands.mutex, || mutex.lock_or_reset(|| [0; 2])),
        "lock_or_keep" => hold(&mut hands.mutex, Ok(Some(mutex.lock_or_keep()))),
        "unlock" => {
            hands.mutex = None;
            done()
        }
        "write_half" => {
            hands.mutex.as_mut().unwrap()[0] += 1;
            done()
        }
        "values" => Some(Ok(format!("{:?}", **hands.mutex.as_ref().unwrap()))),
        "clear_poison" => {
            mutex.clear_poison();
            done()
        }
        "count" => Some((0..number).try_for_each(|_| add_one(mutex)).map(|()| "done".into())),
        "take" => Some(take_one(table).map(|()| "taken".into())),
        "bring" => Some(add_one(mutex).map(|()| {
            table.brought.notify_one();
            "done".into()
        })),
        "bring_silently" => Some(add_one(mutex).map(|()| "done".into())),
        _ => None,
    }
}

fn add_one(mutex: &Mutex<[u64; 2]>) -> Result<(), LockError> {
    let mut values = mutex.lock()?;
    assert_eq!(values[0], values[1], "a torn value was handed out");
    values[0] += 1;
    values[1] += 1;
    Ok(())
}

fn take_one(table: &Table) -> Result<(), LockError> {
    let mut values = table.brought.wait_while(table.mutex.lock()?, |values| values[0] == 0)?;
    *values = values.map(|value| value - 1);
    Ok(())
}

fn on_lock<'a>(table: &'a Table, hands: &mut Hands<'a>, verb: &str) -> Answer {
    let lock = &table.lock;
    match verb {
        "read" | "try_read" => {
            let mut hand = None;
            let taken = if verb == "read" { lock.read().map(Some) } else { lock.try_read() };
            let answer = hold(&mut hand, taken);
            hands.reads.extend(hand);
            answer
        }
        "read_narrow" => hold(&mut hands.narrow, table.narrow.read().map(Some)),
        "end_read" => {
            hands.reads.pop();
            done()
        }
        "write" => hold(&mut hands.write, lock.write().map(Some)),
        "try_write" => hold(&mut hands.write, lock.try_write()),
        "write_or_reset" => repair(&mut hands.write, || lock.write_or_reset(|| [0; 2])),
        "end_write" => {
            hands.write = None;
            done()
        }
        _ => None,
    }
}

fn on_semaphore<'a>(table: &'a Table, hands: &mut Hands<'a>, verb: &str, number: u64) -> Answer {
    let seats = &table.seats;
    match verb {
        "acquire" | "try_acquire" => {
            let mut hand = None;
            let taken =
                if verb == "acquire" { seats.acquire().map(Some) } else { seats.try_acquire() };
            let answer = hold(&mut hand, taken);
            hands.permits.extend(hand);
            answer
        }
        "acquire_all" => {
            let all: Result<Vec<_>, _> = (0..PERMITS).map(|_| seats.acquire()).collect();
            hands.permits.extend(all.unwrap());
            Some(Ok("held".into()))
        }
        "wait_for_a_seat" => Some(Ok(match wait_any(&[seats], None) {
            Ok(_) => "there is one".into(),
            Err(error) => format!("nobody: {error}"),
        })),
        "release" => {
            hands.permits.pop();
            done()
        }
        "forget" => {
            hands.permits.pop().unwrap().forget();
            done()
        }
        "add" => {
            seats.add_permits(u32::try_from(number).unwrap()).unwrap();
            done()
        }
        "stay_behind_gate_of_seats" => {
            stay_behind_gate(seats);
            done()
        }
        "available" => Some(Ok(seats.available_permits().to_string())),
        _ => None,
    }
}

/// Takes the gate of a semaphore or of a barrier and goes no further, as who is killed there.
fn stay_behind_gate<T: Shareable>(primitive: &T) {
    // SAFETY: both begin with the word of their gate, which is only ever used as an atomic.
    let word = unsafe { &*std::ptr::from_ref(primitive).cast::<AtomicU64>() };
    let me = family::me().unwrap().to_bits();
    assert_eq!(word.compare_exchange(0, me, Ordering::AcqRel, Ordering::Acquire), Ok(0));
}

fn on_the_rest(table: &Table, verb: &str, number: u64, say: &mut dyn FnMut(&str)) -> Answer {
    match verb {
        "set" => {
            table.event.set();
            done()
        }
        "clear" => {
            table.event.clear();
            done()
        }
        "await_set" => Some(table.event.wait().map(|()| "set".into())),
        "stay_behind_gate_of_barrier" => {
            stay_behind_gate(&table.barrier);
            done()
        }
        "meet" => Some(meet(&table.barrier)),
        "meet_in_small" => Some(meet(&table.small)),
        "poll_until_the_end" => Some(Ok(poll_until_the_end(say))),
        "init" => Some(table.cell.get_or_init(|| number).map(u64::to_string)),
        "init_until_the_end" => Some(
            table
                .cell
                .get_or_init(|| {
                    say("in it");
                    outlive_the_root();
                    number
                })
                .map(u64::to_string),
        ),
        "once_until_the_end" => {
            let work = || {
                say("in it");
                outlive_the_root();
            };
            Some(Once::new().call_once(work).map(|()| "done".into()))
        }
        "init_and_stop" => Some(
            table
                .cell
                .get_or_init(|| {
                    say("in it");
                    loop {
                        std::thread::park();
                    }
                })
                .map(u64::to_string),
        ),
        _ => None,
    }
}

/// Returns when this process knows that its family has ended.
fn outlive_the_root() {
    while family::check_root().is_ok() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// What is never ready, and counts on the family to tell of deaths.
struct Never;

impl Waitable for Never {
    fn is_ready(&self) -> bool {
        false
    }

    fn watch<'a>(&'a self, watches: &mut Vec<Watch<'a>>) {
        watches.push(family::watch_deaths());
    }

    fn unwatch(&self) {}
}

fn poll_until_the_end(say: &mut dyn FnMut(&str)) -> String {
    let mut future = pin!(until_ready(&Never));
    let mut context = Context::from_waker(Waker::noop());
    assert!(future.as_mut().poll(&mut context).is_pending());
    say("pending");
    while family::check_root().is_ok() {
        std::thread::sleep(Duration::from_millis(1));
    }
    match future.poll(&mut context) {
        Poll::Ready(Err(error)) => format!("nobody: {error}"),
        other => format!("{other:?}"),
    }
}

fn meet<const HOLDERS: usize>(barrier: &Barrier<HOLDERS>) -> Result<String, LockError> {
    match barrier.wait() {
        Ok(result) => Ok(format!("met as {}", result.index())),
        Err(BarrierError::Broken) => Ok("broken".into()),
        Err(BarrierError::Lock(error)) => Err(error),
        Err(other) => panic!("{other}"),
    }
}
