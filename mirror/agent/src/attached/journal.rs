//! The journal of one partition on disk.

use super::AttachedError;
use mirror_core::attached::{Copy, Entry, journal};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A journal is written anew when it has so many bytes ...
const REWRITE_BYTES: u64 = 4 << 20;
/// ... and so many times as many as it needs.
const REWRITE_FACTOR: u64 = 4;

/// An open journal. What is appended is on disk after the next [`Journal::flush`].
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: Arc<File>,
    bytes: u64,
    needed: u64,
}

impl Journal {
    /// The path of a partition's journal.
    pub(super) fn path(directory: &Path, topic: &str, partition: i32) -> PathBuf {
        directory.join(format!("{topic}-{partition}.journal"))
    }

    /// What the journal at `path` tells; `None` when there is none.
    pub(super) fn read(path: &Path) -> Result<Option<Copy>, AttachedError> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(AttachedError::Disk { path: path.to_owned(), source }),
        };
        let (entries, sound) = journal::read(&bytes);
        if sound < bytes.len() {
            tracing::warn!(path = %path.display(), bytes = bytes.len() - sound, "a torn end is left off");
        }
        let replayed = Copy::replay(entries);
        replayed.map_err(|error| AttachedError::Refused(format!("{}: {error}", path.display())))
    }

    /// Writes the journal of `copy` anew, flushed and complete, in the place of what was there.
    pub(super) fn write(path: &Path, copy: &Copy) -> Result<Self, AttachedError> {
        let write = || -> io::Result<Self> {
            let bytes: Vec<u8> = copy.snapshot().iter().flat_map(Entry::encode).collect();
            let fresh = path.with_extension("new");
            fs::write(&fresh, &bytes)?;
            File::open(&fresh)?.sync_all()?;
            fs::rename(&fresh, path)?;
            File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()?;
            let file = Arc::new(OpenOptions::new().append(true).open(path)?);
            let bytes = bytes.len() as u64;
            Ok(Self { path: path.to_owned(), file, bytes, needed: bytes })
        };
        write().map_err(|source| AttachedError::Disk { path: path.to_owned(), source })
    }

    /// Appends an entry.
    pub(super) fn append(&mut self, entry: &Entry) -> Result<(), AttachedError> {
        let bytes = entry.encode();
        self.bytes += bytes.len() as u64;
        (&*self.file).write_all(&bytes).map_err(|source| AttachedError::Disk { path: self.path.clone(), source })
    }

    /// Waits until everything appended is on disk. After a failure nothing is known: the journal has to be opened again.
    pub(super) async fn flush(&self) -> Result<(), AttachedError> {
        let file = self.file.clone();
        let flushed = tokio::task::spawn_blocking(move || file.sync_data()).await;
        let flushed = flushed.unwrap_or_else(|panic| Err(io::Error::other(panic)));
        flushed.map_err(|source| AttachedError::Disk { path: self.path.clone(), source })
    }

    /// Whether most of it is no longer needed.
    pub(super) fn is_worn(&self) -> bool {
        self.bytes > REWRITE_BYTES && self.bytes > REWRITE_FACTOR * self.needed
    }
}
