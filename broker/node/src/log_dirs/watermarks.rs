//! `high-watermarks`: how far each log of a directory was committed. A leader that starts again and has too few in sync
//! to commit anything shows readers at once what they have seen before (Kafka's `replication-offset-checkpoint`).
//!
//! ```text
//!   0
//!   2
//!   <topic id> <partition> <offset>
//!   <topic id> <partition> <offset>
//! ```

use crate::replica::Place;
use model::{Offset, PartitionId, TopicId};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use uuid::Uuid;

/// The file and what it says.
pub(super) struct Watermarks {
    path: PathBuf,
    kept: Mutex<BTreeMap<Place, Offset>>,
}

impl Watermarks {
    /// Those of the directory `dir`. A file that is missing or damaged says nothing.
    pub(super) fn read(dir: &Path) -> Self {
        let path = dir.join("high-watermarks");
        let kept = fs::read_to_string(&path).ok().and_then(|text| decode(&text)).unwrap_or_default();
        Self { path, kept: Mutex::new(kept) }
    }

    /// Below it everything was committed.
    pub(super) fn of(&self, place: Place) -> Offset {
        self.kept().get(&place).copied().unwrap_or(Offset::ZERO)
    }

    /// A log of it begins anew, if there ever is one again.
    pub(super) fn forget(&self, place: Place) {
        self.kept().remove(&place);
    }

    /// Writes down `marks` if they are others; logs that are not open keep theirs. They may be lost with the power: older
    /// ones are true as well.
    ///
    /// # Errors
    /// What the system says; the file says what it did.
    pub(super) fn write(&self, marks: BTreeMap<Place, Offset>) -> io::Result<()> {
        let mut kept = self.kept();
        if marks.iter().all(|(place, mark)| kept.get(place) == Some(mark)) {
            return Ok(());
        }
        let mut all = kept.clone();
        all.extend(marks);
        let draft = self.path.with_added_extension("draft");
        fs::write(&draft, encode(&all))?;
        fs::rename(&draft, &self.path)?;
        *kept = all;
        Ok(())
    }

    fn kept(&self) -> MutexGuard<'_, BTreeMap<Place, Offset>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn encode(marks: &BTreeMap<Place, Offset>) -> String {
    let mut text = format!("0\n{}\n", marks.len());
    for ((topic, partition), offset) in marks {
        // A string takes everything.
        let _ = writeln!(text, "{topic} {partition} {offset}");
    }
    text
}

fn decode(text: &str) -> Option<BTreeMap<Place, Offset>> {
    let (count, lines) = text.strip_prefix("0\n")?.split_once('\n')?;
    let marks: BTreeMap<_, _> = lines.lines().map(mark).collect::<Option<_>>()?;
    (count.parse() == Ok(marks.len()) && text.ends_with('\n')).then_some(marks)
}

fn mark(line: &str) -> Option<(Place, Offset)> {
    let fields: Vec<_> = line.split(' ').collect();
    let [topic, partition, offset] = fields[..] else { return None };
    let place = (TopicId(Uuid::parse_str(topic).ok()?), PartitionId(partition.parse().ok()?));
    Some((place, Offset(offset.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_come_back_and_damage_says_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let place = |partition| (TopicId(Uuid::from_u128(7)), PartitionId(partition));
        let marks = BTreeMap::from([(place(0), Offset(3)), (place(11), Offset(1 << 40))]);
        let before = Watermarks::read(dir.path());
        assert_eq!(before.of(place(0)), Offset(0));
        before.write(marks.clone()).unwrap();
        let after = Watermarks::read(dir.path());
        assert_eq!(
            (after.of(place(0)), after.of(place(11)), after.of(place(1))),
            (Offset(3), Offset(1 << 40), Offset(0))
        );
        after.write(BTreeMap::from([(place(0), Offset(4))])).unwrap();
        let again = Watermarks::read(dir.path());
        assert_eq!((again.of(place(0)), again.of(place(11))), (Offset(4), Offset(1 << 40)), "it is not open yet");
        again.forget(place(11));
        assert_eq!(again.of(place(11)), Offset(0));
        let whole = encode(&marks);
        for cut in 0..whole.len() {
            assert_eq!(decode(&whole[..cut]), None, "{cut}");
        }
    }
}
