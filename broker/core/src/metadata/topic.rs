use super::partition::Partitions;
use super::{Answer, Image, Partition, Refusal};
use model::{BrokerSlot, LeaderEpoch, PartitionId, ProtectionGroup, TopicId, TopicName, TopicState};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A topic to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicDraft {
    /// Its identity.
    pub id: TopicId,
    /// Its name.
    pub name: TopicName,
    /// Its protection group; `None` for the region's own internal topics.
    pub group: Option<ProtectionGroup>,
    /// Its configuration.
    pub config: BTreeMap<String, String>,
    /// Whether clients may use it.
    pub state: TopicState,
    /// Its leader epochs begin above this one.
    pub epochs_above: Option<LeaderEpoch>,
    /// The replicas of each partition, in order.
    pub placement: Vec<Vec<BrokerSlot>>,
}

/// One topic in its region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Topic {
    /// Its identity, the same in every region.
    pub id: TopicId,
    /// Its name.
    pub name: TopicName,
    /// Its protection group; `None` for the region's own internal topics.
    pub group: Option<ProtectionGroup>,
    /// Its configuration.
    pub config: BTreeMap<String, String>,
    /// Whether clients may use it.
    pub state: TopicState,
    /// Its leader epochs begin above this one.
    pub epochs_above: Option<LeaderEpoch>,
    pub(super) partitions: Partitions,
}

impl Topic {
    fn from_draft(draft: TopicDraft, partitions: Partitions) -> Self {
        let TopicDraft { id, name, group, config, state, epochs_above, .. } = draft;
        Self { id, name, group, config, state, epochs_above, partitions }
    }

    /// How many partitions it has.
    pub fn partition_count(&self) -> i32 {
        self.partitions.count()
    }

    /// Its partitions, in order.
    pub fn partitions(&self) -> impl Iterator<Item = (PartitionId, &Partition)> {
        self.partitions.iter()
    }

    /// One of them.
    pub fn partition(&self, partition: PartitionId) -> Option<&Partition> {
        self.partitions.get(partition)
    }

    /// Whether the two differ in anything but their partitions.
    pub(super) fn is_defined_as(&self, other: &Self) -> bool {
        (&self.name, &self.group, &self.config) == (&other.name, &other.group, &other.config)
            && (self.state, self.epochs_above) == (other.state, other.epochs_above)
    }
}

impl Image {
    pub(super) fn topic_mut(&mut self, id: TopicId) -> Option<&mut Topic> {
        self.topics.get_mut(&id).map(Arc::make_mut)
    }

    pub(super) fn partition_mut(&mut self, topic: TopicId, partition: PartitionId) -> Option<&mut Partition> {
        self.topic_mut(topic)?.partitions.get_mut(partition)
    }

    pub(super) fn create_topic(&mut self, council_index: Option<u64>, draft: TopicDraft) -> Result<Answer, Refusal> {
        self.see_council_of(council_index)?;
        if let Some(group) = draft.group.as_ref().filter(|group| self.group(group).is_none()) {
            return Err(Refusal::UnknownGroup(group.clone()));
        }
        if self.topics.contains_key(&draft.id) {
            return Ok(Answer::Unchanged);
        }
        if let Some(holder) = self.names.get(&draft.name) {
            return Err(Refusal::NameTaken { name: draft.name, holder: *holder });
        }
        self.check_placement(&draft.placement)?;
        let partitions = draft.placement.iter().map(|replicas| self.placed(replicas)).collect();
        self.names.insert(draft.name.clone(), draft.id);
        self.topics.insert(draft.id, Arc::new(Topic::from_draft(draft, partitions)));
        Ok(Answer::Applied)
    }

    fn see_council_of(&mut self, council_index: Option<u64>) -> Result<(), Refusal> {
        council_index.map_or(Ok(()), |index| self.see_council(index))
    }

    /// A new partition on `replicas`: those that are fenced are not in sync. It is empty, so that any may begin.
    fn placed(&self, replicas: &[BrokerSlot]) -> Partition {
        let mut isr: Vec<_> = replicas.iter().copied().filter(|slot| self.is_unfenced(*slot)).collect();
        if isr.is_empty() {
            isr.extend(replicas.first());
        }
        Partition::on(replicas.to_vec(), isr)
    }

    fn check_placement(&self, placement: &[Vec<BrokerSlot>]) -> Result<(), Refusal> {
        let hosts = |slot: &BrokerSlot| self.broker(*slot).is_some_and(|known| !known.desk);
        let stranger = placement.iter().flatten().find(|slot| !hosts(slot));
        stranger.map_or(Ok(()), |slot| Err(Refusal::UnknownBroker(*slot)))
    }

