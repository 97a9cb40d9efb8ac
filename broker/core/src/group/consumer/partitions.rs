use model::{PartitionId, TopicId};
use std::collections::{BTreeMap, BTreeSet};

/// Partitions by the id of their topic; no topic is there without a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Partitions(BTreeMap<TopicId, BTreeSet<PartitionId>>);

impl Partitions {
    /// Adds one; `false` when it was there.
    pub fn insert(&mut self, topic: TopicId, partition: PartitionId) -> bool {
        self.0.entry(topic).or_default().insert(partition)
    }

    /// Whether it is there.
    pub fn contains(&self, topic: TopicId, partition: PartitionId) -> bool {
        self.0.get(&topic).is_some_and(|known| known.contains(&partition))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.values().map(BTreeSet::len).sum()
    }

    /// The topics, and their partitions.
    pub fn topics(&self) -> impl Iterator<Item = (TopicId, &BTreeSet<PartitionId>)> {
        self.0.iter().map(|(topic, partitions)| (*topic, partitions))
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = (TopicId, PartitionId)> {
        self.topics().flat_map(|(topic, partitions)| partitions.iter().map(move |partition| (topic, *partition)))
    }

    /// Those that `keep` holds for.
    #[must_use]
    pub fn filtered(&self, keep: impl Fn(TopicId, PartitionId) -> bool) -> Self {
        self.iter().filter(|(topic, partition)| keep(*topic, *partition)).collect()
    }

    /// Those that are in `other` too.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.filtered(|topic, partition| other.contains(topic, partition))
    }

    /// Those that are not in `other`.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        self.filtered(|topic, partition| !other.contains(topic, partition))
    }

    /// Those that are in either.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        self.iter().chain(other.iter()).collect()
    }

    /// Whether both have one in common.
    pub fn intersects(&self, other: &Self) -> bool {
        self.topics().any(|(topic, partitions)| {
            other.0.get(&topic).is_some_and(|theirs| partitions.iter().any(|partition| theirs.contains(partition)))
        })
    }

    /// Whether all of them are in `other`.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.topics().all(|(topic, partitions)| other.0.get(&topic).is_some_and(|theirs| partitions.is_subset(theirs)))
    }
}

impl FromIterator<(TopicId, PartitionId)> for Partitions {
    fn from_iter<I: IntoIterator<Item = (TopicId, PartitionId)>>(partitions: I) -> Self {
        let mut all = Self::default();
        for (topic, partition) in partitions {
            all.insert(topic, partition);
        }
        all
    }
}
