//! Which source brings whose records.

use crate::ports::CopyKey;
use mirror_core::active::{Path, Routes, Vector, assign};
use model::Incarnation;
use std::collections::{BTreeMap, BTreeSet};

/// What the sources of a region said last.
#[derive(Debug, Default)]
pub(super) struct Ways {
    sources: BTreeSet<Incarnation>,
    partitions: BTreeMap<CopyKey, Partition>,
}

#[derive(Debug, Default)]
struct Partition {
    paths: BTreeMap<Incarnation, Path>,
    routes: Routes,
}

impl Ways {
    /// There is a link from `source`.
    pub(super) fn know(&mut self, source: Incarnation) {
        self.sources.insert(source);
    }

    /// There is none any more.
    pub(super) fn forget(&mut self, source: Incarnation) {
        self.sources.remove(&source);
        self.partitions.values_mut().for_each(|partition| _ = partition.paths.remove(&source));
    }

    /// The source does not answer.
    pub(super) fn lost(&mut self, source: Incarnation) {
        let paths = self.partitions.values_mut().flat_map(|partition| partition.paths.get_mut(&source));
        paths.for_each(|path| path.up = false);
    }

    /// The source does not serve the partition.
    pub(super) fn lost_partition(&mut self, key: CopyKey, source: Incarnation) {
        let path = self.partitions.get_mut(&key).and_then(|partition| partition.paths.get_mut(&source));
        path.into_iter().for_each(|path| path.up = false);
    }

    /// The source has answered that it has received this.
    pub(super) fn heard(&mut self, key: CopyKey, source: Incarnation, received: Vector) {
        let partition = self.partitions.entry(key).or_default();
        partition.paths.insert(source, Path { source, up: true, holds: received });
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
        for known in sources.iter() {
            // A source is taken for reachable until it was asked.
            let fresh = || Path { source: *known, up: true, holds: Vector::default() };
            partition.paths.entry(*known).or_insert_with(fresh);
        }
        let paths: Vec<_> = partition.paths.values().cloned().collect();
        let held = paths.iter().flat_map(|path| path.holds.iter().map(|(origin, _)| origin));
        let origins: BTreeSet<_> = sources.iter().copied().chain(held).collect();
        let origins: Vec<_> = origins.into_iter().collect();
        partition.routes = assign(own, &origins, &paths, have, &partition.routes);
        origins.into_iter().filter(|origin| partition.routes.get(origin) == Some(&source)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Offset, PartitionId, TopicId};

    const KEY: CopyKey = (TopicId::ZERO, PartitionId(0));

    fn vector(tails: &[(u16, i64)]) -> Vector {
        tails.iter().map(|(origin, tail)| (Incarnation(*origin), Offset(*tail))).collect()
    }

    #[test]
    fn each_region_brings_its_own_records_and_another_one_brings_those_of_one_that_is_out_of_reach() {
        let (one, two, three) = (Incarnation(1), Incarnation(2), Incarnation(3));
        let mut ways = Ways::default();
        [two, three].into_iter().for_each(|source| ways.know(source));
        let have = vector(&[(1, 5)]);
        assert_eq!(ways.wanted(KEY, one, two, &have), [two]);
        assert_eq!(ways.wanted(KEY, one, three, &have), [three]);
        ways.heard(KEY, three, vector(&[(2, 9), (3, 4)]));
        ways.lost(two);
        assert_eq!(ways.wanted(KEY, one, three, &have), [two, three]);
        assert_eq!(ways.wanted(KEY, one, two, &have), []);
        ways.heard(KEY, two, vector(&[(2, 12)]));
        assert_eq!(ways.wanted(KEY, one, two, &have), [two]);
        ways.forget(two);
        assert_eq!(ways.wanted(KEY, one, three, &have), [two, three]);
    }
}
