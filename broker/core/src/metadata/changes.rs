use super::{Image, Partition, Topic};
use model::{BrokerSlot, PartitionId, ProtectionGroup, TopicId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What differs between two images of a region. Finding it out costs what has changed, not what there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Topics that are no more, as they were.
    pub gone: Vec<Arc<Topic>>,
    /// Topics that are new, or whose definition changed.
    pub defined: BTreeSet<TopicId>,
    /// Partitions that are new or changed.
    pub partitions: BTreeSet<(TopicId, PartitionId)>,
    /// Protection groups that are new, changed or gone.
    pub groups: BTreeSet<ProtectionGroup>,
    /// Brokers that are new or changed.
    pub brokers: BTreeSet<BrokerSlot>,
}

impl Changes {
    /// What is to be looked at again in `image`: the changed partitions, and all partitions of topics that are defined
    /// anew or that belong to a changed group.
    pub fn touched<'a>(&self, image: &'a Image) -> BTreeMap<(TopicId, PartitionId), (&'a Topic, &'a Partition)> {
        let of_changed_group = |topic: &&Topic| topic.group.as_ref().is_some_and(|group| self.groups.contains(group));
        let by_group = (!self.groups.is_empty()).then(|| image.topics().filter(of_changed_group));
        let whole = by_group.into_iter().flatten().chain(self.defined.iter().filter_map(|id| image.topic(*id)));
        let all = |topic: &'a Topic| topic.partitions().map(move |(number, p)| ((topic.id, number), (topic, p)));
        let one = |(id, number): &(TopicId, PartitionId)| {
            let topic = image.topic(*id)?;
            Some(((*id, *number), (topic, topic.partition(*number)?)))
        };
        whole.flat_map(all).chain(self.partitions.iter().filter_map(one)).collect()
    }
}

impl Image {
    /// What has changed since `before`, an earlier image of the same log.
    pub fn changes_since(&self, before: &Self) -> Changes {
        let mut changes = Changes::default();
        for difference in before.topics.diff(&self.topics) {
            match difference {
                imbl::ordmap::DiffItem::Add(_, topic) => changes.define(topic),
                imbl::ordmap::DiffItem::Remove(_, topic) => changes.gone.push(topic.clone()),
                imbl::ordmap::DiffItem::Update { old: (_, old), new: (_, new) } => changes.compare(old, new),
            }
        }
        changes.groups = before.groups.diff(&self.groups).map(|difference| changed_key(&difference).clone()).collect();
        let is_other = |(slot, broker): &(&BrokerSlot, &super::Broker)| before.brokers.get(slot) != Some(broker);
        changes.brokers = self.brokers.iter().filter(is_other).map(|(slot, _)| *slot).collect();
        changes
    }
}

impl Changes {
    fn define(&mut self, topic: &Topic) {
        self.defined.insert(topic.id);
        self.partitions.extend(topic.partitions().map(|(number, _)| (topic.id, number)));
    }

    fn compare(&mut self, old: &Topic, new: &Topic) {
        if !new.is_defined_as(old) {
            self.defined.insert(new.id);
        }
        let changed = new.partitions.changed_since(&old.partitions);
        self.partitions.extend(changed.into_iter().map(|number| (new.id, number)));
    }
}

fn changed_key<'a, V>(difference: &imbl::ordmap::DiffItem<'a, 'a, ProtectionGroup, V>) -> &'a ProtectionGroup {
    match difference {
        imbl::ordmap::DiffItem::Add(group, _) | imbl::ordmap::DiffItem::Remove(group, _) => group,
        imbl::ordmap::DiffItem::Update { new: (group, _), .. } => group,
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{SLOT, create, grant, name, registered};
    use super::*;
    use crate::metadata::Command;

    #[test]
    fn what_changed_is_named_and_nothing_else() {
        let (mut image, session) = registered();
        image.obey(1, grant("orders", "r1", 1)).unwrap();
        let (first, second) = (create(&mut image, "a", Some("orders"), 3), create(&mut image, "b", Some("orders"), 2));
        let before = image.clone();
        assert_eq!(image.changes_since(&before), Changes::default());
        let mut starts = image.starts_due(SLOT);
        starts.retain(|start| (start.topic, start.partition) == (first, PartitionId(1)));
        image.apply(Command::StartLeaders { broker: SLOT, session, starts }).unwrap();
        let changes = image.changes_since(&before);
        assert_eq!(changes.partitions, BTreeSet::from([(first, PartitionId(1))]));
        assert!(changes.defined.is_empty() && changes.groups.is_empty() && changes.gone.is_empty());
        assert_eq!(changes.touched(&image).len(), 1);
        let before = image.clone();
        image.delete_topic(1, second).unwrap();
        image.obey(2, grant("orders", "r2", 2)).unwrap();
        let changes = image.changes_since(&before);
        assert_eq!((changes.gone[0].id, &changes.groups), (second, &BTreeSet::from([name("orders")])));
        assert_eq!(changes.touched(&image).len(), 3, "all partitions of the group's topics");
    }

    #[test]
    fn everything_is_new_to_somebody_who_knew_nothing() {
        let (mut image, _) = registered();
        create(&mut image, "a", None, 3);
        let changes = image.changes_since(&Image::default());
        assert_eq!((changes.defined.len(), changes.partitions.len(), changes.brokers.len()), (1, 3, 1));
    }
}
