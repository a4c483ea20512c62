//! When a blocking call gives up: a point on the monotonic clock, or never.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};

/// A point on `CLOCK_MONOTONIC` at which a blocking call gives up, or never.
///
/// Deadlines are absolute, so a call that is interrupted, or that waits for several things in turn, keeps the time it
/// was given as a whole; and they do not move when somebody sets the clock of the machine.
///
/// ```
/// use std::time::Duration;
/// use procession_shm::Deadline;
///
/// let deadline = Deadline::after(Duration::from_secs(60));
/// assert!(!deadline.is_over() && deadline.remaining().unwrap() <= Duration::from_secs(60));
/// assert!(Deadline::from(None).is_never());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    at: Option<Timespec>,
}

impl Deadline {
    /// A deadline that never comes.
    ///
    /// ```
    /// use procession_shm::Deadline;
    ///
    /// assert!(Deadline::NEVER.is_never() && !Deadline::NEVER.is_over());
    /// ```
    pub const NEVER: Self = Self { at: None };

    /// The deadline that comes `timeout` from now. One too far away for the clock to hold never comes.
    ///
    /// ```
    /// use std::time::Duration;
    /// use procession_shm::Deadline;
    ///
    /// assert!(Deadline::after(Duration::ZERO).is_over());
    /// assert!(Deadline::after(Duration::MAX).is_never());    // the clock cannot hold it
    /// ```
    pub fn after(timeout: Duration) -> Self {
        let Ok(timeout) = Timespec::try_from(timeout) else { return Self::NEVER };
        Self { at: now().checked_add(timeout) }
    }

    /// Whether the deadline has come.
    ///
    /// ```
    /// use std::time::Duration;
    /// use procession_shm::Deadline;
    ///
    /// let deadline = Deadline::after(Duration::from_millis(1));
    /// while !deadline.is_over() {
    ///     std::thread::yield_now();
    /// }
    /// assert_eq!(deadline.remaining(), Some(Duration::ZERO));
    /// ```
    pub fn is_over(&self) -> bool {
        self.at.is_some_and(|at| at <= now())
    }

    /// Whether the deadline never comes.
    ///
    /// ```
    /// use std::time::Duration;
    /// use procession_shm::Deadline;
    ///
    /// assert!(Deadline::NEVER.is_never());
    /// assert!(!Deadline::after(Duration::from_secs(1)).is_never());
    /// ```
    pub fn is_never(&self) -> bool {
        self.at.is_none()
    }

    /// The time left: zero when the deadline has come, `None` when it never comes.
    ///
    /// ```
    /// use std::time::Duration;
    /// use procession_shm::Deadline;
    ///
    /// assert_eq!(Deadline::NEVER.remaining(), None);
    /// assert!(Deadline::after(Duration::from_secs(60)).remaining().unwrap() > Duration::ZERO);
    /// ```
    pub fn remaining(&self) -> Option<Duration> {
        let left = self.at?.checked_sub(now());
        Some(left.and_then(|left| Duration::try_from(left).ok()).unwrap_or(Duration::ZERO))
    }

    /// The earlier of two deadlines.
    ///
    /// ```
    /// use std::time::Duration;
    /// use procession_shm::Deadline;
    ///
    /// let soon = Deadline::after(Duration::from_secs(1));
    /// assert_eq!(soon.min(Deadline::after(Duration::from_secs(60))), soon);
    /// assert_eq!(Deadline::NEVER.min(soon), soon);
    /// ```
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        match (self.at, other.at) {
            (Some(a), Some(b)) => Self { at: Some(a.min(b)) },
            (a, b) => Self { at: a.or(b) },
        }
    }

    #[cfg(not(procession_loom))]
    pub(crate) fn as_timespec(&self) -> Option<&Timespec> {
        self.at.as_ref()
    }
}

/// `None` never comes; `Some(timeout)` comes that long from now.
impl From<Option<Duration>> for Deadline {
    fn from(timeout: Option<Duration>) -> Self {
        timeout.map_or(Self::NEVER, Self::after)
    }
}

fn now() -> Timespec {
    clock_gettime(ClockId::Monotonic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_too_far_away_never_comes() {
        assert!(Deadline::after(Duration::MAX).is_never());
        assert!(!Deadline::NEVER.is_over());
        assert_eq!(Deadline::NEVER.remaining(), None);
    }

    #[test]
    fn a_deadline_in_the_past_is_over_and_has_nothing_left() {
        let past = Deadline::after(Duration::ZERO);
        assert!(past.is_over());
        assert_eq!(past.remaining(), Some(Duration::ZERO));
    }

    #[test]
    fn the_earlier_of_two_wins_and_never_loses() {
        let near = Deadline::after(Duration::from_secs(1));
        let far = Deadline::after(Duration::from_secs(100));
        assert_eq!(near.min(far), near);
        assert_eq!(far.min(near), near);
        assert_eq!(Deadline::NEVER.min(near), near);
        assert_eq!(near.min(Deadline::NEVER), near);
    }
}
