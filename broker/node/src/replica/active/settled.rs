//! The settled mark beside the story: below it nothing has to be looked at again after a restart. What it counts for and
//! what it looks like is [`mirror_core::active`]'s.

use crate::durably;
use mirror_core::active::MarkBounds;
use model::Offset;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

/// The file, in the log's directory.
const FILE: &str = "settled";

/// The mark kept in `dir`, of a log that holds what lies between `start` and `tail`; `start` when there is none that can
/// be gone by.
///
/// # Errors
/// What the system says.
pub(super) fn read(bounds: &MarkBounds, dir: &Path, start: Offset, tail: Offset) -> io::Result<Offset> {
    let bytes = match fs::read(dir.join(FILE)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(start),
        Err(error) => return Err(error),
    };
    Ok(bounds.decode(&bytes, start, tail).unwrap_or_else(|bad| {
        tracing::warn!(dir = %dir.display(), %bad, "the mark of what is settled is of no use: all records are looked at");
        start
    }))
}

/// Keeps `mark` in `dir`, durably.
///
/// # Errors
/// What the system says; the old one is kept.
pub(super) fn write(bounds: &MarkBounds, dir: &Path, mark: Offset) -> io::Result<()> {
    durably::replace(&dir.join(FILE), &bounds.encode(mark))
}
