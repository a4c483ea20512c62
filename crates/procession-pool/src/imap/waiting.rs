//! Outcomes that have arrived and are not yielded yet.

use std::collections::BTreeMap;

use crate::core::chunk::Delivery;

/// Outcomes, by the index of their first item.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    deliveries: BTreeMap<usize, Delivery>,
    items: usize,
    bytes: usize,
    has_failed: bool,
}

impl Waiting {
    pub(super) fn put(&mut self, delivery: Delivery) {
        self.items += delivery.count();
        self.bytes += delivery.len();
        self.has_failed |= delivery.is_failure();
        self.deliveries.insert(delivery.first(), delivery);
    }

    /// The first ones, unless others come before them: in order, only those that begin with item `next` are taken.
    pub(super) fn take(&mut self, next: Option<usize>) -> Option<Delivery> {
        let entry = self.deliveries.first_entry()?;
        if next.is_some_and(|next| next != *entry.key()) {
            return None;
        }
        let delivery = entry.remove();
        self.items -= delivery.count();
        self.bytes -= delivery.len();
        Some(delivery)
    }

    /// How many items have the outcomes that wait.
    pub(super) fn items(&self) -> usize {
        self.items
    }

    /// How long their values are.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there was ever a failure among them.
    pub(super) fn has_failed(&self) -> bool {
        self.has_failed
    }
}
