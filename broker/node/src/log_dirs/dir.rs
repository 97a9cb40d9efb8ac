//! One directory of logs.

use super::watermarks::Watermarks;
use crate::durably;
use crate::replica::Place;
use crate::storage_health::Disk;
use env::Entropy;
use model::{ByteCount, Offset, PartitionId, TopicPartition};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use tokio::sync::Notify;
use uuid::Uuid;

/// What says which directory it is, under Kafka's name.
const META: &str = "meta.properties";
/// The entry of it with the id.
const ID: &str = "directory.id=";

/// A directory of logs, and how its disk is.
pub(crate) struct LogDir {
    path: PathBuf,
    /// Known once it was read, or remembered.
    id: OnceLock<Uuid>,
    disk: Disk,
    watermarks: Watermarks,
    /// What the system said when it did not do what it should. Nothing mends that but a restart.
    failed: OnceLock<Arc<str>>,
    failures: Arc<Notify>,
}

impl LogDir {
    /// The only one of a broker, on the disk of `data_dir`. It needs no id.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(super) fn unnamed(
        path: &Path,
        data_dir: &Path,
        reserve: ByteCount,
        failures: &Arc<Notify>,
    ) -> io::Result<Self> {
        let made = fs::create_dir_all(path);
        made.map_err(|error| io::Error::new(error.kind(), format!("cannot make {}: {error}", path.display())))?;
        Ok(Self::at(path, Disk::of(data_dir, reserve), failures))
    }

    /// One of several. If it cannot be used it has failed already.
    pub(super) fn open(path: &Path, entropy: &dyn Entropy, reserve: ByteCount, failures: &Arc<Notify>) -> Self {
        let named = fs::create_dir_all(path).and_then(|()| identity(path, entropy));
        let dir = Self::at(path, Disk::of(path, reserve), failures);
        match named {
            Ok(id) => _ = dir.id.set(id),
            Err(error) => dir.fail(&error.to_string()),
        }
        dir
    }

    fn at(path: &Path, disk: Disk, failures: &Arc<Notify>) -> Self {
        let (id, failed) = (OnceLock::new(), OnceLock::new());
        let watermarks = Watermarks::read(path);
        Self { path: path.to_owned(), id, disk, watermarks, failed, failures: failures.clone() }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where the log of a partition is in it.
    pub(crate) fn log_path(&self, partition: &TopicPartition) -> PathBuf {
        self.path.join(partition.to_string())
    }

    /// Which one it is; `None` for the only one, or one that never could be read.
    pub(super) fn id(&self) -> Option<Uuid> {
        self.id.get().copied()
    }

    /// It could not be read which one it is; `id` was at its path before.
    pub(super) fn recall(&self, id: Option<Uuid>) {
        if let Some(id) = id {
            let _ = self.id.set(id);
        }
    }

    /// Its file system.
    pub(crate) fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Below it everything in the log of a partition was committed.
    pub(crate) fn committed(&self, place: Place) -> Offset {
        self.watermarks.of(place)
    }

    /// The log of a partition is deleted.
    pub(crate) fn forget_committed(&self, place: Place) {
        self.watermarks.forget(place);
    }

    /// Writes down how far its logs are committed. It may block.
    pub(crate) fn note_committed(&self, marks: BTreeMap<Place, Offset>) {
        if let Err(error) = self.watermarks.write(marks) {
            tracing::debug!(dir = %self.path.display(), %error, "high watermarks are not written down");
        }
    }

    /// Why it cannot be used, if so.
    pub(crate) fn failed(&self) -> Option<Arc<str>> {
        self.failed.get().cloned()
    }

    /// Takes it out of use: what is on it is offline until the broker is started again.
    pub(crate) fn fail(&self, reason: &str) {
        if self.failed.set(reason.into()).is_ok() {
            tracing::error!(dir = %self.path.display(), reason,
                "log directory failed; its partitions are offline until the disk is mended and the broker restarted");
            self.failures.notify_one();
        }
    }

    /// Whether there are logs in it, or what may be.
    pub(super) fn holds_anything(&self) -> bool {
        fs::read_dir(&self.path).is_ok_and(|mut entries| entries.any(|e| e.is_ok_and(|e| e.path().is_dir())))
    }

    /// The logs in it and whose they are, as far as it can be read.
    pub(crate) fn logs(&self) -> Vec<(Place, PathBuf)> {
        logs(&self.path)
    }
}

/// The logs in `dir` and whose they are, as far as it can be read.
pub(super) fn logs(dir: &Path) -> Vec<(Place, PathBuf)> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let place = |entry: fs::DirEntry| {
        let (name, path) = (entry.file_name(), entry.path());
        let (_, number) = name.to_str()?.rsplit_once('-')?;
        Some(((log::topic_of(&path)?, PartitionId(number.parse().ok()?)), path))
    };
    entries.filter_map(|entry| place(entry.ok()?)).collect()
}

/// The id of the directory; a new one gets one.
fn identity(path: &Path, entropy: &dyn Entropy) -> io::Result<Uuid> {
    let file = path.join(META);
    match fs::read_to_string(&file) {
        Ok(text) => {
            let id = text.lines().find_map(|line| Uuid::parse_str(line.strip_prefix(ID)?.trim()).ok());
            id.ok_or_else(|| io::Error::other(format!("{} names no {ID}", file.display())))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let id = Uuid::from_u128(entropy.next_u128());
            durably::replace(&file, format!("version=1\n{ID}{id}\n").as_bytes())?;
            Ok(id)
        }
        Err(error) => Err(error),
    }
}
