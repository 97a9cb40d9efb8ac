//! What the control plane needs of the data plane. The binary's composition roots implement these over the broker, the
//! mirror and a Kafka client; the control plane knows none of them.

use env::{BootInstant, PortFuture};
use mirror_core::active::{ConflictRecord, ConflictVersion, Dot};
use mirror_core::salvage::{Findings, Published, Tally, Wish};
use model::{
    Assignment, BrokerOrder, BrokerOrderError, BrokerStatus, Commit, DivergedTail, Done, Gap, Holding, Incarnation,
    LinkPartitionStatus, Offset, Order, OrderError, OwnershipEpoch, PartitionId, ProducerId, ProtectionGroup,
    RegionName, RegionStatus, Timestamp, TopicId, TopicName, TopicSpec,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The data plane could not do what it was asked; it may be asked again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{0}")]
pub struct PortError(pub String);

/// The region this node belongs to: its brokers and their links.
pub trait Region: Send + Sync + 'static {
    /// Makes the assignment real, or as much of it as can be; returns once owned partitions are led and copies are
    /// followed. An assignment with a smaller council index than an earlier one changes nothing.
    fn assign(&self, assignment: Assignment) -> PortFuture<'_, Result<(), PortError>>;

    /// The owner's lease of a grant stands until then.
    fn extend_lease(&self, group: &ProtectionGroup, epoch: OwnershipEpoch, until: BootInstant);

    /// The grants the region obeys.
    fn holdings(&self) -> Vec<Holding>;

    /// Carries out an order, once per (run, step).
    fn order(&self, order: Order) -> PortFuture<'_, Result<Done, OrderError>>;

    /// Answers as long as clients are served. Asked several times a second, so it costs nothing.
    fn answers(&self) -> PortFuture<'_, Result<(), PortError>>;

    /// The region as it sees itself, with hashes over its partitions if they are asked for.
    fn status(&self, with_hashes: bool) -> PortFuture<'_, Result<RegionStatus, PortError>>;

    /// How far its copies are behind their sources.
    fn links(&self) -> PortFuture<'_, Vec<LinkPartitionStatus>>;

    /// Has its copies of `group` copied anew that have to be; says how many. What they hold is dropped.
    fn rebuild_copies(&self, group: ProtectionGroup) -> PortFuture<'_, Result<u64, PortError>>;

    /// Its consumer groups.
    fn consumer_groups(&self) -> PortFuture<'_, Result<Vec<ConsumerGroup>, PortError>>;

    /// Its brokers, and what each of them holds.
    fn brokers(&self) -> PortFuture<'_, Result<Vec<BrokerStatus>, PortError>>;

    /// Has it agree on an order about one of its brokers. The same order again changes nothing.
    fn order_broker(&self, order: BrokerOrder) -> PortFuture<'_, Result<(), BrokerOrderError>>;

    /// Bytes from `at` on, at most `max`, of a file that the region archived a diverged tail in; none at its end.
    fn read_diverged(&self, file: String, at: u64, max: u32) -> PortFuture<'_, Result<Vec<u8>, PortError>>;

    /// Answers about topics of active-active groups.
    fn conflicts(&self, ask: ConflictAsk) -> PortFuture<'_, Result<ConflictAnswer, ConflictRefusal>> {
        Box::pin(async move { Err(ConflictRefusal::NotNow(format!("the region knows of no conflicts: {ask:?}"))) })
    }

    /// What it found that the council has not stored yet: diverged tails and gaps. Asked twice a second, so it costs what
    /// there is of them.
    fn pending_facts(&self) -> PortFuture<'_, (Vec<DivergedTail>, Vec<Gap>)>;

    /// The council has stored these facts; the region need not report them again.
    fn acknowledge(&self, diverged: Vec<DivergedTail>, gaps: Vec<Gap>) -> PortFuture<'_, Result<(), PortError>>;
}

/// What is asked of a region about topics of active-active groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConflictAsk {
    /// What was found, about `max` of it.
    List {
        /// From here on in the region's conflict topic.
        from: Offset,
        /// About so many.
        max: u32,
    },
    /// What waits for a person.
    Disputes,
    /// To write a choice.
    Settle {
        /// The topic.
        topic: TopicName,
        /// The partition.
        partition: PartitionId,
        /// The key.
        key: Vec<u8>,
        /// The version that shall stand.
        choice: Dot,
        /// The versions the person was shown.
        known: Vec<Dot>,
    },
    /// How far the records of the regions have come.
    Partitions,
}

