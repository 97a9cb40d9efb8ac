//! The side file: where each record of the log comes from. What it looks like is [`mirror_core::active`]'s.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// The file, in the log's directory.
const FILE: &str = "provenance";
/// The largest one that is read: some millions of runs.
const BYTES_MAX: u64 = 1 << 31;

/// The file, open for what comes next.
pub(in crate::replica) struct Story(File);

impl Story {
    /// What it says; `None` when there is no file.
    ///
    /// # Errors
    /// What the system says, or that it is too large.
    pub(super) fn bytes(dir: &Path) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(dir.join(FILE)) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        if file.take(BYTES_MAX + 1).read_to_end(&mut bytes)? as u64 > BYTES_MAX {
            return Err(io::Error::other(format!("it has more than {BYTES_MAX} bytes")));
        }
        Ok(Some(bytes))
    }

    /// Begins it anew with `bytes`, durably: whoever looks finds the old one or the new one.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn begin(dir: &Path, bytes: &[u8]) -> io::Result<Self> {
        let (path, draft) = (dir.join(FILE), dir.join(FILE).with_added_extension("draft"));
        let mut file = File::create(&draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&draft, &path)?;
        File::open(dir)?.sync_all()?;
        Ok(Self(file))
    }

    /// Goes on behind the first `whole` bytes of it; what follows them was torn by a crash.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn go_on(dir: &Path, whole: usize) -> io::Result<Self> {
        let mut file = OpenOptions::new().write(true).open(dir.join(FILE))?;
        file.set_len(whole as u64)?;
        file.seek(SeekFrom::End(0))?;
        file.sync_all()?;
        Ok(Self(file))
    }

    /// Adds runs, durably.
    ///
    /// # Errors
    /// What the system says; what is in the file is in doubt then.
    pub(in crate::replica) fn write(&mut self, runs: &[u8]) -> io::Result<()> {
        self.0.write_all(runs)?;
        self.0.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_end_is_cut_off_and_gone_on_behind() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Story::bytes(dir.path()).unwrap(), None);
        Story::begin(dir.path(), b"head").unwrap().write(b"one").unwrap();
        Story::go_on(dir.path(), 5).unwrap().write(b"two").unwrap();
        assert_eq!(Story::bytes(dir.path()).unwrap().unwrap(), b"headotwo");
        Story::begin(dir.path(), b"new").unwrap();
        assert_eq!(Story::bytes(dir.path()).unwrap().unwrap(), b"new");
    }
}
