//! What becomes of the records of a diverged tail: which of them the lineage that went on holds, and which are written again.
//!
//! ```text
//!  diverged file --- note_tail ----> producers, keys, transactions of the tail
//!  new lineage ----- note_lineage -> which of their sequences and keys it holds since the common end
//!  diverged file --- fate ---------> each record: write again, or leave out and why
//! ```
//!
//! A record is known again by producer id, producer epoch and sequence number: a client that never got its answer sends the
//! batch again to the new owner with the same three. Without a producer id nobody can tell. The decision depends on nothing
//! but the file, the new lineage up to a fixed offset, and the [`Wish`]; so whoever goes on with a re-injection that was cut
//! short comes to the same list, and continues it by sequence number ([`Resume`]).
//!
//! It does not know of transactions that began below the common end: of those, what lies in the tail counts by the marker
//! that lies in the tail.

mod parcel;
mod report;
mod sequences;

pub use parcel::{EPOCH_HEADER, OFFSET_HEADER, Parcel, Provenance, REGION_HEADER, Resume};
pub use report::{Findings, KeyFinding, Tally};

use model::{ByteCount, Offset, OffsetRange, ProducerId};
use record::{BatchError, BatchView, ControlRecord, Record, RecordError, sequence_after};
use report::Keys;
use sequences::Sequences;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// How many producers of a tail are told apart.
pub const PRODUCERS_MAX: usize = 100_000;
/// How many transactional batches of a tail are looked at.
pub const TRANSACTIONAL_BATCHES_MAX: usize = 1_000_000;
/// How much a batch may unpack to.
const PLAIN_BYTES_MAX: ByteCount = model::limits::DECOMPRESSED_BYTES_MAX;

/// What is wanted of a re-injection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// Leave out records whose key the new lineage has written since the common end.
    pub keys_not_newer: bool,
    /// Leave out records without a producer id: the new lineage may hold them.
    pub leave_unknown: bool,
}

/// What becomes of one record of a tail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is written again: the new lineage lacks it.
    Lacking,
    /// It is written again, though nobody can tell whether the new lineage holds it.
    Unknown,
    /// Left out: the new lineage holds it.
    Held,
    /// Left out: the new lineage has a newer record of its key.
    NewerKey,
    /// Left out: nobody can tell, and that was the wish.
    UnknownLeft,
    /// Left out: its transaction was aborted.
    Aborted,
    /// Left out: its transaction has no end in the tail.
    Open,
}

impl Fate {
    /// Whether the record is written again.
    pub const fn is_sent(self) -> bool {
        matches!(self, Self::Lacking | Self::Unknown)
    }
}

/// Why a tail cannot be judged.
#[derive(Debug, thiserror::Error)]
pub enum SalvageError {
    /// A batch is not what was written.
    #[error("the batch at offset {at}: {source}")]
    Batch {
        /// Where.
        at: Offset,
        /// What is wrong with it.
        source: BatchError,
    },
    /// The records of a batch cannot be read.
    #[error("the records of the batch at offset {at}: {source}")]
    Records {
        /// Where.
        at: Offset,
        /// What is wrong with them.
        source: RecordError,
    },
    /// More than is kept in memory.
    #[error("the tail has more than {limit} {what}; it cannot be judged as a whole")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many are possible.
        limit: usize,
    },
    /// The keys are not all known.
    #[error("the tail has too many keys to tell which of them the new lineage holds; ask again without keys-not-newer")]
    KeysUnknown,
}

/// What is known of a diverged tail and of the lineage that went on without it.
#[derive(Debug, Default)]
pub struct Salvage {
    producers: BTreeMap<(ProducerId, i16), Sequences>,
    /// Transactional batches without an end so far, and the aborted ones, by base offset.
    open: BTreeMap<ProducerId, Vec<Offset>>,
    aborted: BTreeSet<Offset>,
    transactional: usize,
    keys: Keys,
    control_batches: u64,
    lineage: Option<OffsetRange>,
}

impl Salvage {
    /// Takes note of the next batch of the tail; they come in order.
    ///
    /// # Errors
    /// [`SalvageError`]: the tail cannot be judged.
    pub fn note_tail(&mut self, batch: &BatchView<'_>) -> Result<(), SalvageError> {
        verified(batch)?;
        let header = batch.header();
        if header.attributes.is_control() {
            self.control_batches += 1;
            self.note_marker(batch);
            return Ok(());
        }
        if header.attributes.is_transactional() {
            self.note_transactional(batch)?;
        }
        if header.is_idempotent() {
            let producer = (header.producer_id, header.producer_epoch);
            self.producers.entry(producer).or_default();
            check_room("producers", self.producers.len(), PRODUCERS_MAX)?;
        }
        for record in records(batch)? {
            self.keys.note_tail(record?.key.as_deref());
        }
        Ok(())
    }

