//! Options of a pool.

use std::any::TypeId;
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use procession_channel::{IntoArg, Message};
use procession_process::answer::One;
use procession_process::function::Function;
use procession_process::link::{Frame, Handles};
use procession_process::{Limits, Outcome, SpawnError, StartMethod};

use crate::core::call::Options;
use crate::core::chunk::CallId;
use crate::core::errand::{FAREWELL, SETUP};
use crate::core::{Config, Core, Policy};
use crate::error::{PoolError, SubmitError};
use crate::pool::Pool;
use crate::run::encode_for_all;

/// How many bytes each of a worker's two rings holds.
const RING_LEN: usize = 256 << 10;

/// How many bytes a result may have unless the builder says otherwise.
const RESULT_LEN_MAX: usize = 1 << 30;

/// Options of a pool that is about to be made. See [`Pool::builder`].
///
/// ```
/// use std::time::Duration;
/// use procession_pool::Pool;
///
/// let pool = Pool::builder().workers(2).name("decoder").task_timeout(Duration::from_secs(5)).build()?;
/// assert_eq!(pool.workers(), 2);
/// # Ok::<(), procession_pool::PoolError>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until `build`"]
pub struct PoolBuilder {
    config: Config,
    /// The first thing that cannot be as it was asked for.
    refused: Option<PoolError>,
}

impl PoolBuilder {
    pub(crate) fn new() -> Self {
        Self {
            config: Config {
                workers: None,
                name: "worker".to_owned(),
                options: Options::default(),
                backlog: None,
                ring_len: RING_LEN,
                result_len_max: RESULT_LEN_MAX,
                trusting: false,
                start_method: None,
                preload: None,
                program: None,
                limits: Limits::new(),
                cgroup: None,
                #[cfg(feature = "sandbox")]
                sandbox: None,
                initializer: None,
                policy: Policy::default(),
            },
            refused: None,
        }
    }

    /// How many workers; by default one for each core that this process may use.
    ///
    /// ```
    /// use procession_pool::{Pool, PoolError};
    ///
    /// assert_eq!(Pool::builder().workers(3).build()?.workers(), 3);
    /// assert!(matches!(Pool::builder().workers(0).build(), Err(PoolError::NoWorkers)));
    /// # Ok::<(), PoolError>(())
    /// ```
    pub fn workers(mut self, workers: usize) -> Self {
        self.config.workers = Some(workers);
        self
    }

