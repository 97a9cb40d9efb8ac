//! The aborted transactions whose markers lie in one segment, in Kafka's `.txnindex` format: 34 bytes an entry,
//! version (`i16`, 0), producer id, first and last offset, and the last stable offset when the marker was written.

use crate::{FileError, files};
use model::{Offset, ProducerId};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

const ENTRY_BYTES: usize = 34;

/// A transaction that was aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Who aborted it.
    pub producer_id: ProducerId,
    /// Its first record.
    pub first_offset: Offset,
    /// Its marker.
    pub last_offset: Offset,
    /// The last stable offset behind the marker.
    pub(crate) last_stable: Offset,
}

impl AbortedTransaction {
    fn encode(&self) -> [u8; ENTRY_BYTES] {
        let mut entry = [0; ENTRY_BYTES];
        for (at, value) in
            [self.producer_id.0, self.first_offset.0, self.last_offset.0, self.last_stable.0].into_iter().enumerate()
        {
            entry[2 + 8 * at..][..8].copy_from_slice(&value.to_be_bytes());
        }
        entry
    }

    fn decode(entry: &[u8]) -> Self {
        let field = |at: usize| i64::from_be_bytes(entry[2 + 8 * at..][..8].try_into().expect("eight bytes"));
        Self {
            producer_id: ProducerId(field(0)),
            first_offset: Offset(field(1)),
            last_offset: Offset(field(2)),
            last_stable: Offset(field(3)),
        }
    }
}

/// Kept in memory; the file is written when the segment is rolled or closed. Until then the log itself says the same.
pub(crate) struct TxnIndex {
    path: PathBuf,
    entries: RwLock<Vec<AbortedTransaction>>,
    changed: AtomicBool,
}

impl TxnIndex {
    pub(crate) fn create(path: PathBuf) -> Result<Self, FileError> {
        files::remove(&path)?;
        Ok(Self { path, entries: RwLock::default(), changed: AtomicBool::new(false) })
    }

    /// Reads the file, if there is one. A torn last entry is left out.
    pub(crate) fn open(path: PathBuf) -> Result<Self, FileError> {
        let bytes = files::read(&path)?.unwrap_or_default();
        let entries = bytes.chunks_exact(ENTRY_BYTES).map(AbortedTransaction::decode).collect();
        Ok(Self { path, entries: RwLock::new(entries), changed: AtomicBool::new(false) })
    }

    pub(crate) fn push(&self, aborted: AbortedTransaction) {
        self.entries.write().unwrap_or_else(PoisonError::into_inner).push(aborted);
        self.changed.store(true, Ordering::Release);
    }

    /// Keeps the transactions whose markers lie before `offset`.
    pub(crate) fn truncate(&self, offset: Offset) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let kept = entries.partition_point(|entry| entry.last_offset < offset);
        if kept < entries.len() {
            entries.truncate(kept);
            self.changed.store(true, Ordering::Release);
        }
    }

    /// Writes the file, if it is not as it should be. A segment without aborted transactions has none.
    pub(crate) fn store(&self) -> Result<(), FileError> {
        if !self.changed.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let bytes: Vec<_> = entries.iter().flat_map(AbortedTransaction::encode).collect();
        let stored = if bytes.is_empty() { files::remove(&self.path) } else { files::replace(&self.path, &bytes) };
        stored.inspect_err(|_| self.changed.store(true, Ordering::Release))
    }

    /// Collects into `found` what a reader of `[from, upto)` must leave out; says whether later segments can add to it.
    pub(crate) fn collect(&self, from: Offset, upto: Offset, found: &mut Vec<AbortedTransaction>) -> bool {
        for entry in self.entries.read().unwrap_or_else(PoisonError::into_inner).iter() {
            if entry.last_offset >= from && entry.first_offset < upto {
                found.push(*entry);
            }
            if entry.last_stable >= upto {
                return false;
            }
        }
        true
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn sync(&self) -> Result<(), FileError> {
        self.store()?;
        if self.entries.read().unwrap_or_else(PoisonError::into_inner).is_empty() {
            return Ok(());
        }
        files::open(&self.path)?.sync_all().map_err(files::failed("sync", &self.path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aborted(first: i64, last: i64, stable: i64) -> AbortedTransaction {
        AbortedTransaction {
            producer_id: ProducerId(first),
            first_offset: Offset(first),
            last_offset: Offset(last),
            last_stable: Offset(stable),
        }
    }

    fn collect(index: &TxnIndex, from: i64, upto: i64) -> (Vec<i64>, bool) {
        let mut found = Vec::new();
        let more = index.collect(Offset(from), Offset(upto), &mut found);
        (found.into_iter().map(|entry| entry.first_offset.0).collect(), more)
    }

    #[test]
    fn a_reader_gets_the_transactions_that_touch_its_range() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let index = TxnIndex::create(path.clone()).unwrap();
        for entry in [aborted(10, 19, 12), aborted(12, 25, 26), aborted(30, 39, 40)] {
            index.push(entry);
        }
        assert_eq!(collect(&index, 0, 11), (vec![10], false));
        assert_eq!(collect(&index, 20, 35), (vec![12, 30], false));
        assert_eq!(collect(&index, 26, 100), (vec![30], true));
        index.store().unwrap();
        let torn = [std::fs::read(&path).unwrap(), vec![1; 7]].concat();
        std::fs::write(&path, torn).unwrap();
        let again = TxnIndex::open(path.clone()).unwrap();
        again.truncate(Offset(30));
        again.push(aborted(50, 60, 61));
        again.sync().unwrap();
        assert_eq!(collect(&TxnIndex::open(path).unwrap(), 0, 100), (vec![10, 12, 50], true));
        again.truncate(Offset(0));
        again.sync().unwrap();
        assert!(!dir.path().join("x").exists());
    }
}
