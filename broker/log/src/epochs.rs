//! Where each leader epoch begins, and what follows from it.
//!
//! ```text
//!        epoch 4          |    epoch 8, opened across a hole
//!   ... 97 98 99          |   (nothing)   base, base + 1, ...
//!                      start = 100                 base = 100 + 2^40
//! ```
//!
//! Without a hole `start` and `base` are the same. Replicas and links compare by start, for they have no hole yet;
//! clients are answered with base, for they stand behind it. The file keeps `start`, in Kafka's
//! `leader-epoch-checkpoint` format; `base` is where the first batch behind it lies, which the log itself says.

use model::{LeaderEpoch, Offset};
use std::fmt::Write;

/// The beginning of one leader epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochStart {
    /// The epoch.
    pub epoch: LeaderEpoch,
    /// The tail of the log before it: where its lineage departed from the one before.
    pub start: Offset,
    /// Where its first batch lies, or will.
    pub base: Offset,
}

/// Where an epoch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEnd {
    /// The largest epoch of the log that is not above the one asked for.
    pub epoch: LeaderEpoch,
    /// The offset behind its last record.
    pub end: Offset,
}

/// The epochs of a log, ascending in all three numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Epochs {
    starts: Vec<EpochStart>,
}

impl Epochs {
    pub(crate) fn all(&self) -> &[EpochStart] {
        &self.starts
    }

    pub(crate) fn latest(&self) -> LeaderEpoch {
        self.starts.last().map_or(LeaderEpoch::NONE, |last| last.epoch)
    }

    /// Notes that `epoch` begins at `start`. An epoch that is not above the latest began already. Epochs without a
    /// record are forgotten (Kafka's `LeaderEpochFileCache`).
    pub(crate) fn begin(&mut self, epoch: LeaderEpoch, start: Offset, base: Offset) -> bool {
        if epoch <= self.latest() {
            return false;
        }
        self.truncate(start);
        self.starts.push(EpochStart { epoch, start, base });
        true
    }

    /// Says where the first batch of `epoch` lies, once that is known.
    pub(crate) fn place(&mut self, epoch: LeaderEpoch, base: Offset) {
        if let Some(found) = self.starts.iter_mut().find(|entry| entry.epoch == epoch) {
            found.base = found.start.max(base);
        }
    }

    /// Forgets the epochs that began at or behind `tail`.
    pub(crate) fn truncate(&mut self, tail: Offset) -> bool {
        let kept = self.starts.partition_point(|entry| entry.start < tail);
        let cut = kept < self.starts.len();
        self.starts.truncate(kept);
        cut
    }

    /// Forgets the epochs that ended at or before the log start; the one it lies in begins there.
    pub(crate) fn advance_start(&mut self, start: Offset) -> bool {
        let ended = self.starts.partition_point(|entry| entry.start <= start).saturating_sub(1);
        let moved = self.starts.get(ended).is_some_and(|entry| entry.start < start);
        self.starts.drain(..ended);
        if let Some(first) = self.starts.first_mut().filter(|_| moved) {
            first.start = start;
            first.base = first.base.max(start);
        }
        moved || ended > 0
    }

    /// The epoch that `offset` belongs to.
    pub(crate) fn at(&self, offset: Offset) -> Option<LeaderEpoch> {
        let behind = self.starts.partition_point(|entry| entry.start <= offset);
        behind.checked_sub(1).map(|at| self.starts[at].epoch)
    }

    /// Where the lineage through `epoch` ends, as replicas and links compare it.
    pub(crate) fn end_for_replica(&self, epoch: LeaderEpoch, tail: Offset) -> Option<EpochEnd> {
        self.end(epoch, tail, |entry| entry.start)
    }

    /// The same for clients, who stand behind a hole.
    pub(crate) fn end_for_client(&self, epoch: LeaderEpoch, tail: Offset) -> Option<EpochEnd> {
        self.end(epoch, tail, |entry| entry.base)
    }

    fn end(&self, epoch: LeaderEpoch, tail: Offset, beginning: impl Fn(&EpochStart) -> Offset) -> Option<EpochEnd> {
        if epoch.0 < 0 || epoch > self.latest() {
            return None;
        }
        let above = self.starts.partition_point(|entry| entry.epoch <= epoch);
        let found = above.checked_sub(1).map_or(epoch, |at| self.starts[at].epoch);
        Some(EpochEnd { epoch: found, end: self.starts.get(above).map_or(tail, beginning) })
    }

    /// The hole that `offset` lies in, or behind which it stands, if any: `start..=base`.
    pub(crate) fn hole_before(&self, offset: Offset) -> Option<EpochStart> {
        self.starts
            .iter()
            .copied()
            .find(|entry| entry.start < entry.base && entry.start <= offset && offset <= entry.base)
    }

    /// How many offsets below `offset` no record can ever have.
    pub(crate) fn holes_below(&self, offset: Offset) -> u64 {
        self.starts.iter().map(|entry| entry.base.min(offset).since(entry.start)).sum()
    }

