//! File names in a partition's directory, and the two ways to make a change durable.

use crate::FileError;
use model::Offset;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

pub(crate) const LOG: &str = "log";
pub(crate) const OFFSET_INDEX: &str = "index";
pub(crate) const TIME_INDEX: &str = "timeindex";
pub(crate) const TXN_INDEX: &str = "txnindex";
/// The files of a segment, which nobody writes any more once it was removed.
pub(crate) const SEGMENT_KINDS: [&str; 4] = [LOG, OFFSET_INDEX, TIME_INDEX, TXN_INDEX];
pub(crate) const SNAPSHOT: &str = "snapshot";
pub(crate) const EPOCHS: &str = "leader-epoch-checkpoint";
pub(crate) const LOG_START: &str = "log-start-offset";
pub(crate) const RECOVERY_POINT: &str = "recovery-point";
pub(crate) const METADATA: &str = "partition.metadata";

/// `00000000000000000042.log` and its kin.
pub(crate) fn of_offset(dir: &Path, offset: Offset, extension: &str) -> PathBuf {
    dir.join(format!("{:020}.{extension}", offset.0))
}

/// The offsets of all files with this extension, ascending.
pub(crate) fn offsets(dir: &Path, extension: &str) -> Result<Vec<Offset>, FileError> {
    Ok(Listing::read(dir)?.offsets(extension))
}

/// The names in a partition's directory at one moment: one look instead of one for every file that may not be there.
pub(crate) struct Listing(Vec<PathBuf>);

impl Listing {
    pub(crate) fn read(dir: &Path) -> Result<Self, FileError> {
        let names = fs::read_dir(dir).and_then(|entries| {
            entries.map(|entry| entry.map(|entry| PathBuf::from(entry.file_name()))).collect::<io::Result<Vec<_>>>()
        });
        names.map(Self).map_err(failed("list", dir))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|path| path.as_os_str() == name)
    }

    /// Whether there is a file with this extension.
    pub(crate) fn has_any(&self, extension: &str) -> bool {
        self.0.iter().any(|path| path.extension().is_some_and(|found| found == extension))
    }

    /// The offsets of all files with this extension, ascending.
    pub(crate) fn offsets(&self, extension: &str) -> Vec<Offset> {
        let mut found: Vec<_> = self.0.iter().filter_map(|name| offset_in(name, extension)).collect();
        found.sort_unstable();
        found
    }

    /// What `read` gives, if there is a file called `name`.
    pub(crate) fn read_if<T>(
        &self,
        name: &str,
        read: impl FnOnce() -> Result<Option<T>, FileError>,
    ) -> Result<Option<T>, FileError> {
        if self.has(name) { read() } else { Ok(None) }
    }
}

fn offset_in(name: &Path, extension: &str) -> Option<Offset> {
    let stem = name.file_stem()?.to_str()?;
    let named = name.extension()? == extension && stem.len() == 20 && stem.bytes().all(|b| b.is_ascii_digit());
    named.then(|| stem.parse().ok().map(Offset))?
}

/// Turns an [`io::Error`] into one that says what was tried with which file.
pub(crate) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError { action, path, source }
}

/// Opens for reading and writing, making the file if there is none.
pub(crate) fn open(path: &Path) -> Result<File, FileError> {
    let options = File::options().read(true).write(true).create(true).truncate(false).open(path);
    options.map_err(failed("open", path))
}

/// The file's bytes; `None` when there is no such file.
pub(crate) fn read(path: &Path) -> Result<Option<Vec<u8>>, FileError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("read", path)(error)),
    }
}

/// Removes the file, if there is one.
pub(crate) fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(error)),
        _ => Ok(()),
    }
}

/// Makes a file durable that was written without; says whether there is one.
pub(crate) fn sync_existing(path: &Path) -> Result<bool, FileError> {
    match File::open(path).and_then(|file| file.sync_all()) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(failed("sync", path)(error)),
    }
}

/// Makes new, renamed and removed names in `dir` durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), FileError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed("sync directory", dir))
}

/// Replaces the file's content as a whole: after a crash there is the old or the new one. Not durable on return.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), FileError> {
    write_beside(path, content, false)
}

/// Replaces the file's content as a whole; durable on return.
pub(crate) fn replace_durably(path: &Path, content: &[u8]) -> Result<(), FileError> {
    write_beside(path, content, true)?;
    sync_dir(path.parent().unwrap_or(Path::new(".")))
}

fn write_beside(path: &Path, content: &[u8], durable: bool) -> Result<(), FileError> {
    let beside = path.with_added_extension("tmp");
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(content)?;
        if durable { file.sync_all() } else { Ok(()) }
    });
    written.and_then(|()| fs::rename(&beside, path)).map_err(|error| {
        // Best effort: a leftover is overwritten by the next attempt.
        let _ = fs::remove_file(&beside);
        failed("write", path)(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_twenty_digits_count() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["00000000000000000007.log", "7.log", "0000000000000000000x.log", "00000000000000000003.log"] {
            fs::write(dir.path().join(name), b"").unwrap();
        }
        assert_eq!(offsets(dir.path(), LOG).unwrap(), [Offset(3), Offset(7)]);
        assert_eq!(of_offset(dir.path(), Offset(7), LOG), dir.path().join("00000000000000000007.log"));
    }

    #[test]
    fn a_replaced_file_has_the_new_content_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(LOG_START);
        replace(&path, b"1").unwrap();
        replace_durably(&path, b"22").unwrap();
        assert_eq!(read(&path).unwrap().unwrap(), b"22");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        remove(&path).unwrap();
        remove(&path).unwrap();
        assert_eq!(read(&path).unwrap(), None);
    }
}
