use super::Index;
use crate::FileError;
use model::{Offset, Timestamp};
use std::path::PathBuf;

/// When batches were made: 12 bytes an entry, (largest timestamp so far, last offset of the batch that has it relative
/// to the segment), ascending.
pub(crate) struct TimeIndex {
    base: Offset,
    index: Index<3>,
}

/// What one entry says: nothing before the batch that ends with `last_offset` is as late as `timestamp`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeEntry {
    pub(crate) timestamp: Timestamp,
    pub(crate) last_offset: Offset,
}

impl TimeIndex {
    pub(crate) fn create(path: PathBuf, base: Offset, bytes_max: u64) -> Result<Self, FileError> {
        Ok(Self { base, index: Index::create(path, bytes_max)? })
    }

    /// The index in a trimmed file; `None` when there is none, or it cannot be one that ends before `next`.
    pub(crate) fn open(path: PathBuf, base: Offset, bytes_max: u64, next: Offset) -> Result<Option<Self>, FileError> {
        let Some(index) = Index::open(path, bytes_max)? else { return Ok(None) };
        let opened = Self { base, index };
        let entries = opened.index.entries()?;
        let first = (entries.count > 0).then(|| opened.decode(entries.at(0)));
        let last = entries.last().map(|entry| opened.decode(entry));
        let sound = first.zip(last).is_none_or(|(f, l)| f.timestamp <= l.timestamp && l.last_offset < next);
        Ok(sound.then_some(opened))
    }

    fn decode(&self, [high, low, relative]: [u32; 3]) -> TimeEntry {
        let timestamp = Timestamp((u64::from(high) << 32 | u64::from(low)) as i64);
        TimeEntry { timestamp, last_offset: self.base.plus(i64::from(relative)) }
    }

    /// Whether there is no room for another entry and the last one, that of the segment's end.
    pub(crate) fn is_full(&self) -> bool {
        self.index.is_full_for(2)
    }

    /// Notes `entry`, if it is later than the last one.
    pub(crate) fn push_if_later(&self, entry: TimeEntry) -> Result<(), FileError> {
        if self.last()?.is_some_and(|last| entry.timestamp <= last.timestamp) {
            return Ok(());
        }
        let TimeEntry { timestamp: Timestamp(time), last_offset } = entry;
        self.index.push([(time as u64 >> 32) as u32, time as u32, last_offset.since(self.base) as u32])
    }

    pub(crate) fn last(&self) -> Result<Option<TimeEntry>, FileError> {
        Ok(self.index.entries()?.last().map(|entry| self.decode(entry)))
    }

    /// The offset to start looking from for a record at or after `timestamp`.
    pub(crate) fn lookup(&self, timestamp: Timestamp) -> Result<Offset, FileError> {
        let found = self.index.entries()?.last_that(|entry| self.decode(entry).timestamp <= timestamp);
        Ok(found.map_or(self.base, |entry| self.decode(entry).last_offset))
    }

    pub(crate) fn trim(&self) -> Result<(), FileError> {
        self.index.trim()
    }

    pub(crate) fn sync(&self) -> Result<(), FileError> {
        self.index.sync()
    }

    pub(crate) fn pin(&self) -> Result<(), FileError> {
        self.index.pin()
    }

    pub(crate) fn remove(&self) -> Result<(), FileError> {
        self.index.remove()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_only_go_forward_in_time() {
        let dir = tempfile::tempdir().unwrap();
        let index = TimeIndex::create(dir.path().join("t"), Offset(100), 1 << 20).unwrap();
        let entry = |time, offset| TimeEntry { timestamp: Timestamp(time), last_offset: Offset(offset) };
        for (time, offset) in [(1 << 40, 105), (1 << 40, 110), (5, 120), ((1 << 40) + 9, 130)] {
            index.push_if_later(entry(time, offset)).unwrap();
        }
        assert_eq!(index.last().unwrap(), Some(entry((1 << 40) + 9, 130)));
        let at = |time| index.lookup(Timestamp(time)).unwrap().0;
        assert_eq!([at(7), at(1 << 40), at((1 << 40) + 8), at((1 << 40) + 9)], [100, 105, 105, 130]);
    }
}
