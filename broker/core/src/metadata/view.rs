use super::{Image, Partition, Role, Topic};
use model::{BrokerSlot, LeaderEpoch, PartitionId, ProtectionGroup, TopicId, TopicName, TopicState};
use serde::{Deserialize, Serialize};

/// What a follower of a region's metadata sees: brokers, topics, leaders.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// [`Image::version`]; ask for what comes after it.
    pub version: u64,
    /// The brokers.
    pub brokers: Vec<BrokerView>,
    /// The broker that coordinates consumer groups.
    pub coordinator: Option<BrokerSlot>,
    /// Every topic clients may see.
    pub topics: Vec<TopicView>,
}

/// One broker of the region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BrokerView {
    /// Its slot.
    pub slot: BrokerSlot,
    /// `host:port` of its gateways' listener.
    pub gateways: String,
}

/// One topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicView {
    /// Its id.
    pub id: TopicId,
    /// Its name.
    pub name: TopicName,
    /// Its protection group.
    pub group: Option<ProtectionGroup>,
    /// Its partitions, in order.
    pub partitions: Vec<PartitionView>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionView {
    /// Its number.
    pub partition: PartitionId,
    /// Its leader in this session; `None` while none was started.
    pub leader: Option<BrokerSlot>,
    /// The leader epoch; [`LeaderEpoch::NONE`] for a copy, whose log knows it.
    pub leader_epoch: LeaderEpoch,
    /// The replicas.
    pub replicas: Vec<BrokerSlot>,
    /// Those in sync.
    pub isr: Vec<BrokerSlot>,
    /// Whether its group takes writes here, given a lease.
    pub writable: bool,
}

impl Image {
    /// The whole image as a follower sees it.
    pub fn view(&self) -> View {
        let brokers = self.brokers();
        View {
            version: self.version(),
            brokers: brokers.map(|(slot, b)| BrokerView { slot, gateways: b.addresses.gateways.clone() }).collect(),
            coordinator: self.coordinator(),
            topics: self.topics().filter(|topic| topic.state == TopicState::Live).map(|t| self.topic_view(t)).collect(),
        }
    }

    /// The broker that coordinates consumer groups and gives out producer ids.
    pub fn coordinator(&self) -> Option<BrokerSlot> {
        self.brokers().next().map(|(slot, _)| slot)
    }

    /// Whether clients may write to `topic` here, given a lease.
    pub fn takes_writes(&self, topic: &Topic) -> bool {
        let Some(group) = &topic.group else { return true };
        topic.state == TopicState::Live && self.group(group).is_some_and(super::Group::takes_writes)
    }

    fn topic_view(&self, topic: &Topic) -> TopicView {
        let writable = self.takes_writes(topic);
        let partitions = topic.partitions().map(|(number, partition)| self.partition_view(number, partition, writable));
        TopicView {
            id: topic.id,
            name: topic.name.clone(),
            group: topic.group.clone(),
            partitions: partitions.collect(),
        }
    }

    fn partition_view(&self, number: PartitionId, partition: &Partition, writable: bool) -> PartitionView {
        let leader = partition.leader.filter(|leader| self.check_session(leader.broker, leader.session).is_ok());
        let leader_epoch = match leader.map(|leader| leader.role) {
            Some(Role::Owner { leader_epoch }) => leader_epoch,
            Some(Role::Copy { .. }) | None => LeaderEpoch::NONE,
        };
        PartitionView {
            partition: number,
            leader: leader.map(|leader| leader.broker),
            leader_epoch,
            replicas: partition.replicas.clone(),
            isr: partition.isr.clone(),
            writable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{SLOT, create, grant, registered};
    use super::*;
    use crate::metadata::Command;

    #[test]
    fn a_follower_sees_leaders_only_once_they_are_started_in_this_session() {
        let (mut image, session) = registered();
        image.obey(1, grant("orders", "r1", 1)).unwrap();
        create(&mut image, "eu.orders", Some("orders"), 1);
        assert_eq!(image.view().topics[0].partitions[0].leader, None);
        let starts = image.starts_due(SLOT);
        image.apply(Command::StartLeaders { broker: SLOT, session, starts }).unwrap();
        let view = image.view();
        assert_eq!(view.topics[0].partitions[0].leader, Some(SLOT));
        assert_eq!(view.topics[0].partitions[0].leader_epoch, LeaderEpoch(4096));
        assert!(view.topics[0].partitions[0].writable);
    }

    #[test]
    fn the_version_rises_with_what_a_follower_can_see_and_nothing_else() {
        let (mut image, session) = registered();
        let before = image.version();
        image.apply(Command::ReserveProducerIds { broker: SLOT, session }).unwrap();
        assert_eq!(image.version(), before);
        image.apply(Command::Obey { council_index: 1, grant: grant("orders", "r1", 1) }).unwrap();
        assert_eq!(image.version(), before + 1);
        image.apply(Command::Obey { council_index: 1, grant: grant("orders", "r1", 1) }).unwrap();
        assert_eq!(image.version(), before + 1);
    }
}
