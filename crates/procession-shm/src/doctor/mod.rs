//! What this machine offers, and what stands in where it offers less: [`doctor()`] and the [`Report`] it gives.
//!
//! Each line comes from trying the thing itself in this very process, so it tells of this kernel, this container and this
//! seccomp filter, not of what a version number promises. Nothing that is tried has an effect that outlives the try.

mod limits;
mod probes;

use std::fmt;

/// How well a thing that Procession uses is there.
///
/// ```
/// use procession_shm::doctor::Status;
///
/// assert!(procession_shm::doctor().checks.iter().any(|check| check.status == Status::Full));
/// assert_eq!(Status::Missing.to_string(), "MISSING");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Status {
    /// It is there.
    Full,
    /// It is not, and something else stands in for it.
    Fallback,
    /// It is not, and what needs it is an error.
    Missing,
    /// It could not be found out.
    Unknown,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Full => "ok",
            Self::Fallback => "fallback",
            Self::Missing => "MISSING",
            Self::Unknown => "unknown",
        })
    }
}

/// One thing that was looked at.
///
/// ```
/// let report = procession_shm::doctor();
/// let kernel = report.get("kernel").unwrap();
/// println!("{}: {} {}", kernel.name, kernel.found, kernel.effect);
/// assert!(!kernel.found.is_empty());
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// How well it is there.
    pub status: Status,
    /// What was found.
    pub found: String,
    /// What follows from it: which fallback is active, or what fails. Empty when nothing does.
    pub effect: String,
}

impl Check {
    fn full(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, status: Status::Full, found: found.into(), effect: String::new() }
    }

    fn new(name: &'static str, status: Status, found: impl Into<String>, effect: &str) -> Self {
        Self { name, status, found: found.into(), effect: effect.into() }
    }
}

/// What [`doctor()`] found. Its `Display` is a table of one line per check.
///
/// ```
/// use procession_shm::doctor::Report;
///
/// let report: Report = procession_shm::doctor();
/// let table = report.to_string();
/// assert_eq!(table.lines().count(), report.checks.len());
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Report {
    /// All checks, in the order in which they are printed.
    pub checks: Vec<Check>,
}

impl Report {
    /// The check of this name.
    ///
    /// ```
    /// let report = procession_shm::doctor();
    /// assert_eq!(report.get("memfd_create").unwrap().name, "memfd_create");
    /// assert_eq!(report.get("no such thing"), None);
    /// ```
    pub fn get(&self, name: &str) -> Option<&Check> {
        self.checks.iter().find(|check| check.name == name)
    }

    /// The worst that was found: [`Missing`](Status::Missing) if anything is, else [`Fallback`](Status::Fallback) if any is
    /// active, else [`Full`](Status::Full). What could not be found out does not count.
    ///
    /// ```
    /// use procession_shm::doctor::Status;
    ///
    /// let report = procession_shm::doctor();
    /// let is_missing = report.checks.iter().any(|check| check.status == Status::Missing);
    /// assert_eq!(report.worst() == Status::Missing, is_missing);
    /// ```
    pub fn worst(&self) -> Status {
        let any = |status| self.checks.iter().any(|check| check.status == status);
        [Status::Missing, Status::Fallback]
            .into_iter()
            .find(|&bad| any(bad))
            .unwrap_or(Status::Full)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |text: fn(&Check) -> usize| self.checks.iter().map(text).max().unwrap_or(0);
        let name_width = width(|check| check.name.len());
        let found_width = width(|check| check.found.chars().count());
        for Check { name, status, found, effect } in &self.checks {
            let line = format!("{name:name_width$}  {status:8}  {found:found_width$}  {effect}");
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// The first two numbers of the running kernel's version, if its release begins with two.
///
/// ```
/// assert!(procession_shm::doctor::kernel_version() >= Some((5, 4)));
/// ```
pub fn kernel_version() -> Option<(u32, u32)> {
    probes::version_of(&rustix::system::uname().release().to_string_lossy())
}

/// Looks at what this machine, as this process sees it, offers, and which fallbacks are active.
///
/// It takes well under a millisecond where nothing is slow to answer, blocks for nothing, and never fails: what cannot be
/// found out is [`Unknown`](Status::Unknown).
///
/// ```
/// let report = procession_shm::doctor();
/// assert!(report.get("futex_waitv").is_some());
/// println!("{report}");
/// ```
pub fn doctor() -> Report {
    let checks = vec![
        probes::kernel(),
        probes::futex_waitv(),
        probes::pidfd_open(),
        probes::memfd_create(),
        probes::memfd_noexec_seal(),
        probes::madv_populate_write(),
        probes::madv_wipeonfork(),
        probes::membarrier(),
        probes::proc_mounted(),
        probes::seccomp(),
        probes::ptrace_scope(),
        limits::descriptors(),
        limits::file_size(),
        limits::cgroup_memory(),
        limits::cgroup_cpu(),
        limits::cgroup_delegation(),
        limits::cores(),
    ];
    Report { checks }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_has_its_own_name_and_says_what_it_found() {
        let report = doctor();
        for (index, check) in report.checks.iter().enumerate() {
            assert!(!check.found.is_empty(), "{check:?}");
            assert!(report.checks[..index].iter().all(|other| other.name != check.name));
            assert_eq!(report.get(check.name), Some(check));
            let is_bad = matches!(check.status, Status::Fallback | Status::Missing);
            assert!(!is_bad || !check.effect.is_empty(), "{check:?}");
        }
        assert_eq!(report.get("nothing of the kind"), None);
    }

    #[test]
    fn the_table_has_a_line_for_each_check_and_aligned_columns() {
        let checks = vec![
            Check::full("a", "long finding"),
            Check::new("longer", Status::Missing, "x", "what fails"),
        ];
        let report = Report { checks };
        let table = "a       ok        long finding\nlonger  MISSING   x             what fails\n";
        assert_eq!(report.to_string(), table);
        assert_eq!(report.worst(), Status::Missing);
    }
}
