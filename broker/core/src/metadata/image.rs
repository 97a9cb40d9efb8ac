use super::{
    Admission, Answer, Broker, BrokerEpoch, Command, Drain, Group, Journal, Partition, Refusal, Reign, Topic,
    UncleanElection,
};
use crate::config::GroupEntries;
use crate::quota::Quotas;
use model::{
    BrokerSlot, GroupId, Incarnation, PartitionId, ProtectionGroup, RegionAddress, RegionName, TopicId, TopicName,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The region an image is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// Its name.
    pub name: RegionName,
    /// Its incarnation.
    pub incarnation: Incarnation,
}

/// A region's metadata after some prefix of its log. Serialised, it is the log's snapshot. A changed copy shares with the
/// original all topics and partitions but those that were changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    version: u64,
    pub(super) region: Option<Region>,
    pub(super) council_index: u64,
    pub(super) council_seen: u64,
    pub(super) sessions: u64,
    pub(super) next_producer: i64,
    pub(super) gateway: Option<String>,
    pub(super) regions: Vec<RegionAddress>,
    pub(super) brokers: BTreeMap<BrokerSlot, Broker>,
    #[serde(with = "shared_map")]
    pub(super) groups: imbl::OrdMap<ProtectionGroup, Group>,
    #[serde(with = "shared_map")]
    pub(super) topics: imbl::OrdMap<TopicId, Arc<Topic>>,
    #[serde(with = "shared_map")]
    pub(super) names: imbl::OrdMap<TopicName, TopicId>,
    pub(super) journal: Arc<Journal>,
    #[serde(default)]
    pub(super) quotas: Arc<Quotas>,
    #[serde(default)]
    pub(super) group_entries: Arc<GroupEntries>,
    /// The last controller that took office.
    #[serde(default, alias = "controller_term")]
    pub(super) reign: Reign,
    /// The last incarnation given to the disk of each broker that lost an earlier one.
    #[serde(default)]
    pub(super) allotted: BTreeMap<BrokerSlot, Incarnation>,
    /// The last incarnation of brokers that were unregistered; it never comes back.
    #[serde(default)]
    pub(super) unregistered: BTreeMap<BrokerSlot, Incarnation>,
    /// Brokers that are to be emptied.
    #[serde(default)]
    pub(super) drains: BTreeMap<BrokerSlot, Drain>,
    #[serde(default)]
    pub(super) unclean: Arc<Vec<UncleanElection>>,
    /// The rules the region goes by.
    #[serde(default)]
    pub(super) rules: u32,
}

impl Image {
    /// Applies one command of the log.
    ///
    /// # Errors
    /// A [`Refusal`] says why nothing happened; it is as deterministic as a success.
    pub fn apply(&mut self, command: Command) -> Result<Answer, Refusal> {
        let answer = self.dispatch(command)?;
        if answer.is_visible() {
            self.version += 1;
        }
        Ok(answer)
    }

    fn dispatch(&mut self, command: Command) -> Result<Answer, Refusal> {
        use Command as C;
        match command {
            C::Found { region, incarnation } => self.found(region, incarnation),
            C::RegisterBroker { slot, incarnation, addresses, location, desk, boot } => {
                let (session, admission) = (BrokerEpoch::default(), Admission::Waiting);
                let broker = Broker { incarnation, addresses, location, session, desk, admission, boot };
                self.register_broker(slot, broker)
            }
            C::AllotIncarnation { slot } => Ok(self.allot_incarnation(slot)),
            C::TakeOffice { reign } => self.take_office(reign),
            C::AdoptRules { reign, rules } => self.adopt_rules(reign, rules),
            C::Fence { reign, broker, session, choices } => self.fence(reign, broker, session, &choices),
            C::Unfence { reign, broker, session } => self.unfence(reign, broker, session),
            C::Obey { council_index, grant } => self.obey(council_index, grant),
            C::Retire { council_index, group } => self.retire(council_index, &group),
            C::Reflect { council_index, regions, gateway } => self.reflect(council_index, regions, gateway),
            C::CreateTopic { council_index, topic } => self.create_topic(council_index, topic),
            C::AddPartitions { council_index, topic, from, placement } => {
                self.add_partitions(council_index, topic, from, placement)
            }
            C::ConfigureTopic { council_index, topic, group, config, state } => {
                self.configure_topic(council_index, topic, group, config, state)
            }
            C::DeleteTopic { council_index, topic } => self.delete_topic(council_index, topic),
            C::StartLeaders { broker, session, starts } => self.start_leaders(broker, session, &starts),
            C::MoveLeaders { broker, session, moves } => self.move_leaders(broker, session, &moves),
            C::ChangeIsr { topic, partition, leader, session, partition_epoch, isr, joined } => {
                self.check_unfenced(leader, session)?;
                self.change_isr(topic, partition, leader, partition_epoch, isr, &joined)
            }
            C::FailReplicas { broker, session, failed, lost, choices } => {
                self.fail_replicas(broker, session, (&failed, &lost), &choices)
            }
            C::ReserveProducerIds { broker, session } => self.reserve_producer_ids(broker, session),
            C::AllowJumps { group, ownership_epoch } => self.allow_jumps(&group, ownership_epoch),
            C::Open { group, ownership_epoch, jumps } => self.open(&group, ownership_epoch, jumps),
            C::Stop { group, ownership_epoch, stopped } => self.stop(&group, ownership_epoch, stopped),
            C::Seal { group, ownership_epoch, sealed } => self.seal(&group, ownership_epoch, sealed),
            C::Reassign { moves } => self.reassign(&moves),
            C::Drain { broker, onto } => self.drain(broker, onto),
            C::CancelDrain { broker } => self.cancel_drain(broker),
            C::UnregisterBroker { broker } => self.unregister_broker(broker),
            C::AlterQuotas { changes } => self.alter_quotas(&changes),
            C::ConfigureGroup { group, changes } => self.configure_group(group, changes),
            C::Journal { run, step, group, ownership_epoch, done, at } => {
                self.journal_order(run, step, group, ownership_epoch, done, at)
            }
        }
    }

