//! What of a source becomes which batch of the target.
//!
//! | batch of the source | becomes |
//! |---|---|
//! | of committed records without holes | the same bytes under our numbers, not decompressed |
//! | with holes (compacted), or begun below the position | a new batch of the records that are left |
//! | with the append time as its records' time | a new batch: a broker takes such times from nobody (KIP-32) |
//! | control batch, emptied batch | nothing |
//! | of an aborted transaction | nothing |

use super::copy::{Identity, Planned};
use model::limits::DECOMPRESSED_BYTES_MAX;
use model::{Offset, ProducerId};
use record::{BatchBuilder, BatchError, BatchView, Batches, Compression, ControlRecord, Record, RecordError};
use std::collections::{HashSet, VecDeque};

/// How many records a batch that is made anew may have: a plan names each that stands alone.
pub const RECORDS_MAX: usize = 8192;

/// A transaction whose records are left out, from its first offset to its marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aborted {
    /// Whose it was.
    pub producer: ProducerId,
    /// The offset of its first record.
    pub first: Offset,
}

/// Why a batch of the source cannot be carried.
#[derive(Debug, thiserror::Error)]
pub enum CarryError {
    /// No batch, a damaged one, or one of an old format.
    #[error("behind source offset {behind}: {source}")]
    Batch {
        /// Where reading stopped.
        behind: Offset,
        /// What is wrong.
        source: BatchError,
    },
    /// Its records cannot be decoded, which they must.
    #[error("the batch at source offset {at}: {source}")]
    Records {
        /// Its base offset.
        at: Offset,
        /// What is wrong.
        source: RecordError,
    },
}

/// One batch to send.
#[derive(Clone, Debug)]
pub struct Parcel<'a> {
    /// Which source offsets it holds: the first of each run, and how many.
    pub runs: Vec<(Offset, u32)>,
    /// The source offset behind it and whatever is left out behind it.
    pub end: Offset,
    body: Body<'a>,
}

#[derive(Clone, Debug)]
enum Body<'a> {
    /// As it stands.
    Whole(BatchView<'a>),
    /// Made of records.
    Anew(BatchBuilder),
}

impl Parcel<'_> {
    /// How many records it has.
    pub fn count(&self) -> i32 {
        self.runs.iter().map(|(_, count)| *count as i32).sum()
    }

    /// Whether it goes as it stands, not decompressed.
    pub fn is_whole(&self) -> bool {
        matches!(self.body, Body::Whole(_))
    }

    /// The batch under these numbers.
    pub fn batch(self, identity: Identity, sequence: i32) -> Vec<u8> {
        match self.body {
            Body::Whole(batch) => record::adopted(&batch, identity.producer, identity.epoch, sequence),
            Body::Anew(builder) => builder.producer(identity.producer, identity.epoch, sequence).build(),
        }
    }

    /// Whether it holds exactly what was planned.
    pub fn is(&self, planned: &Planned) -> bool {
        self.runs == planned.runs
    }
}

/// How many batches went which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// As they stand.
    pub passed: u64,
    /// Made anew.
    pub encoded: u64,
    /// Left out: control batches, and emptied ones.
    pub empty: u64,
    /// Left out: of aborted transactions.
    pub aborted: u64,
}

impl Tally {
    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            encoded: self.encoded + other.encoded,
            empty: self.empty + other.empty,
            aborted: self.aborted + other.aborted,
        }
    }
}

/// What becomes of the batches of one answer.
#[derive(Clone, Debug)]
pub struct Load<'a> {
    /// The batches to send, in order.
    pub parcels: Vec<Parcel<'a>>,
    /// The source offset behind all that was looked at.
    pub end: Offset,
    /// What became of them.
    pub tally: Tally,
}

/// Decides what becomes of `batches`, an answer to a fetch of committed records from `from` on; `aborted` came with it.
///
/// The same batches are cut into the same parcels, whatever the answer holds besides.
///
/// # Errors
/// [`CarryError`]; nothing behind that batch can be carried either.
pub fn carry<'a>(batches: &'a [u8], from: Offset, aborted: &[Aborted]) -> Result<Load<'a>, CarryError> {
    let mut load = Load { parcels: Vec::new(), end: from, tally: Tally::default() };
    let mut filter = Filter::new(aborted);
    for batch in Batches::new(batches) {
        let sound = batch.and_then(|batch| batch.verify().map(|()| batch));
        let batch = sound.map_err(|source| CarryError::Batch { behind: load.end, source })?;
        let is_aborted = filter.leaves_out(&batch);
        if batch.next_offset() > from {
            load.take(batch, from, is_aborted)?;
        }
    }
    Ok(load)
}

