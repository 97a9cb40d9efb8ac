use super::{Answer, BrokerEpoch, Image, Partition, Refusal, Topic};
use model::{
    BrokerSlot, CopyTerm, LeaderEpoch, Offset, OwnershipEpoch, PartitionId, ProtectionGroup, TopicId, TopicState,
};
use serde::{Deserialize, Serialize};

/// What a leader is to the clients of its partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It takes writes and stamps them with this epoch.
    Owner {
        /// New at every start of leadership.
        leader_epoch: LeaderEpoch,
    },
    /// It follows another region's partition.
    Copy {
        /// New at every start of leadership.
        term: CopyTerm,
    },
}

/// What a leadership is started under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Under {
    /// As the owner under that grant.
    Owner(OwnershipEpoch),
    /// As a copy under that grant to another region, or of a topic that is being restored.
    Copy(OwnershipEpoch),
    /// The region's own topic.
    Local,
}

/// The leader of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leader {
    /// The broker.
    pub broker: BrokerSlot,
    /// The session it started it in.
    pub session: BrokerEpoch,
    /// What it was started under.
    pub under: Under,
    /// What it is.
    pub role: Role,
}

/// One leadership to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionId,
    /// What it is started under.
    pub under: Under,
}

/// One leadership that was started, or was already: the same start in the same session allots nothing new.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionId,
    /// What the broker now is to it.
    pub role: Role,
}

/// Where a partition's lineage departed from the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lineage {
    /// The grant that began it.
    pub ownership_epoch: OwnershipEpoch,
    /// The last offset both share: the new lineage starts here.
    pub common_end: Offset,
    /// Where its first batch lies.
    pub base: Offset,
}

impl Image {
    pub(super) fn start_leaders(
        &mut self,
        broker: BrokerSlot,
        session: BrokerEpoch,
        starts: &[Start],
    ) -> Result<Answer, Refusal> {
        self.check_unfenced(broker, session)?;
        Ok(Answer::Started(starts.iter().map(|start| self.start_leader(broker, session, *start)).collect()))
    }

    fn start_leader(&mut self, broker: BrokerSlot, session: BrokerEpoch, start: Start) -> Result<Started, Refusal> {
        let Start { topic, partition, under } = start;
        let unknown = Refusal::UnknownPartition { topic, partition };
        let known = self.topics.get(&topic).ok_or(Refusal::UnknownTopic(topic))?;
        let (group, state, above) = (known.group.clone(), known.state, known.epochs_above);
        self.check_under(group, state, under)?;
        let led = self.partition(topic, partition).ok_or(unknown.clone())?;
        self.check_eligible(led, broker)?;
        self.check_online(topic, partition, broker)?;
        if let Some(leader) = led.leader.filter(|_| led.is_led(broker, session, under)) {
            return Ok(Started { topic, partition, role: leader.role });
        }
        let role = self.partition_mut(topic, partition).ok_or(unknown)?.start(broker, session, under, above)?;
        Ok(Started { topic, partition, role })
    }

    /// Refuses a leader that is not in sync, or that would depose another one that is alive.
    fn check_eligible(&self, led: &Partition, broker: BrokerSlot) -> Result<(), Refusal> {
        if !led.isr.contains(&broker) {
            return Err(Refusal::BadIsr { leader: broker, isr: led.isr.clone() });
        }
        match led.leader.filter(|leader| leader.broker != broker && self.is_live(leader)) {
            Some(leader) => Err(Refusal::LedBy(leader.broker)),
            None => Ok(()),
        }
    }

    /// Refuses a leadership under a grant that is not obeyed, or that is not what it takes itself for.
    fn check_under(&mut self, group: Option<ProtectionGroup>, state: TopicState, under: Under) -> Result<(), Refusal> {
        let (epoch, as_owner) = match under {
            Under::Local => (OwnershipEpoch(0), true),
            Under::Owner(epoch) => (epoch, true),
            Under::Copy(epoch) => (epoch, false),
        };
        let Some(group) = group else { return Ok(()) };
        let known = self.group_at(&group, epoch)?;
        if as_owner == (known.owned && state == TopicState::Live) {
            return Ok(());
        }
        Err(Refusal::NotOwner { group, owner: known.grant.owner.clone(), epoch })
    }