/// What a region answers to a [`ConflictAsk`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConflictAnswer {
    /// Conflicts, in the order they were found.
    List {
        /// The conflicts.
        conflicts: Vec<ConflictRecord>,
        /// Where to go on.
        next: Option<Offset>,
    },
    /// What waits for a person.
    Disputes(Vec<Disputed>),
    /// The offset of the choice, which is durable in the region.
    Settled(Offset),
    /// The partitions the region takes writes for.
    Partitions(Vec<ActivePartition>),
}

/// Versions of a key that wait for a person; the standing one is the first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disputed {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: PartitionId,
    /// The key.
    pub key: Vec<u8>,
    /// The versions.
    pub versions: Vec<ConflictVersion>,
}

/// A partition that every region takes writes for, as one of them sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivePartition {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: PartitionId,
    /// Behind the last record of each region that is here, by that region's own offsets.
    pub received: Vec<(Incarnation, Offset)>,
    /// How far the records of each region that is linked have come.
    #[serde(default)]
    pub behind: Vec<Behind>,
    /// How many records links brought.
    pub records: u64,
    /// How many bytes of batches.
    pub bytes: u64,
    /// How many of them were taken.
    pub bytes_taken: u64,
    /// How many records were repeated.
    pub repeats: u64,
}

/// How far the records that another region wrote have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Behind {
    /// That region.
    pub origin: Incarnation,
    /// The most records that are known of and not here.
    pub records_max: u64,
    /// How long ago everything that it had written was here last.
    pub time: Duration,
}

/// Why a [`ConflictAsk`] was not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConflictRefusal {
    /// The region takes no writes for that partition.
    #[error("{0}")]
    Unknown(String),
    /// What is in dispute is not what was asked about. Nothing happened.
    #[error("{0}")]
    Changed(String),
    /// Not now, or it is not known whether it happened.
    #[error("{0}")]
    NotNow(String),
}

/// A consumer group as its coordinator, or a copy of it, sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConsumerGroup {
    /// Its name.
    pub name: String,
    /// The protection group it belongs to.
    pub group: Option<ProtectionGroup>,
    /// Kafka's name of its state; `Copy` in a region that does not coordinate it.
    pub state: String,
    /// How many members it has.
    pub members: usize,
    /// Its commits.
    pub commits: Vec<Commit>,
}

/// A canary: one record produced and consumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CanaryPass {
    /// When the write was acknowledged.
    pub produced_at: Timestamp,
    /// When it was read back.
    pub consumed_at: Timestamp,
}

/// Produces and consumes like a client.
pub trait Canary: Send + Sync + 'static {
    /// Writes a record to the canary topic of `group` at the gateways' listener `address` and reads it back.
    fn pass<'a>(
        &'a self,
        group: &'a ProtectionGroup,
        address: &'a str,
    ) -> PortFuture<'a, Result<CanaryPass, PortError>>;
}

/// What a backup shall hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackupRequest {
    /// Its name, unique for ever.
    pub backup: String,
    /// The protection group.
    pub group: ProtectionGroup,
    /// The topics of it.
    pub topics: Vec<TopicSpec>,
}

/// A backup that is complete: its manifest is written.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackupReceipt {
    /// The manifest's object name.
    pub manifest: String,
    /// The manifest's hash.
    pub manifest_sha256: String,
    /// How many partitions it holds.
    pub partitions: u64,
    /// How many records.
    pub records: u64,
    /// How many bytes of batches.
    pub bytes: u64,
    /// How many objects were written for it.
    pub objects: u64,
    /// How many commits of consumer groups.
    pub commits: u64,
}

/// One topic of a backup, for a restore to be planned by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArchivedTopic {
    /// The topic as it was.
    pub topic: TopicSpec,
    /// The greatest leader epoch any of its batches carries.
    pub last_epoch: model::LeaderEpoch,
    /// Its bytes.
    pub bytes: u64,
}

/// Why nobody knows what a backup holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InspectError {
    /// It cannot be read now; it may be later.
    #[error("{0}")]
    NotNow(String),
    /// It is not what was written; asking again does not help.
    #[error("{0}")]
    Damaged(String),
}

/// What a restore shall write.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RestoreRequest {
    /// Its name, unique for ever.
    pub restore: String,
    /// The backup's name.
    pub backup: String,
    /// Which archived topic becomes which new one (made by the council, in state `Restoring`).
    pub topics: Vec<(TopicName, TopicId)>,
    /// Whether the consumer groups' offsets are restored too.
    pub with_offsets: bool,
    /// How many partitions are written at a time.
    pub parallel: u32,
}

/// A restore that is complete and verified.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RestoreReceipt {
    /// What was written.
    pub partitions: Vec<RestoredPartition>,
    /// How many partitions were being written at one moment, at most.
    pub at_once: u64,
    /// How many commits were restored.
    pub commits: u64,
}

