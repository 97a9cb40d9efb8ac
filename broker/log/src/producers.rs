//! What a log knows of the producers that wrote to it: sequence numbers for idempotence, open transactions.
//!
//! Everything here follows from the batches in the log, in order; a snapshot only saves reading them again.

mod active;
mod entry;
mod snapshot;
mod transactions;

pub use active::ActiveProducer;
pub use entry::Jump;
pub(crate) use entry::{Refusal, Verdict};
pub use transactions::OpenTransaction;

use crate::AbortedTransaction;
use crate::compact::LastBatch;
use entry::Entry;
use model::{Offset, ProducerId, Timestamp};
use record::{ControlRecord, Header};
use std::collections::HashMap;
use transactions::Transactions;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Producers {
    entries: HashMap<ProducerId, Entry>,
    transactions: Transactions,
    /// Whether any of them may skip forward at any time, because they write to other logs, too.
    roam: bool,
}

impl Producers {
    /// Whether a leader may append the batch, and as what.
    pub(crate) fn judge(&self, batch: &Header) -> Result<Verdict, Refusal> {
        match self.entries.get(&batch.producer_id) {
            Some(entry) if batch.is_idempotent() => entry.judge(batch, self.roam || entry.jump_open),
            _ => Ok(Verdict::Next),
        }
    }

    /// Takes note of a batch that is in the log now. A marker that aborts a transaction gives that transaction.
    pub(crate) fn note(&mut self, batch: &Header, control: Option<ControlRecord>) -> Option<AbortedTransaction> {
        match control {
            Some(ControlRecord::Abort { coordinator_epoch }) => self.end(batch, coordinator_epoch, true),
            Some(ControlRecord::Commit { coordinator_epoch }) => self.end(batch, coordinator_epoch, false),
            Some(ControlRecord::LeaderChange | ControlRecord::Other(_)) => None,
            None => {
                self.note_data(batch);
                None
            }
        }
    }

    fn note_data(&mut self, batch: &Header) {
        if !batch.is_idempotent() || batch.attributes.is_control() {
            return;
        }
        let entry = self.entries.entry(batch.producer_id).or_default();
        entry.note(batch);
        if batch.attributes.is_transactional() && entry.transaction.is_none() {
            entry.transaction = Some(batch.base_offset);
            self.transactions.begin(batch.base_offset, batch.producer_id);
        }
    }

    fn end(&mut self, marker: &Header, coordinator_epoch: i32, aborts: bool) -> Option<AbortedTransaction> {
        let entry = self.entries.entry(marker.producer_id).or_default();
        entry.note_marker(marker, coordinator_epoch);
        let first_offset = entry.transaction.take()?;
        let last_offset = marker.base_offset;
        let last_stable = self.transactions.end(first_offset, last_offset);
        let producer_id = marker.producer_id;
        aborts.then_some(AbortedTransaction { producer_id, first_offset, last_offset, last_stable })
    }

    /// From here on every producer known so far may skip forward once: what it wrote last may be lost.
    pub(crate) fn open_jumps(&mut self) {
        self.entries.values_mut().for_each(|entry| entry.jump_open = true);
    }

    /// From here on every producer may skip forward as often as it likes.
    pub(crate) fn let_roam(&mut self) {
        self.roam = true;
    }

    pub(crate) fn has_open_jump(&self, producer: ProducerId) -> bool {
        self.entries.get(&producer).is_some_and(|entry| self.roam || entry.jump_open)
    }

    /// See [`Log::send_back`](crate::Log::send_back).
    pub(crate) fn send_back(&mut self, batch: &Header, leadership_start: Offset) -> bool {
        let entry = self.entries.get_mut(&batch.producer_id);
        entry.is_some_and(|entry| entry.send_back(batch, leadership_start))
    }

    /// Forgets the producers that wrote nothing since `since` and have no transaction open; they may go on with any
    /// sequence number (KIP-360).
    pub(crate) fn expire(&mut self, since: Timestamp) {
        self.entries.retain(|_, entry| entry.last_timestamp >= since || entry.transaction.is_some());
    }

    pub(crate) fn transactions(&self) -> &Transactions {
        &self.transactions
    }

    pub(crate) fn transactions_mut(&mut self) -> &mut Transactions {
        &mut self.transactions
    }

    pub(crate) fn open_transactions(&self) -> Vec<OpenTransaction> {
        let open = self.transactions.open().filter_map(|(first_offset, producer_id)| {
            let entry = self.entries.get(&producer_id)?;
            Some(OpenTransaction { producer_id, producer_epoch: entry.epoch, first_offset })
        });
        open.collect()
    }

