//! Time in nanoseconds that can be compared between processes.

use rustix::time::{ClockId, Timespec, clock_gettime};

/// `CLOCK_MONOTONIC` in nanoseconds.
#[inline]
pub fn now_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::Monotonic))
}

/// The processor time that this process has used so far, in nanoseconds.
pub fn process_cpu_ns() -> u64 {
    nanoseconds(clock_gettime(ClockId::ProcessCPUTime))
}

/// Keeps the processor busy until the clock has advanced by `ns`, and returns by how much it has.
pub fn busy_ns(ns: u64) -> u64 {
    let start = now_ns();
    loop {
        let passed = now_ns() - start;
        if passed >= ns {
            return passed;
        }
        std::hint::spin_loop();
    }
}

/// How long `work` takes, in nanoseconds, and what it gives.
pub fn time_ns<R>(work: impl FnOnce() -> R) -> (u64, R) {
    let start = now_ns();
    let result = work();
    (now_ns() - start, result)
}

fn nanoseconds(time: Timespec) -> u64 {
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn being_busy_uses_time_of_both_kinds() {
        let cpu_ns = process_cpu_ns();
        let (passed_ns, busy_ns) = time_ns(|| busy_ns(1_000_000));
        assert!(busy_ns >= 1_000_000);
        assert!(passed_ns >= busy_ns);
        assert!(process_cpu_ns() > cpu_ns);
    }
}
