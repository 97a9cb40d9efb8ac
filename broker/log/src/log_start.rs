//! `log-start-offset`: the first offset kept, where that is not the base of the first segment.

use crate::{FileError, files};
use model::Offset;
use std::path::Path;

pub(crate) fn read(dir: &Path) -> Result<Option<Offset>, FileError> {
    let bytes = files::read(&dir.join(files::LOG_START))?;
    Ok(bytes.and_then(|bytes| String::from_utf8_lossy(&bytes).strip_prefix("0\n")?.trim_end().parse().ok()).map(Offset))
}

pub(crate) fn write_durably(dir: &Path, start: Offset) -> Result<(), FileError> {
    files::replace_durably(&dir.join(files::LOG_START), format!("0\n{start}\n").as_bytes())
}
