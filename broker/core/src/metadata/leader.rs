use super::{Answer, BrokerEpoch, Image, Refusal, Topic};
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

/// One partition in its region.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// The brokers that hold it, the preferred leader first.
    pub replicas: Vec<BrokerSlot>,
    /// Those that are in sync.
    pub isr: Vec<BrokerSlot>,
    /// The leader, once one was started.
    pub leader: Option<Leader>,
    /// Counts the changes of leader and in-sync set.
    pub partition_epoch: u32,
    /// The last leader epoch allotted in this region.
    pub leader_epoch: Option<LeaderEpoch>,
    /// The last copy term allotted.
    pub copy_term: CopyTerm,
    /// The lineages that began while the region held the partition, oldest first.
    pub lineages: Vec<Lineage>,
}

impl Partition {
    /// A partition held by `replicas`, all of them in sync, without a leader.
    pub(super) fn on(replicas: Vec<BrokerSlot>) -> Self {
        Self { isr: replicas.clone(), replicas, ..Self::default() }
    }

    /// The lineage that `ownership_epoch` began, if it left records behind.
    pub fn lineage(&self, ownership_epoch: OwnershipEpoch) -> Option<&Lineage> {
        self.lineages.iter().find(|lineage| lineage.ownership_epoch == ownership_epoch)
    }

    pub(super) fn record_lineage(&mut self, lineage: Lineage) {
        if self.lineage(lineage.ownership_epoch).is_none() {
            self.lineages.push(lineage);
        }
    }

    /// The broker that leads or should: the current leader, else the first in-sync replica.
    pub(super) fn due_leader(&self) -> Option<BrokerSlot> {
        self.leader.map(|leader| leader.broker).or_else(|| self.isr.first().copied())
    }

    /// Whether this leadership is running.
    pub(super) fn is_led(&self, broker: BrokerSlot, session: BrokerEpoch, under: Under) -> bool {
        let same = |leader: Leader| (leader.broker, leader.session, leader.under) == (broker, session, under);
        self.leader.is_some_and(same)
    }

    fn allot(&mut self, under: Under, above: Option<LeaderEpoch>) -> Result<Role, Refusal> {
        match under {
            Under::Copy(_) => {
                self.copy_term = self.copy_term.next();
                Ok(Role::Copy { term: self.copy_term })
            }
            Under::Owner(ownership) => self.allot_epoch(ownership, self.leader_epoch.max(above)),
            Under::Local => {
                let leader_epoch = LeaderEpoch(self.leader_epoch.map_or(0, |last| last.0 + 1));
                self.leader_epoch = Some(leader_epoch);
                Ok(Role::Owner { leader_epoch })
            }
        }
    }

    /// The lowest epoch of `ownership` above `last`.
    fn allot_epoch(&mut self, ownership: OwnershipEpoch, last: Option<LeaderEpoch>) -> Result<Role, Refusal> {
        let exhausted = Refusal::EpochsExhausted(ownership);
        let first = LeaderEpoch::of(ownership, 0).map_err(|_| exhausted.clone())?;
        let next = last.map_or(Ok(first), LeaderEpoch::next).map_err(|_| exhausted.clone())?;
        let leader_epoch = first.max(next);
        if leader_epoch.ownership() != ownership {
            return Err(exhausted);
        }
        self.leader_epoch = Some(leader_epoch);
        Ok(Role::Owner { leader_epoch })
    }
}

impl Image {
    pub(super) fn start_leaders(
        &mut self,
        broker: BrokerSlot,
        session: BrokerEpoch,
        starts: &[Start],
    ) -> Result<Answer, Refusal> {
        self.check_session(broker, session)?;
        Ok(Answer::Started(starts.iter().map(|start| self.start_leader(broker, session, *start)).collect()))
    }

