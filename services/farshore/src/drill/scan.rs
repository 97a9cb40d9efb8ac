//! The whole log of a partition in one region, read at the end.

use super::reader::value_of;
use anyhow::{Context, Result, bail};
use model::limits::DECOMPRESSED_BYTES_MAX;
use model::{Offset, OffsetRange};
use record::Batches;
use wire::api::list_offsets::{EARLIEST, LATEST};
use wire::client::{Cluster, FetchLimits};

/// What a log holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Log {
    /// The first offset kept.
    pub(super) start: Offset,
    /// The next offset.
    pub(super) tail: Offset,
    /// The records of the load.
    pub(super) records: Vec<(Offset, u64)>,
    /// The offsets that batches of any kind cover.
    pub(super) covered: Vec<OffsetRange>,
}

/// Reads a whole log.
///
/// # Errors
/// When it cannot be read to its end.
pub(super) async fn scan(cluster: &Cluster, topic: &str, partition: i32) -> Result<Log> {
    let start = Offset(cluster.list_offset(topic, partition, EARLIEST).await?.offset);
    let tail = Offset(cluster.list_offset(topic, partition, LATEST).await?.offset);
    let mut log = Log { start, tail, records: Vec::new(), covered: Vec::new() };
    let mut position = start;
    while position < tail {
        let fetched = cluster.fetch(topic, partition, position.0, FetchLimits::default()).await?;
        let next =
            log.take(position, &fetched.records).with_context(|| format!("{topic}-{partition} at {position}"))?;
        if next == position {
            bail!("{topic}-{partition} gives nothing at {position}, although it ends at {tail}");
        }
        position = next;
    }
    Ok(log)
}

impl Log {
    fn take(&mut self, position: Offset, batches: &[u8]) -> Result<Offset> {
        let mut next = position;
        for batch in Batches::new(batches) {
            let batch = batch?;
            batch.verify()?;
            let range = OffsetRange::new(batch.base_offset.max(next), Offset(batch.last_offset().0 + 1));
            self.cover(range);
            if !batch.attributes.is_control() {
                for record in batch.records(DECOMPRESSED_BYTES_MAX)? {
                    let record = record?;
                    let value = value_of(&record).filter(|_| record.offset >= position);
                    self.records.extend(value.map(|value| (record.offset, value)));
                }
            }
            next = next.max(range.end);
        }
        Ok(next)
    }

    fn cover(&mut self, range: OffsetRange) {
        match self.covered.last_mut() {
            Some(last) if last.end == range.start => *last = OffsetRange::new(last.start, range.end),
            _ => self.covered.push(range),
        }
    }

    /// What of the log lies below `end`.
    pub(super) fn covered_below(&self, end: Offset) -> Vec<OffsetRange> {
        let below = self.covered.iter().filter(|range| range.start < end);
        below.map(|range| OffsetRange::new(range.start, range.end.min(end))).collect()
    }
}
