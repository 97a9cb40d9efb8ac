//! One segment: a file of batches, its indexes, and what is known of it without reading.

use crate::index::{OffsetIndex, TimeEntry, TimeIndex};
use crate::txn_index::TxnIndex;
use crate::walk::Walk;
use crate::{Config, FileError, ReadError, files};
use bytes::Bytes;
use model::{Offset, Timestamp};
use record::{BatchView, Header};
use std::fs::File;
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// A segment as its owner and any number of readers see it. Only the owner changes it, and only at its end.
pub(crate) struct Segment {
    pub(crate) base: Offset,
    pub(crate) path: PathBuf,
    pub(crate) file: Arc<File>,
    pub(crate) offsets: OffsetIndex,
    pub(crate) times: TimeIndex,
    pub(crate) txns: TxnIndex,
    /// Bytes of whole batches.
    size: AtomicU64,
    /// Behind the last batch; the base while there is none.
    next: AtomicI64,
    /// The batch with the largest timestamp, the first of several.
    latest: RwLock<Option<TimeEntry>>,
}

impl Segment {
    /// A new segment without a batch; whatever had its name is gone.
    pub(crate) fn create(dir: &Path, base: Offset, config: &Config) -> Result<Self, FileError> {
        Self::create_as(|extension| files::of_offset(dir, base, extension), base, config)
    }

    /// The same under names that end with `suffix` too.
    pub(crate) fn create_beside(dir: &Path, base: Offset, config: &Config, suffix: &str) -> Result<Self, FileError> {
        let name = |extension: &str| files::of_offset(dir, base, extension).with_added_extension(suffix);
        Self::create_as(name, base, config)
    }

    fn create_as(name: impl Fn(&str) -> PathBuf, base: Offset, config: &Config) -> Result<Self, FileError> {
        let path = name(files::LOG);
        let options = File::options().read(true).write(true).create(true).truncate(true).open(&path);
        let txns = TxnIndex::create(name(files::TXN_INDEX))?;
        Self::fresh(name, base, config, options.map_err(files::failed("create", &path))?, txns)
    }

    /// An existing segment whose batches are still to be noted; its indexes start anew.
    pub(crate) fn reopen(dir: &Path, base: Offset, config: &Config) -> Result<Self, FileError> {
        let path = files::of_offset(dir, base, files::LOG);
        let txns = TxnIndex::open(files::of_offset(dir, base, files::TXN_INDEX))?;
        Self::fresh(|extension| files::of_offset(dir, base, extension), base, config, files::open(&path)?, txns)
    }

    fn fresh(
        name: impl Fn(&str) -> PathBuf,
        base: Offset,
        config: &Config,
        file: File,
        txns: TxnIndex,
    ) -> Result<Self, FileError> {
        let limit = config.segment_index_bytes.0;
        Ok(Self {
            base,
            path: name(files::LOG),
            file: Arc::new(file),
            offsets: OffsetIndex::create(name(files::OFFSET_INDEX), base, limit)?,
            times: TimeIndex::create(name(files::TIME_INDEX), base, limit)?,
            txns,
            size: AtomicU64::new(0),
            next: AtomicI64::new(base.0),
            latest: RwLock::new(None),
        })
    }

    /// A segment that was rolled or closed in an orderly way, taken at its word. `None` when its indexes are missing
    /// or cannot be its own: then it has to be scanned.
    pub(crate) fn open(dir: &Path, base: Offset, config: &Config) -> Result<Option<Self>, FileError> {
        let name = |extension| files::of_offset(dir, base, extension);
        let path = name(files::LOG);
        let file = files::open(&path)?;
        let size = file.metadata().map_err(files::failed("inspect", &path))?.len();
        let limit = config.segment_index_bytes.0;
        let Some(offsets) = OffsetIndex::open(name(files::OFFSET_INDEX), base, limit, size)? else { return Ok(None) };
        let Ok(next) = tail_of(&file, &path, offsets.last_position()?, size, base) else { return Ok(None) };
        let Some(times) = TimeIndex::open(name(files::TIME_INDEX), base, limit, next)? else { return Ok(None) };
        let latest = times.last()?;
        Ok(Some(Self {
            base,
            path,
            file: Arc::new(file),
            offsets,
            times,
            txns: TxnIndex::open(name(files::TXN_INDEX))?,
            size: AtomicU64::new(size),
            next: AtomicI64::new(next.0),
            latest: RwLock::new(latest),
        }))
    }

