//! Two sides that sleep in the kernel: what a message to a sleeper costs at least. And the same two sides with the library's
//! one wait in place of the bare call, for the difference.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use procession_bench_harness::twin::fork;
use procession_bench_harness::words::Words;
use procession_bench_harness::{Effort, Outcome, cpu, round_trip};
use procession_shm::{Deadline, Watch, wait, wake_all};
use rustix::io::Errno;
use rustix::thread::futex::{self, Flags};

/// The bare call between processes.
pub(crate) const SHARED: Sleep = Sleep::Futex(Flags::empty());

/// What ends the other side.
const END: u32 = u32::MAX;

/// How a side sleeps.
#[derive(Clone, Copy)]
pub(crate) enum Sleep {
    /// The bare call, on a word that is shared or private.
    Futex(Flags),
    /// The wait on the word and a death epoch that all of the library goes through.
    OneWait,
}

/// A word that one side raises and the other waits for, and an epoch that does not change.
#[derive(Clone, Copy)]
struct Signal<'a> {
    word: &'a AtomicU32,
    epoch: &'a AtomicU32,
    sleep: Sleep,
}

impl<'a> Signal<'a> {
    /// A pair of them: for requests and for answers.
    fn pair(words: &'a Words, sleep: Sleep) -> [Self; 2] {
        [0, 1].map(|at| Self { word: words.u32(at), epoch: words.u32(2), sleep })
    }

    fn raise(&self, number: u32) -> io::Result<()> {
        self.word.store(number, Ordering::Release);
        match self.sleep {
            Sleep::Futex(flags) => futex::wake(self.word, flags, 1).map(drop)?,
            Sleep::OneWait => drop(wake_all(self.word, false)),
        }
        Ok(())
    }

    /// Sleeps until there is another number than `last`.
    fn next(&self, last: u32) -> io::Result<u32> {
        loop {
            let number = self.word.load(Ordering::Acquire);
            if number != last {
                return Ok(number);
            }
            self.sleep_on(last)?;
        }
    }

    fn sleep_on(&self, last: u32) -> io::Result<()> {
        match self.sleep {
            Sleep::Futex(flags) => match futex::wait(self.word, flags, last, None) {
                Ok(()) | Err(Errno::AGAIN | Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            },
            Sleep::OneWait => {
                let words = [Watch::shared(self.word, last), Watch::shared(self.epoch, 0)];
                wait(&words, &Deadline::NEVER);
            }
        }
        Ok(())
    }
}

/// Both sleep at once, on these processors.
pub(crate) fn between_processes(
    effort: Effort,
    [here, there]: [usize; 2],
    sleep: Sleep,
) -> Outcome {
    let words = Words::new()?;
    let [request, answer] = Signal::pair(&words, sleep);
    let twin = fork(|| {
        cpu::pin(there)?;
        Ok(echo(request, answer)?)
    })?;
    cpu::pin(here)?;
    let figures = exchange(effort, request, answer)?;
    twin.join()?;
    Ok(figures)
}

/// The same between threads, on words that are shared or private.
pub(crate) fn between_threads(effort: Effort, flags: Flags) -> Outcome {
    let [here, there] = cpu::two()?;
    let words = Words::new()?;
    let [request, answer] = Signal::pair(&words, Sleep::Futex(flags));
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            cpu::pin(there)?;
            echo(request, answer)
        });
        cpu::pin(here)?;
        let figures = exchange(effort, request, answer)?;
        other.join().map_err(|_| "the other thread panicked")??;
        Ok(figures)
    })
}

/// Both have been asleep for a while when a message comes.
pub(crate) fn asleep(effort: Effort) -> Outcome {
    let [here, there] = cpu::two()?;
    let words = Words::new()?;
    let [request, answer] = Signal::pair(&words, SHARED);
    let held = words.u64(3);
    let twin = fork(|| {
        cpu::pin(there)?;
        let mut number = 0;
        while number != END {
            number = request.next(number)?;
            held.store(round_trip::hold(), Ordering::Relaxed);
            answer.raise(number)?;
        }
        Ok(())
    })?;
    cpu::pin(here)?;
    let mut number = 0;
    let figures = round_trip::asleep(effort, 1_000, || -> io::Result<u64> {
        request.raise(number + 1)?;
        number = answer.next(number)?;
        Ok(held.load(Ordering::Relaxed))
    })?;
    request.raise(END)?;
    twin.join()?;
    Ok(figures)
}

fn echo(request: Signal<'_>, answer: Signal<'_>) -> io::Result<()> {
    let mut number = 0;
    while number != END {
        number = request.next(number)?;
        answer.raise(number)?;
    }
    Ok(())
}

fn exchange(effort: Effort, request: Signal<'_>, answer: Signal<'_>) -> Outcome {
    let mut number = 0;
    let figures = round_trip::awake(effort, 10_000, || -> io::Result<()> {
        request.raise(number + 1)?;
        number = answer.next(number)?;
        Ok(())
    })?;
    request.raise(END)?;
    Ok(figures)
}
