//! The limit of file descriptors.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the limit as far as it goes, and says (with a note of what is skipped) whether so many descriptors can be under way then.
pub(crate) fn can_have_under_way(test: &str, count: u64) -> bool {
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    let is_enough = maximum.is_none_or(|maximum| maximum / 4 >= count + 200);
    if !is_enough {
        skips::skipped(test, &format!("RLIMIT_NOFILE cannot be raised to {}", 4 * count + 800));
    }
    is_enough
}