    pub(crate) fn size(&self) -> u64 {
        self.size.load(Ordering::Acquire)
    }

    pub(crate) fn next(&self) -> Offset {
        Offset(self.next.load(Ordering::Acquire))
    }

    pub(crate) fn latest(&self) -> Option<TimeEntry> {
        *self.latest.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes `parts` one after the other behind the last batch: one system call, unless the system takes less.
    pub(crate) fn write(&self, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let mut position = self.size();
        while !parts.is_empty() {
            match rustix::io::pwritev(&self.file, parts, position) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    position += written as u64;
                    IoSlice::advance_slices(&mut parts, written);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Cuts off whatever a write that failed left behind the last batch.
    pub(crate) fn cut_torn_write(&self) -> io::Result<()> {
        self.file.set_len(self.size())
    }

    /// Counts a batch that was written at the end.
    pub(crate) fn note(&self, header: &Header) {
        let mut latest = self.latest.write().unwrap_or_else(PoisonError::into_inner);
        if latest.is_none_or(|entry| header.max_timestamp > entry.timestamp) {
            *latest = Some(TimeEntry { timestamp: header.max_timestamp, last_offset: header.last_offset() });
        }
        drop(latest);
        self.next.store(header.next_offset().0, Ordering::Release);
        self.size.fetch_add(header.size_bytes as u64, Ordering::AcqRel);
    }

    /// Ends the segment, or closes it: the time index gets its last entry, the files of the indexes become what they
    /// should be.
    pub(crate) fn trim(&self) -> Result<(), FileError> {
        self.latest().map_or(Ok(()), |latest| self.times.push_if_later(latest))?;
        self.txns.store()?;
        self.offsets.trim()?;
        self.times.trim()
    }

    /// Makes batches and indexes durable.
    pub(crate) fn sync_all(&self) -> Result<(), FileError> {
        self.sync()?;
        self.offsets.sync()?;
        self.times.sync()?;
        self.txns.sync()
    }

    /// Makes the batches durable.
    pub(crate) fn sync(&self) -> Result<(), FileError> {
        self.file.sync_data().map_err(files::failed("sync", &self.path))
    }

    /// Opens whatever readers may need of its files, so that they go on when these are replaced.
    pub(crate) fn pin(&self) -> Result<(), FileError> {
        self.offsets.pin()?;
        self.times.pin()
    }

    /// Removes its files. Readers that hold it go on.
    pub(crate) fn remove(&self) -> Result<(), FileError> {
        files::remove(&self.path)?;
        self.offsets.remove()?;
        self.times.remove()?;
        files::remove(self.txns.path())
    }

    /// The batches from `position` on, which must be a batch's, up to `end`.
    pub(crate) fn walk(&self, position: u64, end: u64) -> Walk<'_> {
        Walk::new(&self.file, &self.path, position, end)
    }

    /// The bytes of `[position, position + len)`.
    pub(crate) fn bytes(&self, position: u64, len: usize) -> Result<Bytes, FileError> {
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, position).map_err(files::failed("read", &self.path))?;
        Ok(bytes.into())
    }

    /// Decodes the whole batch that `header` at `position` begins, and hands it to `take`.
    pub(crate) fn with_batch<T>(
        &self,
        position: u64,
        header: &Header,
        take: impl FnOnce(&BatchView<'_>) -> Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        let bytes = self.bytes(position, header.size_bytes)?;
        let view = BatchView::parse(&bytes);
        take(&view.map_err(|error| ReadError::Damaged { path: self.path.clone(), position, error })?)
    }

    /// What the first batch's timestamp says of the segment's age.
    pub(crate) fn first_time(&self) -> Result<Option<Timestamp>, ReadError> {
        let first = self.walk(0, self.size()).next().transpose()?;
        Ok(first.map(|found| found.header.max_timestamp).filter(|time| time.0 >= 0))
    }
}

/// Behind the last batch of a file of `size` bytes, found from `position` on.
fn tail_of(file: &File, path: &Path, position: u64, size: u64, base: Offset) -> Result<Offset, ReadError> {
    Walk::new(file, path, position, size).try_fold(base, |_, found| Ok(found?.header.next_offset()))
}
