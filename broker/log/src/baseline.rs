//! `cleaner-baseline`: what cleaning has forgotten, and what a copy has missed.
//!
//! Unlike other files beside a log it says what the log does not: one that cannot be read is an error, never nothing.

use crate::{FileError, Log, files};
use model::{Baseline, Offset, OffsetRange, Timestamp};
use std::io;
use std::path::Path;

/// The file's name.
pub(crate) const FILE: &str = "cleaner-baseline";

impl Log {
    /// What it does not hold any more although nothing in it says so.
    pub fn baseline(&self) -> Baseline {
        self.shared.read().baseline
    }

    /// Keeps `baseline`, durably. The same again writes nothing.
    ///
    /// # Errors
    /// [`FileError`]: it is as it was.
    pub fn set_baseline(&mut self, baseline: Baseline) -> Result<(), FileError> {
        if self.baseline() != baseline {
            files::replace_durably(&self.dir.join(FILE), encode(&baseline).as_bytes())?;
            self.shared.write().baseline = baseline;
        }
        Ok(())
    }
}

/// What is kept in `dir`.
pub(crate) fn read(dir: &Path) -> Result<Option<Baseline>, FileError> {
    let path = dir.join(FILE);
    let Some(bytes) = files::read(&path)? else { return Ok(None) };
    let damaged = || files::failed("understand", &path)(io::ErrorKind::InvalidData.into());
    decode(&String::from_utf8_lossy(&bytes)).map(Some).ok_or_else(damaged)
}

fn encode(baseline: &Baseline) -> String {
    let Baseline { forgotten, forgotten_at, thinned, remade, missed, different } = baseline;
    let [missed, different] =
        [missed, different].map(|range| range.unwrap_or(OffsetRange::new(Offset(-1), Offset(-1))));
    let (missed, different) =
        (format!("{} {}", missed.start, missed.end), format!("{} {}", different.start, different.end));
    format!("0\n{forgotten} {} {thinned} {remade} {missed} {different}\n", forgotten_at.0)
}

fn decode(text: &str) -> Option<Baseline> {
    let fields: Vec<_> = text.strip_prefix("0\n")?.strip_suffix('\n')?.split(' ').collect();
    let [forgotten, forgotten_at, thinned, remade, ref ranges @ ..] = fields[..] else { return None };
    // Before copies could be found to be different, nothing was said of it.
    let (missed, different) = match *ranges {
        [start, end] => (range(start, end)?, None),
        [start, end, from, to] => (range(start, end)?, range(from, to)?),
        _ => return None,
    };
    Some(Baseline {
        forgotten: Offset(forgotten.parse().ok()?),
        forgotten_at: Timestamp(forgotten_at.parse().ok()?),
        thinned: Offset(thinned.parse().ok()?),
        remade: remade.parse().ok()?,
        missed,
        different,
    })
}

/// A range that may be none.
fn range(start: &str, end: &str) -> Option<Option<OffsetRange>> {
    let range = OffsetRange::new(Offset(start.parse().ok()?), Offset(end.parse().ok()?));
    Some((range.start >= Offset::ZERO).then_some(range))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Baseline {
        let (forgotten, thinned) = (Offset(30), Offset(50));
        Baseline { forgotten, forgotten_at: Timestamp(7), thinned, remade: 2, ..Baseline::default() }
    }

    #[test]
    fn it_comes_back_and_damage_is_not_taken_for_nothing() {
        let missed = Some(OffsetRange::new(Offset(5), Offset(30)));
        let different = known().differing(OffsetRange::new(Offset(0), Offset(9)));
        for baseline in [Baseline::default(), known(), Baseline { missed, ..known() }, different] {
            assert_eq!(decode(&encode(&baseline)), Some(baseline));
        }
        assert_eq!(decode("0\n30 7 50 2 5 30\n"), Some(Baseline { missed, ..known() }), "as it was written before");
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
        std::fs::write(dir.path().join(FILE), "0\n30 7 50").unwrap();
        read(dir.path()).unwrap_err();
    }
}
