//! The verbs of a pool, with options.

use std::sync::Arc;
use std::time::Duration;

use procession_channel::{IntoArg, Message};
use procession_process::answer::One;
use procession_process::function::Function;
use procession_process::link::{Frame, SharedValue};
use procession_process::{Outcome, SpawnError};

use crate::core::call::Options;
use crate::core::chunk::Chunk;
use crate::error::{PoolError, SubmitError, TaskError};
use crate::imap::{Imap, Setup};
use crate::pool::Pool;
use crate::run::{Fill, IntoPair, Two, With, encode_one, encode_shared, fill_one, fill_two};
use crate::task::{self, Task};

/// A call in the making: options first, then one of the verbs. Made by [`Pool::job`].
///
/// ```
/// use std::time::Duration;
/// use procession_pool::Pool;
///
/// fn careful(n: u64) -> u64 { n + 1 }
///
/// let pool = Pool::with_workers(2)?;
/// let job = pool.job().timeout(Duration::from_secs(5)).retries(2);
/// assert_eq!(job.map(careful, [1, 2, 3])?, [2, 3, 4]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "options do nothing by themselves: call a verb, like `map`"]
pub struct Job<'p> {
    pool: &'p Pool,
    options: Options,
}

impl<'p> Job<'p> {
    pub(crate) fn new(pool: &'p Pool) -> Self {
        Self { pool, options: pool.core().config.options.clone() }
    }

