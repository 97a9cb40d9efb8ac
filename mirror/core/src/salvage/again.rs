use super::parcel::{EPOCH_HEADER, OFFSET_HEADER};
use super::{SalvageError, check_room};
use model::{Offset, OwnershipEpoch};
use record::Record;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// How many records of tails that were written again are told apart.
pub const WRITTEN_AGAIN_MAX: usize = 1_000_000;

/// Records that a lineage holds because they were written again out of another region's tail of the same epoch: their offset
/// there, and a hash of what they are. A source that lost records may have written others under the same offsets.
#[derive(Debug, Default)]
pub(super) struct Again {
    epoch: OwnershipEpoch,
    /// The end of the tail.
    end: Offset,
    prints: HashMap<Offset, u64>,
}

impl Again {
    /// Of a tail that was written under `epoch`.
    pub(super) fn of(epoch: OwnershipEpoch) -> Self {
        Self { epoch, ..Self::default() }
    }

    /// The tail goes on to `end`.
    pub(super) fn note_tail(&mut self, end: Offset) {
        self.end = end;
    }

    /// Takes note of a record of the lineage.
    pub(super) fn note_lineage(&mut self, record: &Record) -> Result<(), SalvageError> {
        let is_of_epoch = said(record, EPOCH_HEADER) == Some(self.epoch.0);
        if let Some(offset) = origin(record).filter(|offset| is_of_epoch && *offset < self.end) {
            self.prints.insert(offset, print(record));
        }
        check_room("records that were written again", self.prints.len(), WRITTEN_AGAIN_MAX)
    }

    /// Whether `record` of the tail is among them.
    pub(super) fn holds(&self, record: &Record) -> bool {
        self.prints.get(&record.offset) == Some(&print(record))
    }
}

/// The offset that a re-injected record had.
pub(super) fn origin(record: &Record) -> Option<Offset> {
    said(record, OFFSET_HEADER).map(Offset)
}

/// The number that our own header says; it is behind those of others.
fn said<T: std::str::FromStr>(record: &Record, name: &str) -> Option<T> {
    let header = record.headers.iter().rev().find(|header| header.key == name.as_bytes())?;
    std::str::from_utf8(header.value.as_deref()?).ok()?.parse().ok()
}

fn print(record: &Record) -> u64 {
    let mut hasher = DefaultHasher::new();
    (&record.key, &record.value).hash(&mut hasher);
    hasher.finish()
}
