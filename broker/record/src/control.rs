//! Control batches: what brokers write into a log for other brokers and for clients that read committed records.
//!
//! The record's key is version (`i16`, 0) and type (`i16`); the value depends on the type.

use crate::{BatchBuilder, BatchView};
use model::{LeaderEpoch, Offset, ProducerId, Timestamp};

const ABORT: i16 = 0;
const COMMIT: i16 = 1;
const LEADER_CHANGE: i16 = 2;

/// What a control batch says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControlRecord {
    /// The producer's open transaction ends without effect.
    Abort {
        /// The epoch of the transaction coordinator that decided it.
        coordinator_epoch: i32,
    },
    /// The producer's open transaction takes effect.
    Commit {
        /// The epoch of the transaction coordinator that decided it.
        coordinator_epoch: i32,
    },
    /// A leader begins its epoch with this batch.
    LeaderChange,
    /// Something this code does not know.
    Other(i16),
}

impl ControlRecord {
    /// What the control batch `batch` says; `None` when it is no control batch, or its record cannot be read.
    pub fn of(batch: &BatchView<'_>) -> Option<Self> {
        if !batch.attributes.is_control() {
            return None;
        }
        let first = batch.records(model::limits::BATCH_BYTES_MAX).ok()?.next()?.ok()?;
        Self::decode(&first.key?, first.value.as_deref().unwrap_or_default())
    }

    /// What a control record with this key and value says; `None` when either is too short.
    pub fn decode(key: &[u8], value: &[u8]) -> Option<Self> {
        let kind = i16::from_be_bytes(key.get(2..4)?.try_into().ok()?);
        let coordinator_epoch = || Some(i32::from_be_bytes(value.get(2..6)?.try_into().ok()?));
        Some(match kind {
            ABORT => Self::Abort { coordinator_epoch: coordinator_epoch()? },
            COMMIT => Self::Commit { coordinator_epoch: coordinator_epoch()? },
            LEADER_CHANGE => Self::LeaderChange,
            other => Self::Other(other),
        })
    }
}

fn key(kind: i16) -> [u8; 4] {
    let [high, low] = kind.to_be_bytes();
    [0, 0, high, low]
}

/// The first batch of a leader epoch: one LEADER_CHANGE record that names `leader` (KIP-595's `LeaderChangeMessage`
/// v0, without voters) and belongs to no producer.
pub fn leader_change(offset: Offset, epoch: LeaderEpoch, leader: i32, now: Timestamp) -> Vec<u8> {
    let mut value = vec![0, 0];
    value.extend(leader.to_be_bytes());
    // Two empty compact arrays (voters, granting voters) and no tagged fields.
    value.extend([1, 1, 0]);
    let builder = BatchBuilder::new().base_offset(offset).leader_epoch(epoch).control();
    builder.record(now.0, Some(&key(LEADER_CHANGE)), Some(&value), &[]).build()
}

/// The batch that ends a producer's open transaction: commit or abort (KIP-98).
pub fn end_txn_marker(
    commit: bool,
    producer_id: ProducerId,
    producer_epoch: i16,
    coordinator_epoch: i32,
    now: Timestamp,
) -> Vec<u8> {
    let mut value = vec![0, 0];
    value.extend(coordinator_epoch.to_be_bytes());
    let builder = BatchBuilder::new().producer(producer_id, producer_epoch, -1).transactional().control();
    builder.record(now.0, Some(&key(if commit { COMMIT } else { ABORT })), Some(&value), &[]).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_batches_say_what_they_are() {
        let change = leader_change(Offset(7), LeaderEpoch(3), 1, Timestamp(5));
        let view = BatchView::parse(&change).unwrap();
        view.verify().unwrap();
        assert_eq!(ControlRecord::of(&view), Some(ControlRecord::LeaderChange));
        assert!(!view.is_idempotent() && view.attributes.is_control() && !view.attributes.is_transactional());
        assert_eq!((view.base_offset, view.count), (Offset(7), 1));
        let (coordinator_epoch, commit) = (7, ControlRecord::Commit { coordinator_epoch: 7 });
        for (committed, expected) in [(true, commit), (false, ControlRecord::Abort { coordinator_epoch })] {
            let marker = end_txn_marker(committed, ProducerId(9), 2, coordinator_epoch, Timestamp(5));
            let view = BatchView::parse(&marker).unwrap();
            view.verify().unwrap();
            assert_eq!(ControlRecord::of(&view), Some(expected));
            assert_eq!((view.producer_id, view.producer_epoch, view.base_sequence), (ProducerId(9), 2, -1));
        }
    }

    #[test]
    fn a_batch_of_records_is_no_control_batch() {
        let data = BatchBuilder::new().record(0, Some(&[0, 0, 0, 1]), None, &[]).build();
        assert_eq!(ControlRecord::of(&BatchView::parse(&data).unwrap()), None);
        assert_eq!(ControlRecord::decode(&[0, 0, 0], &[]), None);
        assert_eq!(ControlRecord::decode(&[0, 0, 0, 1], &[0; 5]), None, "a commit without a coordinator epoch");
        assert_eq!(ControlRecord::decode(&[0, 0, 0, 5], &[]), Some(ControlRecord::Other(5)));
    }
}
