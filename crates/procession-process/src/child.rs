//! A started process, seen from its parent.

use std::fmt;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::ending::Ending;
use crate::exit::Exit;
use crate::exit_cell::ExitCell;
use crate::grip::{Grip, ends_within, no_such_signal};
use crate::offices::Offices;
use crate::reaper::Watched;
use crate::usage::{self, Ended, Usage};
use crate::zygote::Line;
use procession_shm::{KeptWord, Spin, Waitable, Watch, fork};

/// A started process.
///
/// Dropping it neither ends the process nor waits for it: the process is reaped when it ends, in
/// any case. All methods may be called from any thread at any time, any number of times.
///
/// After a fork(2) of this process the copy in the forked process belongs to nobody's parent: it
/// can tell that the process has ended but not how ([`Exit::Unknown`]), and signals are refused. Where pidfds are forbidden it looks
/// into `/proc` for that, again and again while it waits, at the latest every 100 ms; without `/proc` a process has not ended
/// before it was reaped and its number is free.
///
/// ```
/// use procession_process::{Child, Exit, Launcher};
///
/// let child: Child = Launcher::new(|_| std::thread::sleep(std::time::Duration::MAX)).launch()?;
/// assert!(child.is_alive());
/// child.kill()?;
/// assert_eq!(child.wait(), Exit::Signal(9));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Child {
    record: Arc<Record>,
}

/// What the handle and the reaper share.
pub(crate) struct Record {
    pid: u32,
    /// The fork generation whose reaper watches the process.
    generation: u64,
    grip: Grip,
    /// By which the reaper knows it; 0 if it never did.
    key: u64,
    /// Of a process that a zygote has forked.
    origin: Option<Origin>,
    exit: ExitCell,
    /// Set before `exit` if it is known.
    usage: OnceLock<Usage>,
    /// What is due at the end. Whoever finds out that the process has ended takes it, and has the lock until `exit` is set: the
    /// reaper, or a thread that waits for the process and need not be woken by the reaper then.
    ending: Mutex<Ending>,
    /// Whom to wake once `exit` is set. It is looked at with the lock held, and the lock is taken after it was set, so that
    /// either the poll sees the exit or `finish` the waker.
    waker: Mutex<Option<Waker>>,
}

/// By what its zygote knows a process.
pub(crate) struct Origin {
    pub(crate) line: Weak<Line>,
    pub(crate) id: u64,
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child").field("pid", &self.pid()).field("exit", &self.exit()).finish()
    }
}

impl Child {
    pub(crate) fn new(record: Arc<Record>) -> Self {
        Self { record }
    }