/// One restored partition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RestoredPartition {
    /// The topic's name.
    pub topic: TopicName,
    /// The partition.
    pub partition: PartitionId,
    /// Records written.
    pub records: u64,
    /// Bytes written.
    pub bytes: u64,
    /// The hash the backup declared, which is the hash of what is there now.
    pub sha256: String,
}

/// How far a backup or restore has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Bytes done.
    pub bytes_done: u64,
    /// Bytes to do, as far as known.
    pub bytes_total: u64,
    /// Partitions done.
    pub partitions_done: u64,
    /// Partitions to do.
    pub partitions_total: u64,
}

/// Moves data between this region and the object store.
pub trait Archivist: Send + Sync + 'static {
    /// The manifests in the object store of what is kept there of a file in which `region` archived a diverged tail; none
    /// while nothing of it is there.
    fn kept_tails<'a>(
        &'a self,
        region: &'a RegionName,
        file: &'a str,
    ) -> PortFuture<'a, Result<Vec<String>, PortError>>;

    /// Writes a backup of what this region owns; `progress` hears how far it is.
    fn backup<'a>(
        &'a self,
        request: BackupRequest,
        progress: &'a (dyn Fn(Progress) + Send + Sync),
    ) -> PortFuture<'a, Result<BackupReceipt, PortError>>;

    /// What a backup holds, its manifest verified.
    fn inspect<'a>(&'a self, backup: &'a str) -> PortFuture<'a, Result<Vec<ArchivedTopic>, InspectError>>;

    /// Writes a backup back into this region, which owns the new topics.
    fn restore<'a>(
        &'a self,
        request: RestoreRequest,
        progress: &'a (dyn Fn(Progress) + Send + Sync),
    ) -> PortFuture<'a, Result<RestoreReceipt, PortError>>;
}

/// The file of a diverged tail, in whichever region it is.
pub trait TailFile: Send + Sync {
    /// Some bytes from `at` on, at most `max`; none at its end.
    fn read(&self, at: u64, max: u32) -> PortFuture<'_, Result<Vec<u8>, PortError>>;
}

/// A diverged tail and where its records are to go.
#[derive(Clone, Debug, PartialEq)]
pub struct TailSite {
    /// The listener for gateways of the topic's owner.
    pub address: String,
    /// The region that archived it.
    pub region: RegionName,
    /// The name of the topic they go to: the tail's own, or the one it is published in.
    pub topic: TopicName,
    /// What it is.
    pub tail: DivergedTail,
}

/// Compares diverged tails with the lineage of their owner, writes again what that lacks, and publishes them.
pub trait Salvor: Send + Sync + 'static {
    /// What a re-injection that begins now is bound to: producer id, producer epoch, and the offset below which the new
    /// lineage is compared.
    fn agree<'a>(&'a self, site: &'a TailSite) -> PortFuture<'a, Result<(ProducerId, i16, Offset), PortError>>;

    /// What the owner's log holds of the tail now.
    fn compare<'a>(
        &'a self,
        site: &'a TailSite,
        wish: Wish,
        file: &'a dyn TailFile,
    ) -> PortFuture<'a, Result<Findings, PortError>>;

    /// Writes all of the tail, but records of transactions that were not committed, and what `others`, tails that are
    /// published there, have brought, to the topic, after what an earlier attempt has written.
    fn publish<'a>(
        &'a self,
        site: &'a TailSite,
        agreed: (ProducerId, i16, Offset),
        file: &'a dyn TailFile,
        others: &'a [&'a dyn TailFile],
    ) -> PortFuture<'a, Result<Published, PortError>>;

    /// Writes again what the owner's log lacked when this was agreed on, after what an earlier attempt has written.
    fn reinject<'a>(
        &'a self,
        site: &'a TailSite,
        wish: Wish,
        agreed: (ProducerId, i16, Offset),
        file: &'a dyn TailFile,
    ) -> PortFuture<'a, Result<Tally, PortError>>;
}

/// Everything a node of the control plane is given. A witness has neither a region nor an archivist.
#[derive(Clone)]
pub struct Ports {
    /// The machine's clocks.
    pub clock: std::sync::Arc<dyn env::Clock>,
    /// Random numbers, for ids.
    pub entropy: std::sync::Arc<dyn env::Entropy>,
    /// The region's data plane.
    pub region: Option<std::sync::Arc<dyn Region>>,
    /// A Kafka client.
    pub canary: std::sync::Arc<dyn Canary>,
    /// Diverged tails.
    pub salvor: std::sync::Arc<dyn Salvor>,
    /// Backup and restore.
    pub archivist: Option<std::sync::Arc<dyn Archivist>>,
}
