//! Many tasks at once: waiting for some of them, and taking them as they are done.
//!
//! Each task that is not done has a waker that writes its number on a board, besides the one of whoever fetches its result: any
//! number of threads may wait for the same tasks. Whoever waits looks at his board and, where all tasks belong to one pool, drives
//! that pool meanwhile, so that a result need not change threads; tasks of several pools are left to the pools' own threads.

use std::collections::VecDeque;
use std::fmt;
use std::iter::FusedIterator;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use procession_shm::Deadline;

use super::Task;
use crate::core::Core;
use crate::error::TaskError;

/// What [`wait`] waits for.
///
/// ```
/// use std::time::Duration;
/// use procession_pool::Pool;
/// use procession_pool::task::{Until, wait};
///
/// let pool = Pool::with_workers(2)?;
/// let tasks = [Duration::MAX, Duration::ZERO].map(|nap| pool.submit(std::thread::sleep, nap).unwrap());
/// assert_eq!(wait(&tasks, Until::FirstCompleted, None), [1]);
/// tasks[0].cancel();
/// assert_eq!(wait(&tasks, Until::All, None), [0, 1]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Until at least one task is done, failed or cancelled.
    FirstCompleted,
    /// Until one has failed or was cancelled, or all are done.
    FirstError,
    /// Until all are done, failed or cancelled.
    All,
}

/// Waits for tasks, of any pools, and returns the indices of those that are done, in ascending order.
///
/// Blocks until what `until` says has come about or `timeout` has passed, which is no error: fewer are done then. No tasks
/// are done at once. The tasks are not changed: [`Task::get`] does not block for those that are in the answer. A result that
/// cannot be decoded counts as an error only once it is taken.
///
/// ```
/// use procession_pool::Pool;
/// use procession_pool::task::{Until, wait};
///
/// let pool = Pool::with_workers(2)?;
/// let tasks = (0..4_u64).map(|n| pool.submit(|n: u64| n * n, n)).collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(wait(&tasks, Until::All, None), [0, 1, 2, 3]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn wait<R>(
    tasks: &[Task<R>],
    until: Until,
    timeout: impl Into<Option<Duration>>,
) -> Vec<usize> {
    let deadline: Deadline = timeout.into().into();
    let (board, cores) = (Arc::new(Board::default()), cores(tasks));
    let entries = board.entries_of(tasks.len());
    let mut standings: Vec<Standing> = vec![Standing::Pending; tasks.len()];
    let mut news: VecDeque<usize> = (0..tasks.len()).collect();
    loop {
        for index in news.drain(..) {
            if standings[index] == Standing::Pending {
                standings[index] = look_at(&tasks[index], &entries[index]);
            }
        }
        if until.is_over(&standings) || deadline.is_over() {
            break;
        }
        board.sleep(&cores, &deadline);
        news.append(&mut board.written().news);
    }
    let done = standings.iter().enumerate();
    done.filter(|(_, standing)| **standing != Standing::Pending).map(|(index, _)| index).collect()
}

/// Gives each task's index and result, in the order in which the tasks are done.
///
/// [`next`](Iterator::next) blocks until the next one is done. Dropping the iterator drops the tasks that are left, which lets
/// them go on. The tasks may belong to several pools.
///
/// ```
/// use procession_pool::Pool;
/// use procession_pool::task::as_completed;
///
/// let pool = Pool::with_workers(2)?;
/// let tasks = (0..4_u64).map(|n| pool.submit(|n: u64| n * n, n)).collect::<Result<Vec<_>, _>>()?;
/// for (index, result) in as_completed(tasks) {
///     assert_eq!(result?, (index * index) as u64);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn as_completed<R: 'static>(tasks: impl IntoIterator<Item = Task<R>>) -> AsCompleted<R> {
    let tasks: Vec<Task<R>> = tasks.into_iter().collect();
    let (board, cores) = (Arc::new(Board::default()), cores(&tasks));
    board.written().news.extend(0..tasks.len());
    let entries = board.entries_of(tasks.len());
    let (left, tasks) = (tasks.len(), tasks.into_iter().map(Some).collect());
    AsCompleted { tasks, entries, left, board, cores }
}