    fn note_transactional(&mut self, batch: &BatchView<'_>) -> Result<(), SalvageError> {
        self.transactional += 1;
        check_room("transactional batches", self.transactional, TRANSACTIONAL_BATCHES_MAX)?;
        self.open.entry(batch.header().producer_id).or_default().push(batch.header().base_offset);
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

    /// Takes note of a batch that the new lineage holds since the common end; all of the tail was noted before.
    ///
    /// # Errors
    /// [`SalvageError`]: the lineage cannot be read.
    pub fn note_lineage(&mut self, batch: &BatchView<'_>) -> Result<(), SalvageError> {
        verified(batch)?;
        let header = batch.header();
        let seen = self.lineage.map_or(header.base_offset, |range| range.start);
        self.lineage = Some(OffsetRange::new(seen, header.next_offset()));
        if header.attributes.is_control() {
            return Ok(());
        }
        if let Some(known) = self.producers.get_mut(&(header.producer_id, header.producer_epoch)) {
            known.insert(header.base_sequence, header.last_sequence());
        }
        if self.keys.are_there() {
            for record in records(batch)? {
                self.keys.note_lineage(record?.key.as_deref());
            }
        }
        Ok(())
    }

    /// What becomes of `record`, which lies in `batch` of the tail. Control batches have no fate.
    pub fn fate(&self, wish: Wish, batch: &BatchView<'_>, record: &Record) -> Fate {
        let header = batch.header();
        if self.aborted.contains(&header.base_offset) {
            return Fate::Aborted;
        }
        if header.attributes.is_transactional() && self.is_open(header.producer_id, header.base_offset) {
            return Fate::Open;
        }
        if self.holds(batch, record) {
            return Fate::Held;
        }
        if wish.keys_not_newer && record.key.as_deref().is_some_and(|key| self.keys.is_held(key)) {
            return Fate::NewerKey;
        }
        match (header.is_idempotent(), wish.leave_unknown) {
            (true, _) => Fate::Lacking,
            (false, true) => Fate::UnknownLeft,
            (false, false) => Fate::Unknown,
        }
    }

    fn is_open(&self, producer: ProducerId, batch: Offset) -> bool {
        self.open.get(&producer).is_some_and(|batches| batches.binary_search(&batch).is_ok())
    }

    fn holds(&self, batch: &BatchView<'_>, record: &Record) -> bool {
        let header = batch.header();
        let Some(held) = self.producers.get(&(header.producer_id, header.producer_epoch)) else { return false };
        let Ok(delta) = i32::try_from(record.offset.0 - header.base_offset.0) else { return false };
        header.base_sequence >= 0 && held.contains(sequence_after(header.base_sequence, delta))
    }

    /// Whether everything that `wish` asks about is known.
    ///
    /// # Errors
    /// [`SalvageError::KeysUnknown`].
    pub fn check(&self, wish: Wish) -> Result<(), SalvageError> {
        if wish.keys_not_newer && !self.keys.is_complete() { Err(SalvageError::KeysUnknown) } else { Ok(()) }
    }

    /// What was found, with the `top` keys of which most versions were cut off; `tally` counted the tail's records.
    pub fn findings(&self, tally: Tally, top: usize) -> Findings {
        self.keys.findings(tally, self.control_batches, self.lineage, top)
    }
}

/// The records of a batch of a tail, and what becomes of each.
///
/// # Errors
/// [`SalvageError::Records`] when they cannot be read.
pub fn records<'a>(
    batch: &BatchView<'a>,
) -> Result<impl Iterator<Item = Result<Record, SalvageError>> + use<'a>, SalvageError> {
    let at = batch.header().base_offset;
    let failed = move |source| SalvageError::Records { at, source };
    Ok(batch.records(PLAIN_BYTES_MAX).map_err(failed)?.map(move |record| record.map_err(failed)))
}

fn verified(batch: &BatchView<'_>) -> Result<(), SalvageError> {
    batch.verify().map_err(|source| SalvageError::Batch { at: batch.header().base_offset, source })
}

fn check_room(what: &'static str, count: usize, limit: usize) -> Result<(), SalvageError> {
    if count > limit { Err(SalvageError::TooMany { what, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