    /// How long an item may take. One that takes longer is stopped by killing its worker, and is a
    /// [`TaskError::TimedOut`] or tried again. The time does not count before the item begins, which is looked for at intervals: an
    /// item is never stopped early, and up to 10 ms late.
    ///
    /// It is the time of the wall, not of a processor: it passes while the machine is busy with others, and while this program is
    /// stopped (Ctrl-Z, SIGSTOP). It does not pass while the machine is suspended.
    ///
    /// ```
    /// use std::time::Duration;
    /// use procession_pool::{Pool, TaskError};
    ///
    /// let pool = Pool::with_workers(1)?;
    /// let stuck = pool.job().timeout(Duration::from_millis(20)).apply(std::thread::sleep, Duration::MAX);
    /// assert!(matches!(stuck, Err(TaskError::TimedOut { .. })));
    /// assert_eq!(pool.apply(|n: u64| n, 1)?, 1);            // another worker is in its place
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// How many times an item is tried again after its worker died, or it timed out, failed or panicked. An item that is
    /// tried again runs at least once: what it did before it failed is not undone. The default is 0.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU32, Ordering};
    ///
    /// fn flaky(n: u64) -> Result<u64, procession_process::Failure> {
    ///     static TRIES: AtomicU32 = AtomicU32::new(0);      // of this worker
    ///     if TRIES.fetch_add(1, Ordering::Relaxed) < 2 { Err("not yet".into()) } else { Ok(n) }
    /// }
    ///
    /// let pool = procession_pool::Pool::with_workers(1)?;
    /// assert_eq!(pool.job().retries(2).apply(flaky, 7)?, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn retries(mut self, retries: u32) -> Self {
        self.options.retries = retries;
        self
    }

    /// Items of a higher priority go first. The default is 0.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU32, Ordering};
    /// use procession_channel::pipe::{Receiver, simplex};
    ///
    /// fn turn(_: ()) -> u32 {
    ///     static TURN: AtomicU32 = AtomicU32::new(0);       // of the only worker
    ///     TURN.fetch_add(1, Ordering::Relaxed)
    /// }
    ///
    /// let pool = procession_pool::Pool::with_workers(1)?;
    /// let (go, start) = simplex()?;
    /// let busy = pool.submit(|start: Receiver<()>| start.recv().unwrap(), start)?;
    /// let low = (0..10).map(|_| pool.submit(turn, ())).collect::<Result<Vec<_>, _>>()?;
    /// let high = pool.job().priority(1).submit(turn, ())?;
    /// go.send(())?;
    /// busy.get()?;
    /// let last = low.into_iter().next_back().unwrap();
    /// assert!(high.get()? < last.get()?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn priority(mut self, priority: i32) -> Self {
        self.options.priority = priority;
        self
    }

    /// How many items of a stream may be pulled from the input before their results are taken, at least 1. By default it
    /// follows the number of workers and the size of the chunks.
    ///
    /// ```
    /// use std::cell::Cell;
    ///
    /// let pool = procession_pool::Pool::with_workers(2)?;
    /// let pulled = Cell::new(0);
    /// let input = (0..1_000_000_u64).inspect(|_| pulled.set(pulled.get() + 1));
    /// let mut results = pool.job().window(10).imap(|n: u64| n, input);
    /// assert_eq!(results.next().unwrap()?, 0);
    /// drop(results);
    /// assert!((1..=20).contains(&pulled.get()), "{pulled:?}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn window(mut self, items: usize) -> Self {
        self.options.window = Some(items.max(1));
        self
    }

    /// How many bytes of results of a stream may wait to be taken before no more of its input is pulled; 64 MiB by default.
    ///
    /// What workers are busy with by then comes on top, at most the window. Results wait where their consumer is slow, or where
    /// an item before them, in order, takes longer than they did.
    ///
    /// ```
    /// let pool = procession_pool::Pool::with_workers(2)?;
    /// let pages = pool.job().window_bytes(1 << 20).imap(|n: u8| vec![n; 1 << 16], 0..100);
    /// assert_eq!(pages.filter_map(Result::ok).map(|page| page.len()).sum::<usize>(), 100 << 16);
    /// # Ok::<(), procession_pool::PoolError>(())
    /// ```
    pub fn window_bytes(mut self, bytes: usize) -> Self {
        self.options.window_bytes = Some(bytes);
        self
    }

    /// How many items are one message to a worker, at least 1. By default that follows from how long they take; with a timeout it
    /// is 1.
    ///
    /// Messages of items that take microseconds are handed over several at a time, as many as are done in a tenth of a
    /// millisecond. What waits behind an item that takes longer than the others is given to another worker that has nothing to do.
    ///
    /// ```
    /// let pool = procession_pool::Pool::with_workers(2)?;
    /// let sum: u64 = pool.job().chunk(100).imap(|n: u64| n, 0..1000).sum::<Result<_, _>>()?;
    /// assert_eq!(sum, 499_500);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "chunksize")]
    pub fn chunk(mut self, items: usize) -> Self {
        self.options.chunk = Some(items.max(1));
        self
    }

    /// How [`Insights`](crate::Insights) shall show the argument of an item that was slow. Without it they tell its index, the type of the
    /// function, and how many bytes the argument has: arguments need not be printable.
    ///
    /// It is called by [`Pool::insights`], on the argument decoded anew, for at most five items, and not when that holds handles, is
    /// longer than 4 KiB or travelled together with others. `T` is the parameter of the function; where it is another type, and for
    /// `starmap` and its kin, there is no text.
    ///
    /// ```
    /// use procession_pool::Pool;
    ///
    /// let pool = Pool::with_workers(2)?;
    /// let job = pool.job().chunk(1).describe(|path: &String| path.clone());
    /// job.map(|path: String| path.len(), ["one", "two"])?;
    /// assert!(pool.insights().slowest.iter().any(|slow| slow.argument.as_deref() == Some("two")));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn describe<T: Message>(mut self, describe: fn(&T) -> String) -> Self {
        self.options.about.describe_by(describe);
        self
    }

    /// Shows a progress bar on standard error, if that is a terminal: how many items are finished, of how many, the rate, and
    /// when it will be over; at the end whether it is done or was stopped, and how many items failed.
    ///
    /// It is for verbs that wait or stream (`map`, `for_each`, `imap` and their kin); submitted tasks have none. It counts items
    /// whose results were taken. A program that Ctrl-C ends has no more say: the bar stays as it was.
    ///
    /// ```
    /// let pool = procession_pool::Pool::with_workers(2)?;
    /// let lengths = pool.job().progress().map(|name: String| name.len(), ["Ada", "Grace"])?;
    /// assert_eq!(lengths, [3, 5]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "progress")]
    pub fn progress(mut self) -> Self {
        self.options.progress = true;
        self
    }

    /// [`Pool::map`], with these options.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// ```
    /// let pool = procession_pool::Pool::with_workers(2)?;
    /// assert_eq!(pool.job().chunk(1).map(|n: u64| n * n, 0..4)?, [0, 1, 4, 9]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn map<T, R, I, K>(&self, function: fn(T) -> R, items: I) -> Result<Vec<R::Ok>, TaskError>
    where
        I: IntoIterator,
        I::Item: IntoArg<T>,
        T: Message,
        R: Outcome<K>,
        K: 'static,
    {
        self.imap(function, items).gather()
    }

    /// [`Pool::starmap`], with these options.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// ```
    /// let pool = procession_pool::Pool::with_workers(2)?;
    /// assert_eq!(pool.job().chunk(1).starmap(u64::pow, [(2, 3), (3, 2)])?, [8, 9]);
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
        self.istarmap(function, items).gather()
    }

    /// [`Pool::map_with`], with these options.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// ```
    /// let pool = procession_pool::Pool::with_workers(2)?;
    /// let primes = vec![2, 3, 5, 7];
    /// let is_prime = pool.job().retries(1).map_with(&primes, |primes: &Vec<u64>, n| primes.contains(&n), [4, 5])?;
    /// assert_eq!(is_prime, [false, true]);
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
        self.imap_with(context, function, items).gather()
    }

    /// [`Pool::for_each`], with these options.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// ```
    /// let pool = procession_pool::Pool::with_workers(2)?;
    /// let odd = pool.job().retries(1).for_each(|n: u64| assert!(n % 2 == 0), [2, 4, 5]);
    /// assert_eq!(odd.unwrap_err().item(), Some(2));
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
        self.imap_unordered(function, items).try_for_each(|result| result.map(drop))
    }

    /// [`Pool::imap`], with these options.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let pool = procession_pool::Pool::with_workers(1)?;
    /// let job = pool.job().timeout(Duration::from_millis(20));
    /// let mut naps = job.imap(std::thread::sleep, [Duration::MAX, Duration::ZERO]);
    /// assert!(naps.next().unwrap().is_err());
    /// assert_eq!(naps.len(), 1);                            // it goes on after an error
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn imap<T, R, I, K>(&self, function: fn(T) -> R, items: I) -> Imap<'p, I::IntoIter, R::Ok>
    where
        I: IntoIterator,
        I::Item: IntoArg<T>,
        T: Message,
        R: Outcome<K>,
        K: 'static,
    {
        let function = Function::unary::<One<K>, T, R>(function);
        let options = self.about::<fn(T) -> R, T>();
        self.stream(options, function, None, fill_one::<T, I::IntoIter>, items.into_iter(), true)
    }

    /// [`Pool::imap_unordered`], with these options.
    ///
    /// ```
    /// let pool = procession_pool::Pool::with_workers(2)?;
    /// let squares = pool.job().retries(1).imap_unordered(|n: u64| n * n, 0..4);
    /// assert_eq!(squares.sum::<Result<u64, _>>()?, 14);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn imap_unordered<T, R, I, K>(
        &self,
        function: fn(T) -> R,
        items: I,
    ) -> Imap<'p, I::IntoIter, R::Ok>
    where
        I: IntoIterator,
        I::Item: IntoArg<T>,
        T: Message,
        R: Outcome<K>,
        K: 'static,
    {
        let function = Function::unary::<One<K>, T, R>(function);
        let options = self.about::<fn(T) -> R, T>();
        self.stream(options, function, None, fill_one::<T, I::IntoIter>, items.into_iter(), false)
    }

    /// [`Pool::istarmap`], with these options.
    ///
    /// ```
    /// let pool = procession_pool::Pool::with_workers(2)?;
    /// let mut powers = pool.job().window(4).istarmap(u64::pow, (1..).map(|n| (n, 2)));
    /// assert_eq!(powers.next().unwrap()?, 1);
    /// assert_eq!(powers.next().unwrap()?, 4);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn istarmap<A, B, R, I, K>(
        &self,
        function: fn(A, B) -> R,
        items: I,
    ) -> Imap<'p, I::IntoIter, R::Ok>
    where
        I: IntoIterator,
        I::Item: IntoPair<A, B>,
        A: Message,
        B: Message,
        R: Outcome<K>,
        K: 'static,
    {
        let function = Function::binary::<Two<K>, A, B, R>(function);
        let options = self.about::<fn(A, B) -> R, Pairs>();
        self.stream(options, function, None, fill_two::<A, B, I::IntoIter>, items.into_iter(), true)
    }

    /// [`Pool::istarmap_unordered`], with these options.
    ///
    /// ```
    /// let pool = procession_pool::Pool::with_workers(2)?;
    /// let powers = pool.job().retries(1).istarmap_unordered(u64::pow, [(2, 3), (3, 2), (10, 0)]);
    /// assert_eq!(powers.sum::<Result<u64, _>>()?, 18);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn istarmap_unordered<A, B, R, I, K>(
        &self,
        function: fn(A, B) -> R,
        items: I,
    ) -> Imap<'p, I::IntoIter, R::Ok>
    where
        I: IntoIterator,
        I::Item: IntoPair<A, B>,
        A: Message,
        B: Message,
        R: Outcome<K>,
        K: 'static,
    {
        let function = Function::binary::<Two<K>, A, B, R>(function);
        let options = self.about::<fn(A, B) -> R, Pairs>();
        self.stream(
            options,
            function,
            None,
            fill_two::<A, B, I::IntoIter>,
            items.into_iter(),
            false,
        )
    }

    /// [`Pool::imap_with`], with these options.
    ///
    /// ```
    /// let pool = procession_pool::Pool::with_workers(2)?;
    /// let mut scaled = pool.job().window(4).imap_with(&10, |factor: &u64, n| factor * n, 1..);
    /// assert_eq!(scaled.next().unwrap()?, 10);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn imap_with<C, T, R, I, K>(
        &self,
        context: &C,
        function: fn(&C, T) -> R,
        items: I,
    ) -> Imap<'p, I::IntoIter, R::Ok>
    where
        I: IntoIterator,
        I::Item: IntoArg<T>,
        C: Message,
        T: Message,
        R: Outcome<K>,
        K: 'static,
    {
        let function = Function::with_context::<With<K>, C, T, R>(function);
        let context = Some(encode_shared(context));
        let options = self.about::<fn(&C, T) -> R, T>();
        self.stream(options, function, context, fill_one::<T, I::IntoIter>, items.into_iter(), true)
    }

    /// [`Pool::imap_unordered_with`], with these options.
    ///
    /// ```
    /// let pool = procession_pool::Pool::with_workers(2)?;
    /// let scaled = pool.job().retries(1).imap_unordered_with(&10, |factor: &u64, n| factor * n, 1..4);
    /// assert_eq!(scaled.sum::<Result<u64, _>>()?, 60);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn imap_unordered_with<C, T, R, I, K>(
        &self,
        context: &C,
        function: fn(&C, T) -> R,
        items: I,
    ) -> Imap<'p, I::IntoIter, R::Ok>
    where
        I: IntoIterator,
        I::Item: IntoArg<T>,
        C: Message,
        T: Message,
        R: Outcome<K>,
        K: 'static,
    {
        let function = Function::with_context::<With<K>, C, T, R>(function);
        let context = Some(encode_shared(context));
        let options = self.about::<fn(&C, T) -> R, T>();
        self.stream(
            options,
            function,
            context,
            fill_one::<T, I::IntoIter>,
            items.into_iter(),
            false,
        )
    }

    /// The options of a call of a function of type `F` whose items are of type `T`.
    fn about<F, T: 'static>(&self) -> Options {
        let about = self.options.about.of::<F, T>();
        Options { about, ..self.options.clone() }
    }

    fn stream<I: Iterator, R>(
        &self,
        options: Options,
        function: Result<Function, SpawnError>,
        context: Option<Result<SharedValue, SubmitError>>,
        fill: Fill<I>,
        input: I,
        is_ordered: bool,
    ) -> Imap<'p, I, R> {
        let (function, context) = match (function, context.transpose()) {
            (Ok(function), Ok(context)) => (Ok(function), context.map(Arc::new)),
            (Err(error), _) => (Err(broken(error)), None),
            (_, Err(error)) => (Err(error), None),
        };
        let function = function.and_then(|function| self.owned().map(|()| function));
        let setup = Setup { function, context, fill, options, is_ordered };
        Imap::new(self.pool.core(), input, setup)
    }

    /// A pool that was inherited through a fork cannot be used.
    fn owned(&self) -> Result<(), SubmitError> {
        let disowned = self.pool.core().disowned();
        disowned.map_or(Ok(()), |error| Err(SubmitError::Broken(Arc::new(error))))
    }

    /// [`Pool::apply`], with these options.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// ```
    /// use procession_pool::{Pool, TaskError};
    ///
    /// let pool = Pool::with_workers(1)?;
    /// let crashed = pool.job().retries(1).apply(|_: ()| -> () { std::process::abort() }, ());
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
        let task = self.submit(function, argument);
        task.map_err(|error| TaskError::refused(0, error))?.get()
    }

    /// [`Pool::submit`], with these options.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// ```
    /// let pool = procession_pool::Pool::with_workers(1)?;
    /// let task = pool.job().priority(1).submit(|n: u64| n * n, 7)?;
    /// assert_eq!(task.get()?, 49);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
        let about = self.about::<fn(T) -> R, T>();
        let function = Function::unary::<One<K>, T, R>(function).map_err(broken)?;
        self.owned()?;
        let mut frame = Frame::call(function, 0);
        let alone = encode_one::<T, X>(argument, &mut frame)?;
        let core = self.pool.core();
        // It learns of which call it is when it is handed over: so the pool is locked once.
        let call = core.submit_one(about, alone.unwrap_or_else(|| frame.sealed()))?;
        Ok(Task::new(Arc::clone(core), call, 1, task::only::<R::Ok>))
    }

    /// [`Pool::map_async`], with these options.
    ///
    /// # Errors
    ///
    /// As there.
    ///
    /// ```
    /// let pool = procession_pool::Pool::with_workers(2)?;
    /// let squares = pool.job().chunk(2).map_async(|n: u64| n * n, 0..4)?;
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
        self.submit_all(function, items, task::all::<R::Ok>)
    }

    fn submit_all<T, R, I, Q, K>(
        &self,
        function: fn(T) -> R,
        items: I,
        assemble: task::Assemble<Q>,
    ) -> Result<Task<Q>, SubmitError>
    where
        I: IntoIterator,
        I::Item: IntoArg<T>,
        T: Message,
        R: Outcome<K>,
        K: 'static,
    {
        let function = Function::unary::<One<K>, T, R>(function).map_err(broken)?;
        self.owned()?;
        let core = self.pool.core();
        let about = self.about::<fn(T) -> R, T>();
        let opened = core.open_attended(about);
        let call = opened.map_err(|error| SubmitError::Broken(Arc::new(error)))?;
        let mut task = Task::new(Arc::clone(core), call, 0, assemble);
        let mut frames = Frames::new(function, call, self.options.chunk.unwrap_or(1));
        for item in items {
            frames.push(|open| encode_one::<T, I::Item>(item, open))?;
        }
        let (chunks, count) = frames.finish();
        task.expect(count);
        core.submit_all(chunks, count)?;
        Ok(task)
    }
}

