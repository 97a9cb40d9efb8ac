//! Whose disk a difference is blamed on.
//!
//! A difference says that two sides do not store the same, and not which of them is damaged. Every batch carries a checksum
//! over its records, so each side can say of its own bytes whether they are what was written: it reads the interval once
//! more ([`Judgements`]), and what both said gives the [`Verdict`].

use super::Interval;
use super::limits::JUDGED_MAX;
use model::Offset;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What reading an interval of one side once more told of its batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Soundness {
    /// It is not read yet.
    #[default]
    Unread,
    /// They follow each other, and each has the checksum that it carries.
    Sound,
    /// The first that is not so, or cannot be read, begins here.
    Damaged(Offset),
}

impl Soundness {
    /// What was read, with where the first damage begins, if any does.
    pub fn read(damaged: Option<Offset>) -> Self {
        damaged.map_or(Self::Sound, Self::Damaged)
    }
}

/// Which side of a difference is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The copy.
    Copy,
    /// The source; the copy is sound.
    Source,
    /// Each of them.
    Both,
    /// None, by the checksums. The copy was to be what its source is, so it is not what it was to be.
    Neither,
}

impl Verdict {
    /// What is known by what both sides said; nothing while too little is. A damaged copy need not wait for its source, which
    /// may never answer; it may turn out that [both](Self::Both) are damaged.
    pub const fn of(copy: Soundness, source: Soundness) -> Option<Self> {
        use Soundness::{Damaged, Sound, Unread};
        match (copy, source) {
            (Unread, _) | (Sound, Unread) => None,
            (Damaged(_), Unread | Sound) => Some(Self::Copy),
            (Damaged(_), Damaged(_)) => Some(Self::Both),
            (Sound, Damaged(_)) => Some(Self::Source),
            (Sound, Sound) => Some(Self::Neither),
        }
    }

    /// Whether the copy is no standby any more.
    pub const fn blames_copy(self) -> bool {
        !matches!(self, Self::Source)
    }

    /// Whether the source is no base for a new copy.
    pub const fn blames_source(self) -> bool {
        matches!(self, Self::Source | Self::Both)
    }
}

/// The intervals of one log that were asked about since the process began, and what was found; at most [`JUDGED_MAX`].
///
/// Each is read once. What is read of it later for another reason counts in its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgements(BTreeMap<Interval, Soundness>);

impl Judgements {
    /// Has `interval` read, unless it was. When there are too many, one that was read is forgotten, or else this is not
    /// taken: whoever wants it asks again.
    pub fn want(&mut self, interval: Interval) {
        if self.0.contains_key(&interval) {
            return;
        }
        if self.0.len() >= JUDGED_MAX {
            let read = self.0.iter().find(|(_, soundness)| **soundness != Soundness::Unread);
            let Some(read) = read.map(|(interval, _)| *interval) else { return };
            self.0.remove(&read);
        }
        self.0.insert(interval, Soundness::Unread);
    }

    /// The next interval to read.
    pub fn unread(&self) -> Option<Interval> {
        self.0.iter().find(|(_, soundness)| **soundness == Soundness::Unread).map(|(interval, _)| *interval)
    }

    /// `interval` was read, if anybody wants to know.
    pub fn settle(&mut self, interval: Interval, soundness: Soundness) {
        self.0.entry(interval).and_modify(|known| *known = soundness);
    }

    /// What is known of `interval`.
    pub fn of(&self, interval: Interval) -> Soundness {
        self.0.get(&interval).copied().unwrap_or_default()
    }

    /// Forgets an interval of which nothing is left.
    pub fn forget(&mut self, interval: Interval) {
        self.0.remove(&interval);
    }

    /// Forgets the intervals that end above `to`, where the log was cut off.
    pub fn truncate(&mut self, to: Offset) {
        self.0.retain(|interval, _| interval.range().end <= to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_blamed_on_the_side_that_is_damaged() {
        let bad = Soundness::Damaged(Offset(7));
        let of = |copy, source| Verdict::of(copy, source);
        assert_eq!(of(bad, Soundness::Sound), Some(Verdict::Copy));
        assert_eq!(of(Soundness::Sound, bad), Some(Verdict::Source));
        assert_eq!(of(bad, bad), Some(Verdict::Both));
        assert_eq!(of(Soundness::Sound, Soundness::Sound), Some(Verdict::Neither));
        let blamed = |verdict: Verdict| (verdict.blames_copy(), verdict.blames_source());
        let all = [Verdict::Copy, Verdict::Source, Verdict::Both, Verdict::Neither].map(blamed);
        assert_eq!(all, [(true, false), (false, true), (true, true), (true, false)]);
    }

    #[test]
    fn a_sound_copy_waits_for_its_source_and_a_damaged_one_does_not() {
        let bad = Soundness::Damaged(Offset(7));
        assert_eq!(Verdict::of(Soundness::Unread, bad), None);
        assert_eq!(Verdict::of(Soundness::Sound, Soundness::Unread), None);
        assert_eq!(Verdict::of(bad, Soundness::Unread), Some(Verdict::Copy));
    }

    #[test]
    fn an_interval_is_read_once_until_the_log_is_cut_below_its_end() {
        let (mut judgements, first) = (Judgements::default(), Interval(1));
        judgements.settle(first, Soundness::Sound);
        assert_eq!((judgements.of(first), judgements.unread()), (Soundness::Unread, None), "nobody asked");
        judgements.want(first);
        assert_eq!(judgements.unread(), Some(first));
        judgements.settle(first, Soundness::Sound);
        judgements.want(first);
        assert_eq!((judgements.of(first), judgements.unread()), (Soundness::Sound, None));
        judgements.truncate(first.range().end);
        assert_eq!(judgements.of(first), Soundness::Sound);
        judgements.truncate(first.range().end.plus(-1));
        judgements.want(first);
        assert_eq!(judgements.unread(), Some(first));
    }

    #[test]
    fn what_is_wanted_is_bounded_and_what_is_read_makes_room() {
        let mut judgements = Judgements::default();
        let all = 0..JUDGED_MAX as u64;
        all.clone().map(Interval).for_each(|interval| judgements.want(interval));
        let more = Interval(all.end);
        judgements.want(more);
        judgements.settle(more, Soundness::Sound);
        assert_eq!(judgements.of(more), Soundness::Unread, "it was not taken");
        judgements.settle(Interval(3), Soundness::Sound);
        judgements.want(more);
        judgements.settle(more, Soundness::Sound);
        assert_eq!((judgements.of(more), judgements.of(Interval(3))), (Soundness::Sound, Soundness::Unread));
    }
}
