//! The sparse indexes of a segment: entries of a few 32-bit words in a mapped file.
//!
//! The file is made when the first entry comes, 64 KiB large, and doubles up to `segment.index.bytes`; it is trimmed
//! to its entries when the segment is rolled or the log is closed. So a partition that never had an entry costs
//! nothing. One writer appends; readers see an entry once the count that includes it is published.

mod mapped;
mod offset;
mod time;

pub(crate) use offset::OffsetIndex;
pub(crate) use time::{TimeEntry, TimeIndex};

use crate::reader::warm;
use crate::{FileError, files};
use mapped::Mapped;
use rustix::fs::FallocateFlags;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// What the file begins with.
const START_BYTES: u64 = 64 << 10;
/// Readers of the tail stay within this many entries, so that they touch few pages (KAFKA-6432).
const WARM_ENTRIES: usize = 1024;

pub(crate) struct Index<const WORDS: usize> {
    path: PathBuf,
    bytes_max: u64,
    map: RwLock<Option<Arc<Mapped>>>,
    count: AtomicUsize,
}

impl<const WORDS: usize> Index<WORDS> {
    const ENTRY_BYTES: u64 = 4 * WORDS as u64;

    /// A new index without entries; an old file of that name is gone.
    fn create(path: PathBuf, bytes_max: u64) -> Result<Self, FileError> {
        files::remove(&path)?;
        Ok(Self::with_count(path, bytes_max, 0))
    }

    /// The index in an existing file that was trimmed. `None` when the file is missing or has a length no trimmed
    /// index has.
    fn open(path: PathBuf, bytes_max: u64) -> Result<Option<Self>, FileError> {
        let length = match std::fs::metadata(&path) {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(files::failed("inspect", &path)(error)),
        };
        let whole = length % Self::ENTRY_BYTES == 0 && length <= bytes_max.max(START_BYTES);
        Ok(whole.then(|| Self::with_count(path, bytes_max, (length / Self::ENTRY_BYTES) as usize)))
    }

    fn with_count(path: PathBuf, bytes_max: u64, count: usize) -> Self {
        Self { path, bytes_max, map: RwLock::new(None), count: AtomicUsize::new(count) }
    }

    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Whether there is no room for `more` entries.
    fn is_full_for(&self, more: u64) -> bool {
        (self.count() as u64 + more) * Self::ENTRY_BYTES > self.bytes_max
    }

    /// Makes room for one more entry.
    fn reserve(&self) -> Result<(), FileError> {
        let needed = (self.count() + 1) * WORDS;
        if self.mapped()?.is_some_and(|map| map.words() >= needed) {
            return Ok(());
        }
        let doubled = (needed as u64 * 4).max(START_BYTES).next_power_of_two().min(self.bytes_max.max(START_BYTES));
        let map = self.grow(doubled / Self::ENTRY_BYTES * Self::ENTRY_BYTES);
        *self.map.write().unwrap_or_else(PoisonError::into_inner) =
            Some(Arc::new(map.map_err(files::failed("grow", &self.path))?));
        Ok(())
    }

    fn grow(&self, bytes: u64) -> io::Result<Mapped> {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(&self.path)?;
        // Allocated, not sparse: a write through the map must never meet a full disk.
        rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes)?;
        Mapped::new(&file)
    }

    /// Appends an entry. An index is sparse: one that could not be appended (the disk is full) may be left out, and
    /// one for which there is no room is.
    fn push(&self, entry: [u32; WORDS]) -> Result<(), FileError> {
        if self.is_full_for(1) {
            return Ok(());
        }
        self.reserve()?;
        let count = self.count();
        let map = self.mapped()?.expect("room was reserved");
        for (word, value) in entry.into_iter().enumerate() {
            map.store(count * WORDS + word, value);
        }
        self.count.store(count + 1, Ordering::Release);
        Ok(())
    }

    fn mapped(&self) -> Result<Option<Arc<Mapped>>, FileError> {
        let map = self.map.read().unwrap_or_else(PoisonError::into_inner).clone();
        if map.is_some() || self.count() == 0 {
            return Ok(map);
        }
        // Under the lock: once it is pinned, nobody opens a file of that name any more.
        let mut kept = self.map.write().unwrap_or_else(PoisonError::into_inner);
        if kept.is_none() {
            let mapped = File::options().read(true).write(true).open(&self.path).and_then(|file| read_and_map(&file));
            *kept = Some(Arc::new(mapped.map_err(files::failed("map", &self.path))?));
        }
        Ok(kept.clone())
    }

    /// Maps the file, so that readers go on when it is removed or replaced.
    fn pin(&self) -> Result<(), FileError> {
        self.mapped().map(drop)
    }

    /// Removes the file. Readers go on.
    fn remove(&self) -> Result<(), FileError> {
        // Readers of a file that is gone already are not helped by an error.
        let _ = self.pin();
        files::remove(&self.path)
    }

    /// The entries as they are now.
    fn entries(&self) -> Result<Entries<WORDS>, FileError> {
        let map = self.mapped()?;
        // A file that lost its end since it was counted has no entries there.
        let mapped = map.as_ref().map_or(0, |map| map.words() / WORDS);
        Ok(Entries { count: self.count().min(mapped), map })
    }

    /// Cuts the file down to its entries; makes it if there are none.
    fn trim(&self) -> Result<(), FileError> {
        // Whoever still holds the map reads no more than the entries; a push maps the file anew.
        *self.map.write().unwrap_or_else(PoisonError::into_inner) = None;
        let length = self.count() as u64 * Self::ENTRY_BYTES;
        files::open(&self.path)?.set_len(length).map_err(files::failed("trim", &self.path))
    }

    /// Makes the entries durable. Pages written through the map count as written to the file.
    fn sync(&self) -> Result<(), FileError> {
        files::open(&self.path)?.sync_all().map_err(files::failed("sync", &self.path))
    }
}

