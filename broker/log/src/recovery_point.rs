//! `recovery-point`: up to where the log is known to be on disk, and whether it was closed in an orderly way.

use crate::view::Mark;
use crate::{FileError, files};
use model::Offset;
use std::path::Path;

/// What recovery may take at its word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecoveryPoint {
    /// Everything before it was flushed, with the indexes of all segments before its own.
    pub(crate) mark: Mark,
    /// The log was closed at just this tail: producer snapshot and indexes of the last segment are complete too.
    pub(crate) clean: bool,
}

impl RecoveryPoint {
    /// Nothing is known: everything from `start` on is to be checked.
    pub(crate) const fn nothing(start: Offset) -> Self {
        Self { mark: Mark { offset: start, segment: start, position: 0 }, clean: false }
    }

    /// Reads it from `dir`. A file that is missing or damaged says nothing.
    pub(crate) fn read(dir: &Path) -> Result<Option<Self>, FileError> {
        let bytes = files::read(&dir.join(files::RECOVERY_POINT))?;
        Ok(bytes.and_then(|bytes| Self::decode(&String::from_utf8_lossy(&bytes))))
    }

    pub(crate) fn write(&self, dir: &Path) -> Result<(), FileError> {
        files::replace(&dir.join(files::RECOVERY_POINT), self.encode().as_bytes())
    }

    pub(crate) fn write_durably(&self, dir: &Path) -> Result<(), FileError> {
        files::replace_durably(&dir.join(files::RECOVERY_POINT), self.encode().as_bytes())
    }

    fn encode(&self) -> String {
        let Mark { offset, segment, position } = self.mark;
        let closed = if self.clean { "clean" } else { "open" };
        format!("0\n{offset} {segment} {position} {closed}\n")
    }

    fn decode(text: &str) -> Option<Self> {
        let fields: Vec<_> = text.strip_prefix("0\n")?.strip_suffix('\n')?.split(' ').collect();
        let [offset, segment, position, closed] = fields[..] else { return None };
        let mark = Mark {
            offset: Offset(offset.parse().ok()?),
            segment: Offset(segment.parse().ok()?),
            position: position.parse().ok()?,
        };
        Some(Self { mark, clean: closed == "clean" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_comes_back_and_damage_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(RecoveryPoint::read(dir.path()).unwrap(), None);
        let mark = Mark { offset: Offset(7), segment: Offset(5), position: 99 };
        for clean in [true, false] {
            let point = RecoveryPoint { mark, clean };
            point.write(dir.path()).unwrap();
            assert_eq!(RecoveryPoint::read(dir.path()).unwrap(), Some(point));
        }
        for damaged in ["", "0\n", "0\n7 5 99", "0\n7 5 99\n", "0\n7 5 x open\n"] {
            assert_eq!(RecoveryPoint::decode(damaged), None, "{damaged:?}");
        }
    }
}
