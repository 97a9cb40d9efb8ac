//! `log-start-offset`: the first offset kept, where that is not the base of the first segment.

use crate::{FileError, files};
use model::Offset;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

pub(crate) fn read(dir: &Path) -> Result<Option<Offset>, FileError> {
    let bytes = files::read(&dir.join(files::LOG_START))?;
    Ok(bytes.and_then(|bytes| String::from_utf8_lossy(&bytes).strip_prefix("0\n")?.trim_end().parse().ok()).map(Offset))
}

/// Writes over the file that is there, which takes no space: for a disk that is full. Says whether there is one.
pub(crate) fn write_over(dir: &Path, start: Offset) -> Result<bool, FileError> {
    let path = dir.join(files::LOG_START);
    let file = match File::options().write(true).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(files::failed("open", &path)(error)),
    };
    // As long as any: the rest of a longer one before would count as digits.
    let written = file.write_all_at(format!("0\n{start:<20}\n").as_bytes(), 0).and_then(|()| file.sync_all());
    written.map(|()| true).map_err(files::failed("write", &path))
}

pub(crate) fn write_durably(dir: &Path, start: Offset) -> Result<(), FileError> {
    files::replace_durably(&dir.join(files::LOG_START), format!("0\n{start}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_over_whatever_was_there() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!write_over(dir.path(), Offset(7)).unwrap());
        write_durably(dir.path(), Offset(123_456)).unwrap();
        for start in [7, i64::MAX, 1] {
            assert!(write_over(dir.path(), Offset(start)).unwrap());
            assert_eq!(read(dir.path()).unwrap(), Some(Offset(start)));
        }
    }
}