    /// What a leader of `topic` has to be started under now; `None` while its group waits for an order.
    pub(super) fn due_under(&self, topic: &Topic) -> Option<Under> {
        let Some(name) = &topic.group else { return Some(Under::Local) };
        let group = self.group(name)?;
        match (group.owned, topic.state) {
            (true, TopicState::Live) => group.opened.then_some(Under::Owner(group.obeyed())),
            (true, TopicState::Restoring) | (false, _) => Some(Under::Copy(group.obeyed())),
        }
    }

    /// Whether the leader is in the session it was started in, and not fenced.
    pub fn is_live(&self, leader: &Leader) -> bool {
        self.check_unfenced(leader.broker, leader.session).is_ok()
    }

    /// The broker that leads or should: the leader while it is alive, else the first replica that is in sync and alive.
    pub(super) fn due_leader(&self, partition: &Partition) -> Option<BrokerSlot> {
        let leader = partition.leader.filter(|leader| self.is_live(leader)).map(|leader| leader.broker);
        let is_online = |slot: &BrokerSlot| self.is_unfenced(*slot) && !partition.offline.contains(slot);
        let is_eligible = |slot: &&BrokerSlot| partition.isr.contains(slot) && is_online(slot);
        leader.or_else(|| partition.replicas.iter().find(is_eligible).copied())
    }

    /// The leaderships broker `slot` has to start in its current session to make the image real.
    pub fn starts_due(&self, slot: BrokerSlot) -> Vec<Start> {
        self.starts(slot, |topic| self.due_under(topic))
    }

    /// The leaderships broker `slot` has to start to open `group` under the obeyed grant, whether or not it is open.
    pub fn opening_starts(&self, slot: BrokerSlot, group: &ProtectionGroup) -> Vec<Start> {
        let Some(obeyed) = self.group(group).map(super::Group::obeyed) else { return vec![] };
        self.starts(slot, |topic| {
            let opens = topic.group.as_ref() == Some(group) && topic.state == TopicState::Live;
            opens.then_some(Under::Owner(obeyed))
        })
    }

