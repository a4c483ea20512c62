//! Options of a pool.

use std::time::Duration;

use procession_process::StartMethod;

use crate::core::call::Options;
use crate::core::{Config, Core};
use crate::error::PoolError;
use crate::pool::Pool;

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
}

impl PoolBuilder {
    pub(crate) fn new() -> Self {
        Self {
            config: Config {
                workers: procession_process::cpu_count(),
                name: "worker".to_owned(),
                options: Options::default(),
                backlog: None,
                ring_len: RING_LEN,
                result_len_max: RESULT_LEN_MAX,
                trusting: false,
                start_method: StartMethod::Spawn,
                preload: None,
            },
        }
    }

    /// How many workers; by default one for each core that this process may use.
    pub fn workers(mut self, workers: usize) -> Self {
        self.config.workers = workers;
        self
    }

    /// The name of the workers, which `ps` shows with a number behind it (the kernel keeps 15 bytes of it in all).
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.config.name = name.into();
        self
    }

    /// The timeout of every item that has none from its job. See [`Job::timeout`](crate::Job::timeout).
    pub fn task_timeout(mut self, timeout: Duration) -> Self {
        self.config.options.timeout = Some(timeout);
        self
    }

    /// The retries of every item that has none from its job. See [`Job::retries`](crate::Job::retries).
    pub fn retries(mut self, retries: u32) -> Self {
        self.config.options.retries = retries;
        self
    }

    /// How many items may be unfinished before [`submit`](Pool::submit) is an `Err(Full)`; by default there is no limit.
    pub fn backlog(mut self, items: usize) -> Self {
        self.config.backlog = Some(items);
        self
    }

    /// How many bytes a result may have, by default 1 GiB. A longer one is a [`TaskError::Encode`](crate::TaskError::Encode).
    pub fn result_len_max(mut self, bytes: usize) -> Self {
        self.config.result_len_max = bytes;
        self
    }

    /// Trusts the workers, and the code that they run, as this process trusts itself: results may hold trusting handles
    /// ([`Shared`](procession_shm::Shared), buffers that are not copied). By default these are a
    /// [`TaskError::Untrusted`](crate::TaskError::Untrusted), and a buffer is copied unless it can be frozen.
    ///
    /// Arguments may hold trusting handles in any pool: to whom you give one, you trust with that memory.
    pub fn trusting(mut self) -> Self {
        self.config.trusting = true;
        self
    }

    /// How workers come into being, by default [`StartMethod::Spawn`]. With [`StartMethod::Zygote`] they are forked, which makes
    /// new ones cheap and lets all of them find what [`preload`](Self::preload) has left behind; should the zygote be killed, all
    /// of them die, and each costs the item that it was on. [`StartMethod::Inline`] is no way to have workers:
    /// [`build`](Self::build) refuses it.
    pub fn start_method(mut self, start_method: StartMethod) -> Self {
        self.config.start_method = start_method;
        self
    }

    /// A function that a zygote runs once, before it forks the first worker. See
    /// [`ProcessBuilder::preload`](procession_process::ProcessBuilder::preload), which says what it must not do. Other start
    /// methods ignore it.
    pub fn preload(mut self, preload: fn()) -> Self {
        self.config.preload = Some(preload);
        self
    }

    /// Makes the pool and starts its workers.
    ///
    /// # Errors
    ///
    /// [`PoolError::NoWorkers`], [`PoolError::Spawn`], [`PoolError::Memory`]. No worker is left behind then.
    pub fn build(self) -> Result<Pool, PoolError> {
        Ok(Pool::start(Core::new(self.config)?))
    }
}
