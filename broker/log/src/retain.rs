//! Retention: which of the oldest segments go, by age and by size.
//!
//! ```text
//!   | gone | gone | kept | kept | active ... |
//!               start        limit          tail
//! ```
//!
//! Whole segments go, oldest first, never one that reaches above the limit (what is committed, and what links have).
//! The new log start is durable before the first file goes. Whoever holds a segment reads on in its open files.

use crate::segment::Segment;
use crate::{FileError, Log, Sealed, TruncateError, files, log_start};
use model::{ByteCount, Offset, Timestamp};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How long records are kept, and how many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// A segment goes when all of it is older (`retention.ms`); `None` for never.
    pub age_max: Option<Duration>,
    /// The oldest segments go while the rest is as large as this or larger (`retention.bytes`); `None` for never.
    pub bytes_max: Option<ByteCount>,
}

/// What retention did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retired {
    /// The first offset kept.
    pub start: Offset,
    /// How many segments went.
    pub segments: usize,
    /// How many bytes of batches.
    pub bytes: u64,
    /// How many segments would have gone but for the limit.
    pub held_back: usize,
}

/// What is known of one segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Facts {
    next: Offset,
    size: u64,
    /// The largest time of its records.
    time: Timestamp,
}

/// How many segments at the front have outlived `retention` at `now`, or lie below `start` anyway.
fn outlived(segments: &[Facts], retention: &Retention, start: Offset, now: Timestamp) -> usize {
    let mut bytes: u64 = segments.iter().map(|segment| segment.size).sum();
    let goes = |segment: &&Facts| {
        let old = retention.age_max.is_some_and(|age| now.since(segment.time) > age);
        let large = retention.bytes_max.is_some_and(|most| bytes.saturating_sub(segment.size) >= most.0);
        bytes -= segment.size;
        segment.size > 0 && (old || large || segment.next <= start)
    };
    segments.iter().take_while(goes).count()
}

impl Log {
    /// Removes the segments that have outlived `retention` at `now`, as far as they lie below `limit` and are on disk;
    /// the active one is rolled when it goes too. It may block.
    ///
    /// # Errors
    /// [`TruncateError`]: the log starts where it did, or some files stay until the next time.
    pub fn retain(&mut self, retention: &Retention, now: Timestamp, limit: Offset) -> Result<Retired, TruncateError> {
        let view = self.view();
        let facts: Vec<_> = view.segments.iter().map(|segment| facts(segment)).collect();
        let outlived = outlived(&facts, retention, view.start, now);
        let limit = limit.min(view.flushed.offset);
        let gone = facts[..outlived].iter().take_while(|segment| segment.next <= limit).count();
        let nothing = Retired { start: view.start, held_back: outlived - gone, ..Retired::default() };
        let Some(last) = gone.checked_sub(1) else { return Ok(nothing) };
        if gone == facts.len() {
            self.shared.check_open()?;
            self.roll_idle()?;
        }
        self.drop_below(facts[last].next.max(view.start))?;
        let bytes = facts[..gone].iter().map(|segment| segment.size).sum();
        Ok(Retired { start: self.start(), segments: gone, bytes, ..nothing })
    }

    /// Begins a new segment if the first record of the active one was written `age_max` or longer ago, so that it can
    /// be compacted or retired though nobody writes. Says whether it did. It may block.
    ///
    /// # Errors
    /// [`TruncateError`]: the log goes on in the old one.
    pub fn roll_if_older(&mut self, age_max: Duration, now: Timestamp) -> Result<bool, TruncateError> {
        if !self.tail.is_older_than(age_max, now) {
            return Ok(false);
        }
        self.shared.check_open()?;
        self.roll_idle()?;
        Ok(true)
    }
}

fn facts(segment: &Segment) -> Facts {
    let latest = segment.latest().map(|latest| latest.timestamp).filter(|time| time.0 >= 0);
    // As Kafka has it, records without a time are as old as their file.
    Facts { next: segment.next(), size: segment.size(), time: latest.unwrap_or_else(|| modified(segment)) }
}

/// When it was last written to.
pub(crate) fn modified(segment: &Segment) -> Timestamp {
    let modified = segment.file.metadata().and_then(|metadata| metadata.modified()).ok();
    let since = modified.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    Timestamp(since.map_or(i64::MAX, |since| since.as_millis() as i64))
}

