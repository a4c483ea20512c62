//! Results with handles, and how many descriptors of such results may wait to be taken.

use std::sync::Arc;
// tidy: raw atomic: a count in this process' own memory, not modelled
use std::sync::atomic::{AtomicUsize, Ordering};

use procession_channel::Message;
use procession_channel::codec::{DecodeError, Limits, decode};
use procession_process::link::NoHandles;
use procession_shm::transfer::{Received, Strangers, TransferError, Trust, receive_scope};

use crate::error::TaskError;

/// A result whose descriptors came beside it, or why they did not.
#[derive(Debug)]
pub(crate) struct Parcel {
    /// The encoded value.
    pub(crate) body: Vec<u8>,
    pub(crate) handles: Result<(Strangers, Lease), Lost>,
}

/// Why the descriptors of a result are not there.
#[derive(Debug, Clone, Copy, thiserror::Error)]
pub(crate) enum Lost {
    #[error("{0}")]
    NotReceived(NoHandles),
    #[error(
        "{0} file descriptors of results from this worker wait to be taken, and there is no room for more: take results as they come, with a smaller `window` or `chunk`"
    )]
    OverBudget(usize),
}

/// How many descriptors of results that have not been taken there are from one worker.
///
/// Relaxed: a count, with nothing behind it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Budget(Arc<AtomicUsize>);

/// A part of a budget, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    budget: Budget,
    count: usize,
}

impl Budget {
    /// Takes `count` out of it, unless more than `max` were out then.
    pub(crate) fn lease(&self, count: usize, max: usize) -> Result<Lease, Lost> {
        let lease = Lease { budget: self.clone(), count };
        let before = self.0.fetch_add(count, Ordering::Relaxed);
        if before + count > max { Err(Lost::OverBudget(before)) } else { Ok(lease) }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.budget.0.fetch_sub(self.count, Ordering::Relaxed);
    }
}

impl Parcel {
    /// The value. `trust` is what the worker is trusted to do.
    #[cold]
    pub(crate) fn decode<R: Message>(self, item: usize, trust: Trust) -> Result<R, TaskError> {
        let (descriptors, _lease) = self
            .handles
            .map_err(|why| TaskError::Decode { item, reason: why.to_string().into() })?;
        let Received { value, failure } =
            receive_scope(descriptors, trust, || decode::<R>(&self.body, &Limits::DEFAULT));
        value.map_err(|error| explain(item, &error, failure))
    }
}

fn explain(item: usize, error: &DecodeError, failure: Option<TransferError>) -> TaskError {
    match failure {
        Some(TransferError::Untrusted { .. }) => TaskError::Untrusted { item },
        Some(failure) => TaskError::Decode { item, reason: failure.to_string().into() },
        None => TaskError::decode(item, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_given_back() {
        let budget = Budget::default();
        let first = budget.lease(6, 10).unwrap();
        assert!(matches!(budget.lease(5, 10), Err(Lost::OverBudget(6))));
        let second = budget.lease(4, 10).unwrap();
        drop(first);
        drop(budget.lease(6, 10).unwrap());
        drop(second);
        drop(budget.lease(10, 10).unwrap());
    }
}
