use super::record::{self, Found, Record};
use super::{Entry, corrupt, disk};
use crate::Position;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The largest segment that is read; anything above was not written by us.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// One file of the journal.
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) file: Arc<File>,
    /// The index of its first entry, once it has one.
    pub(super) first: Option<u64>,
    /// Where the next record goes.
    pub(super) tail: u64,
    /// How much of it is on stable storage.
    pub(super) durable: u64,
    /// Whether its last bytes are no whole record.
    pub(super) torn: bool,
}

impl Segment {
    /// Makes an empty segment for the entries from `first` on.
    pub(super) fn create(dir: &Path, first: u64, previous: Option<Position>) -> io::Result<Self> {
        let path = dir.join(format!("{first:020}.log"));
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(&path)?;
        let mut bytes = Vec::new();
        Record::Start { previous }.encode(0, &mut bytes);
        file.write_all_at(&bytes, 0)?;
        file.sync_all()?;
        disk::sync_dir(dir)?;
        let tail = bytes.len() as u64;
        Ok(Self { path, file: Arc::new(file), first: None, tail, durable: tail, torn: false })
    }

    /// Opens the segment `path` and reads its records up to the first that is not whole.
    pub(super) fn recover(path: &Path) -> io::Result<(Self, Vec<Found>)> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let size = file.metadata()?.len();
        if size > FILE_BYTES_MAX {
            return Err(corrupt(path, format_args!("it has {size} bytes, at most {FILE_BYTES_MAX} are possible")));
        }
        let mut bytes = vec![0; size as usize];
        file.read_exact_at(&mut bytes, 0)?;
        let scan = record::scan(&bytes.into());
        if let Some(at) = scan.corrupt_at {
            return Err(corrupt(path, format_args!("the record at byte {at} was durable and is not readable")));
        }
        let tail = scan.tail as u64;
        let (path, file) = (path.to_owned(), Arc::new(file));
        Ok((Self { path, file, first: None, tail, durable: tail, torn: tail < size }, scan.found))
    }

    /// Takes note of a record that was found.
    pub(super) fn note(&mut self, found: &Found) {
        if let Record::Entry { position, .. } = &found.record {
            self.first.get_or_insert(position.index);
        }
    }

    /// Cuts off a torn tail.
    pub(super) fn cut(&mut self) -> io::Result<()> {
        if self.torn {
            tracing::warn!(path = %self.path.display(), tail = self.tail, "cut off a torn tail");
            self.file.set_len(self.tail)?;
        }
        // What was readable may still have been in memory only.
        self.file.sync_all()?;
        self.torn = false;
        Ok(())
    }

    /// Writes `entries`, after the hint `committed`; returns where each entry's own bytes begin.
    pub(super) fn append(&mut self, entries: &[Entry], committed: Option<Position>) -> io::Result<Vec<u64>> {
        let durable = self.durable as u32;
        let mut bytes = Vec::with_capacity(entries.iter().map(|entry| entry.body.len() + 64).sum());
        if let Some(committed) = committed {
            Record::Committed(committed).encode(durable, &mut bytes);
        }
        let mut places = Vec::with_capacity(entries.len());
        for entry in entries {
            let record = Record::Entry { position: entry.position, body: entry.body.clone() };
            places.push(self.tail + record.encode(durable, &mut bytes) as u64);
            self.first.get_or_insert(entry.position.index);
        }
        self.file.write_all_at(&bytes, self.tail)?;
        self.tail += bytes.len() as u64;
        Ok(places)
    }

    /// Notes, without a flush, that entries up to `upto` may be gone.
    pub(super) fn note_purged(&mut self, upto: Position) -> io::Result<()> {
        let mut bytes = Vec::new();
        Record::Purged(upto).encode(self.durable as u32, &mut bytes);
        self.file.write_all_at(&bytes, self.tail)?;
        self.tail += bytes.len() as u64;
        Ok(())
    }

    /// Removes the entry `since`, whose record begins at `start`, and all after it.
    pub(super) fn truncate(&mut self, start: u64, since: u64) -> io::Result<()> {
        self.file.set_len(start)?;
        self.file.sync_all()?;
        (self.tail, self.durable) = (start, start);
        self.first = self.first.filter(|first| *first < since);
        Ok(())
    }
}
