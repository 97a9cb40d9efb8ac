//! Leader epochs and the holes between them.

use model::{LeaderEpoch, Offset, OffsetRange, limits};
use serde::{Deserialize, Serialize};

/// Where a leader epoch begins in a log.
///
/// After an unplanned failover an epoch starts at the common end and its first batch lies at `base`, far above: the
/// offsets between belong to nobody. Otherwise `base` is `start`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EpochStart {
    /// The epoch.
    pub epoch: LeaderEpoch,
    /// The end of the epoch before it, as replicas and links see it.
    pub start: Offset,
    /// The offset of its first batch, as clients see it.
    pub base: Offset,
}

impl EpochStart {
    /// The offsets that no record has.
    pub const fn hole(&self) -> OffsetRange {
        OffsetRange::new(self.start, self.base)
    }
}

/// The leader epochs of one log, oldest first; epochs, starts and bases only grow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<EpochStart>", into = "Vec<EpochStart>")]
pub struct EpochList(Vec<EpochStart>);

/// Epochs that do not grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the leader epochs do not grow from one to the next")]
pub struct UnsortedEpochs;

impl TryFrom<Vec<EpochStart>> for EpochList {
    type Error = UnsortedEpochs;

    fn try_from(epochs: Vec<EpochStart>) -> Result<Self, UnsortedEpochs> {
        Self::new(epochs).ok_or(UnsortedEpochs)
    }
}

impl From<EpochList> for Vec<EpochStart> {
    fn from(list: EpochList) -> Self {
        list.0
    }
}

impl EpochList {
    /// The list of `epochs`; `None` when they do not grow.
    pub fn new(epochs: Vec<EpochStart>) -> Option<Self> {
        let grows = |pair: &[EpochStart]| pair[0].epoch < pair[1].epoch && pair[0].base <= pair[1].start;
        let sound = epochs.iter().all(|entry| entry.start <= entry.base) && epochs.windows(2).all(grows);
        sound.then_some(Self(epochs))
    }

    /// The epochs, oldest first.
    pub fn entries(&self) -> &[EpochStart] {
        &self.0
    }

    /// The epoch of the last batch; [`LeaderEpoch::NONE`] for a log without any.
    pub fn last_epoch(&self) -> LeaderEpoch {
        self.0.last().map_or(LeaderEpoch::NONE, |entry| entry.epoch)
    }

    /// Where everything up to and including `epoch` ends in a log that ends at `tail`; `None` when all of it is younger.
    ///
    /// Together with the epoch that is found there: Kafka's `endOffsetFor`.
    pub fn end_of(&self, epoch: LeaderEpoch, tail: Offset) -> Option<(LeaderEpoch, Offset)> {
        let younger = self.0.partition_point(|entry| entry.epoch <= epoch);
        let found = self.0.get(younger.checked_sub(1)?)?;
        Some((found.epoch, self.0.get(younger).map_or(tail, |next| next.start)))
    }

    /// Takes note that a batch of `epoch` at `base` was appended to a log that ended at `tail`.
    pub fn note(&mut self, epoch: LeaderEpoch, tail: Offset, base: Offset) {
        if epoch > self.last_epoch() {
            self.0.push(EpochStart { epoch, start: tail, base });
        }
    }

    /// Forgets what lies at or above `tail`.
    pub fn truncate(&mut self, tail: Offset) {
        self.0.retain(|entry| entry.start < tail && entry.base < tail);
    }

    /// Forgets what lies wholly below `start`.
    pub fn raise_start(&mut self, start: Offset) {
        let kept = self.0.partition_point(|entry| entry.start <= start).saturating_sub(1);
        self.0.drain(..kept);
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The holes.
    pub fn holes(&self) -> impl Iterator<Item = OffsetRange> {
        self.0.iter().map(EpochStart::hole).filter(|hole| !hole.is_empty())
    }
}

/// How many offsets of `range` can hold a record: those in `holes` cannot.
///
/// A hole that nobody told us of is recognised by its size, which no backlog reaches.
pub fn count_without_holes(range: OffsetRange, holes: impl IntoIterator<Item = OffsetRange>) -> u64 {
    let within = |hole: OffsetRange| OffsetRange::new(hole.start.max(range.start), hole.end.min(range.end)).len();
    let known: u64 = holes.into_iter().map(within).sum();
    range.len().saturating_sub(known) % limits::PROMOTE_HOLE_OFFSETS as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[(i32, i64, i64)]) -> EpochList {
        let entry =
            |&(epoch, start, base)| EpochStart { epoch: LeaderEpoch(epoch), start: Offset(start), base: Offset(base) };
        EpochList::new(entries.iter().map(entry).collect()).unwrap()
    }

    #[test]
    fn an_epoch_ends_where_the_next_one_starts_not_at_its_base() {
        let epochs = list(&[(1, 0, 0), (3, 10, 10), (5, 20, 1020)]);
        let end = |epoch| epochs.end_of(LeaderEpoch(epoch), Offset(1030)).map(|(epoch, end)| (epoch.0, end.0));
        assert_eq!(end(0), None);
        assert_eq!(end(1), Some((1, 10)));
        assert_eq!(end(2), Some((1, 10)));
        assert_eq!(end(4), Some((3, 20)));
        assert_eq!(end(9), Some((5, 1030)));
    }

    #[test]
    fn truncating_to_the_common_end_forgets_the_epoch_that_jumped() {
        let mut epochs = list(&[(1, 0, 0), (5, 20, 1020)]);
        epochs.truncate(Offset(1021));
        assert_eq!(epochs.last_epoch(), LeaderEpoch(5));
        epochs.truncate(Offset(20));
        assert_eq!(epochs.last_epoch(), LeaderEpoch(1));
    }

    #[test]
    fn a_raised_start_keeps_the_epoch_it_lies_in() {
        let mut epochs = list(&[(1, 0, 0), (3, 10, 10), (5, 20, 20)]);
        epochs.raise_start(Offset(15));
        assert_eq!(epochs.entries().len(), 2);
        assert_eq!(epochs.end_of(LeaderEpoch(3), Offset(30)), Some((LeaderEpoch(3), Offset(20))));
    }

    #[test]
    fn holes_hold_no_records_known_or_not() {
        let range = |start, end| OffsetRange::new(Offset(start), Offset(end));
        let hole = limits::PROMOTE_HOLE_OFFSETS;
        assert_eq!(count_without_holes(range(5, 15), []), 10);
        assert_eq!(count_without_holes(range(5, hole + 15), [range(10, hole + 10)]), 10);
        assert_eq!(count_without_holes(range(5, hole + 15), []), 10);
        assert_eq!(count_without_holes(range(12, 15), [range(10, hole + 10)]), 0);
    }

    #[test]
    fn a_list_that_goes_back_is_none() {
        let entry =
            |epoch, start, base| EpochStart { epoch: LeaderEpoch(epoch), start: Offset(start), base: Offset(base) };
        assert_eq!(EpochList::new(vec![entry(2, 0, 0), entry(1, 5, 5)]), None);
        assert_eq!(EpochList::new(vec![entry(1, 0, 0), entry(2, 5, 3)]), None);
        assert_eq!(EpochList::new(vec![entry(1, 0, 9), entry(2, 5, 5)]), None);
    }
}