    /// The name of the workers, which `ps` shows with a number behind it (the kernel keeps 15 bytes of it in all). NUL bytes are left
    /// out.
    ///
    /// ```
    /// let pool = procession_pool::Pool::builder().workers(1).name("decoder").build()?;
    /// let name = std::fs::read_to_string(format!("/proc/{}/comm", pool.apply(|_: ()| std::process::id(), ())?))?;
    /// assert!(name.starts_with("decoder"), "{name}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.config.name = name.into().replace('\0', "");
        self
    }

    /// The timeout of every item that has none from its job. See [`Job::timeout`](crate::Job::timeout).
    ///
    /// ```
    /// use std::time::Duration;
    /// use procession_pool::{Pool, TaskError};
    ///
    /// let pool = Pool::builder().workers(1).task_timeout(Duration::from_millis(20)).build()?;
    /// let stuck = pool.apply(std::thread::sleep, Duration::MAX);
    /// assert!(matches!(stuck, Err(TaskError::TimedOut { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn task_timeout(mut self, timeout: Duration) -> Self {
        self.config.options.timeout = Some(timeout);
        self
    }

    /// The retries of every item that has none from its job. See [`Job::retries`](crate::Job::retries).
    ///
    /// ```
    /// use procession_pool::{Pool, TaskError};
    ///
    /// let pool = Pool::builder().workers(1).retries(2).build()?;
    /// let error = pool.apply(|_: ()| -> () { std::process::abort() }, ()).unwrap_err();
    /// assert!(matches!(error, TaskError::Died { .. }));
    /// assert_eq!(error.attempts().len(), 2);                // the tries before the last one
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn retries(mut self, retries: u32) -> Self {
        self.config.options.retries = retries;
        self
    }

    /// How many items may be unfinished before [`submit`](Pool::submit) is an `Err(Full)`; by default there is no limit.
    ///
    /// ```
    /// use std::time::Duration;
    /// use procession_pool::{Pool, SubmitError};
    ///
    /// let pool = Pool::builder().workers(1).backlog(1).build()?;
    /// let busy = pool.submit(std::thread::sleep, Duration::MAX)?;
    /// assert!(matches!(pool.submit(std::thread::sleep, Duration::ZERO), Err(SubmitError::Full { limit: 1, .. })));
    /// busy.cancel();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn backlog(mut self, items: usize) -> Self {
        self.config.backlog = Some(items);
        self
    }

    /// How many bytes a result may have, by default 1 GiB. A longer one is a [`TaskError::Encode`](crate::TaskError::Encode).
    ///
    /// ```
    /// use procession_pool::{Pool, TaskError};
    ///
    /// let pool = Pool::builder().workers(1).result_len_max(1 << 20).build()?;
    /// assert_eq!(pool.apply(|len: usize| vec![1_u8; len], 1000)?.len(), 1000);
    /// assert!(matches!(pool.apply(|len: usize| vec![1_u8; len], 2 << 20), Err(TaskError::Encode { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn result_len_max(mut self, bytes: usize) -> Self {
        self.config.result_len_max = bytes;
        self
    }

    /// Trusts the workers, and the code that they run, as this process trusts itself: results may hold trusting handles
    /// ([`Shared`](procession_shm::Shared), buffers that are not copied). By default these are a
    /// [`TaskError::Untrusted`](crate::TaskError::Untrusted), and a buffer is copied unless it can be frozen.
    ///
    /// Arguments may hold trusting handles in any pool: to whom you give one, you trust with that memory.
    ///
    /// ```
    /// use procession_pool::{Pool, TaskError};
    /// use procession_shm::Shared;
    /// use procession_sync::Mutex;
    ///
    /// fn make(value: u64) -> Result<Shared<Mutex<u64>>, procession_process::Failure> {
    ///     Ok(Shared::new(Mutex::new(value))?)
    /// }
    ///
    /// let strict = Pool::with_workers(1)?;
    /// assert!(matches!(strict.apply(make, 7), Err(TaskError::Untrusted { .. })));
    /// let trusting = Pool::builder().workers(1).trusting().build()?;
    /// assert_eq!(*trusting.apply(make, 7)?.lock()?, 7);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn trusting(mut self) -> Self {
        self.config.trusting = true;
        self
    }

    /// What each worker runs before its first item: load a model, open a connection, warm a cache. What it makes is kept in a
    /// `static` or a `thread_local!`, where the items find it. Its value is discarded.
    ///
    /// It runs in each worker that is started, also in those that replace others. If it returns an error or panics, or its worker
    /// dies, another worker is started; after 4 failures in a row the pool is [`PoolError::Init`] and everything that waits ends
    /// with [`TaskError::Broken`](crate::TaskError::Broken). [`build`](Self::build) does not wait for it. It has no deadline: one that
    /// hangs keeps its worker from ever having an item, until the pool is terminated or dropped in a panic.
    ///
    /// ```
    /// use std::sync::OnceLock;
    /// use procession_pool::Pool;
    ///
    /// static MODEL: OnceLock<Vec<u64>> = OnceLock::new();
    ///
    /// fn load() { MODEL.set((0..100).map(|n| n * n).collect()).unwrap(); }
    /// fn look_up(n: usize) -> u64 { MODEL.get().unwrap()[n] }
    ///
    /// let pool = Pool::builder().workers(2).initializer(load).build()?;
    /// assert_eq!(pool.map(look_up, [3, 5])?, [9, 25]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn initializer<R, K>(self, function: fn() -> R) -> Self
    where
        R: Outcome<K>,
        K: 'static,
    {
        let function = Function::nullary::<One<K>, R>(function);
        self.with_initializer(function, |_| Ok(Handles::default()))
    }

    /// As [`initializer`](Self::initializer), for a function of an argument, which is encoded once and decoded by each worker.
    /// It may hold handles, but none that can have only one owner.
    ///
    /// ```
    /// use std::sync::OnceLock;
    /// use procession_pool::Pool;
    ///
    /// static NAME: OnceLock<String> = OnceLock::new();
    ///
    /// let pool = Pool::builder().workers(2).initializer_with(|name: String| NAME.set(name).unwrap(), "you").build()?;
    /// assert_eq!(pool.apply(|greeting: String| greeting + " " + NAME.get().unwrap(), "hello")?, "hello you");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn initializer_with<A, X, R, K>(self, function: fn(A) -> R, argument: X) -> Self
    where
        A: Message,
        X: IntoArg<A>,
        R: Outcome<K>,
        K: 'static,
    {
        let function = Function::unary::<One<K>, A, R>(function);
        self.with_initializer(function, |out| encode_for_all::<A, X>(&argument, out))
    }

    fn with_initializer(
        mut self,
        function: Result<Function, SpawnError>,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<Handles, SubmitError>,
    ) -> Self {
        match errand(function, SETUP, encode) {
            Ok(frame) => self.config.initializer = Some(Arc::new(frame)),
            Err(error) => self.refused = self.refused.or(Some(error)),
        }
        self
    }

    /// What each worker runs after its last item, before it leaves: flush a file, return what was gathered. Its values are
    /// collected by [`Pool::exit_values`].
    ///
    /// It runs when the pool is joined or dropped and when a worker is let go ([`max_tasks_per_worker`](Self::max_tasks_per_worker)
    /// and the like); not in a worker that dies or is killed, be it by [`terminate`](Pool::terminate) or because the pool broke down
    /// while it was busy. A worker that takes longer than a minute for it is killed, or at the end of what
    /// [`shutdown`](Pool::shutdown) was given.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU64, Ordering};
    /// use procession_pool::Pool;
    ///
    /// static SUM: AtomicU64 = AtomicU64::new(0);
    ///
    /// let pool = Pool::builder().workers(2).exit_hook(|| SUM.load(Ordering::Relaxed)).build()?;
    /// pool.for_each(|n: u64| SUM.fetch_add(n, Ordering::Relaxed), 0..100)?;
    /// pool.join();
    /// let sums: Vec<u64> = pool.exit_values().into_iter().collect::<Result<_, _>>()?;
    /// assert_eq!(sums.iter().sum::<u64>(), 4950);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn exit_hook<R, K>(mut self, function: fn() -> R) -> Self
    where
        R: Outcome<K>,
        K: 'static,
    {
        let function = Function::nullary::<One<K>, R>(function);
        match errand(function, FAREWELL, |_| Ok(Handles::default())) {
            Ok(frame) => self.config.policy.exit_hook = Some(Arc::new(frame)),
            Err(error) => self.refused = self.refused.or(Some(error)),
        }
        self.config.policy.exit_type = Some(TypeId::of::<R::Ok>());
        self
    }

    /// After how many items, at least 1, a worker is replaced by a fresh one: against leaks in the code that it runs. Every item
    /// counts, however many travel together. A worker is replaced between two items, never in one. By default it never is.
    ///
    /// ```
    /// use procession_pool::Pool;
    ///
    /// let pool = Pool::builder().workers(2).max_tasks_per_worker(5).build()?;
    /// let mut pids = pool.map(|_: u32| std::process::id(), 0..40)?;
    /// pids.sort();
    /// assert!(pids.chunk_by(|a, b| a == b).all(|of_one_worker| of_one_worker.len() <= 5));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[doc(alias = "maxtasksperchild")]
    pub fn max_tasks_per_worker(mut self, tasks: u64) -> Self {
        self.config.policy.max_tasks = Some(tasks.max(1));
        self.config.policy.lets_workers_go = true;
        self
    }

    /// How many bytes of memory a worker may have in use (resident, as `ps` shows it) before it is replaced by a fresh one.
    ///
    /// It is looked at whenever a worker has finished what travelled together ([`Job::chunk`](crate::Job::chunk)), and what it has not begun
    /// then goes to others; so no item is lost, and an item may grow beyond it. For a limit that holds at any moment and costs
    /// the item, use [`limits`](Self::limits). Looking costs some microseconds. By default there is no limit.
    ///
    /// ```
    /// use procession_pool::Pool;
    ///
    /// fn leak(_: u32) -> u32 {
    ///     vec![1_u8; 64 << 20].leak();                      // a C library, say
    ///     std::process::id()
    /// }
    ///
    /// let pool = Pool::builder().workers(1).max_memory_per_worker(48 << 20).build()?;
    /// assert_ne!(pool.apply(leak, 1)?, pool.apply(leak, 2)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn max_memory_per_worker(mut self, bytes: u64) -> Self {
        self.config.policy.max_memory_bytes = Some(bytes);
        self.config.policy.lets_workers_go = true;
        self
    }

    /// For how long a worker may have nothing to do before it is let go. Another one is started in its place when there is
    /// something to do. By default workers stay.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let pool = procession_pool::Pool::builder().workers(1).idle_timeout(Duration::from_millis(5)).build()?;
    /// let first = pool.apply(|_: ()| std::process::id(), ())?;
    /// while pool.worker_pids().contains(&first) {
    ///     std::thread::sleep(Duration::from_millis(5));
    /// }
    /// assert_ne!(pool.apply(|_: ()| std::process::id(), ())?, first);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.config.policy.idle_timeout = Some(timeout);
        self.config.policy.lets_workers_go = true;
        self
    }

    /// How many workers may die within a time. One more is the end of the pool: [`PoolError::TooManyRestarts`], and every item that
    /// is not done ends with [`TaskError::Broken`](crate::TaskError::Broken), also those that run, whose workers are killed. Against items that kill one worker after the other
    /// without anybody noticing. By default there is no limit.
    ///
    /// Workers that the pool itself ends, for a timeout or a cancelled task, do not count.
    ///
    /// ```
    /// use std::time::Duration;
    /// use procession_pool::{Pool, TaskError};
    ///
    /// let pool = Pool::builder().workers(1).restart_intensity(2, Duration::from_secs(60)).build()?;
    /// let crashes: Vec<_> = pool.imap(|_: u32| -> u32 { std::process::abort() }, 0..100).collect();
    /// assert!(matches!(crashes[0], Err(TaskError::Died { .. })));
    /// assert!(matches!(crashes.last(), Some(Err(TaskError::Broken(_)))));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn restart_intensity(mut self, deaths: u32, within: Duration) -> Self {
        self.config.policy.intensity = Some((deaths, within));
        self
    }

    /// What each worker may use of the machine, at any moment: an item that needs more costs itself and its worker. By default
    /// as much as this process.
    ///
    /// ```
    /// use procession_pool::{Pool, TaskError};
    /// use procession_process::Limits;
    ///
    /// fn decode(size: usize) -> usize { std::hint::black_box(vec![1_u8; size]).len() }
    ///
    /// let pool = Pool::builder().workers(2).limits(Limits::new().memory_bytes(256 << 20)).build()?;
    /// let sizes: Vec<_> = pool.imap(decode, [1 << 20, 1 << 30]).collect();
    /// assert!(matches!(sizes[..], [Ok(1_048_576), Err(TaskError::Died { .. })]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn limits(mut self, limits: Limits) -> Self {
        self.config.limits = limits;
        self
    }

    /// Gives each worker a cgroup of its own below a directory that was delegated to this user, as
    /// [`ProcessBuilder::cgroup`](procession_process::ProcessBuilder::cgroup) does, which says what that takes. The limit of memory of
    /// [`limits`](Self::limits) is then one of what a worker uses, and an item that goes over it is a [`Died`](crate::TaskError::Died)
    /// by [`Exit::OutOfMemory`](procession_process::Exit::OutOfMemory), told apart from all other kills. By default there is none.
    ///
    /// A directory that will not do is an error of [`build`](Self::build).
    ///
    /// ```no_run
    /// use procession_pool::{Pool, TaskError};
    /// use procession_process::{Exit, Limits};
    ///
    /// fn decode(size: usize) -> usize { std::hint::black_box(vec![1_u8; size]).len() }
    ///
    /// let limits = Limits::new().memory_bytes(256 << 20);
    /// let pool = Pool::builder().cgroup("/sys/fs/cgroup/system.slice/app.service").limits(limits).build()?;
    /// for decoded in pool.imap(decode, [1 << 20, 1 << 30]) {
    ///     match decoded {
    ///         Err(TaskError::Died { item, exit: Exit::OutOfMemory, .. }) => println!("item {item} is too large"),
    ///         other => println!("{} bytes", other?),
    ///     }
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn cgroup(mut self, delegated: impl AsRef<Path>) -> Self {
        self.config.cgroup = Some(delegated.as_ref().to_owned());
        self
    }

    /// The sandbox around each worker, those that replace others included. It is up before the worker looks at anything that it
    /// is sent: initializers, items and exit hooks run in it. By default there is none.
    ///
    /// What it refuses is an ordinary error (`PermissionDenied`) to the item that tries, and touches nobody else. Handles in
    /// arguments and results work as ever. Of a [`StartMethod::Zygote`], the zygote and what it preloads are outside.
    ///
    /// If this kernel does not offer all of it, [`build`](Self::build) is a [`SpawnError::SandboxUnavailable`], unless
    /// [`best_effort`](procession_process::Sandbox::best_effort) allows that. A path of it that does not exist ends every worker
    /// before it is ready, and the pool with [`PoolError::TooManyRestarts`].
    ///
    /// ```
    /// use procession_pool::Pool;
    /// use procession_process::Sandbox;
    ///
    /// fn decode(image: Vec<u8>) -> usize {
    ///     assert!(std::fs::read("/etc/passwd").is_err());   // whoever takes the decoder over gets no further
    ///     image.len()
    /// }
    ///
    /// let sandbox = Sandbox::new().compute_only();
    /// # if !sandbox.is_available() { return Ok(()) }
    /// let pool = Pool::builder().workers(2).sandbox(sandbox).build()?;
    /// assert_eq!(pool.map(decode, [vec![0; 10], vec![0; 20]])?, [10, 20]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "sandbox")]
    pub fn sandbox(mut self, sandbox: procession_process::Sandbox) -> Self {
        self.config.sandbox = Some(sandbox);
        self
    }

    /// How workers come into being, by default as the environment variable `PROCESSION_START_METHOD` says (`spawn`, `zygote`,
    /// `inline`), and by [`StartMethod::Spawn`] without it.
    ///
    /// With [`StartMethod::Zygote`] they are forked, which makes new ones cheap and lets all of them find what
    /// [`preload`](Self::preload) has left behind; should the zygote be killed, all of them die, and each costs the item that it
    /// was on.
    ///
    /// With [`StartMethod::Inline`] there is no process: one thread of this process runs everything, one item after the other, so
    /// that a debugger sees it, and a program needs no change for that. Arguments and results are encoded as ever, so that errors
    /// are the same; panics are [`TaskError::Panicked`](crate::TaskError::Panicked), and printed, too. What needs a process is
    /// not there:
    ///
    /// - An item that has begun cannot be stopped: timeouts do nothing, cancelling works only before an item begins,
    ///   [`terminate`](Pool::terminate) waits a few seconds for it and leaves it to itself. A crash in it, or an exit, is one of this
    ///   process.
    /// - Whatever [`workers`](Self::workers) says there is one, which is never replaced; limits do nothing. Items that wait for
    ///   one another to run at the same time wait for ever.
    /// - Statics are those of this process, [`worker_pids`](Pool::worker_pids) has its number.
    ///
    /// ```
    /// use procession_pool::Pool;
    /// use procession_process::StartMethod;
    ///
    /// let pool = Pool::builder().start_method(StartMethod::Inline).build()?;
    /// assert_eq!(pool.apply(|_: ()| std::process::id(), ())?, std::process::id());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn start_method(mut self, start_method: StartMethod) -> Self {
        self.config.start_method = Some(start_method);
        self
    }

    /// A function that a zygote runs once, before it forks the first worker. See
    /// [`ProcessBuilder::preload`](procession_process::ProcessBuilder::preload), which says what it must not do. Other start
    /// methods ignore it.
    ///
    /// ```
    /// use std::sync::OnceLock;
    /// use procession_pool::Pool;
    /// use procession_process::StartMethod;
    ///
    /// static MODEL: OnceLock<Vec<u64>> = OnceLock::new();
    ///
    /// fn load() { MODEL.set((0..100).map(|n| n * n).collect()).unwrap(); }
    ///
    /// let pool = Pool::builder().workers(2).start_method(StartMethod::Zygote).preload(load).build()?;
    /// assert_eq!(pool.apply(|n: usize| MODEL.get().unwrap()[n], 5)?, 25);
    /// assert!(MODEL.get().is_none(), "it was loaded once, in the zygote");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn preload(mut self, preload: fn()) -> Self {
        self.config.preload = Some(preload);
        self
    }

    /// Executes another program than this one as worker, where this one cannot be started again: in a shared library, such as an
    /// extension of an interpreter, the interpreter itself, which is to load the library and have it call
    /// [`serve`](procession_process::serve). [`ProcessBuilder::program`](procession_process::ProcessBuilder::program) says what
    /// such a program must be. Zygotes are of that program, too.
    ///
    /// One that exits before it serves is a worker that has died before it was ready: after some of these in a row the pool
    /// is broken, and its error says how the last one ended. One that neither serves nor exits holds up what it was sent for as
    /// long as it likes; [`terminate`](Pool::terminate) kills it.
    ///
    /// ```
    /// use procession_pool::Pool;
    ///
    /// // A copy of this program would do; in a Python extension module whose function `serve` calls `procession_process::serve`:
    /// // Pool::builder().program("/usr/bin/python3").program_args(["-c", "import module; module.serve()"])
    /// let pool = Pool::builder().workers(2).program(std::env::current_exe()?).build()?;
    /// assert_eq!(pool.map(|n: u64| n * n, 1..4)?, [1, 4, 9]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn program(mut self, path: impl AsRef<Path>) -> Self {
        self.config.program = Some((path.as_ref().to_owned(), Vec::new()));
        self
    }

    /// The arguments of the other [`program`](Self::program), without its name; does nothing if none was named. Default: none.
    ///
    /// ```
    /// use procession_pool::Pool;
    ///
    /// let builder = Pool::builder().workers(1).program("/proc/self/exe").program_args(["--as-worker"]);
    /// let arguments = |()| std::env::args().skip(1).collect::<Vec<_>>();
    /// assert_eq!(builder.build()?.apply(arguments, ())?, ["--as-worker"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn program_args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        if let Some((_, arguments)) = &mut self.config.program {
            *arguments = args.into_iter().map(Into::into).collect();
        }
        self
    }

    /// Makes the pool and starts its workers.
    ///
    /// # Errors
    ///
    /// [`PoolError::NoWorkers`], [`PoolError::Spawn`], [`PoolError::Memory`], and [`PoolError::Argument`] when that of the
    /// initializer cannot be sent. No worker is left behind then.
    ///
    /// ```
    /// let pool = procession_pool::Pool::builder().workers(2).build()?;
    /// assert_eq!(pool.apply(|n: u64| n + 1, 1)?, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn build(self) -> Result<Pool, PoolError> {
        match self.refused {
            Some(error) => Err(error),
            None => Ok(Pool::start(Core::new(self.config)?)),
        }
    }
}

/// What a worker is to run besides items.
fn errand(
    function: Result<Function, SpawnError>,
    call: CallId,
    encode: impl FnOnce(&mut Vec<u8>) -> Result<Handles, SubmitError>,
) -> Result<Frame, PoolError> {
    let mut frame = Frame::call(function?, call);
    let alone = frame.push(encode).map_err(|error| PoolError::Argument(Arc::new(error)))?;
    Ok(alone.unwrap_or_else(|| frame.sealed()))
}