    pub(super) fn add_partitions(
        &mut self,
        council_index: u64,
        id: TopicId,
        from: i32,
        placement: Vec<Vec<BrokerSlot>>,
    ) -> Result<Answer, Refusal> {
        self.see_council(council_index)?;
        self.check_placement(&placement)?;
        let partitions = self.topics.get(&id).ok_or(Refusal::UnknownTopic(id))?.partition_count();
        if i64::from(from) + placement.len() as i64 == i64::from(partitions) {
            return Ok(Answer::Unchanged);
        }
        if from != partitions {
            return Err(Refusal::NotAtTheEnd { topic: id, partitions, from });
        }
        let new: Vec<_> = placement.iter().map(|replicas| self.placed(replicas)).collect();
        let topic = self.topic_mut(id).ok_or(Refusal::UnknownTopic(id))?;
        new.into_iter().for_each(|partition| topic.partitions.push(partition));
        Ok(Answer::Applied)
    }

    pub(super) fn configure_topic(
        &mut self,
        council_index: u64,
        id: TopicId,
        group: ProtectionGroup,
        config: BTreeMap<String, String>,
        state: TopicState,
    ) -> Result<Answer, Refusal> {
        self.see_council(council_index)?;
        if self.group(&group).is_none() {
            return Err(Refusal::UnknownGroup(group));
        }
        let topic = self.topics.get(&id).ok_or(Refusal::UnknownTopic(id))?;
        if topic.group.as_ref() == Some(&group) && (&topic.config, topic.state) == (&config, state) {
            return Ok(Answer::Unchanged);
        }
        let topic = self.topic_mut(id).ok_or(Refusal::UnknownTopic(id))?;
        (topic.group, topic.config, topic.state) = (Some(group), config, state);
        self.review_eligible(id);
        Ok(Answer::Applied)
    }

    pub(super) fn delete_topic(&mut self, council_index: u64, id: TopicId) -> Result<Answer, Refusal> {
        self.see_council(council_index)?;
        let Some(topic) = self.topics.remove(&id) else { return Ok(Answer::Unchanged) };
        self.names.remove(&topic.name);
        Ok(Answer::Applied)
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{SLOT, create, draft, founded, grant, name, registered};
    use super::*;

    fn with_group() -> Image {
        let (mut image, _) = registered();
        image.obey(1, grant("orders", "r1", 1)).unwrap();
        image
    }

    #[test]
    fn a_topic_made_twice_is_one_topic_and_its_name_is_taken() {
        let mut image = with_group();
        let first = draft("eu.orders", Some("orders"), 2);
        assert_eq!(image.create_topic(Some(1), first.clone()), Ok(Answer::Applied));
        assert_eq!(image.create_topic(Some(1), first.clone()), Ok(Answer::Unchanged));
        let mut other = first.clone();
        other.id = TopicId(uuid::Uuid::from_u128(99));
        let taken = Refusal::NameTaken { name: first.name.clone(), holder: first.id };
        assert_eq!(image.create_topic(Some(1), other.clone()), Err(taken));
        image.delete_topic(1, first.id).unwrap();
        assert_eq!(image.create_topic(Some(1), other), Ok(Answer::Applied));
    }

    #[test]
    fn partitions_are_added_at_the_end_only() {
        let mut image = with_group();
        let id = create(&mut image, "eu.orders", Some("orders"), 2);
        let one_more = || vec![vec![SLOT]];
        assert_eq!(image.add_partitions(1, id, 2, one_more()), Ok(Answer::Applied));
        assert_eq!(image.add_partitions(1, id, 2, one_more()), Ok(Answer::Unchanged));
        let gap = image.add_partitions(1, id, 4, one_more());
        assert_eq!(gap, Err(Refusal::NotAtTheEnd { topic: id, partitions: 3, from: 4 }));
    }

    #[test]
    fn what_the_council_said_earlier_is_refused() {
        let mut image = with_group();
        let id = create(&mut image, "eu.orders", Some("orders"), 1);
        image.reflect(5, vec![], None).unwrap();
        assert_eq!(image.delete_topic(4, id), Err(Refusal::CouncilOutdated { seen: 5, given: 4 }));
        let late = image.create_topic(Some(3), draft("late", Some("orders"), 1));
        assert!(matches!(late, Err(Refusal::CouncilOutdated { .. })));
    }

    #[test]
    fn a_topic_needs_its_group_and_its_brokers() {
        let mut image = with_group();
        let stranger = image.create_topic(Some(1), draft("t", Some("nobody"), 1));
        assert_eq!(stranger, Err(Refusal::UnknownGroup(name("nobody"))));
        let mut nowhere = founded();
        nowhere.obey(1, grant("orders", "r1", 1)).unwrap();
        let refused = nowhere.create_topic(Some(1), draft("t", Some("orders"), 1));
        assert_eq!(refused, Err(Refusal::UnknownBroker(SLOT)));
    }
}
