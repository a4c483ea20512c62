//! What all processes of a program write down: a file that each of them maps, and that outlives them. It uses nothing of what is
//! tried here.
//!
//! * What became of each message, as bits that are only ever set, and how far each pipe has come, whose ends travel.
//! * How many have died or are about to: it is said *before* a death, so that nobody sees one that was not told.
//! * How often anybody has begun anything. When that stands still the program hangs; what a thread has begun is its name.

use std::fmt;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::ptr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::SeqCst};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// Names the file to the processes of a program.
pub(crate) const VARIABLE: &str = "PROCESSION_CHAOS_LEDGER";

const MESSAGES_MAX: usize = 1 << 20;
const PIPES_MAX: usize = 1 << 16;

/// What became of a message or a task.
#[derive(Clone, Copy)]
pub(crate) struct Fate(u8);

impl Fate {
    /// Somebody was about to send it.
    const MEANT: Self = Self(1);
    const SENT: Self = Self(2);
    const REFUSED: Self = Self(4);
    const CAME: Self = Self(8);
    /// It went into a queue that all of it comes out of in the end.
    pub(crate) const QUEUED: Self = Self(16);
    const BEGUN: Self = Self(32);
}

/// Zero everywhere is one in which nothing was written.
pub(crate) struct Ledger {
    pub(crate) progress: AtomicU64,
    pub(crate) deaths: AtomicU32,
    /// Whether one of them is the root of the program's family.
    pub(crate) is_root_dead: AtomicBool,
    pub(crate) complaints: AtomicU32,
    /// Forks and starts by actors, which are bounded.
    pub(crate) births: AtomicU32,
    /// Whether nobody dies.
    pub(crate) is_peaceful: AtomicBool,
    pub(crate) messages: AtomicU32,
    pipes: AtomicU32,
    sent: [AtomicU32; PIPES_MAX],
    fates: [AtomicU8; MESSAGES_MAX],
}

impl Ledger {
    /// Maps the file, which becomes as long as it has to be.
    pub(crate) fn open(path: &Path) -> io::Result<&'static Self> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(path)?;
        let len = size_of::<Self>();
        file.set_len(len as u64)?;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses the place, so nothing else lies there.
        let base = unsafe { mmap(ptr::null_mut(), len, access, MapFlags::SHARED, &file, 0) }?;
        // SAFETY: the mapping is as long as a ledger, begins at a page, stays until `close`, and has nothing but atomics in it, for
        // which zero and all that is ever stored is valid. Nobody makes the file shorter.
        Ok(unsafe { &*base.cast::<Self>() })
    }

    /// Unmaps it, where it is used no more.
    pub(crate) fn close(&'static self) -> io::Result<()> {
        let base = ptr::from_ref(self).cast_mut().cast();
        // SAFETY: it is one whole mapping, and who says this keeps no reference.
        Ok(unsafe { munmap(base, size_of::<Self>()) }?)
    }

    /// How many messages from `first` on went into a queue and never came out.
    pub(crate) fn lost_since(&self, first: u32) -> usize {
        let (gone, all) = (Fate::QUEUED.0 | Fate::SENT.0, self.messages.load(SeqCst));
        let fates = self.fates[first as usize..all as usize].iter();
        fates.filter(|fate| fate.load(SeqCst) & (gone | Fate::CAME.0) == gone).count()
    }

    /// The last place in a pipe of which its sender knows that the message there was sent.
    pub(crate) fn last_sent(&self, pipe: u32) -> &AtomicU32 {
        &self.sent[pipe as usize % PIPES_MAX]
    }
}

/// The one of this program.
pub(crate) fn ledger() -> &'static Ledger {
    static LEDGER: OnceLock<&Ledger> = OnceLock::new();
    LEDGER.get_or_init(|| {
        let path = std::env::var_os(VARIABLE).expect("who starts a program names its ledger");
        Ledger::open(path.as_ref()).expect("the ledger of this program is there")
    })
}

/// Tells what this thread is about to do.
pub(crate) fn doing(what: &std::ffi::CStr) {
    ledger().progress.fetch_add(1, SeqCst);
    // A name is for people; a sandbox may forbid it.
    let _unnamed = rustix::thread::set_name(what);
}

/// To be called before anybody is made to die.
pub(crate) fn a_death_comes() {
    ledger().deaths.fetch_add(1, SeqCst);
}

pub(crate) fn has_anybody_died() -> bool {
    ledger().deaths.load(SeqCst) > 0
}

/// Whether somebody may end because the dice say so.
pub(crate) fn may_die() -> bool {
    !ledger().is_peaceful.load(SeqCst)
}

pub(crate) fn new_pipe() -> u32 {
    ledger().pipes.fetch_add(1, SeqCst)
}

/// The number of a message or a task that is about to be.
pub(crate) fn new_message() -> u32 {
    let message = ledger().messages.fetch_add(1, SeqCst);
    mark(message, Fate::MEANT);
    message
}

/// What it was before.
pub(crate) fn mark(message: u32, fate: Fate) -> u8 {
    ledger().fates[message as usize].fetch_or(fate.0, SeqCst)
}

/// What sending came to.
pub(crate) fn sent_or_not(message: u32, is_sent: bool) {
    mark(message, if is_sent { Fate::SENT } else { Fate::REFUSED });
}

/// Each message comes once at most, and was sent.
pub(crate) fn came(message: u32) {
    let before = mark(message, Fate::CAME);
    if before & (Fate::MEANT.0 | Fate::REFUSED.0 | Fate::CAME.0) != Fate::MEANT.0 {
        complain(format_args!("message {message} came, and was {before:#08b} before"));
    }
}

/// A task is begun once, unless it may be tried again.
pub(crate) fn begun(task: u32, has_retries: bool) {
    if mark(task, Fate::BEGUN) & Fate::BEGUN.0 != 0 && !has_retries {
        complain(format_args!("task {task} was begun twice"));
    }
}

/// Something that must hold has not held.
pub(crate) fn complain(what: fmt::Arguments<'_>) {
    ledger().complaints.fetch_add(1, SeqCst);
    let line = format!("process {}: {what}\n", std::process::id());
    // Standard error is a file of this program; one write is not mixed with another.
    io::stderr().write_all(line.as_bytes()).expect("what is wrong can be said");
}