impl Log {
    /// Makes `start` the first offset kept, durably, and deletes the segments that lie below it as a whole.
    pub(crate) fn drop_below(&mut self, start: Offset) -> Result<(), TruncateError> {
        let view = self.view();
        let before_last = view.segments.len() - 1;
        let retired = view.segments.iter().take(before_last).take_while(|segment| segment.next() <= start).count();
        if start > view.start {
            store_start(&self.dir, start, view.segments[retired].base)?;
        }
        if retired > 0 {
            self.keep_producers(view.segments[retired].base)?;
        }
        {
            let mut view = self.shared.write();
            view.start = view.start.max(start);
            Arc::make_mut(&mut view.segments).drain(..retired);
        }
        self.change_epochs(|epochs| epochs.advance_start(start));
        self.unflushed.rolled.retain(|segment| segment.next() > start);
        for segment in &view.segments[..retired] {
            segment.remove()?;
            files::remove(&files::of_offset(&self.dir, segment.base, files::SNAPSHOT))?;
        }
        Ok(())
    }

    /// What the segments below `base` say of producers is nowhere else but in the snapshot there: it was written
    /// without a sync.
    fn keep_producers(&mut self, base: Offset) -> Result<(), TruncateError> {
        let path = files::of_offset(&self.dir, base, files::SNAPSHOT);
        if files::sync_existing(&path)? {
            return Ok(files::sync_dir(&self.dir)?);
        }
        self.flush().map_err(|error| Sealed(error.to_string()))?;
        match self.snapshot_durably(self.tail()) {
            // A full disk is freed first; who wrote nothing since counts as expired (KIP-360) should it crash now.
            Err(error) if error.is_disk_full() => Ok(()),
            kept => Ok(kept?),
        }
    }
}

/// Retention is what frees a full disk, so it has to do without space.
fn store_start(dir: &Path, start: Offset, first_base: Offset) -> Result<(), FileError> {
    match log_start::write_durably(dir, start) {
        Err(error) if error.is_disk_full() => match log_start::write_over(dir, start)? {
            true => Ok(()),
            // Without the file the log starts where its first segment does.
            false if start == first_base => Ok(()),
            false => Err(error),
        },
        stored => stored,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// Four segments of 10 offsets and 100 bytes, one hour apart, the last one empty.
    fn segments() -> Vec<Facts> {
        let hour = HOUR.as_millis() as i64;
        let full = (1..4).map(|n| Facts { next: Offset(10 * n), size: 100, time: Timestamp(hour * n) });
        full.chain([Facts { next: Offset(30), size: 0, time: Timestamp(0) }]).collect()
    }

    fn aged(hours: u64) -> Retention {
        Retention { age_max: Some(HOUR * hours as u32), ..Retention::default() }
    }

    fn sized(bytes: u64) -> Retention {
        Retention { bytes_max: Some(ByteCount(bytes)), ..Retention::default() }
    }

    fn count(retention: Retention, start: i64) -> usize {
        outlived(&segments(), &retention, Offset(start), Timestamp(4 * HOUR.as_millis() as i64))
    }

    #[test]
    fn segments_go_when_all_of_them_is_too_old() {
        assert_eq!([3, 2, 1, 0].map(|hours| count(aged(hours), 0)), [0, 1, 2, 3]);
        assert_eq!(count(Retention::default(), 0), 0);
    }

    #[test]
    fn the_oldest_segments_go_while_enough_is_left() {
        assert_eq!([301, 300, 201, 200, 199, 100, 1].map(|bytes| count(sized(bytes), 0)), [0, 0, 0, 1, 1, 2, 2]);
        assert_eq!(count(sized(0), 0), 3);
    }

    #[test]
    fn what_lies_below_the_start_goes_whatever_is_configured() {
        assert_eq!([9, 10, 29, 30].map(|start| count(Retention::default(), start)), [0, 1, 2, 3]);
    }

    #[test]
    fn a_younger_segment_keeps_the_older_ones_behind_it() {
        let mut segments = segments();
        segments[0].time = Timestamp(i64::MAX);
        assert_eq!(outlived(&segments, &aged(0), Offset(0), Timestamp(1 << 50)), 0);
    }
}
