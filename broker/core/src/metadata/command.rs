use super::{Addresses, Boot, BrokerEpoch, Choice, Location, Move, Refusal, Reign, Start, Started, TopicDraft};
use crate::quota;
use model::{
    BrokerSlot, Done, Grant, GroupId, Incarnation, OwnershipEpoch, PartitionId, ProducerId, ProtectionGroup,
    RegionAddress, RegionName, RunId, StepId, Timestamp, TopicId, TopicState,
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
        /// What became of its earlier session, and what its process knows and does.
        #[serde(default)]
        boot: Boot,
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
    /// From now on the region goes by newer rules, which all brokers that are let in know.
    AdoptRules {
        /// The controller's number.
        reign: Reign,
        /// Up to which.
        rules: u32,
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
        /// Who leads on, where it is not the first replica that is in sync and alive.
        #[serde(default)]
        choices: Vec<Choice>,
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
        #[serde(rename = "unplanned")]
        jumps: bool,
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
    /// Has a broker emptied: all it holds moves to others, and nothing new is placed on it.
    Drain {
        /// The broker.
        broker: BrokerSlot,
        /// The one that takes all of it; `None` for whoever is fit.
        onto: Option<BrokerSlot>,
    },
    /// Lets a broker that is emptied be used as before.
    CancelDrain {
        /// The broker.
        broker: BrokerSlot,
    },
    /// Forgets a broker that holds nothing and does not run.
    UnregisterBroker {
        /// The broker.
        broker: BrokerSlot,
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
