//! The end of the log: where batches are written, indexed, and where one segment follows another.

use crate::segment::Segment;
use crate::{Config, FileError};
use model::{Offset, Timestamp};
use record::Header;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The active segment and what its owner keeps in mind to extend it.
pub(crate) struct Tail {
    pub(crate) segment: Arc<Segment>,
    bytes_since_entry: u64,
    first_time: Option<Timestamp>,
}

impl Tail {
    /// The end of a segment that has no batch yet.
    pub(crate) fn of_empty(segment: Arc<Segment>) -> Self {
        Self { segment, bytes_since_entry: 0, first_time: None }
    }

    /// The end of a segment whose batches, the first from `first_time`, were noted by someone else.
    pub(crate) fn of(segment: Arc<Segment>, bytes_since_entry: u64, first_time: Option<Timestamp>) -> Self {
        Self { segment, bytes_since_entry, first_time }
    }

    /// Notes a batch that was written at the end of the segment, and indexes it when it is its turn.
    ///
    /// Every entry may be missing from an index, so one that finds the disk full is left for the next batch.
    pub(crate) fn note(&mut self, header: &Header, config: &Config) {
        let position = self.segment.size();
        self.segment.note(header);
        self.first_time = self.first_time.or((header.max_timestamp.0 >= 0).then_some(header.max_timestamp));
        if self.bytes_since_entry > config.index_interval_bytes.0 && self.index(header, position).is_ok() {
            self.bytes_since_entry = 0;
        }
        self.bytes_since_entry += header.size_bytes as u64;
    }

    fn index(&self, header: &Header, position: u64) -> Result<(), FileError> {
        let Some(latest) = self.segment.latest() else { return Ok(()) };
        self.segment.times.push_if_later(latest)?;
        self.segment.offsets.push(header.last_offset(), position)
    }

    /// Whether the batch that `header` describes, `pending` bytes behind the end, has to begin a new segment: by size,
    /// by age, on a full index, or because its offset relative to this one would not fit.
    pub(crate) fn is_full_for(&self, pending: u64, header: &Header, config: &Config) -> bool {
        let segment = &self.segment;
        // A segment may wait for a batch behind a hole that was refused.
        if header.base_offset < segment.base || header.last_offset().since(segment.base) > i32::MAX as u64 {
            return true;
        }
        let size = segment.size() + pending;
        let old = self.first_time.is_some_and(|first| header.max_timestamp.since(first) > config.segment_age_max);
        let large = size + header.size_bytes as u64 > config.segment_bytes_max();
        size > 0 && (old || large || segment.offsets.is_full() || segment.times.is_full())
    }

    /// Whether the first record is from `age_max` before `now` or earlier.
    pub(crate) fn is_older_than(&self, age_max: Duration, now: Timestamp) -> bool {
        self.segment.size() > 0 && self.first_time.is_some_and(|first| now.since(first) >= age_max)
    }

    /// The segment that follows this one, from `base` on. An empty segment is replaced.
    pub(crate) fn roll(&self, dir: &Path, base: Offset, config: &Config) -> Result<Arc<Segment>, FileError> {
        if self.segment.size() > 0 {
            self.segment.trim()?;
        }
        let next = Segment::create(dir, base, config)?;
        if self.segment.size() == 0 && self.segment.base != base {
            self.segment.remove()?;
        }
        Ok(Arc::new(next))
    }
}
