use super::Index;
use crate::FileError;
use model::Offset;
use std::path::PathBuf;

/// Where batches lie: 8 bytes an entry, (last offset of a batch relative to the segment, its position), ascending.
pub(crate) struct OffsetIndex {
    base: Offset,
    index: Index<2>,
}

impl OffsetIndex {
    pub(crate) fn create(path: PathBuf, base: Offset, bytes_max: u64) -> Result<Self, FileError> {
        Ok(Self { base, index: Index::create(path, bytes_max)? })
    }

    /// The index in a trimmed file; `None` when there is none, or it cannot be that of a segment of `size` bytes.
    pub(crate) fn open(path: PathBuf, base: Offset, bytes_max: u64, size: u64) -> Result<Option<Self>, FileError> {
        let Some(index) = Index::open(path, bytes_max)? else { return Ok(None) };
        let last = index.entries()?.last();
        let sound = last.is_none_or(|[_, position]| position > 0 && u64::from(position) < size);
        Ok(sound.then_some(Self { base, index }))
    }

    pub(crate) fn count(&self) -> usize {
        self.index.count()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.index.is_full_for(1)
    }

    /// Notes that the batch whose last offset is `last_offset` lies at `position`.
    pub(crate) fn push(&self, last_offset: Offset, position: u64) -> Result<(), FileError> {
        self.index.push([last_offset.since(self.base) as u32, position as u32])
    }

    /// A position at or before which no batch reaches beyond `offset`: where to start looking for it.
    pub(crate) fn lookup(&self, offset: Offset) -> Result<u64, FileError> {
        if offset < self.base {
            return Ok(0);
        }
        let relative = offset.since(self.base);
        let found = self.index.entries()?.last_that(|[key, _]| u64::from(key) <= relative);
        Ok(found.map_or(0, |[_, position]| u64::from(position)))
    }

    /// The last indexed batch at or before `position`.
    pub(crate) fn lookup_position(&self, position: u64) -> Result<u64, FileError> {
        let found = self.index.entries()?.last_that(|[_, at]| u64::from(at) <= position);
        Ok(found.map_or(0, |[_, at]| u64::from(at)))
    }

    /// The position of the last indexed batch.
    pub(crate) fn last_position(&self) -> Result<u64, FileError> {
        Ok(self.index.entries()?.last().map_or(0, |[_, position]| u64::from(position)))
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
    fn a_lookup_starts_at_the_last_batch_that_ends_at_or_before_the_offset() {
        let dir = tempfile::tempdir().unwrap();
        let index = OffsetIndex::create(dir.path().join("i"), Offset(100), 1 << 20).unwrap();
        for (last, position) in [(109, 4200), (120, 9000)] {
            index.push(Offset(last), position).unwrap();
        }
        let at = |offset| index.lookup(Offset(offset)).unwrap();
        assert_eq!([at(3), at(108), at(109), at(119), at(120), at(999)], [0, 0, 4200, 4200, 9000, 9000]);
        assert_eq!(index.lookup_position(8999).unwrap(), 4200);
        index.trim().unwrap();
        let open = |size| OffsetIndex::open(dir.path().join("i"), Offset(100), 1 << 20, size).unwrap();
        assert!(open(9000).is_none(), "an entry beyond the end of the segment");
        assert_eq!(open(9001).unwrap().last_position().unwrap(), 9000);
    }
}
