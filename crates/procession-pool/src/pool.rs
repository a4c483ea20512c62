//! The pool's handle: its verbs without options, and its end.

use std::any::{TypeId, type_name};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use procession_channel::{IntoArg, Message};
use procession_process::Outcome;
use procession_shm::Deadline;
use procession_shm::fork::PerProcess;

use crate::builder::PoolBuilder;
use crate::core::Core;
use crate::error::{PoolError, SubmitError, TaskError};
use crate::imap::Imap;
use crate::insights::Insights;
use crate::job::Job;
use crate::run::IntoPair;
use crate::task::{self, Task};

/// Worker processes that run functions of this program.
///
/// A worker's death costs the one item it was on, and nothing else: the item fails with signal, pid and index
/// ([`TaskError::Died`]) or is tried again ([`Job::retries`]), the worker is replaced, every other item runs exactly once.
///
/// Any thread may use a pool at any time, also a task, of a pool of its own. Functions are `fn` items, or closures that
/// capture nothing; arguments and results are everything that serde can serialize. All tasks of a worker run on one thread of
/// it, one after the other, so a `static LazyLock` or a `thread_local!` in the task's module is one per worker.
///
/// # Handles
///
/// Arguments, contexts and results may hold handles at any depth: ends of pipes, files and sockets
/// ([`Fd`](procession_channel::Fd)), [`SharedSlice`](procession_shm::SharedSlice)s whose pages all workers read without a copy,
/// [`SharedBuf`](procession_shm::SharedBuf)s, and [`Shared`](procession_shm::Shared) values with locks in them.
///
/// - A worker is not trusted with anything that it was not given. A `Shared` that comes from it is a [`TaskError::Untrusted`],
///   and a buffer is copied unless it can be frozen, unless the pool is [`trusting`](PoolBuilder::trusting).
/// - This process keeps a duplicate of a descriptor until the item that it is in has an outcome, so that the item can be given
///   to another worker or tried again.
/// - A handle that can have only one owner (an end of a pipe, a `SharedBuf`) is moved: it is lost with the worker that has begun
///   its item, so such an item is never tried again, whatever [`Job::retries`] says, and a context cannot hold one. An item that
///   its worker has not begun when it dies goes to another one with all its handles.
/// - Items with handles travel one by one, each to a worker that has nothing else to do, with at most 253 descriptors each.
///
/// # Tracing
///
/// With the feature `tracing`, spans and events of the thread that runs a worker's items are told in this process: under the span
/// that was current where the call was made (`map`, `imap`, `submit`...), to the subscriber that was current there, with their own
/// names, targets, levels and fields. What initializers and exit hooks say belongs to where the pool was made. Other threads of
/// the worker, and a subscriber that a worker sets for itself, are not concerned.
///
/// - Only what somebody in this process wants is sent: a worker learns the most verbose level
///   ([`LevelFilter::current`](https://docs.rs/tracing/latest/tracing/level_filters/struct.LevelFilter.html)) with each chunk that it is given.
/// - It is told by whoever drives the pool, a moment after it was said; as results, not while nobody waits for anything. Only what
///   happened is passed on, and not how long spans were entered.
/// - What was sent is told although the worker died. A worker that says more than 10,000 things in a second, or more than anybody
///   listens to, drops the rest, and a warning says how much that was.
/// - Values of fields are booleans, numbers and texts of up to 4 KiB.
///
/// # Forks and the end
///
/// In a process that was forked from the one that made the pool, its verbs are [`PoolError::Forked`] and dropping it does
/// nothing. [`global`](Self::global) is another one there.
///
/// Dropping a pool waits for all that was submitted and then lets the workers go; while panicking, it kills them instead. When
/// this process dies, however it dies, its workers die with it.
///
/// ```
/// use procession_pool::Pool;
///
/// fn square(n: u64) -> u64 { n * n }
///
/// let pool = Pool::new()?; // one worker process per core
/// assert_eq!(pool.map(square, 0..5)?, [0, 1, 4, 9, 16]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Pool {
    core: Arc<Core>,
}

