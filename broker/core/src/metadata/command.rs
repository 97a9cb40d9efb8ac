use super::{Addresses, BrokerEpoch, Choice, Location, Move, Reign, Start, Started, TopicDraft};
use crate::quota;
use model::{
    BrokerSlot, Done, Grant, GroupId, Incarnation, OwnershipEpoch, PartitionId, ProducerId, ProtectionGroup,
    RegionAddress, RegionName, RunId, StepId, Timestamp, TopicId, TopicName, TopicState,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One entry of the region's metadata log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Names the region the image is of. The first one holds for good.
    Found {
        /// Its name.
        region: RegionName,
        /// Its incarnation.
        incarnation: Incarnation,
    },
    /// A broker started, or was fenced and begins again: its earlier session is over, and the new one is fenced until
    /// it is ready. Answered with [`Answer::Registered`].
    RegisterBroker {
        /// Its place.
        slot: BrokerSlot,
        /// The incarnation of its disk.
        incarnation: Incarnation,
        /// Where it is reached.
        addresses: Addresses,
        /// Where it stands.
        #[serde(default)]
        location: Location,
        /// Whether it is the region's desk, which hosts no partitions.
        #[serde(default)]
        desk: bool,
    },
    /// The broker in that slot begins again with an empty disk. Answered with [`Answer::Allotted`].
    AllotIncarnation {
        /// Its place.
        slot: BrokerSlot,
    },
    /// A controller begins: what an earlier one says from now on is refused.
    TakeOffice {
        /// Its number.
        #[serde(alias = "term")]
        reign: Reign,
    },
    /// A broker was silent for too long, or stops: it leaves every in-sync set, except where it is the last member, and
    /// all partitions it leads get other leaders.
    Fence {
        /// The controller's number.
        #[serde(alias = "term")]
        reign: Reign,
        /// The broker.
        broker: BrokerSlot,
        /// The session that ends.
        session: BrokerEpoch,
        /// Who leads on, where it is not the first replica that is in sync and alive.
        choices: Vec<Choice>,
    },
    /// A broker has made the metadata real in its new session: it may lead and be in sync again. Partitions nobody leads
    /// and that it is in sync with get it as their leader.
    Unfence {
        /// The controller's number.
        #[serde(alias = "term")]
        reign: Reign,
        /// The broker.
        broker: BrokerSlot,
        /// Its session.
        session: BrokerEpoch,
    },
    /// Makes a grant of the council durable; from now on an older one of that group is refused.
    Obey {
        /// The council's entry that said so.
        council_index: u64,
        /// The grant.
        grant: Grant,
    },
    /// The council has dropped the group. Its highest ownership epoch is kept.
    Retire {
        /// The council's entry that said so.
        council_index: u64,
        /// The group.
        group: ProtectionGroup,
    },
    /// Everything the council said up to this entry is in the image.
    Reflect {
        /// The entry.
        council_index: u64,
        /// Where the regions are reached.
        regions: Vec<RegionAddress>,
        /// The gateway's bootstrap address.
        gateway: Option<String>,
    },
    /// Makes a topic. The same topic again changes nothing.
    CreateTopic {
        /// The council's entry that said so; `None` for the region's own internal topics.
        council_index: Option<u64>,
        /// The topic.
        topic: TopicDraft,
    },
    /// Adds partitions behind the first `from`.
    AddPartitions {
        /// The council's entry that said so.
        council_index: u64,
        /// The topic.
        topic: TopicId,
        /// How many there are before it.
        from: i32,
        /// The replicas of each new partition, in order.
        placement: Vec<Vec<BrokerSlot>>,
    },
    /// Changes what a topic is configured to be.
    ConfigureTopic {
        /// The council's entry that said so.
        council_index: u64,
        /// The topic.
        topic: TopicId,
        /// The protection group it now belongs to.
        group: ProtectionGroup,
        /// Its whole configuration.
        config: BTreeMap<String, String>,
        /// Whether clients may use it.
        state: TopicState,
    },
    /// Removes a topic.
    DeleteTopic {
        /// The council's entry that said so.
        council_index: u64,
        /// The topic.
        topic: TopicId,
    },
    /// Starts leaderships on one broker: allots a leader epoch or a copy term to each. Answered with
    /// [`Answer::Started`], in the same order.
    StartLeaders {
        /// The broker.
        broker: BrokerSlot,
        /// Its session.
        session: BrokerEpoch,
        /// What to start.
        starts: Vec<Start>,
    },
    /// A leader hands over what it has stopped to lead.
    MoveLeaders {
        /// The broker that leads.
        broker: BrokerSlot,
        /// Its session.
        session: BrokerEpoch,
        /// Who leads on, each in sync and alive.
        moves: Vec<Choice>,
    },
    /// The leader changes its in-sync set.
    ChangeIsr {
        /// The topic.
        topic: TopicId,
        /// The partition.
        partition: PartitionId,
        /// The leader that asks.
        leader: BrokerSlot,
        /// Its session.
        session: BrokerEpoch,
        /// The partition epoch it knows; another one refuses the change.
        partition_epoch: u32,
        /// The new set, the leader in it.
        isr: Vec<BrokerSlot>,
        /// Those of it that were not in the set before, each with the session it was heard in: what a broker had before
        /// it started again says nothing of what it has now (KIP-903).
        #[serde(default)]
        joined: Vec<(BrokerSlot, BrokerEpoch)>,
    },
    /// A broker cannot use the logs of some replicas, for a disk of it failed: they leave the in-sync set, and others lead,
    /// until it begins another session. The last member stays.
    FailReplicas {
        /// The broker.
        broker: BrokerSlot,
        /// Its session.
        session: BrokerEpoch,
        /// Replicas whose logs may be there, and cannot be used.
        failed: Vec<(TopicId, PartitionId)>,
        /// Replicas whose logs are gone: they begin anew where somebody else is in sync.
        #[serde(default)]
        lost: Vec<(TopicId, PartitionId)>,
    },
    /// Sets a block of producer ids aside for one broker. Answered with [`Answer::ProducerIds`].
    ReserveProducerIds {
        /// The broker.
        broker: BrokerSlot,
        /// Its session.
        session: BrokerEpoch,
    },
    /// Leaderships of the group under this grant begin after an unplanned failover: mirrored producers may jump forward
    /// once.
    AllowJumps {
        /// The group.
        group: ProtectionGroup,
        /// The grant.
        ownership_epoch: OwnershipEpoch,
    },
    /// All partitions of the group are started under this grant: clients may write.
    Open {
        /// The group.
        group: ProtectionGroup,
        /// The grant.
        ownership_epoch: OwnershipEpoch,
        /// Whether mirrored producers may jump forward once.
        unplanned: bool,
    },
    /// Whether writes and commits are refused under this grant.
    Stop {
        /// The group.
        group: ProtectionGroup,
        /// The grant.
        ownership_epoch: OwnershipEpoch,
        /// Refused or taken again.
        stopped: bool,
    },
    /// Whether nothing more is taken from any link under this grant.
    Seal {
        /// The group.
        group: ProtectionGroup,
        /// The grant.
        ownership_epoch: OwnershipEpoch,
        /// Sealed or unsealed.
        sealed: bool,
    },
    /// Moves partitions to other brokers, or takes moves back; all of them or none.
    Reassign {
        /// Where they are to be.
        moves: Vec<Move>,
    },
    /// Changes what clients may use; all of it or nothing.
    AlterQuotas {
        /// What becomes of which entity.
        changes: Vec<quota::Change>,
    },
    /// Changes what a consumer group says itself of how it is coordinated.
    ConfigureGroup {
        /// The consumer group.
        group: GroupId,
        /// What becomes of which entry; `None` takes it away.
        changes: Vec<(String, Option<String>)>,
    },
    /// An order was carried out. Answered with [`Answer::Journaled`]: the first answer given for (run, step).
    Journal {
        /// The run.
        run: RunId,
        /// The step.
        step: StepId,
        /// The group.
        group: ProtectionGroup,
        /// The grant the order was given under.
        ownership_epoch: OwnershipEpoch,
        /// The answer.
        done: Done,
        /// When.
        at: Timestamp,
    },
}

/// What applying a command brought.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// The image changed.
    Applied,
    /// It already was so.
    Unchanged,
    /// The broker is registered.
    Registered {
        /// Its session: new at every start.
        session: BrokerEpoch,
    },
    /// The incarnation of a new disk: never given out before, and never again.
    Allotted {
        /// Which.
        incarnation: Incarnation,
    },
    /// Leaderships were started, each for itself.
    Started(Vec<Result<Started, Refusal>>),
    /// A block of producer ids.
    ProducerIds {
        /// The first.
        first: ProducerId,
        /// How many.
        count: i64,
    },
    /// The answer the journal holds for that order.
    Journaled(Done),
}

impl Answer {
    /// Whether a follower of the metadata could see the difference.
    pub(super) fn is_visible(&self) -> bool {
        match self {
            Self::Applied | Self::Registered { .. } => true,
            Self::Started(started) => started.iter().any(Result::is_ok),
            Self::Unchanged | Self::Allotted { .. } | Self::ProducerIds { .. } | Self::Journaled(_) => false,
        }
    }
}

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