    fn found(&mut self, name: RegionName, incarnation: Incarnation) -> Result<Answer, Refusal> {
        match &self.region {
            None => {
                self.region = Some(Region { name, incarnation });
                Ok(Answer::Applied)
            }
            Some(region) if region.name == name && region.incarnation == incarnation => Ok(Answer::Unchanged),
            Some(region) => {
                Err(Refusal::AnotherRegion { region: region.name.clone(), incarnation: region.incarnation })
            }
        }
    }

    pub(super) fn reflect(
        &mut self,
        council_index: u64,
        regions: Vec<RegionAddress>,
        gateway: Option<String>,
    ) -> Result<Answer, Refusal> {
        self.see_council(council_index)?;
        if (self.council_index, &self.regions, &self.gateway) == (council_index, &regions, &gateway) {
            return Ok(Answer::Unchanged);
        }
        (self.council_index, self.regions, self.gateway) = (council_index, regions, gateway);
        Ok(Answer::Applied)
    }

    /// Refuses what the council said before something that is already in the image.
    pub(super) fn see_council(&mut self, given: u64) -> Result<(), Refusal> {
        if given < self.council_seen {
            return Err(Refusal::CouncilOutdated { seen: self.council_seen, given });
        }
        self.council_seen = given;
        Ok(())
    }

    /// Counts the changes a follower of the metadata can see.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The region, once founded.
    pub fn region(&self) -> Option<&Region> {
        self.region.as_ref()
    }

    /// The council entry up to which everything is in the image.
    pub fn council_index(&self) -> u64 {
        self.council_index
    }

    /// The gateway's bootstrap address.
    pub fn gateway(&self) -> Option<&str> {
        self.gateway.as_deref()
    }

    /// Where the regions are reached.
    pub fn regions(&self) -> &[RegionAddress] {
        &self.regions
    }

    /// The broker in `slot`.
    pub fn broker(&self, slot: BrokerSlot) -> Option<&Broker> {
        self.brokers.get(&slot)
    }

    /// All brokers that host partitions, by slot.
    pub fn brokers(&self) -> impl Iterator<Item = (BrokerSlot, &Broker)> {
        self.members().filter(|(_, broker)| !broker.desk)
    }

    /// All members of the region, by slot: the brokers, and the desk if it has one.
    pub fn members(&self) -> impl Iterator<Item = (BrokerSlot, &Broker)> {
        self.brokers.iter().map(|(slot, broker)| (*slot, broker))
    }

    /// A protection group that was not retired.
    pub fn group(&self, name: &ProtectionGroup) -> Option<&Group> {
        self.groups.get(name).filter(|group| !group.retired)
    }

    /// All protection groups that were not retired.
    pub fn groups(&self) -> impl Iterator<Item = &Group> {
        self.groups.values().filter(|group| !group.retired)
    }

    /// The one protection group that coordinates `consumer_group`; the same answer as [`model::coordinating_grant`].
    pub fn coordinating_group(&self, consumer_group: &GroupId) -> Option<&Group> {
        let closeness = |group: &Group| group.grant.coverage.consumer_group_closeness(consumer_group);
        let matches = self.groups().filter_map(|group| closeness(group).map(|n| (n, group)));
        matches.max_by(|(n, a), (m, b)| n.cmp(m).then_with(|| b.grant.group.cmp(&a.grant.group))).map(|(_, g)| g)
    }

    /// The topic with this id.
    pub fn topic(&self, id: TopicId) -> Option<&Topic> {
        self.topics.get(&id).map(|topic| &**topic)
    }

    /// The topic with this name.
    pub fn topic_named(&self, name: &str) -> Option<&Topic> {
        self.topic(*self.names.get(name)?)
    }

    /// All topics.
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.topics.values().map(|topic| &**topic)
    }

    /// One partition.
    pub fn partition(&self, topic: TopicId, partition: PartitionId) -> Option<&Partition> {
        self.topic(topic)?.partition(partition)
    }

    /// The orders carried out.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }
}

/// A map that shares its parts with others is written down like any other.
mod shared_map {
    use imbl::OrdMap;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::collections::BTreeMap;

    pub(super) fn serialize<K, V, S>(map: &OrdMap<K, V>, serializer: S) -> Result<S::Ok, S::Error>
    where
        K: Ord + Serialize,
        V: Serialize,
        S: Serializer,
    {
        serializer.collect_map(map.iter())
    }

    pub(super) fn deserialize<'de, K, V, D>(deserializer: D) -> Result<OrdMap<K, V>, D::Error>
    where
        K: Ord + Clone + Deserialize<'de>,
        V: Clone + Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Ok(BTreeMap::deserialize(deserializer)?.into_iter().collect())
    }
}
