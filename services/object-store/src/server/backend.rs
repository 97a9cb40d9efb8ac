//! Objects as files that are durable before anyone is told so.
//!
//! ```text
//! root/lock                held while a server runs
//! root/staging/            bodies that are still arriving; emptied at start
//! root/buckets/<bucket>/   objects, see `key`
//! ```
//!
//! A body is received into `staging` and flushed; then one `link` gives it its name, so that a write-once object has
//! exactly one writer in any race; then the directory is flushed. A crash leaves a whole object or none.

use super::key::ObjectPath;
use super::staged::Staged;
use rustix::fs::{FlockOperation, flock, syncfs};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

/// How often a write starts again because its directory was removed under it.
const PUBLISH_ATTEMPTS: usize = 64;

/// The directory tree of one server.
#[derive(Debug)]
pub(crate) struct Backend {
    root: PathBuf,
    /// Held while directories are made or removed: whoever finds a directory there may rely on its being durable.
    tree: Mutex<()>,
    serial: AtomicU64,
    _lock: File,
}

/// Whether a name that is taken stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteMode {
    Once,
    Replace,
}

/// What is known of an object without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Info {
    pub size: u64,
    pub modified: SystemTime,
    /// Differs for any two contents one name ever had; not a hash.
    pub etag: String,
}

impl Info {
    fn of(metadata: &fs::Metadata) -> io::Result<Self> {
        let etag =
            format!("{:x}-{:x}-{:x}{:08x}", metadata.ino(), metadata.size(), metadata.mtime(), metadata.mtime_nsec());
        Ok(Self { size: metadata.len(), modified: metadata.modified()?, etag })
    }
}

/// Why the backend did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackendError {
    #[error("there is no such bucket")]
    NoBucket,
    #[error("there is no such object")]
    NoObject,
    #[error("an object of that name exists already")]
    Exists,
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Backend {
    /// Opens or makes the tree at `root`, which no other server may use meanwhile.
    pub(crate) fn open(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        let lock = File::create(root.join("lock"))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|_| in_use(root))?;
        let staging = root.join("staging");
        if staging.exists() {
            fs::remove_dir_all(&staging)?;
        }
        fs::create_dir(&staging)?;
        fs::create_dir_all(root.join("buckets"))?;
        // A server that was killed may have left names that are seen but not yet durable.
        syncfs(&lock)?;
        Ok(Self { root: root.to_owned(), tree: Mutex::new(()), serial: AtomicU64::new(0), _lock: lock })
    }

    /// A fresh name below `staging`.
    pub(crate) fn staging_path(&self) -> PathBuf {
        self.root.join("staging").join(self.serial.fetch_add(1, Ordering::Relaxed).to_string())
    }

    /// Makes a bucket; `Exists` when it is there.
    pub(crate) fn create_bucket(&self, bucket: &str) -> Result<(), BackendError> {
        let buckets = self.root.join("buckets");
        let _tree = self.tree.lock().expect("no holder of this lock panics");
        match fs::create_dir(buckets.join(bucket)) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(BackendError::Exists),
            made => Ok(made.and_then(|()| flush_directory(&buckets))?),
        }
    }

    /// The directory of a bucket.
    pub(crate) fn bucket(&self, bucket: &str) -> Result<PathBuf, BackendError> {
        let path = self.root.join("buckets").join(bucket);
        if path.is_dir() { Ok(path) } else { Err(BackendError::NoBucket) }
    }

    /// All buckets with the time they were made or last changed, in the order of their names.
    pub(crate) fn buckets(&self) -> io::Result<Vec<(String, SystemTime)>> {
        let entries = fs::read_dir(self.root.join("buckets"))?.map(|entry| {
            let entry = entry?;
            Ok((entry.file_name().to_string_lossy().into_owned(), entry.metadata()?.modified()?))
        });
        let mut buckets = entries.collect::<io::Result<Vec<_>>>()?;
        buckets.sort();
        Ok(buckets)
    }

    /// Gives a received body its name. What this returns `Ok` for is durable, and so is what it calls `Exists`.
    pub(crate) fn publish(
        &self,
        staged: &Staged,
        bucket: &str,
        path: &ObjectPath,
        mode: WriteMode,
    ) -> Result<Info, BackendError> {
        for _ in 0..PUBLISH_ATTEMPTS {
            let directory = self.ensure_directory(bucket, &path.directory)?;
            let named = name(staged, &directory.join(&path.file), mode);
            if matches!(&named, Err(error) if error.kind() == ErrorKind::NotFound) {
                continue;
            }
            flush_directory(&directory)?;
            return match named {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(BackendError::Exists),
                named => Ok(named.and_then(|metadata| Info::of(&metadata))?),
            };
        }
        Err(io::Error::other("the object's directory was removed again and again").into())
    }

    fn ensure_directory(&self, bucket: &str, directory: &Path) -> Result<PathBuf, BackendError> {
        let mut path = self.bucket(bucket)?;
        let _tree = self.tree.lock().expect("no holder of this lock panics");
        for part in directory {
            let parent = path.clone();
            path.push(part);
            match fs::create_dir(&path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                made => made.and_then(|()| flush_directory(&parent))?,
            }
        }
        Ok(path)
    }

    /// Opens an object for reading.
    pub(crate) fn open_object(&self, bucket: &str, path: &ObjectPath) -> Result<(File, Info), BackendError> {
        let file = self.bucket(bucket)?.join(&path.directory).join(&path.file);
        let file = File::open(file).map_err(|error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => BackendError::NoObject,
            _ => error.into(),
        })?;
        let info = Info::of(&file.metadata()?)?;
        Ok((file, info))
    }

    /// Removes an object; removing what is not there succeeds.
    pub(crate) fn delete(&self, bucket: &str, path: &ObjectPath) -> Result<(), BackendError> {
        let bucket = self.bucket(bucket)?;
        let directory = bucket.join(&path.directory);
        match fs::remove_file(directory.join(&path.file)) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            removed => removed.and_then(|()| flush_directory(&directory))?,
        }
        self.prune(&bucket, &directory);
        Ok(())
    }

    /// Removes the directories from `directory` up to `bucket` that are empty now.
    fn prune(&self, bucket: &Path, directory: &Path) {
        let _tree = self.tree.lock().expect("no holder of this lock panics");
        let within = directory.ancestors().take_while(|ancestor| *ancestor != bucket);
        // An error only means that the directory is not empty, or gone already.
        for _removed in within.map_while(|ancestor| fs::remove_dir(ancestor).ok()) {}
    }
}

/// What a listing needs to know of the file at `path`; `None` when it has gone.
pub(crate) fn info_at(path: &Path) -> io::Result<Option<Info>> {
    match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        metadata => Info::of(&metadata?).map(Some),
    }
}

fn in_use(root: &Path) -> io::Error {
    io::Error::other(format!(
        "{} is in use by another server; stop that one or choose another directory",
        root.display()
    ))
}

fn name(staged: &Staged, path: &Path, mode: WriteMode) -> io::Result<fs::Metadata> {
    match mode {
        WriteMode::Once => fs::hard_link(staged.path(), path)?,
        WriteMode::Replace => fs::rename(staged.path(), path)?,
    }
    fs::metadata(path)
}

fn flush_directory(path: &Path) -> io::Result<()> {
    match File::open(path) {
        // Removed by a delete meanwhile: nothing of it is left to be made durable.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        directory => directory?.sync_all(),
    }
}
