//! What a pool has done so far, and where the time went.

mod slow;

use std::fmt;
use std::time::Duration;

use procession_process::Exit;

pub use slow::SlowItem;
pub(crate) use slow::{About, Slow, Slowest};

/// What a pool has done so far. Made by [`Pool::insights`](crate::Pool::insights), also while it works.
///
/// Printed, it is a table with a line for each worker:
///
/// ```
/// let pool = procession_pool::Pool::with_workers(2)?;
/// pool.map(|n: u64| n + 1, 0..1000)?;
/// let insights = pool.insights();
/// assert_eq!(insights.total.tasks, 1000);
/// println!("{insights}");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Insights {
    /// One entry for each place of a worker, with what all workers in that place have done one after the other.
    pub workers: Vec<Share>,
    /// The sum of these.
    pub total: Share,
    /// How workers ended that were not let go, and how many did so.
    pub deaths: Vec<(Cause, u64)>,
    /// The five slowest items that have a result or an error from their function, the slowest first.
    pub slowest: Vec<SlowItem>,
}

/// What one worker, or all of them, has done. All times are wall-clock times in sum, from when the parent
/// noticed: a pool that nobody waits for notices late. (Those of the slowest items are by the clock of their workers.)
///
/// ```
/// let pool = procession_pool::Pool::with_workers(2)?;
/// pool.for_each(|n: u64| n + 1, 0..100)?;
/// let of_each: u64 = pool.insights().workers.iter().map(|share| share.tasks).sum();
/// assert_eq!(of_each, 100);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq)]
#[non_exhaustive]
pub struct Share {
    /// The process, if there is one right now.
    pub pid: Option<u32>,
    /// How many items ended here: with a result, or with an error after which they were not tried again, the death of the worker
    /// included. What a pool that is terminated, or breaks down, leaves undone did not end anywhere.
    pub tasks: u64,
    /// How many processes were started.
    pub starts: u64,
    /// From the start of the process until it was ready.
    pub starting: Duration,
    /// In the initializer.
    pub initializing: Duration,
    /// On items, the way to the worker and back included.
    pub working: Duration,
    /// With nothing to do. If this is much, the input or what takes the results is slower than the workers.
    pub waiting: Duration,
    /// From being told to leave until the end of the process, the exit hook included.
    pub exiting: Duration,
    /// Bytes sent to the worker: arguments, contexts and what goes around them.
    pub bytes_in: u64,
    /// Bytes of results.
    pub bytes_out: u64,
    /// Processor time in the program, of one that lives in ticks of the system, 10 ms as a rule.
    pub user_cpu: Duration,
    /// Processor time in the kernel, as above.
    pub system_cpu: Duration,
    /// The most memory that one process had in use at once, in bytes. Of one that has ended the kernel says no less than what this
    /// process had had in use when it started it.
    pub peak_memory_bytes: u64,
}

/// How a worker ended that was not let go.
///
/// ```
/// use procession_pool::{Cause, Pool};
/// use procession_process::Exit;
///
/// let pool = Pool::with_workers(1)?;
/// let _ = pool.apply(|code: i32| -> () { std::process::exit(code) }, 3);
/// assert_eq!(pool.insights().deaths, [(Cause::Exit(Exit::Code(3)), 1)]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// By itself, or by a signal from outside of the pool.
    Exit(Exit),
    /// Killed because its item took longer than its timeout.
    TimedOut,
    /// Killed because its item was cancelled, or because the pool was terminated or broke down.
    Cancelled,
    /// Killed because it wrote what no worker writes.
    Corrupt,
    /// Killed because it was not ready in time, or its initializer failed.
    Unfit,
    /// Killed because it did not leave when it was told to.
    Lingering,
}

impl Share {
    /// The part of the workers' time in which they were on items, from 0 to 1.
    ///
    /// ```
    /// let pool = procession_pool::Pool::with_workers(1)?;
    /// pool.for_each(|n: u64| n + 1, 0..100)?;
    /// let ratio = pool.insights().total.working_ratio();
    /// assert!(0.0 < ratio && ratio <= 1.0, "{ratio}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn working_ratio(&self) -> f64 {
        let all = self.starting + self.initializing + self.working + self.waiting + self.exiting;
        if all.is_zero() { 0.0 } else { self.working.as_secs_f64() / all.as_secs_f64() }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.tasks += other.tasks;
        self.starts += other.starts;
        self.starting += other.starting;
        self.initializing += other.initializing;
        self.working += other.working;
        self.waiting += other.waiting;
        self.exiting += other.exiting;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.user_cpu += other.user_cpu;
        self.system_cpu += other.system_cpu;
        self.peak_memory_bytes = self.peak_memory_bytes.max(other.peak_memory_bytes);
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit(exit) => exit.fmt(f),
            Self::TimedOut => f.write_str("killed: over its timeout"),
            Self::Cancelled => f.write_str("killed: cancelled"),
            Self::Corrupt => f.write_str("killed: it wrote what no worker writes"),
            Self::Unfit => f.write_str("killed: not ready, or its initializer failed"),
            Self::Lingering => f.write_str("killed: it did not leave"),
        }
    }
}

impl fmt::Display for Insights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:>8} {:>10} {:>6} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
            "worker",
            "tasks",
            "starts",
            "starting",
            "init",
            "working",
            "waiting",
            "exiting",
            "in",
            "out",
            "cpu",
            "peak"
        )?;
        for (place, share) in self.workers.iter().enumerate() {
            line(f, &share.pid.map_or_else(|| format!("({place})"), |pid| pid.to_string()), share)?;
        }
        line(f, "total", &self.total)?;
        writeln!(f, "working {:.1} % of the time", 100.0 * self.total.working_ratio())?;
        for (cause, count) in &self.deaths {
            writeln!(f, "{count} died: {cause}")?;
        }
        for slow in &self.slowest {
            writeln!(f, "{slow}")?;
        }
        Ok(())
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, share: &Share) -> fmt::Result {
    let seconds = |duration: Duration| format!("{:.3}s", duration.as_secs_f64());
    writeln!(
        f,
        "{name:>8} {:>10} {:>6} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
        share.tasks,
        share.starts,
        seconds(share.starting),
        seconds(share.initializing),
        seconds(share.working),
        seconds(share.waiting),
        seconds(share.exiting),
        bytes(share.bytes_in),
        bytes(share.bytes_out),
        seconds(share.user_cpu + share.system_cpu),
        bytes(share.peak_memory_bytes),
    )
}

fn bytes(count: u64) -> String {
    let unit = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let unit = unit.into_iter().find(|(_, shift)| count >> shift > 0);
    unit.map_or_else(|| format!("{count} B"), |(name, shift)| format!("{} {name}", count >> shift))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_chosen_by_size() {
        assert_eq!(
            [0, 1023, 1024, 5 << 20, 3 << 30].map(bytes),
            ["0 B", "1023 B", "1 KiB", "5 MiB", "3 GiB"]
        );
    }
}