impl Pool {
    /// A pool with one worker for each core that this process may use (affinity and cgroup quota are respected).
    ///
    /// # Errors
    ///
    /// [`PoolError::Spawn`] and [`PoolError::Memory`] when a worker cannot be started. None is left behind then.
    ///
    /// ```
    /// use procession_pool::Pool;
    ///
    /// let pool = Pool::new()?;
    /// assert_eq!(pool.workers(), procession_process::cpu_count());
    /// # Ok::<(), procession_pool::PoolError>(())
    /// ```
    pub fn new() -> Result<Self, PoolError> {
        Self::builder().build()
    }

    /// A pool with this many workers.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), and [`PoolError::NoWorkers`] for 0.
    ///
    /// ```
    /// use procession_pool::{Pool, PoolError};
    ///
    /// assert_eq!(Pool::with_workers(2)?.workers(), 2);
    /// assert!(matches!(Pool::with_workers(0), Err(PoolError::NoWorkers)));
    /// # Ok::<(), PoolError>(())
    /// ```
    pub fn with_workers(workers: usize) -> Result<Self, PoolError> {
        Self::builder().workers(workers).build()
    }

    /// A pool with options.
    ///
    /// ```
    /// let pool = procession_pool::Pool::builder().workers(2).retries(1).build()?;
    /// assert_eq!(pool.map(|n: u64| n + 1, [1, 2])?, [2, 3]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn builder() -> PoolBuilder {
        PoolBuilder::new()
    }

    /// The pool that all libraries of this program share, with one worker per core, made at the first call.
    ///
    /// It belongs to the process that made it: in one that was forked from that the first call makes another.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new). A pool that could not be made is tried again at the next call.
    ///
    /// ```
    /// use procession_pool::Pool;
    ///
    /// assert_eq!(Pool::global()?.map(|n: u64| n * n, 0..4)?, [0, 1, 4, 9]);
    /// assert!(std::ptr::eq(Pool::global()?, Pool::global()?));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn global() -> Result<&'static Self, PoolError> {
        static GLOBAL: PerProcess<Pool> = PerProcess::new();
        if let Some(pool) = GLOBAL.get() {
            return Ok(pool);
        }
        let pool = Self::new()?;
        // Whoever was slower drops a pool that nobody has used.
        let made = GLOBAL.get_or_try_init(|| Ok(pool));
        made.map_err(|error| PoolError::Thread(Arc::new(error)))
    }

    pub(crate) fn start(core: Arc<Core>) -> Self {
        Self { core }
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// A call with options: `pool.job().timeout(t).retries(2).map(f, items)`.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let pool = procession_pool::Pool::with_workers(2)?;
    /// let job = pool.job().timeout(Duration::from_secs(60)).retries(2);
    /// assert_eq!(job.map(|n: u64| n + 1, [1, 2])?, [2, 3]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn job(&self) -> Job<'_> {
        Job::new(self)
    }

    /// How many workers the pool has. One that died counts: its place is filled at once. Does not block.
    ///
    /// ```
    /// let pool = procession_pool::Pool::with_workers(2)?;
    /// assert!(pool.apply(|_: ()| -> () { std::process::abort() }, ()).is_err());
    /// assert_eq!(pool.workers(), 2);                        // it was replaced
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn workers(&self) -> usize {
        self.core.workers
    }

    /// The process ids of the workers that live right now, in no particular order.
    ///
    /// ```
    /// let pool = procession_pool::Pool::with_workers(1)?;
    /// let pid = pool.apply(|_: ()| std::process::id(), ())?;
    /// assert_eq!(pool.worker_pids(), [pid]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn worker_pids(&self) -> Vec<u32> {
        if !self.core.is_ours() {
            return Vec::new();
        }
        self.core.poll();
        self.core.with(|state| {
            let lanes = state.lanes.iter().flatten();
            lanes.filter(|lane| lane.is_available()).map(|lane| lane.child.pid()).collect()
        })
    }

    /// Applies `function` to all items on the workers and returns the results in the order of the input.
    ///
    /// Blocks until all are there. Input is pulled as results arrive. For results one by one, or to go on after an item has
    /// failed, use [`imap`](Self::imap), which is as fast.
    ///
    /// # Errors
    ///
    /// The error of the first item, in order, that failed. Items that no worker has begun by then are not run; those that run
    /// are not waited for and their results are discarded.
    ///
    /// ```
    /// use procession_pool::{Pool, TaskError};
    ///
    /// fn half(n: u32) -> Result<u32, procession_process::Failure> {
    ///     if n % 2 == 0 { Ok(n / 2) } else { Err("it is odd".into()) }
    /// }
    ///
    /// let pool = Pool::with_workers(2)?;
    /// assert_eq!(pool.map(half, [2, 4])?, [1, 2]);
    /// assert!(matches!(pool.map(half, [2, 3, 4]), Err(TaskError::Failed { item: 1, .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "par_iter")]
    #[doc(alias = "parallel_map")]
    pub fn map<T, R, I, K>(&self, function: fn(T) -> R, items: I) -> Result<Vec<R::Ok>, TaskError>
    where
        I: IntoIterator,
        I::Item: IntoArg<T>,
        T: Message,
        R: Outcome<K>,
        K: 'static,
    {
        self.job().map(function, items)
    }

    /// As [`map`](Self::map), for a function of two arguments and pairs of them.
    ///
    /// # Errors
    ///
    /// As [`map`](Self::map).
    ///
    /// ```
    /// let pool = procession_pool::Pool::with_workers(2)?;
    /// assert_eq!(pool.starmap(u64::pow, [(2, 3), (3, 2), (10, 0)])?, [8, 9, 1]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn starmap<A, B, R, I, K>(
        &self,
        function: fn(A, B) -> R,
        items: I,
    ) -> Result<Vec<R::Ok>, TaskError>
    where
        I: IntoIterator,
        I::Item: IntoPair<A, B>,
        A: Message,
        B: Message,
        R: Outcome<K>,
        K: 'static,
    {
        self.job().starmap(function, items)
    }

    /// As [`map`](Self::map), for a function of a context, which all items share, and an item. (rayon's method of the same name
    /// gives each thread a context of its own; this one is shared and read only.)
    ///
    /// The context is encoded once, and decoded once by each worker.
    ///
    /// # Errors
    ///
    /// As [`map`](Self::map).
    ///
    /// ```
    /// let pool = procession_pool::Pool::with_workers(2)?;
    /// let words = vec!["zero".to_owned(), "one".to_owned(), "two".to_owned()];
    /// assert_eq!(pool.map_with(&words, |words, n: usize| words[n].len(), [2, 0])?, [3, 4]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn map_with<C, T, R, I, K>(
        &self,
        context: &C,
        function: fn(&C, T) -> R,
        items: I,
    ) -> Result<Vec<R::Ok>, TaskError>
    where
        I: IntoIterator,
        I::Item: IntoArg<T>,
        C: Message,
        T: Message,
        R: Outcome<K>,
        K: 'static,
    {
        self.job().map_with(context, function, items)
    }

    /// Applies `function` to all items on the workers, in any order, for what it does.
    ///
    /// # Errors
    ///
    /// The error of the first item, in time, that failed; otherwise as [`map`](Self::map).
    ///
    /// ```
    /// let pool = procession_pool::Pool::with_workers(2)?;
    /// pool.for_each(|n: u64| assert!(n < 3), 0..3)?;
    /// assert_eq!(pool.for_each(|n: u64| assert!(n < 2), 0..3).unwrap_err().item(), Some(2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn for_each<T, R, I, K>(&self, function: fn(T) -> R, items: I) -> Result<(), TaskError>
    where
        I: IntoIterator,
        I::Item: IntoArg<T>,
        T: Message,
        R: Outcome<K>,
        K: 'static,
    {
        self.job().for_each(function, items)
    }

    /// Results one by one, in the order of the input. See [`Imap`], which says what blocks.
    ///
    /// ```
    /// let pool = procession_pool::Pool::with_workers(2)?;
    /// let mut squares = pool.imap(|n: u64| n * n, 1..); // the input has no end
    /// assert_eq!(squares.next().unwrap()?, 1);
    /// assert_eq!(squares.next().unwrap()?, 4);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn imap<T, R, I, K>(&self, function: fn(T) -> R, items: I) -> Imap<'_, I::IntoIter, R::Ok>
    where
        I: IntoIterator,
        I::Item: IntoArg<T>,
        T: Message,
        R: Outcome<K>,
        K: 'static,
    {
        self.job().imap(function, items)
    }

    /// Results one by one, as they arrive. See [`Imap`]. A result does not say of which item it is: have the function return that,
    /// too, where it matters.
    ///
    /// ```
    /// let pool = procession_pool::Pool::with_workers(2)?;
    /// let sum: u64 = pool.imap_unordered(|n: u64| n * n, 0..4).sum::<Result<_, _>>()?;
    /// assert_eq!(sum, 14);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn imap_unordered<T, R, I, K>(
        &self,
        function: fn(T) -> R,
        items: I,
    ) -> Imap<'_, I::IntoIter, R::Ok>
    where
        I: IntoIterator,
        I::Item: IntoArg<T>,
        T: Message,
        R: Outcome<K>,
        K: 'static,
    {
        self.job().imap_unordered(function, items)
    }

    /// As [`imap`](Self::imap), for a function of two arguments and pairs of them.
    ///
    /// ```
    /// let pool = procession_pool::Pool::with_workers(2)?;
    /// let mut powers = pool.istarmap(u64::pow, (1..).map(|n| (n, 2))); // the input has no end
    /// assert_eq!(powers.next().unwrap()?, 1);
    /// assert_eq!(powers.next().unwrap()?, 4);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn istarmap<A, B, R, I, K>(
        &self,
        function: fn(A, B) -> R,
        items: I,
    ) -> Imap<'_, I::IntoIter, R::Ok>
    where
        I: IntoIterator,
        I::Item: IntoPair<A, B>,
        A: Message,
        B: Message,
        R: Outcome<K>,
        K: 'static,
    {
        self.job().istarmap(function, items)
    }

    /// As [`imap_unordered`](Self::imap_unordered), for a function of two arguments and pairs of them.
    ///
    /// ```
    /// let pool = procession_pool::Pool::with_workers(2)?;
    /// let powers = pool.istarmap_unordered(u64::pow, [(2, 3), (3, 2), (10, 0)]);
    /// assert_eq!(powers.sum::<Result<u64, _>>()?, 18);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn istarmap_unordered<A, B, R, I, K>(
        &self,
        function: fn(A, B) -> R,
        items: I,
    ) -> Imap<'_, I::IntoIter, R::Ok>
    where
        I: IntoIterator,
        I::Item: IntoPair<A, B>,
        A: Message,
        B: Message,
        R: Outcome<K>,
        K: 'static,
    {
        self.job().istarmap_unordered(function, items)
    }

    /// As [`map_with`](Self::map_with), results one by one in the order of the input.
    ///
    /// ```
    /// let pool = procession_pool::Pool::with_workers(2)?;
    /// let mut scaled = pool.imap_with(&10, |factor: &u64, n| factor * n, 1..);
    /// assert_eq!(scaled.next().unwrap()?, 10);
    /// assert_eq!(scaled.next().unwrap()?, 20);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn imap_with<C, T, R, I, K>(
        &self,
        context: &C,
        function: fn(&C, T) -> R,
        items: I,
    ) -> Imap<'_, I::IntoIter, R::Ok>
    where
        I: IntoIterator,
        I::Item: IntoArg<T>,
        C: Message,
        T: Message,
        R: Outcome<K>,
        K: 'static,
    {
        self.job().imap_with(context, function, items)
    }

    /// As [`map_with`](Self::map_with), results one by one as they arrive.
    ///
    /// ```
    /// let pool = procession_pool::Pool::with_workers(2)?;
    /// let scaled = pool.imap_unordered_with(&10, |factor: &u64, n| factor * n, 1..4);
    /// assert_eq!(scaled.sum::<Result<u64, _>>()?, 60);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn imap_unordered_with<C, T, R, I, K>(
        &self,
        context: &C,
        function: fn(&C, T) -> R,
        items: I,
    ) -> Imap<'_, I::IntoIter, R::Ok>
    where
        I: IntoIterator,
        I::Item: IntoArg<T>,
        C: Message,
        T: Message,
        R: Outcome<K>,
        K: 'static,
    {
        self.job().imap_unordered_with(context, function, items)
    }

    /// Runs one task and blocks until its result is there: [`submit`](Self::submit) and [`get`](Task::get).
    ///
    /// # Errors
    ///
    /// What went wrong with the task, which is item 0.
    ///
    /// ```
    /// use procession_pool::{Pool, TaskError};
    ///
    /// let pool = Pool::with_workers(1)?;
    /// assert_eq!(pool.apply(|name: String| name.len(), "Ada")?, 3);
    /// let crashed = pool.apply(|_: ()| -> () { std::process::abort() }, ());
    /// assert!(matches!(crashed, Err(TaskError::Died { item: 0, .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn apply<T, R, X, K>(&self, function: fn(T) -> R, argument: X) -> Result<R::Ok, TaskError>
    where
        X: IntoArg<T>,
        T: Message,
        R: Outcome<K>,
        K: 'static,
    {
        self.job().apply(function, argument)
    }

    /// Hands one task to the pool. Never blocks: what no worker can take yet waits.
    ///
    /// # Errors
    ///
    /// [`SubmitError::Encode`] when the argument cannot be encoded, [`SubmitError::Full`] when a
    /// [`backlog`](PoolBuilder::backlog) was set and is full, [`SubmitError::Closed`], [`SubmitError::Broken`].
    ///
    /// ```
    /// let pool = procession_pool::Pool::with_workers(2)?;
    /// let task = pool.submit(|name: String| name.len(), "Ada")?; // a reference stands for a clone
    /// assert_eq!(task.get()?, 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "apply_async")]
    pub fn submit<T, R, X, K>(
        &self,
        function: fn(T) -> R,
        argument: X,
    ) -> Result<Task<R::Ok>, SubmitError>
    where
        X: IntoArg<T>,
        T: Message,
        R: Outcome<K>,
        K: 'static,
    {
        self.job().submit(function, argument)
    }

    /// Hands all items to the pool at once, as one task whose result is a vector in the order of the input.
    ///
    /// It pulls all of `items` and does not block otherwise. The first error, in order, of those that are known wins.
    ///
    /// # Errors
    ///
    /// As [`submit`](Self::submit).
    ///
    /// ```
    /// let pool = procession_pool::Pool::with_workers(2)?;
    /// let squares = pool.map_async(|n: u64| n * n, 0..4)?;
    /// assert_eq!(squares.get()?, [0, 1, 4, 9]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn map_async<T, R, I, K>(
        &self,
        function: fn(T) -> R,
        items: I,
    ) -> Result<Task<Vec<R::Ok>>, SubmitError>
    where
        I: IntoIterator,
        I::Item: IntoArg<T>,
        T: Message,
        R: Outcome<K>,
        K: 'static,
    {
        self.job().map_async(function, items)
    }

    /// What the [exit hook](PoolBuilder::exit_hook) has returned in the workers that have left since this was called last, in
    /// the order in which they left; after [`join`](Self::join), in all of them. Does not block.
    ///
    /// An error takes the place of a value that there is none of: the hook returned an error, panicked, or its worker died in it.
    ///
    /// # Panics
    ///
    /// When `R` is not what the hook returns.
    ///
    /// ```
    /// use procession_pool::Pool;
    ///
    /// let pool = Pool::builder().workers(1).exit_hook(std::process::id).build()?;
    /// let pid = pool.apply(|_: ()| std::process::id(), ())?;
    /// pool.join();
    /// assert_eq!(pool.exit_values::<u32>()[0].as_ref().ok(), Some(&pid));
    /// assert!(pool.exit_values::<u32>().is_empty());        // each is given out once
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn exit_values<R: Message>(&self) -> Vec<Result<R, TaskError>> {
        let config = &self.core.config;
        let is_other = config.policy.exit_type.is_some_and(|hook| hook != TypeId::of::<R>());
        assert!(!is_other, "the exit hook of this pool does not return `{}`", type_name::<R>());
        if !self.core.is_ours() {
            return Vec::new();
        }
        let deliveries = self.core.with(|state| std::mem::take(&mut state.exit_values));
        let one = |delivery| task::only::<R>(vec![delivery], config.trust());
        deliveries.into_iter().map(one).collect()
    }

    /// What the pool has done so far and where the time went, for each worker and in all. May be called at any time; does not
    /// block, but reads two files of each worker that lives.
    ///
    /// ```
    /// let pool = procession_pool::Pool::with_workers(2)?;
    /// pool.for_each(|n: u64| n + 1, 0..100)?;
    /// let insights = pool.insights();
    /// assert_eq!(insights.total.tasks, 100);
    /// assert!(insights.deaths.is_empty());
    /// println!("{insights}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn insights(&self) -> Insights {
        if self.core.is_ours() {
            self.core.poll();
            return self.core.insights();
        }
        Insights::default()
    }

    /// Takes no more tasks. Those that were submitted go on. A stream that is being read goes on as far as its input was handed to
    /// the pool; what it has pulled beyond that, if there is anything, is a [`TaskError::Closed`] for each item, and then it ends.
    ///
    /// ```
    /// use procession_pool::{Pool, SubmitError};
    ///
    /// let pool = Pool::with_workers(1)?;
    /// let task = pool.submit(|n: u64| n + 1, 1)?;
    /// pool.close();
    /// assert!(matches!(pool.submit(|n: u64| n, 1), Err(SubmitError::Closed)));
    /// assert_eq!(task.get()?, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn close(&self) {
        if self.core.is_ours() {
            self.core.close();
        }
    }

    /// Closes the pool, blocks until all that was submitted is done, and lets the workers go. Results that nobody has taken can
    /// still be taken afterwards. A task that hangs is waited for: see [`shutdown`](Self::shutdown). A worker that does not leave is
    /// killed after 5 s, or 60 s with an exit hook.
    ///
    /// ```
    /// let pool = procession_pool::Pool::with_workers(1)?;
    /// let task = pool.submit(|n: u64| n + 1, 1)?;
    /// pool.join();
    /// assert!(pool.worker_pids().is_empty());
    /// assert_eq!(task.get()?, 2);                           // it was done before the workers left
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn join(&self) {
        if self.core.is_ours() {
            self.core.join();
        }
    }

    /// Cancels everything and kills the workers. Does not wait for any task. Each item that is not done, of tasks and of streams, is
    /// a [`TaskError::Cancelled`].
    ///
    /// Blocks until the workers are gone, which their deaths tell. That takes a moment, but for a worker that cannot be killed:
    /// the kernel holds on to it (a system call on a device that does not answer), or it is the thread of
    /// [`StartMethod::Inline`](procession_process::StartMethod::Inline), which finishes the item that it is on. For such a one this
    /// blocks up to 5 s, and lets it be.
    ///
    /// ```
    /// use procession_pool::{Pool, TaskError};
    ///
    /// let pool = Pool::with_workers(1)?;
    /// let task = pool.submit(std::thread::sleep, std::time::Duration::MAX)?;
    /// pool.terminate();
    /// assert!(matches!(task.get(), Err(TaskError::Cancelled { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn terminate(&self) {
        if self.core.is_ours() {
            self.core.terminate();
        }
    }

    /// Closes the pool and blocks until all is done, but at most for `timeout`; what is not done then is cancelled, and its
    /// workers are killed. Says whether all was done.
    ///
    /// What [exit hooks](PoolBuilder::exit_hook) do belongs to it: of one that is cut off, [`exit_values`](Self::exit_values) has a
    /// [`TaskError::Cancelled`]. Of workers that are killed this waits for the end, as [`terminate`](Self::terminate) says.
    ///
    /// ```
    /// use std::time::Duration;
    /// use procession_pool::{Pool, TaskError};
    ///
    /// let pool = Pool::with_workers(1)?;
    /// let task = pool.submit(std::thread::sleep, Duration::MAX)?;
    /// assert!(!pool.shutdown(Duration::from_millis(10)));
    /// assert!(matches!(task.get(), Err(TaskError::Cancelled { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn shutdown(&self, timeout: Duration) -> bool {
        self.core.is_ours() && self.core.shutdown(&Deadline::after(timeout))
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if !self.core.is_ours() {
            return;
        }
        if thread::panicking() { self.core.terminate() } else { self.core.join() }
    }
}