    fn starts(&self, slot: BrokerSlot, under: impl Fn(&Topic) -> Option<Under>) -> Vec<Start> {
        let Some(session) = self.broker(slot).filter(|broker| !broker.is_fenced()).map(|broker| broker.session) else {
            return vec![];
        };
        let mut starts = vec![];
        for topic in self.topics() {
            let Some(under) = under(topic) else { continue };
            let due = topic.partitions().filter(|(_, partition)| self.due_leader(partition) == Some(slot));
            let idle = due.filter(|(_, partition)| !partition.is_led(slot, session, under));
            starts.extend(idle.map(|(partition, _)| Start { topic: topic.id, partition, under }));
        }
        starts
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{SLOT, create, grant, local, name, register, registered};
    use super::*;

    /// A region that owns (or copies) `orders` with one partition of one topic.
    fn holding(owner: &str) -> (Image, BrokerEpoch, TopicId) {
        let (mut image, session) = registered();
        image.obey(1, grant("orders", owner, 1)).unwrap();
        let topic = create(&mut image, "eu.orders", Some("orders"), 1);
        (image, session, topic)
    }

    fn start(image: &mut Image, session: BrokerEpoch, topic: TopicId, under: Under) -> Result<Role, Refusal> {
        let started = image.start_leader(SLOT, session, Start { topic, partition: PartitionId(0), under });
        started.map(|started| started.role)
    }

    fn owner_epoch(ownership: u32, start: u32) -> Role {
        Role::Owner { leader_epoch: LeaderEpoch::of(OwnershipEpoch(ownership), start).unwrap() }
    }

    fn restart(image: &mut Image) -> BrokerEpoch {
        register(image, SLOT)
    }

    #[test]
    fn every_session_starts_a_higher_leader_epoch_and_the_same_start_only_one() {
        let (mut image, session, topic) = holding("r1");
        let under = Under::Owner(OwnershipEpoch(1));
        assert_eq!(start(&mut image, session, topic, under), Ok(owner_epoch(1, 0)));
        assert_eq!(start(&mut image, session, topic, under), Ok(owner_epoch(1, 0)));
        let session = restart(&mut image);
        assert_eq!(start(&mut image, session, topic, under), Ok(owner_epoch(1, 1)));
        image.obey(2, grant("orders", "r1", 2)).unwrap();
        assert!(matches!(start(&mut image, session, topic, under), Err(Refusal::Outdated { .. })));
        assert_eq!(start(&mut image, session, topic, Under::Owner(OwnershipEpoch(2))), Ok(owner_epoch(2, 0)));
    }

    #[test]
    fn a_copy_gets_terms_and_no_leader_epochs() {
        let (mut image, session, topic) = holding("r2");
        let under = Under::Copy(OwnershipEpoch(1));
        assert_eq!(start(&mut image, session, topic, under), Ok(Role::Copy { term: CopyTerm(1) }));
        let session = restart(&mut image);
        assert_eq!(start(&mut image, session, topic, under), Ok(Role::Copy { term: CopyTerm(2) }));
        let as_owner = start(&mut image, session, topic, Under::Owner(OwnershipEpoch(1)));
        assert!(matches!(as_owner, Err(Refusal::NotOwner { .. })));
        assert_eq!(image.partition(topic, PartitionId(0)).unwrap().leader_epoch, None);
    }

    #[test]
    fn leader_epochs_of_one_ownership_run_out_with_a_refusal() {
        let (mut image, session, topic) = holding("r1");
        let last = LeaderEpoch::of(OwnershipEpoch(1), 4095).unwrap();
        image.partition_mut(topic, PartitionId(0)).unwrap().leader_epoch = Some(last);
        let refused = start(&mut image, session, topic, Under::Owner(OwnershipEpoch(1)));
        assert_eq!(refused, Err(Refusal::EpochsExhausted(OwnershipEpoch(1))));
    }

    #[test]
    fn a_restored_topic_starts_above_the_epochs_it_carries() {
        let (mut image, session, topic) = holding("r1");
        image.topic_mut(topic).unwrap().epochs_above = LeaderEpoch::of(OwnershipEpoch(1), 7).ok();
        assert_eq!(start(&mut image, session, topic, Under::Owner(OwnershipEpoch(1))), Ok(owner_epoch(1, 8)));
        image.topic_mut(topic).unwrap().epochs_above = LeaderEpoch::of(OwnershipEpoch(2), 0).ok();
        let session = restart(&mut image);
        let refused = start(&mut image, session, topic, Under::Owner(OwnershipEpoch(1)));
        assert_eq!(refused, Err(Refusal::EpochsExhausted(OwnershipEpoch(1))));
    }

    #[test]
    fn a_regions_own_topic_counts_its_starts_for_ever() {
        let (mut image, mut session) = registered();
        let topic = local(&mut image, "__consumer_offsets", 2);
        for epoch in 0..5000 {
            let role = start(&mut image, session, topic, Under::Local);
            assert_eq!(role, Ok(Role::Owner { leader_epoch: LeaderEpoch(epoch) }));
            session = restart(&mut image);
        }
    }

    #[test]
    fn what_an_earlier_session_starts_is_refused() {
        let (mut image, session, topic) = holding("r1");
        restart(&mut image);
        let start = Start { topic, partition: PartitionId(0), under: Under::Owner(OwnershipEpoch(1)) };
        assert!(matches!(image.start_leaders(SLOT, session, &[start]), Err(Refusal::SessionOver { .. })));
    }

    #[test]
    fn a_taken_over_group_starts_only_by_order() {
        let (mut image, session, topic) = holding("r2");
        start(&mut image, session, topic, Under::Copy(OwnershipEpoch(1))).unwrap();
        image.obey(2, grant("orders", "r1", 2)).unwrap();
        assert_eq!(image.starts_due(SLOT), vec![]);
        let starts = image.opening_starts(SLOT, &name("orders"));
        assert_eq!(starts.len(), 1);
        image.start_leaders(SLOT, session, &starts).unwrap();
        assert_eq!(image.opening_starts(SLOT, &name("orders")), vec![]);
        image.open(&name("orders"), OwnershipEpoch(2), false).unwrap();
        assert_eq!(image.starts_due(SLOT), vec![]);
        let session = restart(&mut image);
        let leader = image.partition(topic, PartitionId(0)).unwrap().leader.unwrap();
        assert_eq!((leader.session, leader.role), (session, owner_epoch(2, 1)));
    }
}