    /// The process id. Once the process has ended it may belong to another one.
    ///
    /// ```
    /// use procession_process::Launcher;
    ///
    /// let child = Launcher::new(|_| std::thread::sleep(std::time::Duration::MAX)).launch()?;
    /// assert!(std::fs::exists(format!("/proc/{}", child.pid()))?);
    /// child.kill()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.record.pid
    }

    /// Whether it is a thread of this process ([`StartMethod::Inline`](crate::StartMethod::Inline)), which cannot be killed.
    ///
    /// ```
    /// use procession_process::{Launcher, StartMethod};
    ///
    /// assert!(Launcher::new(|_| ()).start_method(StartMethod::Inline).launch()?.is_inline());
    /// assert!(!Launcher::new(|_| ()).launch()?.is_inline());
    /// # Ok::<(), procession_process::SpawnError>(())
    /// ```
    #[must_use]
    pub fn is_inline(&self) -> bool {
        matches!(self.record.grip, Grip::Thread)
    }

    /// How the process ended, `None` if it runs or its end has not been noticed yet. Does not
    /// block.
    ///
    /// ```
    /// use procession_process::{Exit, Launcher};
    ///
    /// let child = Launcher::new(|_| std::process::exit(3)).launch()?;
    /// child.wait();
    /// assert_eq!(child.exit(), Some(Exit::Code(3)));
    /// # Ok::<(), procession_process::SpawnError>(())
    /// ```
    #[must_use]
    pub fn exit(&self) -> Option<Exit> {
        self.record.exit.get()
    }

    /// What the process has used of the machine, once its end has been noticed. `None` before that, and where only its
    /// parent knows, which may be a zygote or a host program that reaps all children. Does not block.
    ///
    /// ```
    /// use procession_process::Launcher;
    ///
    /// let child = Launcher::new(|_| drop(std::hint::black_box(vec![1_u8; 32 << 20]))).launch()?;
    /// child.wait();
    /// let usage = child.usage().unwrap();
    /// assert!(usage.peak_memory_bytes > 32 << 20, "{usage:?}");
    /// # Ok::<(), procession_process::SpawnError>(())
    /// ```
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        self.record.usage.get().copied()
    }

    /// What the process has used of the machine so far: as the kernel shows it while it lives, with times in steps of some
    /// milliseconds, and [`usage`](Self::usage) once its end has been noticed. `None` where neither is known: without `/proc`, of a
    /// thread of this process, or between its end and the notice of it. Reads three files, and does not block otherwise.
    ///
    /// ```
    /// use procession_process::Launcher;
    ///
    /// let child = Launcher::new(|_| std::thread::sleep(std::time::Duration::MAX)).launch()?;
    /// let usage = child.usage_so_far().unwrap();
    /// assert!(child.usage().is_none() && usage.peak_memory_bytes > 0, "{usage:?}");
    /// child.kill()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn usage_so_far(&self) -> Option<Usage> {
        self.usage().or_else(|| {
            let number = self.record.grip.number_in_proc()?;
            // The number was its own as long as it had not been reaped.
            usage::so_far(number).filter(|_| self.is_alive())
        })
    }

    /// How much memory the process has in use right now (resident), in bytes. `None` where `/proc` does not say, and of a thread of this
    /// process. Reads two files, and does not block otherwise.
    ///
    /// ```
    /// use procession_process::Launcher;
    ///
    /// let child = Launcher::new(|_| std::thread::sleep(std::time::Duration::MAX)).launch()?;
    /// assert!(child.memory_bytes().is_some_and(|bytes| bytes > 0));
    /// child.kill()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn memory_bytes(&self) -> Option<u64> {
        let number = self.record.grip.number_in_proc()?;
        usage::memory_bytes(number).filter(|_| self.is_alive())
    }

    /// Whether the process still runs. Does not block.
    ///
    /// This asks the kernel, so that `false` may come a moment before [`exit`](Self::exit) tells
    /// more.
    ///
    /// ```
    /// use procession_process::Launcher;
    ///
    /// let child = Launcher::new(|_| ()).launch()?;
    /// child.wait();
    /// assert!(!child.is_alive());
    /// # Ok::<(), procession_process::SpawnError>(())
    /// ```
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.exit().is_none() && !self.has_ended(Some(Duration::ZERO))
    }

    /// Blocks until the process has ended and its `on_exit` was called, which this thread may do.
    ///
    /// ```
    /// use procession_process::{Exit, Launcher};
    ///
    /// let child = Launcher::new(|_| std::process::abort()).launch()?;
    /// assert_eq!(child.wait(), Exit::Signal(6));
    /// # Ok::<(), procession_process::SpawnError>(())
    /// ```
    pub fn wait(&self) -> Exit {
        // Without a deadline there is no way to leave but with an answer.
        self.wait_until(None).unwrap_or(Exit::Unknown)
    }

    /// Blocks like [`wait`](Self::wait), but no longer than `timeout`; `None` if it passed.
    ///
    /// ```
    /// use std::time::Duration;
    /// use procession_process::Launcher;
    ///
    /// let child = Launcher::new(|_| std::thread::sleep(Duration::MAX)).launch()?;
    /// assert_eq!(child.wait_timeout(Duration::from_millis(10)), None);
    /// child.kill()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn wait_timeout(&self, timeout: Duration) -> Option<Exit> {
        // A deadline beyond the reach of the clock is none.
        self.wait_until(Instant::now().checked_add(timeout))
    }

    /// Kills the process by SIGKILL. A process that has ended is left alone, which is no error.
    ///
    /// # Errors
    ///
    /// As for [`signal`](Self::signal).
    ///
    /// ```
    /// use procession_process::{Exit, Launcher};
    ///
    /// let child = Launcher::new(|_| loop {}).launch()?;
    /// child.kill()?;
    /// assert_eq!(child.wait(), Exit::Signal(9));
    /// child.kill()?;                                        // it has ended, and nobody else is hit
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn kill(&self) -> io::Result<()> {
        self.signal(libc::SIGKILL)
    }

    /// Sends a signal. A process that has ended gets none, which is no error.
    ///
    /// # Errors
    ///
    /// - `InvalidInput`: no such signal
    /// - `PermissionDenied`: the process has changed its user, or this process was forked from the
    ///   one that started it
    /// - `Unsupported`: it is a thread of this process, see [`StartMethod::Inline`](crate::StartMethod::Inline)
    ///
    /// ```
    /// use procession_process::{Exit, Launcher};
    ///
    /// let child = Launcher::new(|_| std::thread::sleep(std::time::Duration::MAX)).launch()?;
    /// child.signal(libc::SIGUSR1)?;
    /// assert_eq!(child.wait(), Exit::Signal(libc::SIGUSR1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        if !self.is_ours() {
            let why = "this process was forked from the one that started the child and has no \
                       say over it; signal it from there";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
        }
        match self.record.grip.signal(signal) {
            Err(Errno::SRCH) => Ok(()),
            Err(Errno::INVAL) => Err(no_such_signal(signal)),
            Err(Errno::OPNOTSUPP) if self.exit().is_some() => Ok(()),
            Err(Errno::OPNOTSUPP) => {
                let why = "it runs inline, as a thread of this process, which can be neither killed nor \
                           signalled; choose another start method";
                Err(io::Error::new(io::ErrorKind::Unsupported, why))
            }
            sent => Ok(sent?),
        }
    }

    fn is_ours(&self) -> bool {
        fork::is_current(self.record.generation)
    }

    /// A descriptor that is readable once the process has ended.
    pub(crate) fn end_notice(&self) -> Option<BorrowedFd<'_>> {
        self.record.grip.end_notice()
    }

    fn wait_until(&self, deadline: Option<Instant>) -> Option<Exit> {
        if self.is_ours() {
            return self.record.wait_until(deadline);
        }
        // No thread of this process will ever fill the cell; the kernel still tells the end.
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let ended = self.exit().is_some() || self.has_ended(left);
        ended.then(|| self.exit().unwrap_or(Exit::Unknown))
    }

    /// Asks the kernel; blocks until the process has ended or `timeout` has passed.
    fn has_ended(&self, timeout: Option<Duration>) -> bool {
        // A thread of this process tells its end by itself, and a forked process does not have it.
        self.record.grip.ends_within(timeout).unwrap_or_else(|| !self.is_ours())
    }

    /// How the process ended; if it has not, `context`'s waker is called when it has. Only the last waker is kept.
    pub(crate) fn poll_exit(&self, context: &Context<'_>) -> Poll<Exit> {
        let mut waker = self.record.waker();
        match self.exit() {
            Some(exit) => Poll::Ready(exit),
            None => {
                *waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// Ready when [`wait`](Child::wait) goes on at once. Woken by the thread that reaps. In a process that was forked from the
/// child's parent nobody wakes: it is asked now and then, at the latest every 10 s.
impl Waitable for Child {
    fn is_ready(&self) -> bool {
        self.exit().is_some() || (!self.is_ours() && self.has_ended(Some(Duration::ZERO)))
    }

    fn watch<'a>(&'a self, watches: &mut Vec<Watch<'a>>) {
        let (_, running) = self.record.exit.word();
        let word = KeptWord::new(Arc::clone(&self.record), |record| record.exit.word().0);
        watches.push(Watch::private_kept(word, running));
    }

    /// Whoever sets the exit wakes all, and nobody is told of a sleeper.
    fn unwatch(&self) {}
}

impl Record {
    pub(crate) fn new(pid: u32, generation: u64, grip: Grip, ending: Ending) -> Self {
        Self {
            pid,
            generation,
            grip,
            key: 0,
            origin: None,
            exit: ExitCell::new(),
            usage: OnceLock::new(),
            ending: Mutex::new(ending),
            waker: Mutex::default(),
        }
    }

    pub(crate) fn grip(&self) -> &Grip {
        &self.grip
    }

    /// Of a child that the reaper knows by this key.
    pub(crate) fn of_reaper(self, key: u64) -> Self {
        Self { key, ..self }
    }

    /// The number that it has there; 0 if it has none.
    pub(crate) fn key(&self) -> u64 {
        self.key
    }

    /// Of a process that a zygote has forked, and knows by this number.
    pub(crate) fn of_zygote(self, line: &Arc<Line>, id: u64) -> Self {
        Self { origin: Some(Origin { line: Arc::downgrade(line), id }), ..self }
    }

    /// Blocks until it is known how the process ended; `None` if the deadline passed before.
    fn wait_until(&self, deadline: Option<Instant>) -> Option<Exit> {
        if deadline.is_none()
            && let Some(watched) = self.take_from_reaper()
        {
            watched.see_out();
        }
        if let Some(notice) = self.grip.end_notice().filter(|_| self.exit.get().is_none()) {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if ends_within(notice, left) {
                self.find_out();
            }
        }
        self.exit.wait(deadline)
    }

    /// Whoever waits without a deadline reaps the process, and the reaper need not be woken. One with a deadline would have to give
    /// it back, which takes memory that may not be there.
    fn take_from_reaper(&self) -> Option<Watched> {
        if self.exit.get().is_some() {
            return None;
        }
        Offices::existing()?.reaper().ok()?.leave(self.key)
    }

    /// The process has ended. Finds out how, if that can be done here and now; else the reaper will tell.
    fn find_out(&self) {
        match &self.origin {
            Some(origin) if !matches!(self.grip, Grip::Left(_)) => {
                // The zygote was woken by the same end.
                let told = |line: Arc<Line>| Spin::for_parties(2).until(|| self.is_told_by(&line));
                origin.line.upgrade().map(told);
            }
            _ => drop(self.reap()),
        }
    }

    fn is_told_by(&self, line: &Line) -> bool {
        if self.exit.get().is_none() && line.has_news() {
            line.hear();
        }
        self.exit.get().is_some()
    }

    /// Reaps the process if it has ended and can be reaped, and tells all whom its end concerns. Whether it is known how it ended.
    /// Does not block, but for the moment in which the kernel reaps a process that is left to it.
    pub(crate) fn reap(&self) -> bool {
        let ending = self.ending();
        if self.exit.get().is_some() {
            return true;
        }
        let unknown = || self.is_orphan().then_some(Ended { exit: Exit::Unknown, usage: None });
        let Some(Ended { exit, usage }) = self.grip.reap().or_else(unknown) else { return false };
        if let Some(usage) = usage {
            self.usage.get_or_init(|| usage);
        }
        self.tell(exit, ending);
        true
    }

    /// Whether the process has ended, and has a parent by now who may never reap it: its zygote was the one whose children the
    /// kernel reaps.
    fn is_orphan(&self) -> bool {
        let zygote_is_over =
            |origin: &Origin| origin.line.upgrade().is_none_or(|line| line.is_over());
        matches!(self.grip, Grip::Left(_))
            && self.origin.as_ref().is_some_and(zygote_is_over)
            && self.grip.ends_within(Some(Duration::ZERO)) == Some(true)
    }

    /// The process ended like this; tells all whom it concerns.
    pub(crate) fn finish(&self, exit: Exit) {
        self.tell(exit, self.ending());
    }

    fn tell(&self, exit: Exit, mut ending: MutexGuard<'_, Ending>) {
        self.exit.set(ending.comes(exit));
        drop(ending);
        if let Some(Origin { line, id }) = &self.origin
            && let Some(line) = line.upgrade()
        {
            line.forget(*id);
        }
        let waker = self.waker().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn ending(&self) -> MutexGuard<'_, Ending> {
        // What could panic while the lock is held ends the process.
        self.ending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn waker(&self) -> MutexGuard<'_, Option<Waker>> {
        // A waker whose clone or drop panics leaves nothing half done.
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
