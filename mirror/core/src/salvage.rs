//! What becomes of the records of a diverged tail: which of them the lineage that went on holds, and which are written again.
//!
//! ```text
//!  diverged file --- note_tail ----> producers, keys, transactions of the tail
//!  new lineage ----- note_lineage -> which of their sequences and keys it holds since the common end
//!  diverged file --- fate ---------> each record: write again, or leave out and why
//! ```
//!
//! A record is known again by producer id, producer epoch and sequence number: a client that never got its answer sends the
//! batch again to the new owner with the same three. Without a producer id nobody can tell. What was written again out of
//! another region's tail says which record of which epoch it was. The decision depends on nothing
//! but the file, the new lineage up to a fixed offset, and the [`Wish`]; so whoever goes on with a re-injection that was cut
//! short comes to the same list, and continues it by sequence number ([`Resume`]).
//!
//! A tail is published in a topic of its own by the same means, where nothing is compared: all of its records but those of
//! transactions that were not committed, as they are ([`Writer::provenance`] is `None`), in their order ([`Published`]), and
//! those that another region's tail has brought there ([`Shared`]).
//!
//! It does not know of transactions that began below the common end: of those, what lies in the tail counts by the marker
//! that lies in the tail.

mod again;
mod parcel;
mod places;
mod report;
mod sequences;
mod shared;
mod transactions;

pub use again::WRITTEN_AGAIN_MAX;
pub use parcel::{EPOCH_HEADER, OFFSET_HEADER, Parcel, Provenance, REGION_HEADER, Resume, Writer};
pub use places::{Places, Published};
pub use report::{Findings, KeyFinding, Tally};
pub use shared::Shared;
pub use transactions::{TRANSACTIONAL_BATCHES_MAX, Transactions};

use again::Again;
use model::{ByteCount, Offset, OffsetRange, OwnershipEpoch, ProducerId};
use record::{BatchError, BatchView, Record, RecordError, sequence_after};
use report::Keys;
use sequences::Sequences;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How many producers of a tail are told apart.
pub const PRODUCERS_MAX: usize = 100_000;
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
    /// Left out: the new lineage holds it, or the topic it would be published in.
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
    /// The log that was written to does not hold what was written, in its order.
    #[error(
        "the batch at offset {at} has sequence number {found} where {expected} should follow: records before it are gone"
    )]
    NotInOrder {
        /// Where.
        at: Offset,
        /// Its sequence number.
        found: i32,
        /// What should be there.
        expected: u64,
    },
    /// The keys are not all known.
    #[error("the tail has too many keys to tell which of them the new lineage holds; ask again without keys-not-newer")]
    KeysUnknown,
}

/// What is known of a diverged tail and of the lineage that went on without it.
#[derive(Debug, Default)]
pub struct Salvage {
    producers: BTreeMap<(ProducerId, i16), Sequences>,
    transactions: Transactions,
    keys: Keys,
    again: Again,
    control_batches: u64,
    lineage: Option<OffsetRange>,
}

impl Salvage {
    /// Of a tail that was written under `epoch`.
    pub fn of(epoch: OwnershipEpoch) -> Self {
        Self { again: Again::of(epoch), ..Self::default() }
    }

    /// Takes note of the next batch of the tail; they come in order.
    ///
    /// # Errors
    /// [`SalvageError`]: the tail cannot be judged.
    pub fn note_tail(&mut self, batch: &BatchView<'_>) -> Result<(), SalvageError> {
        verified(batch)?;
        let header = batch.header();
        self.again.note_tail(header.next_offset());
        self.transactions.note(batch)?;
        if header.attributes.is_control() {
            self.control_batches += 1;
            return Ok(());
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
        for record in records(batch)? {
            let record = record?;
            self.again.note_lineage(&record)?;
            self.keys.note_lineage(record.key.as_deref());
        }
        Ok(())
    }

    /// What becomes of `record`, which lies in `batch` of the tail. Control batches have no fate.
    pub fn fate(&self, wish: Wish, batch: &BatchView<'_>, record: &Record) -> Fate {
        let header = batch.header();
        if let Some(uncommitted) = self.transactions.fate(batch) {
            return uncommitted;
        }
        if self.holds(batch, record) || self.again.holds(record) {
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

/// Whether the batch is what was written.
///
/// # Errors
/// [`SalvageError::Batch`] when it is not.
pub fn verified(batch: &BatchView<'_>) -> Result<(), SalvageError> {
    batch.verify().map_err(|source| SalvageError::Batch { at: batch.header().base_offset, source })
}

fn check_room(what: &'static str, count: usize, limit: usize) -> Result<(), SalvageError> {
    if count > limit { Err(SalvageError::TooMany { what, limit }) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
