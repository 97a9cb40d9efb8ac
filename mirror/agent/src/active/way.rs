//! Which source brings whose records.

use super::Behind;
use crate::ports::CopyKey;
use mirror_core::active::{Asking, Path, Routes, Vector, assign, first_offset};
use model::Incarnation;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// What the sources of a region said last.
#[derive(Debug, Default)]
pub(super) struct Ways {
    /// Since when there is a link from each.
    sources: BTreeMap<Incarnation, Instant>,
    partitions: BTreeMap<CopyKey, Partition>,
}

#[derive(Debug, Default)]
struct Partition {
    paths: BTreeMap<Incarnation, Path>,
    routes: Routes,
    asking: Asking,
    /// When each source was asked for what it then said that it had.
    asked: BTreeMap<Incarnation, Instant>,
    /// When everything that each source had written was here last.
    complete: BTreeMap<Incarnation, Instant>,
}

impl Partition {
    fn lost(&mut self, source: Incarnation) {
        self.asking.end(source);
        self.paths.entry(source).and_modify(|path| path.up = false);
    }

    /// Takes note that `have` is here: what a source said that it had when it was asked, or less.
    fn have(&mut self, have: &Vector) {
        for (source, asked) in &self.asked {
            let holds = self.paths.get(source).map(|path| path.holds.tail(*source));
            if holds.is_some_and(|holds| have.tail(*source) >= holds) {
                self.complete.insert(*source, *asked);
            }
        }
    }

    fn behind(&self, source: Incarnation, linked: Instant, have: &Vector, now: Instant) -> Behind {
        let known = self.paths.values().map(|path| path.holds.tail(source)).max().unwrap_or_default();
        let complete = self.complete.get(&source).copied().unwrap_or(linked);
        Behind {
            origin: source,
            records_max: known.since(have.tail(source).max(first_offset(source))),
            time: now.saturating_duration_since(complete),
        }
    }
}

impl Ways {
    /// There is a link from `source`, from `now` on.
    pub(super) fn know(&mut self, source: Incarnation, now: Instant) {
        self.sources.insert(source, now);
    }

    /// There is none any more.
    pub(super) fn forget(&mut self, source: Incarnation) {
        self.sources.remove(&source);
        self.partitions.values_mut().for_each(|partition| {
            partition.paths.remove(&source);
            partition.asked.remove(&source);
            partition.asking.end(source);
        });
    }

    /// The source does not answer.
    pub(super) fn lost(&mut self, source: Incarnation) {
        self.partitions.values_mut().for_each(|partition| partition.lost(source));
    }

    /// The source does not serve the partition.
    pub(super) fn lost_partition(&mut self, key: CopyKey, source: Incarnation) {
        self.partitions.entry(key).or_default().lost(source);
    }

    /// The source has answered what it was asked at `asked`: that it has received this.
    pub(super) fn heard(&mut self, key: CopyKey, source: Incarnation, received: Vector, asked: Instant) {
        let partition = self.partitions.entry(key).or_default();
        partition.paths.insert(source, Path { source, up: true, holds: received });
        partition.asked.insert(source, asked);
    }

    /// How far the records of each source have come, of a partition that has received `have`, at `now`.
    pub(super) fn behind(&mut self, key: CopyKey, have: &Vector, now: Instant) -> Vec<Behind> {
        let Self { sources, partitions } = self;
        let partition = partitions.entry(key).or_default();
        partition.have(have);
        sources.iter().map(|(source, linked)| partition.behind(*source, *linked, have, now)).collect()
    }