/// Tasks as they are done. Made by [`as_completed`].
///
/// ```
/// use std::time::Duration;
/// use procession_pool::Pool;
/// use procession_pool::task::as_completed;
///
/// let pool = Pool::with_workers(2)?;
/// let naps = [Duration::MAX, Duration::ZERO].map(|nap| pool.submit(std::thread::sleep, nap).unwrap().cancel_on_drop());
/// let mut completed = as_completed(naps);
/// assert_eq!(completed.len(), 2);
/// assert!(matches!(completed.next(), Some((1, Ok(()))))); // the second one is done first
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "results are taken by iterating"]
pub struct AsCompleted<R> {
    tasks: Vec<Option<Task<R>>>,
    entries: Vec<Arc<Waker>>,
    left: usize,
    board: Arc<Board>,
    cores: Vec<Arc<Core>>,
}

impl<R: 'static> Iterator for AsCompleted<R> {
    type Item = (usize, Result<R, TaskError>);

    fn next(&mut self) -> Option<Self::Item> {
        while self.left > 0 {
            let Some(index) = self.board.next() else {
                self.board.sleep(&self.cores, &Deadline::NEVER);
                continue;
            };
            let entry = &self.entries[index];
            let is_done = |task: &mut Task<R>| look_at(task, entry) != Standing::Pending;
            if let Some(task) = self.tasks[index].take_if(is_done) {
                self.left -= 1;
                return Some((index, task.get()));
            }
        }
        None
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<R: 'static> ExactSizeIterator for AsCompleted<R> {}

impl<R: 'static> FusedIterator for AsCompleted<R> {}

impl<R> fmt::Debug for AsCompleted<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsCompleted").field("left", &self.left).finish_non_exhaustive()
    }
}

/// How a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Pending,
    Done,
    Failed,
}

impl Until {
    fn is_over(self, standings: &[Standing]) -> bool {
        let all = !standings.contains(&Standing::Pending);
        all || match self {
            Self::All => false,
            Self::FirstCompleted => standings.iter().any(|standing| *standing != Standing::Pending),
            Self::FirstError => standings.contains(&Standing::Failed),
        }
    }
}

/// The pools of these tasks.
fn cores<R>(tasks: &[Task<R>]) -> Vec<Arc<Core>> {
    let mut cores: Vec<Arc<Core>> = Vec::new();
    for task in tasks {
        if !cores.iter().any(|core| Arc::ptr_eq(core, task.core())) {
            cores.push(Arc::clone(task.core()));
        }
    }
    cores
}

/// How the task stands. If it is pending, its entry is written on the board when something arrives for it.
fn look_at<R>(task: &Task<R>, entry: &Arc<Waker>) -> Standing {
    if !task.core().is_ours() {
        return Standing::Failed;
    }
    task.core().with(|state| match task.standing(state) {
        (_, true) => Standing::Failed,
        (true, _) => Standing::Done,
        (false, false) => {
            state.watch_call(task.canceller.call, entry);
            Standing::Pending
        }
    })
}

/// Which tasks there is news of.
#[derive(Debug, Default)]
struct Board {
    written: Mutex<Written>,
}

#[derive(Debug, Default)]
struct Written {
    news: VecDeque<usize>,
    sleeper: Option<Thread>,
}

impl Board {
    fn written(&self) -> MutexGuard<'_, Written> {
        // Nothing panics while it is locked.
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The entries of so many tasks. Who is told of the news of a task does not count any more once its entry is dropped.
    fn entries_of(self: &Arc<Self>, tasks: usize) -> Vec<Arc<Waker>> {
        let entry = |index| Waker::from(Arc::new(Entry { board: Arc::clone(self), index }));
        (0..tasks).map(entry).map(Arc::new).collect()
    }

    fn next(&self) -> Option<usize> {
        self.written().news.pop_front()
    }

    fn has_news(&self) -> bool {
        !self.written().news.is_empty()
    }

    /// Waits for news, or for no good reason at all.
    fn sleep(&self, cores: &[Arc<Core>], deadline: &Deadline) {
        self.written().sleeper = Some(thread::current());
        if let [core] = cores {
            core.wait_until(None, deadline, |_| self.has_news().then_some(()));
            return;
        }
        cores.iter().for_each(|core| core.rouse_background());
        if !self.has_news() {
            match deadline.remaining() {
                Some(left) => thread::park_timeout(left),
                None => thread::park(),
            }
        }
    }
}

/// A task's place on the board.
struct Entry {
    board: Arc<Board>,
    index: usize,
}

impl Wake for Entry {
    fn wake(self: Arc<Self>) {
        let mut written = self.board.written();
        written.news.push_back(self.index);
        if let Some(sleeper) = &written.sleeper {
            sleeper.unpark();
        }
    }
}