    /// The content of `leader-epoch-checkpoint`.
    pub(crate) fn encode(&self) -> String {
        let mut text = format!("0\n{}\n", self.starts.len());
        for entry in &self.starts {
            writeln!(text, "{} {}", entry.epoch, entry.start).expect("a string takes everything");
        }
        text
    }

    /// Reads what [`encode`](Self::encode) wrote; `None` when it is damaged. Bases are not in it.
    pub(crate) fn decode(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next()? != "0" {
            return None;
        }
        let count: usize = lines.next()?.parse().ok()?;
        let starts: Vec<_> = lines.map(parse_entry).collect::<Option<_>>()?;
        let ascending = starts.windows(2).all(|pair| pair[0].epoch < pair[1].epoch && pair[0].start < pair[1].start);
        (starts.len() == count && ascending).then_some(Self { starts })
    }
}

fn parse_entry(line: &str) -> Option<EpochStart> {
    let (epoch, start) = line.split_once(' ')?;
    let start = Offset(start.parse().ok()?);
    Some(EpochStart { epoch: LeaderEpoch(epoch.parse().ok()?), start, base: start })
}

#[cfg(test)]
mod tests {
    use super::*;

    const E: fn(i32) -> LeaderEpoch = LeaderEpoch;
    const BASE: Offset = Offset(100 + (1 << 40));

    fn with_hole() -> Epochs {
        let mut epochs = Epochs::default();
        assert!(epochs.begin(E(2), Offset(0), Offset(0)));
        assert!(epochs.begin(E(4), Offset(60), Offset(60)));
        assert!(epochs.begin(E(8), Offset(100), BASE));
        epochs
    }

    #[test]
    fn replicas_are_answered_with_the_start_and_clients_with_the_base() {
        let (epochs, tail) = (with_hole(), BASE.plus(5));
        let replica = |e| epochs.end_for_replica(E(e), tail).map(|end| (end.epoch.0, end.end));
        let client = |e| epochs.end_for_client(E(e), tail).map(|end| (end.epoch.0, end.end));
        assert_eq!(replica(4), Some((4, Offset(100))));
        assert_eq!(client(4), Some((4, BASE)));
        assert_eq!((replica(8), client(8)), (Some((8, tail)), Some((8, tail))));
        assert_eq!((replica(3), client(3)), (Some((2, Offset(60))), Some((2, Offset(60)))));
        assert_eq!(replica(1), Some((1, Offset(0))), "below the first: it ends where the first begins");
        assert_eq!((replica(9), replica(-1)), (None, None));
    }

    #[test]
    fn an_epoch_without_a_record_is_forgotten() {
        let mut epochs = with_hole();
        assert!(epochs.begin(E(9), BASE.plus(5), BASE.plus(5)));
        assert!(epochs.begin(E(10), BASE.plus(5), BASE.plus(5)));
        assert!(!epochs.begin(E(10), BASE.plus(9), BASE.plus(9)));
        assert_eq!(epochs.all().iter().map(|e| e.epoch.0).collect::<Vec<_>>(), [2, 4, 8, 10]);
    }

    #[test]
    fn truncation_and_a_moved_start_drop_epochs() {
        let mut epochs = with_hole();
        assert!(epochs.truncate(Offset(100)));
        assert_eq!(epochs.latest(), E(4));
        let mut epochs = with_hole();
        assert!(epochs.advance_start(Offset(70)));
        assert_eq!(epochs.all()[0], EpochStart { epoch: E(4), start: Offset(70), base: Offset(70) });
        assert!(epochs.advance_start(Offset(100)));
        assert_eq!(epochs.all(), [EpochStart { epoch: E(8), start: Offset(100), base: BASE }]);
        assert!(!epochs.advance_start(Offset(100)));
    }

    #[test]
    fn an_offset_belongs_to_the_epoch_it_lies_behind() {
        let epochs = with_hole();
        assert_eq!(
            [epochs.at(Offset(59)), epochs.at(Offset(60)), epochs.at(Offset(100))],
            [2, 4, 8].map(|e| Some(E(e)))
        );
        assert_eq!(epochs.hole_before(Offset(99)), None);
        assert_eq!(epochs.hole_before(BASE).map(|hole| hole.epoch), Some(E(8)));
        assert_eq!(epochs.hole_before(BASE.plus(1)), None);
        assert_eq!(epochs.holes_below(BASE.plus(7)), 1 << 40);
        assert_eq!(epochs.holes_below(Offset(101)), 1);
    }

    #[test]
    fn the_file_is_kafkas_and_damage_is_noticed() {
        let text = with_hole().encode();
        assert_eq!(text, "0\n3\n2 0\n4 60\n8 100\n");
        let mut read = Epochs::decode(&text).unwrap();
        read.place(E(8), BASE);
        assert_eq!(read, with_hole());
        for damaged in ["", "1\n0\n", "0\n2\n2 0\n", "0\n2\n4 60\n2 0\n", "0\n1\nx\n"] {
            assert_eq!(Epochs::decode(damaged), None, "{damaged:?}");
        }
    }
}
