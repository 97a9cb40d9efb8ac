//! Server-side assignors: who should own what. Pure; the same input gives the same output.

mod range;
mod uniform;

use super::{Partitions, TopicShape};
use crate::group::MemberId;
use std::collections::{BTreeMap, BTreeSet};

/// A way to distribute partitions, by Kafka's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Assignor {
    /// As evenly as the subscriptions allow, moving as little as possible.
    Uniform,
    /// Each topic in consecutive runs, so that equal partitions of equally large topics go to the same member.
    Range,
}

impl Assignor {
    /// Every one, the one members get that name none first.
    pub const ALL: [Self; 2] = [Self::Uniform, Self::Range];

    /// Kafka's name of it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    /// The one with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    /// What each member should own.
    pub(super) fn assign(self, members: &BTreeMap<MemberId, Subscriber>) -> BTreeMap<MemberId, Partitions> {
        match self {
            Self::Uniform => uniform::assign(members),
            Self::Range => range::assign(members),
        }
    }
}

/// A member as an assignor sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Subscriber {
    /// What a static member is ordered by.
    pub(super) instance: Option<String>,
    /// The topics it reads that there are.
    pub(super) topics: Vec<TopicShape>,
    /// What it should have owned before.
    pub(super) before: Partitions,
}

/// Each topic that somebody reads with its readers, by their place in the order of `members`.
fn readers(members: &BTreeMap<MemberId, Subscriber>) -> BTreeMap<model::TopicId, (TopicShape, BTreeSet<usize>)> {
    let mut topics: BTreeMap<_, (TopicShape, BTreeSet<usize>)> = BTreeMap::new();
    for (at, member) in members.values().enumerate() {
        for topic in &member.topics {
            topics.entry(topic.id).or_insert_with(|| (*topic, BTreeSet::new())).1.insert(at);
        }
    }
    topics
}

/// The parts, by the members' names.
fn named(members: &BTreeMap<MemberId, Subscriber>, parts: Vec<Partitions>) -> BTreeMap<MemberId, Partitions> {
    members.keys().cloned().zip(parts).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use model::{PartitionId, TopicId};
    use proptest::prelude::*;
    use uuid::Uuid;

    pub(super) fn topic(number: u128, partitions: i32) -> TopicShape {
        TopicShape { id: TopicId(Uuid::from_u128(number)), partitions }
    }

    /// Up to eight members that read some of up to five topics.
    pub(super) fn groups() -> impl Strategy<Value = BTreeMap<MemberId, Subscriber>> {
        let topics = prop::collection::vec(0_i32..9, 1..6);
        let members = prop::collection::vec(prop::collection::vec(any::<bool>(), 5), 1..9);
        (topics, members, any::<bool>()).prop_map(|(topics, members, all_read_all)| {
            let shapes: Vec<_> = topics.iter().enumerate().map(|(at, n)| topic(at as u128 + 1, *n)).collect();
            let reads = |wanted: &[bool]| {
                let read = shapes.iter().zip(wanted).filter(|(_, wanted)| **wanted || all_read_all);
                read.map(|(topic, _)| *topic).collect()
            };
            let subscriber = |wanted: &Vec<bool>| Subscriber { topics: reads(wanted), ..Default::default() };
            let named = members.iter().enumerate().map(|(at, m)| (MemberId::new(format!("m{at}")), subscriber(m)));
            named.collect()
        })
    }

    /// What the members have after `assignor` was asked.
    pub(super) fn remembering(
        members: &BTreeMap<MemberId, Subscriber>,
        parts: &BTreeMap<MemberId, Partitions>,
    ) -> BTreeMap<MemberId, Subscriber> {
        let before = |id: &MemberId| parts.get(id).cloned().unwrap_or_default();
        members.iter().map(|(id, m)| (id.clone(), Subscriber { before: before(id), ..m.clone() })).collect()
    }

    fn everything_is_owned_once(
        members: &BTreeMap<MemberId, Subscriber>,
        parts: &BTreeMap<MemberId, Partitions>,
    ) -> Result<(), TestCaseError> {
        let mut seen = Partitions::default();
        for (id, part) in parts {
            for (topic, partition) in part.iter() {
                prop_assert!(members[id].topics.iter().any(|read| read.id == topic), "{id} does not read {topic}");
                prop_assert!(seen.insert(topic, partition), "{topic}-{partition} twice");
            }
        }
        let read: Partitions = members.values().flat_map(|m| &m.topics).flat_map(|topic| topic.each()).collect();
        prop_assert_eq!(seen, read);
        prop_assert_eq!(parts.len(), members.len());
        Ok(())
    }

    proptest! {
        #[test]
        fn every_partition_that_is_read_is_owned_by_one_of_its_readers(members in groups()) {
            for assignor in Assignor::ALL {
                everything_is_owned_once(&members, &assignor.assign(&members))?;
            }
        }

        #[test]
        fn asking_again_changes_nothing(members in groups()) {
            for assignor in Assignor::ALL {
                let first = assignor.assign(&members);
                prop_assert_eq!(&assignor.assign(&remembering(&members, &first)), &first);
            }
        }
    }

    #[test]
    fn assignors_are_found_by_kafkas_names() {
        assert_eq!(Assignor::named("range"), Some(Assignor::Range));
        assert_eq!(Assignor::named("cooperative-sticky"), None);
        let nobody = PartitionId(0);
        assert!(Assignor::Uniform.assign(&BTreeMap::new()).is_empty(), "{nobody}");
    }
}
