use super::Producers;
use super::entry::Entry;
use model::{Offset, ProducerId, Timestamp};

/// What a log remembers of one producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActiveProducer {
    /// The producer.
    pub producer_id: ProducerId,
    /// Its latest epoch.
    pub producer_epoch: i16,
    /// The last sequence number it used in that epoch; `None` before its first batch.
    pub last_sequence: Option<i32>,
    /// The largest timestamp of its last batch.
    pub last_timestamp: Timestamp,
    /// The epoch of the coordinator that wrote its last marker, -1 for none.
    pub coordinator_epoch: i32,
    /// Where its open transaction begins.
    pub transaction_start: Option<Offset>,
}

impl ActiveProducer {
    fn of(producer_id: ProducerId, entry: &Entry) -> Self {
        Self {
            producer_id,
            producer_epoch: entry.epoch,
            last_sequence: entry.batches.back().map(|kept| kept.last_sequence),
            last_timestamp: entry.last_timestamp,
            coordinator_epoch: entry.coordinator_epoch,
            transaction_start: entry.transaction,
        }
    }
}

impl Producers {
    /// Every producer, by id.
    pub(crate) fn active(&self) -> Vec<ActiveProducer> {
        let mut active: Vec<_> = self.entries.iter().map(|(id, entry)| ActiveProducer::of(*id, entry)).collect();
        active.sort_unstable_by_key(|producer| producer.producer_id);
        active
    }
}