/// In place of the type of items that are pairs of arguments: no description is of these.
struct Pairs;

/// The frames of a call whose items are all there from the beginning.
struct Frames {
    function: Function,
    call: u64,
    size: usize,
    chunks: Vec<Chunk>,
    open: Option<Frame>,
    count: usize,
}

impl Frames {
    fn new(function: Function, call: u64, size: usize) -> Self {
        Self { function, call, size, chunks: Vec::new(), open: None, count: 0 }
    }

    fn push(
        &mut self,
        encode: impl FnOnce(&mut Frame) -> Result<Option<Frame>, SubmitError>,
    ) -> Result<(), SubmitError> {
        let open = self.open.get_or_insert_with(|| Frame::call(self.function, self.call));
        if let Some(alone) = encode(open)? {
            self.seal();
            self.chunks.push(Chunk::new(self.call, self.count, alone));
            self.count += 1;
            return Ok(());
        }
        self.count += 1;
        if open.count() == self.size {
            self.seal();
        }
        Ok(())
    }

    fn seal(&mut self) {
        if let Some(full) = self.open.take().filter(|open| open.count() > 0) {
            let full = full.sealed();
            self.chunks.push(Chunk::new(self.call, self.count - full.count(), full));
        }
    }

    fn finish(mut self) -> (Vec<Chunk>, usize) {
        self.seal();
        (self.chunks, self.count)
    }
}

/// A function that cannot travel: no task of it will ever run.
fn broken(error: SpawnError) -> SubmitError {
    SubmitError::Broken(Arc::new(PoolError::Spawn(error)))
}