    fn start_leader(&mut self, broker: BrokerSlot, session: BrokerEpoch, start: Start) -> Result<Started, Refusal> {
        let Start { topic, partition, under } = start;
        let unknown = Refusal::UnknownPartition { topic, partition };
        let known = self.topics.get(&topic).ok_or(Refusal::UnknownTopic(topic))?;
        let (group, state, above) = (known.group.clone(), known.state, known.epochs_above);
        self.check_under(group, state, under)?;
        let led = self.topics.get_mut(&topic).and_then(|topic| topic.partition_mut(partition)).ok_or(unknown)?;
        if !led.isr.contains(&broker) {
            return Err(Refusal::BadIsr { leader: broker, isr: led.isr.clone() });
        }
        if let Some(leader) = led.leader.filter(|_| led.is_led(broker, session, under)) {
            return Ok(Started { topic, partition, role: leader.role });
        }
        let role = led.allot(under, above)?;
        led.leader = Some(Leader { broker, session, under, role });
        led.partition_epoch += 1;
        Ok(Started { topic, partition, role })
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

    pub(super) fn change_isr(
        &mut self,
        topic: TopicId,
        partition: PartitionId,
        leader: BrokerSlot,
        given: u32,
        isr: Vec<BrokerSlot>,
    ) -> Result<Answer, Refusal> {
        let known = self.topics.get_mut(&topic).ok_or(Refusal::UnknownTopic(topic))?;
        let led = known.partition_mut(partition).ok_or(Refusal::UnknownPartition { topic, partition })?;
        if given != led.partition_epoch {
            return Err(Refusal::PartitionChanged { given, current: led.partition_epoch });
        }
        let leads = led.leader.is_some_and(|known| known.broker == leader) && isr.contains(&leader);
        if !leads || !isr.iter().all(|slot| led.replicas.contains(slot)) {
            return Err(Refusal::BadIsr { leader, isr });
        }
        led.isr = isr;
        led.partition_epoch += 1;
        Ok(Answer::Applied)
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
        let Some(session) = self.broker(slot).map(|broker| broker.session) else { return vec![] };
        let mut starts = vec![];
        for topic in self.topics() {
            let Some(under) = under(topic) else { continue };
            let due = topic.partitions().filter(|(_, partition)| partition.due_leader() == Some(slot));
            let idle = due.filter(|(_, partition)| !partition.is_led(slot, session, under));
            starts.extend(idle.map(|(partition, _)| Start { topic: topic.id, partition, under }));
        }
        starts
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{SLOT, create, grant, local, name, registered};
    use super::*;
    use model::Incarnation;

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
        let Ok(Answer::Registered { session }) = image.register_broker(SLOT, Incarnation(1), Default::default()) else {
            panic!()
        };
        session
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
        image.topics.get_mut(&topic).unwrap().partition_mut(PartitionId(0)).unwrap().leader_epoch = Some(last);
        let refused = start(&mut image, session, topic, Under::Owner(OwnershipEpoch(1)));
        assert_eq!(refused, Err(Refusal::EpochsExhausted(OwnershipEpoch(1))));
    }

    #[test]
    fn a_restored_topic_starts_above_the_epochs_it_carries() {
        let (mut image, session, topic) = holding("r1");
        image.topics.get_mut(&topic).unwrap().epochs_above = LeaderEpoch::of(OwnershipEpoch(1), 7).ok();
        assert_eq!(start(&mut image, session, topic, Under::Owner(OwnershipEpoch(1))), Ok(owner_epoch(1, 8)));
        image.topics.get_mut(&topic).unwrap().epochs_above = LeaderEpoch::of(OwnershipEpoch(2), 0).ok();
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
        restart(&mut image);
        assert_eq!(image.starts_due(SLOT).len(), 1);
    }

    #[test]
    fn an_in_sync_set_changes_only_from_the_state_it_was_decided_on() {
        let (mut image, session, topic) = holding("r1");
        start(&mut image, session, topic, Under::Owner(OwnershipEpoch(1))).unwrap();
        let zero = PartitionId(0);
        assert_eq!(image.change_isr(topic, zero, SLOT, 1, vec![SLOT]), Ok(Answer::Applied));
        let late = image.change_isr(topic, zero, SLOT, 1, vec![SLOT]);
        assert_eq!(late, Err(Refusal::PartitionChanged { given: 1, current: 2 }));
        let stranger = image.change_isr(topic, zero, SLOT, 2, vec![SLOT, BrokerSlot(9)]);
        assert!(matches!(stranger, Err(Refusal::BadIsr { .. })));
        assert!(matches!(image.change_isr(topic, zero, SLOT, 2, vec![]), Err(Refusal::BadIsr { .. })));
    }
}