/// Read first: where the disk fails that is an error, and at the first look through the map it would be the end of the
/// process.
fn read_and_map(file: &File) -> io::Result<Mapped> {
    warm(file, 0, file.metadata()?.len() as usize)?;
    Mapped::new(file)
}

/// A fixed number of entries.
struct Entries<const WORDS: usize> {
    map: Option<Arc<Mapped>>,
    count: usize,
}

impl<const WORDS: usize> Entries<WORDS> {
    fn at(&self, index: usize) -> [u32; WORDS] {
        assert!(index < self.count, "entry {index} of {}", self.count);
        let map = self.map.as_ref().expect("an index with entries is mapped");
        std::array::from_fn(|word| map.load(index * WORDS + word))
    }

    fn last(&self) -> Option<[u32; WORDS]> {
        self.count.checked_sub(1).map(|last| self.at(last))
    }

    /// The last entry of those, at the front, for which `holds`.
    fn last_that(&self, holds: impl Fn([u32; WORDS]) -> bool) -> Option<[u32; WORDS]> {
        let warm = self.count.saturating_sub(WARM_ENTRIES);
        let (mut low, mut high) = if warm > 0 && holds(self.at(warm)) { (warm, self.count) } else { (0, self.count) };
        while low < high {
            let middle = low.midpoint(high);
            if holds(self.at(middle)) { low = middle + 1 } else { high = middle }
        }
        low.checked_sub(1).map(|found| self.at(found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn length(path: &Path) -> u64 {
        std::fs::metadata(path).unwrap().len()
    }

    #[test]
    fn the_file_comes_with_the_first_entry_doubles_and_is_trimmed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("i");
        let index = Index::<3>::create(path.clone(), 1 << 20).unwrap();
        assert!(!path.exists());
        index.push([1, 2, 3]).unwrap();
        assert_eq!(length(&path), 65_532, "a multiple of the entry");
        for n in 1..6000 {
            index.push([n, n, n]).unwrap();
        }
        assert_eq!(length(&path), (128 << 10) / 12 * 12);
        index.trim().unwrap();
        assert_eq!(length(&path), 6000 * 12);
        assert_eq!(index.entries().unwrap().at(5999), [5999, 5999, 5999]);
        let again = Index::<3>::open(path, 1 << 20).unwrap().unwrap();
        assert_eq!((again.count(), again.entries().unwrap().at(0)), (6000, [1, 2, 3]));
        again.push([7, 7, 7]).unwrap();
        assert_eq!(again.entries().unwrap().at(5999), [5999, 5999, 5999], "growing keeps what is there");
    }

    #[test]
    fn an_index_that_reached_its_limit_is_full() {
        let dir = tempfile::tempdir().unwrap();
        let index = Index::<2>::create(dir.path().join("i"), 24).unwrap();
        for n in 0..3 {
            assert!(!index.is_full_for(1));
            index.push([n, n]).unwrap();
        }
        assert!(index.is_full_for(1));
        index.push([9, 9]).unwrap();
        assert_eq!(index.count(), 3);
    }

    #[test]
    fn a_search_finds_the_last_entry_that_holds_wherever_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let index = Index::<2>::create(dir.path().join("i"), 1 << 20).unwrap();
        for n in 0..3000u32 {
            index.push([n * 10, n]).unwrap();
        }
        let entries = index.entries().unwrap();
        for target in [0, 5, 10, 999, 19_759, 19_760, 19_761, 29_990, 40_000] {
            let found = entries.last_that(|[key, _]| key <= target).map(|[_, n]| n);
            assert_eq!(found, Some((target / 10).min(2999)), "{target}");
        }
        assert_eq!(entries.last_that(|_| false), None);
    }

    #[test]
    fn a_file_of_a_strange_length_is_no_trimmed_index() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("i");
        assert!(Index::<2>::open(path.clone(), 100).unwrap().is_none());
        std::fs::write(&path, [0; 17]).unwrap();
        assert!(Index::<2>::open(path, 100).unwrap().is_none());
    }
}