impl<'a> Load<'a> {
    fn take(&mut self, batch: BatchView<'a>, from: Offset, is_aborted: bool) -> Result<(), CarryError> {
        self.end = batch.next_offset();
        match () {
            () if is_aborted => self.tally.aborted += 1,
            () if batch.attributes.is_control() || batch.count == 0 => self.tally.empty += 1,
            () if is_whole(&batch, from) => self.pass(batch),
            () => self.encode(&batch, from)?,
        }
        // What is left out behind a parcel is settled with it.
        if let Some(last) = self.parcels.last_mut() {
            last.end = self.end;
        }
        Ok(())
    }

    fn pass(&mut self, batch: BatchView<'a>) {
        self.tally.passed += 1;
        let runs = vec![(batch.base_offset, batch.count as u32)];
        self.parcels.push(Parcel { runs, end: batch.next_offset(), body: Body::Whole(batch) });
    }

    fn encode(&mut self, batch: &BatchView<'_>, from: Offset) -> Result<(), CarryError> {
        self.tally.encoded += 1;
        let failed = |source| CarryError::Records { at: batch.base_offset, source };
        let compression = batch.attributes.compression().map_err(|unknown| failed(unknown.into()))?;
        let mut anew = Anew::new(compression);
        for record in batch.records(DECOMPRESSED_BYTES_MAX).map_err(failed)? {
            let record = record.map_err(failed)?;
            if record.offset < from {
                continue;
            }
            if anew.builder.count() as usize >= RECORDS_MAX {
                self.parcels.extend(std::mem::replace(&mut anew, Anew::new(compression)).parcel());
            }
            anew.push(&record);
        }
        self.parcels.extend(anew.parcel());
        Ok(())
    }
}

fn is_whole(batch: &BatchView<'_>, from: Offset) -> bool {
    let has_holes = batch.count != batch.last_offset_delta + 1;
    !has_holes && batch.base_offset >= from && !batch.attributes.is_append_time()
}

/// A batch in the making.
struct Anew {
    builder: BatchBuilder,
    runs: Vec<(Offset, u32)>,
}

impl Anew {
    fn new(compression: Compression) -> Self {
        Self { builder: BatchBuilder::new().compression(compression), runs: Vec::new() }
    }

    fn push(&mut self, record: &Record) {
        let headers: Vec<_> = record.headers.iter().map(|header| (&header.key[..], header.value.as_deref())).collect();
        self.builder.push_raw(record.timestamp, record.key.as_deref(), record.value.as_deref(), &headers);
        match self.runs.last_mut() {
            Some((first, count)) if first.plus(i64::from(*count)) == record.offset => *count += 1,
            _ => self.runs.push((record.offset, 1)),
        }
    }

    fn parcel<'a>(self) -> Option<Parcel<'a>> {
        let (first, count) = *self.runs.last()?;
        Some(Parcel { end: first.plus(i64::from(count)), runs: self.runs, body: Body::Anew(self.builder) })
    }
}

/// Which batches belong to aborted transactions (as a reader of committed records finds out, KIP-98).
struct Filter {
    begun: HashSet<ProducerId>,
    coming: VecDeque<Aborted>,
}

impl Filter {
    fn new(aborted: &[Aborted]) -> Self {
        let mut coming = aborted.to_vec();
        coming.sort_unstable_by_key(|aborted| aborted.first);
        Self { begun: HashSet::new(), coming: coming.into() }
    }

    fn leaves_out(&mut self, batch: &BatchView<'_>) -> bool {
        while let Some(next) = self.coming.pop_front_if(|next| next.first <= batch.last_offset()) {
            self.begun.insert(next.producer);
        }
        if batch.attributes.is_control() {
            if matches!(ControlRecord::of(batch), Some(ControlRecord::Abort { .. })) {
                self.begun.remove(&batch.producer_id);
            }
            return false;
        }
        batch.attributes.is_transactional() && self.begun.contains(&batch.producer_id)
    }
}

#[cfg(test)]
mod tests;
