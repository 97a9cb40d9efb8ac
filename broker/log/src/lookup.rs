//! Looking things up: by time, by epoch, by transaction.

use crate::reader::first_batch;
use crate::segment::Segment;
use crate::walk::Found;
use crate::{AbortedTransaction, EpochEnd, EpochStart, ReadError, Reader};
use model::{LeaderEpoch, Offset, Timestamp, limits};
use record::{Record, RecordError};

/// A record found by its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampedOffset {
    /// Where it is.
    pub offset: Offset,
    /// Its time.
    pub timestamp: Timestamp,
    /// The leader epoch it was appended under.
    pub leader_epoch: LeaderEpoch,
}

impl Reader {
    /// The first record below `upto` whose time is `timestamp` or later.
    ///
    /// # Errors
    /// [`ReadError`] when the log cannot be read there.
    pub fn offset_for_time(&self, timestamp: Timestamp, upto: Offset) -> Result<Option<TimestampedOffset>, ReadError> {
        let view = self.shared.view();
        for segment in view.segments_from(view.start) {
            if segment.base >= upto || segment.latest().is_none_or(|latest| latest.timestamp < timestamp) {
                continue;
            }
            let from = segment.times.lookup(timestamp)?.max(view.start);
            let wanted = |record: &Record| record.timestamp >= timestamp && record.offset >= view.start;
            let end = view.end_of(segment).position;
            if let Some(found) = search(segment, from, end, timestamp, &wanted)? {
                return Ok(Some(found).filter(|found| found.offset < upto));
            }
        }
        Ok(None)
    }

    /// The first record with the largest time of all (`ListOffsets` with -3), if it lies below `upto`.
    ///
    /// # Errors
    /// [`ReadError`] when the log cannot be read there.
    pub fn max_timestamp(&self, upto: Offset) -> Result<Option<TimestampedOffset>, ReadError> {
        let view = self.shared.view();
        let latest = view.segments.iter().filter_map(|segment| Some((segment, segment.latest()?)));
        // The first of several: only a later time takes its place.
        let best = latest.reduce(|best, other| if other.1.timestamp > best.1.timestamp { other } else { best });
        let Some((segment, entry)) = best.filter(|(_, entry)| entry.timestamp.0 >= 0) else { return Ok(None) };
        let wanted = |record: &Record| record.timestamp == entry.timestamp;
        let end = view.end_of(segment).position;
        let found = search(segment, entry.last_offset, end, entry.timestamp, &wanted)?;
        Ok(found.filter(|found| view.start <= found.offset && found.offset < upto))
    }

    /// The largest timestamp of the batch that contains `offset`, or is the next behind it.
    ///
    /// # Errors
    /// [`ReadError`] when the log cannot be read there.
    pub fn batch_timestamp(&self, offset: Offset) -> Result<Option<Timestamp>, ReadError> {
        let view = self.shared.view();
        for segment in view.segments_from(offset) {
            if let Some(found) = first_batch(segment, offset, view.end_of(segment).position)? {
                return Ok(Some(found.header.max_timestamp));
            }
        }
        Ok(None)
    }

    /// The leader epochs, ascending.
    pub fn epochs(&self) -> Vec<EpochStart> {
        self.shared.read().epochs.all().to_vec()
    }

    /// The epoch that `offset` belongs to.
    pub fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        self.shared.read().epochs.at(offset)
    }

    /// Where the lineage through `epoch` ends, for those who compare logs: the largest epoch of this log that is not
    /// above it, and the start of the next one, or the tail. `None` for an epoch above all.
    pub fn end_of_epoch_for_replica(&self, epoch: LeaderEpoch) -> Option<EpochEnd> {
        let view = self.shared.read();
        view.epochs.end_for_replica(epoch, view.tail.offset)
    }

    /// The same for clients (`OffsetForLeaderEpoch`, diverging epochs): who stands behind a hole has lost nothing, so
    /// an epoch ends where the first batch of the next one lies.
    pub fn end_of_epoch_for_client(&self, epoch: LeaderEpoch) -> Option<EpochEnd> {
        let view = self.shared.read();
        view.epochs.end_for_client(epoch, view.tail.offset)
    }

    /// How many offsets of `[from, upto)` can have a record: those outside of holes. Lag and loss are counted so.
    pub fn count_without_holes(&self, from: Offset, upto: Offset) -> u64 {
        let view = self.shared.read();
        upto.since(from).saturating_sub(view.epochs.holes_below(upto).saturating_sub(view.epochs.holes_below(from)))
    }

    /// The aborted transactions that a reader of committed records in `[from, upto)` has to leave out.
    pub fn aborted_transactions(&self, from: Offset, upto: Offset) -> Vec<AbortedTransaction> {
        let view = self.shared.view();
        let mut found = Vec::new();
        for segment in view.segments_from(from) {
            if !segment.txns.collect(from, upto, &mut found) {
                break;
            }
        }
        found
    }
}

/// The first record from the batch that reaches `from` on, in a batch with `timestamp` or later, that is `wanted`.
fn search(
    segment: &Segment,
    from: Offset,
    end: u64,
    timestamp: Timestamp,
    wanted: &dyn Fn(&Record) -> bool,
) -> Result<Option<TimestampedOffset>, ReadError> {
    let start = segment.offsets.lookup(from)?.min(end);
    for found in segment.walk(start, end) {
        let found = found?;
        if found.header.max_timestamp < timestamp {
            continue;
        }
        if let Some(record) = first_record(segment, &found, wanted)? {
            let leader_epoch = found.header.leader_epoch;
            return Ok(Some(TimestampedOffset { offset: record.offset, timestamp: record.timestamp, leader_epoch }));
        }
    }
    Ok(None)
}

fn first_record(
    segment: &Segment,
    found: &Found,
    wanted: &dyn Fn(&Record) -> bool,
) -> Result<Option<Record>, ReadError> {
    let base_offset = found.header.base_offset;
    segment.with_batch(found.position, &found.header, |batch| {
        let first = batch.records(limits::DECOMPRESSED_BYTES_MAX).and_then(|records| find(records, wanted));
        first.map_err(|error| ReadError::Records { base_offset, error })
    })
}

fn find(records: record::Records<'_>, wanted: &dyn Fn(&Record) -> bool) -> Result<Option<Record>, RecordError> {
    for record in records {
        let record = record?;
        if wanted(&record) {
            return Ok(Some(record));
        }
    }
    Ok(None)
}
