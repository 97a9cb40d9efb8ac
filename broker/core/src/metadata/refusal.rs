use super::{BrokerEpoch, Reign};
use model::{BrokerSlot, Incarnation, OwnershipEpoch, PartitionId, ProtectionGroup, RegionName, TopicId, TopicName};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a command was not applied. Nothing happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The image is of another region or incarnation.
    #[error("this metadata belongs to {region} incarnation {incarnation}; start with an empty data directory instead")]
    AnotherRegion {
        /// The region.
        region: RegionName,
        /// Its incarnation.
        incarnation: Incarnation,
    },
    /// The image is of no region yet.
    #[error("the region is not founded yet")]
    NotFounded,
    /// A later entry of the council is already in the image.
    #[error("council entry {given} is out of date: {seen} has been obeyed")]
    CouncilOutdated {
        /// The newest entry seen.
        seen: u64,
        /// The entry given.
        given: u64,
    },
    /// The region obeys a later grant.
    #[error("ownership epoch {given} of {group} is out of date: {obeyed} has been obeyed")]
    Outdated {
        /// The group.
        group: ProtectionGroup,
        /// The epoch obeyed.
        obeyed: OwnershipEpoch,
        /// The epoch given.
        given: OwnershipEpoch,
    },
    /// The region has not heard of that grant yet.
    #[error("ownership epoch {given} of {group} is not obeyed yet: {obeyed} is")]
    NotYet {
        /// The group.
        group: ProtectionGroup,
        /// The epoch obeyed.
        obeyed: OwnershipEpoch,
        /// The epoch given.
        given: OwnershipEpoch,
    },
    /// Two owners under one epoch.
    #[error(
        "{group} belongs to {owner} under ownership epoch {epoch}; it cannot belong to {claimed} under the same one"
    )]
    TwoOwners {
        /// The group.
        group: ProtectionGroup,
        /// The epoch.
        epoch: OwnershipEpoch,
        /// Its owner.
        owner: RegionName,
        /// The other.
        claimed: RegionName,
    },
    /// No such group.
    #[error("no protection group {0}")]
    UnknownGroup(ProtectionGroup),
    /// The group belongs to another region.
    #[error("{group} belongs to {owner} under ownership epoch {epoch}")]
    NotOwner {
        /// The group.
        group: ProtectionGroup,
        /// Its owner.
        owner: RegionName,
        /// Under this epoch.
        epoch: OwnershipEpoch,
    },
    /// No such topic.
    #[error("no topic with id {0}")]
    UnknownTopic(TopicId),
    /// No such partition.
    #[error("no partition {partition} of topic id {topic}")]
    UnknownPartition {
        /// The topic.
        topic: TopicId,
        /// The partition.
        partition: PartitionId,
    },
    /// Another topic has that name.
    #[error("the name {name} is taken by topic id {holder}; delete that one first")]
    NameTaken {
        /// The name.
        name: TopicName,
        /// Its holder.
        holder: TopicId,
    },
    /// Partitions are added elsewhere than at the end.
    #[error("topic id {topic} has {partitions} partitions; new ones cannot start at {from}")]
    NotAtTheEnd {
        /// The topic.
        topic: TopicId,
        /// How many it has.
        partitions: i32,
        /// Where they were to start.
        from: i32,
    },
    /// No such broker, or not with this disk.
    #[error("no broker in slot {}", .0.0)]
    UnknownBroker(BrokerSlot),
    /// The broker has started again since.
    #[error("session {given} of broker {} is over; its session is {current}", .slot.0)]
    SessionOver {
        /// The broker.
        slot: BrokerSlot,
        /// The session given.
        given: BrokerEpoch,
        /// The current one.
        current: BrokerEpoch,
    },
    /// The broker may neither lead nor be in sync.
    #[error("broker {} is fenced; it has to register again and become ready first", .0.0)]
    Fenced(BrokerSlot),
    /// The broker's log of the partition cannot be used.
    #[error("broker {} cannot use its log of partition {partition} of topic id {topic}", .slot.0)]
    Offline {
        /// The broker.
        slot: BrokerSlot,
        /// The topic.
        topic: TopicId,
        /// The partition.
        partition: PartitionId,
    },
    /// Another broker leads the partition and is alive.
    #[error("broker {} leads the partition", .0.0)]
    LedBy(BrokerSlot),
    /// A later controller has taken office.
    #[error("the controller of {given} is out of date: that of {current} has taken office")]
    ControllerOutdated {
        /// The one given.
        given: Reign,
        /// The current one.
        current: Reign,
    },
    /// The region is to go by rules that this broker does not know.
    #[error("rules {given} are not known here, only those up to {known}; run a newer version of the broker")]
    UnknownRules {
        /// The rules given.
        given: u32,
        /// The newest known.
        known: u32,
    },
    /// A disk that was replaced came back.
    #[error("broker {} has incarnation {current}; incarnation {given} was replaced", .slot.0)]
    Replaced {
        /// The broker.
        slot: BrokerSlot,
        /// The incarnation given.
        given: Incarnation,
        /// The current one.
        current: Incarnation,
    },
    /// The partition changed since.
    #[error("partition epoch {given} is out of date; it is {current}")]
    PartitionChanged {
        /// The epoch given.
        given: u32,
        /// The current one.
        current: u32,
    },
    /// Not the leader, or a set without the leader or with strangers.
    #[error("broker {} may not make {isr:?} the in-sync set", .leader.0)]
    BadIsr {
        /// Who asked.
        leader: BrokerSlot,
        /// For which set.
        isr: Vec<BrokerSlot>,
    },
    /// Leader epochs of this ownership are used up, or the topic needs higher ones.
    #[error("ownership epoch {0} has no leader epoch left for this partition; the region needs a new grant")]
    EpochsExhausted(OwnershipEpoch),
    /// A partition is to be moved to nobody, or to somebody twice.
    #[error("a partition needs different replicas, at least one, not {0:?}")]
    BadReplicas(Vec<BrokerSlot>),
    /// A move is to be taken back that is not under way.
    #[error("partition {partition} of topic id {topic} is not being moved")]
    NotMoving {
        /// The topic.
        topic: TopicId,
        /// The partition.
        partition: PartitionId,
    },
    /// Nothing new is placed on a broker that is emptied.
    #[error("broker {} is being emptied; choose another one, or cancel its drain first", .0.0)]
    Draining(BrokerSlot),
    /// There is no drain to cancel.
    #[error("broker {} is not being emptied", .0.0)]
    NotDraining(BrokerSlot),
    /// Nobody is there to take what a broker holds.
    #[error("broker {} cannot be emptied: no other broker is alive to take what it holds; start one first", .0.0)]
    NobodyLeft(BrokerSlot),
    /// Without the broker there are too few for the replicas of a topic.
    #[error(
        "broker {} cannot be emptied: {topic} has {replicas} replicas, and without it only {} alive to hold them; start \
         another broker, or reassign {topic} to fewer replicas first", .slot.0, Named(left)
    )]
    TooFewBrokers {
        /// The broker.
        slot: BrokerSlot,
        /// The topic with the most replicas.
        topic: TopicName,
        /// How many its partitions have.
        replicas: usize,
        /// The brokers that are left.
        left: Vec<BrokerSlot>,
    },
    /// A broker cannot hold a partition twice.
    #[error(
        "broker {} cannot be emptied onto broker {}: both hold {topic}-{partition}; empty it without naming a broker, or \
         name one that holds nothing yet", .slot.0, .onto.0
    )]
    HeldByBoth {
        /// The broker to be emptied.
        slot: BrokerSlot,
        /// The one that is to take all of it.
        onto: BrokerSlot,
        /// A topic.
        topic: TopicName,
        /// Its partition that both hold.
        partition: PartitionId,
    },
    /// A broker that holds replicas is not forgotten.
    #[error("broker {} still holds {replicas} replicas, of {topic} for one; drain it first", .slot.0)]
    StillHolds {
        /// The broker.
        slot: BrokerSlot,
        /// How many replicas.
        replicas: u64,
        /// One of their topics.
        topic: TopicName,
    },
    /// A broker that runs is not forgotten: it would register again.
    #[error("broker {} still runs; stop it first", .0.0)]
    StillRuns(BrokerSlot),
    /// The broker was unregistered.
    #[error(
        "broker {} was unregistered, and incarnation {given} of its disk is not taken back; start it with an empty data \
         directory instead", .slot.0
    )]
    Unregistered {
        /// The broker.
        slot: BrokerSlot,
        /// The incarnation given.
        given: Incarnation,
    },
    /// There is no room for more quotas.
    #[error("quotas of {entities} entities are too many; at most {most} can have some, so take away others first")]
    TooManyQuotas {
        /// How many there would be.
        entities: usize,
        /// How many there may be.
        most: usize,
    },
    /// There is no room for another group's settings.
    #[error("{most} consumer groups have settings of their own already; take away those of others first")]
    TooManyConfiguredGroups {
        /// How many there may be.
        most: usize,
    },
    /// Producer ids of this incarnation are used up.
    #[error("incarnation {0} has given out all its producer ids")]
    ProducerIdsExhausted(Incarnation),
}

/// Brokers in words.
struct Named<'a>(&'a [BrokerSlot]);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slots: Vec<_> = self.0.iter().map(|slot| slot.0.to_string()).collect();
        match &slots[..] {
            [one] => write!(f, "broker {one} is"),
            several => write!(f, "brokers {} are", several.join(", ")),
        }
    }
}
