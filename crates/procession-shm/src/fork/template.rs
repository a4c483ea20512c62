//! Whether this process is a template of others, which will be copies of it.
//!
//! What it makes would be in each copy: a lock held by all of them, an end of a pipe with as many owners as there are copies.
//! Mappings are not inherited, besides. So shared memory is not mapped in a template at all; whoever makes one says so here.

use std::sync::atomic::{AtomicBool, Ordering}; // tidy: raw atomic: private to this process, and a model has no forks

/// Relaxed: set and asked by the only thread of a process, or before it has others.
static IS_TEMPLATE: AtomicBool = AtomicBool::new(false);

/// Says whether copies of this process are going to be forked from it. In a template, mapping shared memory is an error
/// ([`SegmentError::Template`](crate::SegmentError::Template)); a copy starts by saying that it is none.
///
/// ```
/// use procession_shm::{Segment, SegmentError, fork::set_template};
///
/// set_template(true);
/// assert!(matches!(Segment::new(1)?.map(), Err(SegmentError::Template)));
/// set_template(false);
/// assert!(Segment::new(1)?.map().is_ok());
/// # Ok::<(), SegmentError>(())
/// ```
pub fn set_template(is_template: bool) {
    IS_TEMPLATE.store(is_template, Ordering::Relaxed);
}

pub(crate) fn is_template() -> bool {
    IS_TEMPLATE.load(Ordering::Relaxed)
}
