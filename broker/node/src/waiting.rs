//! How many fetches wait for records.

use crate::Broker;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The fetches that found too little and wait for more.
#[derive(Debug, Default)]
pub(crate) struct Waiting(AtomicUsize);

/// One of them, for as long as this is kept.
#[derive(Debug)]
pub(crate) struct Waits<'a>(&'a Waiting);

impl Waiting {
    /// One more.
    pub(crate) fn begin(&self) -> Waits<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Waits(self)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Broker {
    /// How many fetches of consumers and of other regions have found less than they ask for, and wait for more or for their
    /// time to be up (the size of Kafka's fetch purgatory). Replicas of the region are not counted: one fetch of each always
    /// waits.
    pub fn waiting_fetches(&self) -> usize {
        self.0.waiting.0.load(Ordering::Relaxed)
    }
}