    /// What each producer wrote last.
    pub(crate) fn last_batches(&self) -> HashMap<ProducerId, LastBatch> {
        let last =
            |entry: &Entry| LastBatch { epoch: entry.epoch, offset: entry.batches.back().map(|kept| kept.last_offset) };
        self.entries.iter().map(|(id, entry)| (*id, last(entry))).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Offset;
    use record::{BatchBuilder, BatchView, end_txn_marker, set_base_offset};

    fn header(bytes: &[u8]) -> Header {
        *BatchView::parse(bytes).unwrap().header()
    }

    fn transactional(producer: i64, offset: i64) -> Header {
        let builder = BatchBuilder::new().base_offset(Offset(offset)).producer(ProducerId(producer), 0, 0);
        header(&builder.transactional().record(1, None, None, &[]).build())
    }

    fn end(producers: &mut Producers, producer: i64, offset: i64, commit: bool) -> Option<AbortedTransaction> {
        let mut bytes = end_txn_marker(commit, ProducerId(producer), 0, 3, Timestamp(1));
        set_base_offset(&mut bytes, Offset(offset));
        let view = BatchView::parse(&bytes).unwrap();
        producers.note(&view, ControlRecord::of(&view))
    }

    #[test]
    fn the_last_stable_offset_stops_at_the_first_transaction_that_is_open_or_whose_marker_is_not_committed() {
        let mut producers = Producers::default();
        producers.note(&transactional(1, 10), None);
        producers.note(&transactional(2, 11), None);
        let stable = |producers: &Producers, watermark| producers.transactions().last_stable(Offset(watermark)).0;
        assert_eq!([stable(&producers, 5), stable(&producers, 12)], [5, 10]);
        let aborted = end(&mut producers, 1, 12, false).unwrap();
        assert_eq!(
            (aborted.first_offset, aborted.last_offset, aborted.last_stable),
            (Offset(10), Offset(12), Offset(11))
        );
        assert_eq!(stable(&producers, 12), 10, "the marker is not committed yet");
        assert_eq!(stable(&producers, 13), 11, "the other one is open");
        assert_eq!(producers.open_transactions()[0].producer_id, ProducerId(2));
        assert_eq!(end(&mut producers, 2, 13, true), None);
        assert_eq!(stable(&producers, 14), 14);
        producers.transactions_mut().forget_stable(Offset(14));
        assert_eq!(producers.transactions(), &Transactions::default());
    }

    #[test]
    fn a_marker_without_a_transaction_changes_nothing_but_the_producers_epoch() {
        let mut producers = Producers::default();
        assert_eq!(end(&mut producers, 1, 12, false), None);
        assert_eq!(producers.transactions(), &Transactions::default());
        assert_eq!(producers.len(), 1);
    }

    #[test]
    fn what_is_remembered_of_each_producer_can_be_told() {
        let mut producers = Producers::default();
        producers.note(&transactional(2, 11), None);
        producers.note(&transactional(1, 10), None);
        end(&mut producers, 2, 12, true);
        let told = |at: usize| {
            let producer = producers.active()[at];
            let ActiveProducer { producer_id, last_sequence, coordinator_epoch, transaction_start, .. } = producer;
            (producer_id.0, last_sequence, coordinator_epoch, transaction_start)
        };
        assert_eq!(told(0), (1, Some(0), -1, Some(Offset(10))));
        assert_eq!(told(1), (2, Some(0), 3, None));
    }

    #[test]
    fn silent_producers_expire_unless_a_transaction_is_open() {
        let mut producers = Producers::default();
        producers.note(&transactional(1, 10), None);
        producers.note(&transactional(2, 11), None);
        end(&mut producers, 2, 12, true);
        producers.expire(Timestamp(2));
        assert_eq!(producers.len(), 1);
        assert_eq!(producers.open_transactions().len(), 1);
    }

    #[test]
    fn producers_that_roam_skip_forward_again_and_again_and_never_back() {
        let mut producers = Producers::default();
        let batch = |sequence| {
            let mut builder = BatchBuilder::new().producer(ProducerId(7), 0, sequence);
            builder.push(Timestamp(1), None, Some(b"v"), &[]);
            header(&builder.build())
        };
        producers.note(&batch(0), None);
        assert!(matches!(producers.judge(&batch(5)), Err(Refusal::OutOfOrder { expected: 1 })));
        producers.let_roam();
        for sequence in [5, 90, 1000] {
            assert!(matches!(producers.judge(&batch(sequence)), Ok(Verdict::Jump(_))), "{sequence}");
            producers.note(&batch(sequence), None);
            assert!(producers.has_open_jump(ProducerId(7)));
        }
        assert!(matches!(producers.judge(&batch(90)), Ok(Verdict::Duplicate(_))));
        assert!(matches!(producers.judge(&batch(400)), Err(Refusal::OutOfOrder { expected: 1001 })));
    }
}
