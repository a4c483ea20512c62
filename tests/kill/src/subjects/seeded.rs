//! Toys with a bug each, beside the same toys without. Those must be found, these must pass.

use std::io;

use procession_shm::sync::atomic::{AtomicU32, Ordering, fence};
use procession_shm::{Deadline, Watch, wait, wake_all, wake_one};

use super::{ALONE, SLEEPER};
use crate::actor::{Cue, Role};
use crate::memory::{ForkShared, View};
use crate::scene::{Case, Ending, Plot, Scene};

/// What is wrong with a toy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bug {
    None,
    /// After a death the dead one's lock is opened, and nobody is woken.
    WakeOmitted,
    /// The lock is taken first and says by whom only then.
    OwnerLate,
    /// The length is published before what it counts.
    LengthEarly,
}

pub(super) fn cases() -> Vec<Case> {
    let toys: [(&str, Plot, Bug); 3] = [
        ("toy lock", SLEEPER, Bug::WakeOmitted),
        ("toy lock", ALONE, Bug::OwnerLate),
        ("toy letter", ALONE, Bug::LengthEarly),
    ];
    let seeded = toys.into_iter().map(|(name, plot, bug)| {
        Case::new(&format!("seeded: {name}, {bug:?}"), plot, move || toy(bug)).that_must_fail()
    });
    let sound = [
        Case::new("sound toy lock", SLEEPER, || toy(Bug::None)),
        Case::new("sound toy lock", ALONE, || toy(Bug::None)),
        Case::new("sound toy letter", ALONE, || Letter::build(Bug::None)),
    ];
    seeded.chain(sound).collect()
}

fn toy(bug: Bug) -> io::Result<Box<dyn Scene>> {
    if bug == Bug::LengthEarly { Letter::build(bug) } else { Toy::build(bug) }
}

/// A lock that names its owner's pid, opened by the director when the owner dies.
#[derive(Default)]
struct Words {
    /// 0 open, 1 taken by somebody unknown, else the owner's pid.
    owner: AtomicU32,
    victim: AtomicU32,
}

struct Toy {
    words: ForkShared<Words>,
    bug: Bug,
}

impl Toy {
    fn build(bug: Bug) -> io::Result<Box<dyn Scene>> {
        Ok(Box::new(Self { words: ForkShared::new(Words::default())?, bug }))
    }

    fn lock(&self, pid: u32) {
        let owner = &self.words.owner;
        let taken = if self.bug == Bug::OwnerLate { 1 } else { pid };
        while let Err(seen) = owner.compare_exchange(0, taken, Ordering::SeqCst, Ordering::SeqCst) {
            wait(&[Watch::shared(owner, seen)], &Deadline::NEVER);
        }
        owner.store(pid, Ordering::SeqCst);
    }

    fn unlock(&self) {
        self.words.owner.store(0, Ordering::SeqCst);
        wake_one(&self.words.owner, false);
    }
}

impl Scene for Toy {
    fn views(&self) -> Vec<View> {
        vec![self.words.view()]
    }

    fn in_family(&self) -> bool {
        false
    }

    fn play(&self, role: Role, cue: &Cue) -> Result<String, String> {
        let pid = std::process::id();
        // The case with a sleeper is about the unlock, the one without about the lock.
        if role != Role::Victim {
            self.lock(pid);
            self.unlock();
            return Ok(String::new());
        }
        self.words.victim.store(pid, Ordering::SeqCst);
        if self.bug == Bug::OwnerLate {
            cue.operate(|| self.lock(pid))?;
        } else {
            self.lock(pid);
            cue.operate(|| self.unlock())?;
        }
        Ok(String::new())
    }

    fn after_death(&self) {
        let dead = self.words.victim.load(Ordering::SeqCst);
        // If it fails, somebody else has the lock, or nobody.
        let _ = self.words.owner.compare_exchange(dead, 0, Ordering::SeqCst, Ordering::SeqCst);
        if self.bug != Bug::WakeOmitted {
            wake_all(&self.words.owner, false);
        }
    }

    fn judge(&self, _ending: &Ending) -> Result<(), String> {
        Ok(())
    }
}

/// One letter of four words, and how many of them have been written.
#[derive(Default)]
struct Page {
    len: AtomicU32,
    words: [AtomicU32; 4],
}

struct Letter {
    page: ForkShared<Page>,
    bug: Bug,
}

impl Letter {
    fn build(bug: Bug) -> io::Result<Box<dyn Scene>> {
        Ok(Box::new(Self { page: ForkShared::new(Page::default())?, bug }))
    }

    fn write(&self) {
        let Page { len, words } = &*self.page;
        if self.bug == Bug::LengthEarly {
            len.store(4, Ordering::SeqCst);
        }
        words.iter().for_each(|word| word.store(7, Ordering::SeqCst));
        fence(Ordering::SeqCst);
        len.store(4, Ordering::SeqCst);
    }

    fn read(&self) -> Result<String, String> {
        let Page { len, words } = &*self.page;
        let len = len.load(Ordering::SeqCst) as usize;
        let is_whole = words.iter().take(len).all(|word| word.load(Ordering::SeqCst) == 7);
        if is_whole {
            Ok(len.to_string())
        } else {
            Err("words were read that are not there".into())
        }
    }
}

impl Scene for Letter {
    fn views(&self) -> Vec<View> {
        vec![self.page.view()]
    }

    fn in_family(&self) -> bool {
        false
    }

    fn play(&self, role: Role, cue: &Cue) -> Result<String, String> {
        if role == Role::Victim {
            cue.operate(|| self.write())?;
        }
        self.read()
    }

    fn judge(&self, _ending: &Ending) -> Result<(), String> {
        Ok(())
    }
}