    /// Whose records are to be asked for at `source`, by a region that has received `have`.
    pub(super) fn wanted(
        &mut self,
        key: CopyKey,
        own: Incarnation,
        source: Incarnation,
        have: &Vector,
    ) -> Vec<Incarnation> {
        let Self { sources, partitions } = self;
        let partition = partitions.entry(key).or_default();
        partition.have(have);
        for known in sources.keys() {
            // A source is taken for reachable until it was asked.
            let fresh = || Path { source: *known, up: true, holds: Vector::default() };
            partition.paths.entry(*known).or_insert_with(fresh);
        }
        let paths: Vec<_> = partition.paths.values().cloned().collect();
        let held = paths.iter().flat_map(|path| path.holds.iter().map(|(origin, _)| origin));
        let origins: BTreeSet<_> = sources.keys().copied().chain(held).collect();
        let origins: Vec<_> = origins.into_iter().collect();
        partition.routes = assign(own, &origins, &paths, have, &partition.routes);
        let wanted = origins.into_iter().filter(|origin| partition.routes.get(origin) == Some(&source));
        partition.asking.begin(source, wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Offset, PartitionId, TopicId};
    use std::time::Duration;

    const KEY: CopyKey = (TopicId::ZERO, PartitionId(0));

    fn vector(tails: &[(u16, i64)]) -> Vector {
        tails.iter().map(|(origin, tail)| (Incarnation(*origin), Offset(*tail))).collect()
    }

    #[test]
    fn each_region_brings_its_own_records_and_another_one_brings_those_of_one_that_is_out_of_reach() {
        let (one, two, three) = (Incarnation(1), Incarnation(2), Incarnation(3));
        let mut ways = Ways::default();
        let now = Instant::now();
        [two, three].into_iter().for_each(|source| ways.know(source, now));
        let have = vector(&[(1, 5)]);
        assert_eq!(ways.wanted(KEY, one, two, &have), [two]);
        assert_eq!(ways.wanted(KEY, one, three, &have), [three]);
        ways.heard(KEY, three, vector(&[(2, 9), (3, 4)]), now);
        ways.lost(two);
        assert_eq!(ways.wanted(KEY, one, three, &have), [two, three]);
        assert_eq!(ways.wanted(KEY, one, two, &have), []);
        ways.heard(KEY, two, vector(&[(2, 12)]), now);
        assert_eq!(ways.wanted(KEY, one, two, &have), [], "its records are on their way over the other link");
        assert_eq!(ways.wanted(KEY, one, three, &have), [three]);
        assert_eq!(ways.wanted(KEY, one, two, &have), [two]);
        assert_eq!(ways.wanted(KEY, one, two, &have), [two]);
        ways.forget(two);
        assert_eq!(ways.wanted(KEY, one, three, &have), [two, three]);
    }

    #[test]
    fn a_region_that_is_cut_off_falls_behind_and_one_that_has_everything_does_not() {
        let (one, two, three) = (Incarnation(1), Incarnation(2), Incarnation(3));
        let (mut ways, began) = (Ways::default(), Instant::now());
        let at = |seconds| began + Duration::from_secs(seconds);
        [two, three].into_iter().for_each(|source| ways.know(source, began));
        let first = |origin: Incarnation, records: i64| (origin, first_offset(origin).plus(records));
        let of = |tails: &[(Incarnation, Offset)]| tails.iter().copied().collect::<Vector>();
        let seen = |ways: &mut Ways, have: &Vector, seconds| {
            let behind = ways.behind(KEY, have, at(seconds)).into_iter();
            behind.map(|behind| (behind.records_max, behind.time.as_secs())).collect::<Vec<_>>()
        };
        let nothing = Vector::default();
        assert_eq!(seen(&mut ways, &nothing, 4), [(0, 4), (0, 4)], "nobody has said anything yet");
        ways.heard(KEY, two, of(&[first(two, 9), first(three, 7)]), at(5));
        assert_eq!(seen(&mut ways, &nothing, 6), [(9, 6), (7, 6)]);
        let have = of(&[first(two, 9), first(three, 7)]);
        assert_eq!(seen(&mut ways, &have, 8), [(0, 3), (0, 8)], "what another one has of an origin may not be all");
        ways.lost(two);
        assert_eq!(ways.wanted(KEY, one, three, &have), [two, three]);
        assert_eq!(seen(&mut ways, &have, 60), [(0, 55), (0, 60)], "the line is cut");
        ways.heard(KEY, two, of(&[first(two, 20)]), at(61));
        assert_eq!(seen(&mut ways, &have, 62)[0], (11, 57));
        assert_eq!(seen(&mut ways, &of(&[first(two, 20)]), 62)[0], (0, 1));
    }
}
