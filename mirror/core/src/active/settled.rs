use super::SideIdentity;
use super::provenance::crc;
use model::{Incarnation, Offset};

const MAGIC: &[u8; 8] = b"FARSHSTL";
/// A mark is kept when it has moved on by so many records: so many more are looked at after a restart.
const STEP: u64 = 256;

/// For whom a settled mark counts: a region that joins the others may conflict with everything there is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkBounds {
    /// Whose log it is about.
    pub identity: SideIdentity,
    /// The regions that take writes.
    pub regions: Vec<Incarnation>,
}

impl MarkBounds {
    /// The mark as it goes to a file, big-endian.
    ///
    /// ```text
    /// magic 8, topic 16, partition 4, region 2, mark 8, how many regions 2, each 2; crc32c of all that 4
    /// ```
    pub fn encode(&self, mark: Offset) -> Vec<u8> {
        let Self { identity, regions } = self;
        let mut bytes = MAGIC.to_vec();
        bytes.extend(identity.topic.0.as_bytes());
        bytes.extend(identity.partition.0.to_be_bytes());
        bytes.extend(identity.own.0.to_be_bytes());
        bytes.extend(mark.0.to_be_bytes());
        bytes.extend((regions.len() as u16).to_be_bytes());
        regions.iter().for_each(|region| bytes.extend(region.0.to_be_bytes()));
        bytes.extend(crc(&bytes).to_be_bytes());
        bytes
    }

    /// The mark that was written for just these regions' log, if it lies in what that holds between `start` and `tail`;
    /// one above the end is of a log that was lost.
    ///
    /// # Errors
    /// [`BadMark`]: all records have to be looked at.
    pub fn decode(&self, bytes: &[u8], start: Offset, tail: Offset) -> Result<Offset, BadMark> {
        let at = MAGIC.len() + 16 + 4 + 2;
        let mark = bytes.get(at..at + 8).and_then(|mark| mark.try_into().ok());
        let mark = mark.map(|mark| Offset(i64::from_be_bytes(mark))).filter(|mark| self.encode(*mark) == bytes);
        match mark.ok_or(BadMark::Other)? {
            mark if mark > tail => Err(BadMark::AboveEnd { mark, tail }),
            mark => Ok(mark.max(start)),
        }
    }
}

/// Why a settled mark cannot be gone by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadMark {
    /// It is damaged, or of another log, or other regions took writes then.
    #[error("it is none of this log and its regions")]
    Other,
    /// It is of a log that was lost.
    #[error("it is {mark}, and the log ends at {tail}")]
    AboveEnd {
        /// What it is.
        mark: Offset,
        /// Where the log ends.
        tail: Offset,
    },
}

/// Finds marks that can be kept: what was in the log when one was taken has to be durable first, because a record that
/// was repeated there stands for one below.
#[derive(Clone, Copy, Debug, Default)]
pub struct Settling {
    kept: Offset,
    pending: Option<Pending>,
}

#[derive(Clone, Copy, Debug)]
struct Pending {
    mark: Offset,
    behind: Offset,
}

impl Settling {
    /// With `kept` in the file.
    pub const fn from(kept: Offset) -> Self {
        Self { kept, pending: None }
    }

    /// A mark to keep now, if there is one, of a log that is durable below `flushed` and ends at `tail`. `mark` is asked
    /// for [what is settled](super::Partition::settled_below).
    pub fn step(&mut self, flushed: Offset, tail: Offset, mark: impl FnOnce() -> Offset) -> Option<Offset> {
        let due = self.pending.take_if(|pending| flushed >= pending.behind).map(|pending| pending.mark);
        self.kept.advance(due.unwrap_or_default());
        if self.pending.is_none() {
            let mark = mark();
            self.pending = (mark.since(self.kept) >= STEP).then_some(Pending { mark, behind: tail });
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{PartitionId, TopicId};

    fn bounds(regions: &[u16]) -> MarkBounds {
        let identity = SideIdentity { topic: TopicId::ZERO, partition: PartitionId(2), own: Incarnation(1) };
        MarkBounds { identity, regions: regions.iter().copied().map(Incarnation).collect() }
    }

    #[test]
    fn a_mark_counts_for_its_regions_and_within_its_log_only() {
        let known = bounds(&[1, 2]);
        let bytes = known.encode(Offset(70));
        let read = |start, tail| known.decode(&bytes, Offset(start), Offset(tail));
        assert_eq!((read(3, 70), read(80, 100)), (Ok(Offset(70)), Ok(Offset(80))));
        assert_eq!(read(3, 69), Err(BadMark::AboveEnd { mark: Offset(70), tail: Offset(69) }));
        assert_eq!(bounds(&[1, 2, 3]).decode(&bytes, Offset(3), Offset(100)), Err(BadMark::Other));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert_eq!(known.decode(&damaged, Offset(3), Offset(100)), Err(BadMark::Other), "byte {at}");
            assert_eq!(known.decode(&bytes[..at], Offset(3), Offset(100)), Err(BadMark::Other), "{at} bytes");
        }
    }

    #[test]
    fn a_mark_is_kept_once_what_was_there_when_it_was_taken_is_durable() {
        let mut settling = Settling::from(Offset(10));
        let first = Offset(10 + STEP as i64);
        let second = first.plus(STEP as i64);
        assert_eq!(settling.step(Offset(20), Offset(300), || first.plus(-1)), None, "it has hardly moved");
        assert_eq!(settling.step(Offset(300), Offset(400), || first), None);
        assert_eq!(settling.step(Offset(399), Offset(900), || second), None, "a repeat may not be on disk");
        assert_eq!(settling.step(Offset(400), Offset(900), || second), Some(first));
        assert_eq!(settling.step(Offset(900), Offset(900), || second), Some(second));
        assert_eq!(settling.step(Offset(900), Offset(900), || second), None);
    }
}
