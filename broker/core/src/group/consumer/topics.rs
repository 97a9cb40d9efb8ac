use model::{PartitionId, TopicId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The topics clients may subscribe to, as the region's metadata has them now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topics {
    named: BTreeMap<Arc<str>, TopicShape>,
    names: BTreeMap<TopicId, Arc<str>>,
}

/// What a coordinator has to know of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicShape {
    /// Its identity.
    pub id: TopicId,
    /// How many partitions it has.
    pub partitions: i32,
}

impl TopicShape {
    /// Its partitions.
    pub(super) fn each(self) -> impl Iterator<Item = (TopicId, PartitionId)> {
        (0..self.partitions).map(move |partition| (self.id, PartitionId(partition)))
    }
}

impl Topics {
    /// The topic with this name.
    pub fn named(&self, name: &str) -> Option<TopicShape> {
        self.named.get(name).copied()
    }

    /// The name of a topic.
    pub fn name(&self, id: TopicId) -> Option<&str> {
        self.names.get(&id).map(AsRef::as_ref)
    }

    /// Every name, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.named.keys().map(AsRef::as_ref)
    }
}

impl<'a> FromIterator<(&'a str, TopicShape)> for Topics {
    fn from_iter<I: IntoIterator<Item = (&'a str, TopicShape)>>(topics: I) -> Self {
        let named: BTreeMap<Arc<str>, _> = topics.into_iter().map(|(name, shape)| (name.into(), shape)).collect();
        let names = named.iter().map(|(name, shape)| (shape.id, name.clone())).collect();
        Self { named, names }
    }
}
