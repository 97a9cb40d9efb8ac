use super::{Fate, SalvageError, check_room};
use model::{Offset, ProducerId};
use record::{BatchView, ControlRecord};
use std::collections::{BTreeMap, BTreeSet};

/// How many transactional batches of a tail are looked at.
pub const TRANSACTIONAL_BATCHES_MAX: usize = 1_000_000;

/// Which transactions of a tail have ended and how, as far as its own markers say.
#[derive(Debug, Default)]
pub struct Transactions {
    /// Batches without an end so far, and the aborted ones, by base offset.
    open: BTreeMap<ProducerId, Vec<Offset>>,
    aborted: BTreeSet<Offset>,
    batches: usize,
}

impl Transactions {
    /// Takes note of the next batch of the tail; they come in order.
    ///
    /// # Errors
    /// [`SalvageError::TooMany`].
    pub fn note(&mut self, batch: &BatchView<'_>) -> Result<(), SalvageError> {
        let header = batch.header();
        if header.attributes.is_control() {
            self.note_marker(batch);
        } else if header.attributes.is_transactional() {
            self.batches += 1;
            check_room("transactional batches", self.batches, TRANSACTIONAL_BATCHES_MAX)?;
            self.open.entry(header.producer_id).or_default().push(header.base_offset);
        }
        Ok(())
    }

    fn note_marker(&mut self, batch: &BatchView<'_>) {
        let ended = |open: &mut BTreeMap<_, Vec<Offset>>| open.remove(&batch.header().producer_id).unwrap_or_default();
        match ControlRecord::of(batch) {
            Some(ControlRecord::Abort { .. }) => self.aborted.extend(ended(&mut self.open)),
            Some(ControlRecord::Commit { .. }) => drop(ended(&mut self.open)),
            _ => {}
        }
    }

    /// Why the records of `batch` are none for readers of what was committed; `None` where they are.
    pub fn fate(&self, batch: &BatchView<'_>) -> Option<Fate> {
        let header = batch.header();
        if self.aborted.contains(&header.base_offset) {
            return Some(Fate::Aborted);
        }
        let of_producer = self.open.get(&header.producer_id).filter(|_| header.attributes.is_transactional());
        let is_open = of_producer.is_some_and(|batches| batches.binary_search(&header.base_offset).is_ok());
        is_open.then_some(Fate::Open)
    }
}
