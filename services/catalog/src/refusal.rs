use dr_planner::policy;
use dr_planner::run::State;
use model::{Incarnation, ModeEpoch, OwnershipEpoch, ProtectionGroup, RegionName, RunId, StepId, TopicId, TopicName};
use serde::{Deserialize, Serialize};

/// Why a command had no effect at all. The council decided so: asking again changes nothing until something else does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "refused")]
pub enum Refusal {
    /// The group's mode has changed since.
    #[error("the mode of {group} has changed: its number is {current}, not {asked}", current = .current.0, asked = .asked.0)]
    OtherMode {
        /// The group.
        group: ProtectionGroup,
        /// The number it has.
        current: ModeEpoch,
        /// The number it was taken to have.
        asked: ModeEpoch,
    },
    /// The mode of the group is in the way.
    #[error("protection group {group} is in sync or on its way there: {reason}")]
    ModeOutOfOrder {
        /// The group.
        group: ProtectionGroup,
        /// What does not go, and the remedy.
        reason: String,
    },
    /// Nothing can be had before the platform is formed.
    #[error("there is no platform yet; form it first")]
    Unformed,
    /// There is a platform, and it is another one.
    #[error("this council governs platform {cluster_id}; a data directory belongs to one platform only")]
    OtherPlatform {
        /// The one there is.
        cluster_id: String,
    },
    /// A name, text or document that cannot be used.
    #[error("{what} {value:?} cannot be used: {reason}")]
    Unusable {
        /// What it is.
        what: String,
        /// The beginning of it.
        value: String,
        /// Why, and what can be.
        reason: String,
    },
    /// A limit is reached.
    #[error("{count} {what} are above the limit of {limit}")]
    TooMany {
        /// Of what.
        what: String,
        /// How many it would be.
        count: u64,
        /// How many there may be.
        limit: u64,
    },
    /// A thing named that is not there.
    #[error("there is no {what} {name:?}")]
    NotFound {
        /// What it would be.
        what: String,
        /// Its name.
        name: String,
    },
    /// A thing that is there already.
    #[error("{what} {name:?} exists already and differs; choose another name")]
    Exists {
        /// What it is.
        what: String,
        /// Its name.
        name: String,
    },
    /// A thing that changed since it was looked at.
    #[error("{what} {name:?} is at revision {revision}, not {expected}; look again and decide anew")]
    Changed {
        /// What it is.
        what: String,
        /// Its name.
        name: String,
        /// The revision that was named.
        expected: u64,
        /// The revision it has.
        revision: u64,
    },
    /// The key of a request was used for another change.
    #[error("the key {key:?} was used for {change}; choose a new key for a new request")]
    KeyUsed {
        /// The key.
        key: String,
        /// What it was used for.
        change: String,
    },
    /// Another region has that index.
    #[error("index {index} belongs to region {region}; indexes are never given again")]
    IndexTaken {
        /// The index.
        index: u16,
        /// Its region.
        region: RegionName,
    },
    /// A region named with another index than its own.
    #[error("region {region} has index {index} for ever, not {asked}")]
    OtherIndex {
        /// The region.
        region: RegionName,
        /// Its index.
        index: u16,
        /// The index that was named.
        asked: u16,
    },
    /// A disk that was replaced, or that belongs to somebody else.
    #[error(
        "disk {disk_id} was incarnation {incarnation} of {holder} and was replaced; empty its data directory to join anew"
    )]
    DiskReplaced {
        /// The disk.
        disk_id: String,
        /// Whose it was.
        holder: String,
        /// Which incarnation.
        incarnation: Incarnation,
    },
    /// Another gateway listens there.
    #[error("port {port} on {host} belongs to {holder}; give the listener another port")]
    PortTaken {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// What listens there.
        holder: String,
    },
    /// A topic of that name is there.
    #[error("topic {topic} exists already with id {id}")]
    TopicExists {
        /// Its name.
        topic: TopicName,
        /// Its id.
        id: TopicId,
    },
    /// There is no such topic.
    #[error("there is no topic {topic}")]
    UnknownTopic {
        /// Its name.
        topic: TopicName,
    },
    /// The topic of that name is another one.
    #[error("topic {topic} has id {id}, not {expected}: it was deleted and made again")]
    OtherTopic {
        /// Its name.
        topic: TopicName,
        /// The id it has.
        id: TopicId,
        /// The id that was named.
        expected: TopicId,
    },
    /// A restore is writing the topic.
    #[error("topic {topic} is being restored; wait for the restore to end")]
    TopicRestoring {
        /// Its name.
        topic: TopicName,
    },
    /// Partitions that cannot be had.
    #[error("topic {topic} cannot have {partitions} partitions: {reason}")]
    BadPartitions {
        /// Its name.
        topic: TopicName,
        /// How many were asked for.
        partitions: i32,
        /// Why not.
        reason: String,
    },
    /// No protection group covers the topic.
    #[error(
        "no protection group covers topic {topic}: add it to the coverage of one; names that begin with __ are internal"
    )]
    Uncovered {
        /// Its name.
        topic: TopicName,
    },
    /// The topic belongs to the platform itself.
    #[error("topic {topic} is the canary of protection group {group} and goes with it")]
    Canary {
        /// Its name.
        topic: TopicName,
        /// Its group.
        group: ProtectionGroup,
    },
    /// A group that cannot be kept as it was asked for.
    #[error("{reason}")]
    BadPolicy {
        /// What is wrong, and the remedy.
        reason: String,
    },
    /// Topics cannot change hands along with their group.
    #[error("topic {topic} would move from protection group {from} to {to}: {reason}")]
    NotMovable {
        /// One of the topics.
        topic: TopicName,
        /// Its group.
        from: ProtectionGroup,
        /// The group that would cover it.
        to: ProtectionGroup,
        /// Why not, and the remedy.
        reason: String,
    },
    /// Other groups need this one.
    #[error("protection group {group} is needed by {by}; change that first")]
    GroupNeeded {
        /// The group.
        group: ProtectionGroup,
        /// What needs it.
        by: String,
    },
    /// A run of the group is in progress.
    #[error("run {run} of protection group {group} is in progress; wait for it or cancel it")]
    RunInProgress {
        /// The group.
        group: ProtectionGroup,
        /// The run.
        run: RunId,
    },
    /// The run is not in progress.
    #[error("run {run} is {state:?}: it takes no more of this")]
    RunOver {
        /// The run.
        run: RunId,
        /// How it stands.
        state: State,
    },
    /// The run is about another group.
    #[error("run {run} is about protection group {group}")]
    OtherRun {
        /// The run.
        run: RunId,
        /// Its group.
        group: ProtectionGroup,
    },
    /// The step did something else before.
    #[error("step {step} of run {run} did {done} before; a step has one effect")]
    StepSpent {
        /// The run.
        run: RunId,
        /// The step.
        step: StepId,
        /// What it did.
        done: String,
    },
    /// The group is at another grant.
    #[error("protection group {group} is at ownership epoch {current}, not {asked}")]
    OtherEpoch {
        /// The group.
        group: ProtectionGroup,
        /// Its ownership epoch.
        current: OwnershipEpoch,
        /// The epoch that was named.
        asked: OwnershipEpoch,
    },
    /// An epoch that cannot be granted.
    #[error("ownership epoch {asked} of protection group {group} is not in ({above}, {limit}]")]
    BadEpoch {
        /// The group.
        group: ProtectionGroup,
        /// The epoch asked for.
        asked: OwnershipEpoch,
        /// It must be above this.
        above: OwnershipEpoch,
        /// And at most this.
        limit: OwnershipEpoch,
    },
    /// The grant still stands, so that its holder may be writing.
    #[error("ownership epoch {epoch} of protection group {group} still stands; revoke it and wait out the lease")]
    NotRevoked {
        /// The group.
        group: ProtectionGroup,
        /// Its epoch.
        epoch: OwnershipEpoch,
    },
    /// The grant does not stand.
    #[error("ownership epoch {epoch} of protection group {group} is revoked; a failover has to end first")]
    Revoked {
        /// The group.
        group: ProtectionGroup,
        /// Its epoch.
        epoch: OwnershipEpoch,
    },
    /// The region cannot own the group.
    #[error("{region} cannot own protection group {group}: {reason}")]
    NotEligible {
        /// The group.
        group: ProtectionGroup,
        /// The region.
        region: RegionName,
        /// Why.
        reason: String,
    },
    /// An opening that makes no sense.
    #[error("opening of topic {topic} partition {partition}: {reason}")]
    BadOpening {
        /// The topic.
        topic: TopicId,
        /// The partition.
        partition: i32,
        /// Why.
        reason: String,
    },
    /// Another executor wrote that event, or events are missing before it.
    #[error("run {run} has {events} events; event {seq} is not the next one: another executor is at work")]
    OtherEvent {
        /// The run.
        run: RunId,
        /// The number that was named.
        seq: u64,
        /// How many events there are.
        events: u64,
    },
    /// A report that is final stays as it is.
    #[error("the report of run {run} is final")]
    ReportFinal {
        /// The run.
        run: RunId,
    },
    /// Somebody is at it.
    #[error("{what} {name:?} is in progress: {by}; wait for it")]
    InProgress {
        /// What it is.
        what: String,
        /// Its name.
        name: String,
        /// What is in progress.
        by: String,
    },
    /// It has ended already, in another way.
    #[error("{what} {name:?} has ended already: {how}")]
    Ended {
        /// What it is.
        what: String,
        /// Its name.
        name: String,
        /// How.
        how: String,
    },
}

/// What kind of refusal it is; each boundary (HTTP, Kafka) has one translation of these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalKind {
    /// What was asked makes no sense, now or later.
    Invalid,
    /// Something named is not there.
    NotFound,
    /// Something is in the way.
    Conflict,
    /// What the asker took for granted is no longer so.
    Stale,
    /// A limit is reached.
    Limit,
    /// Not now; it may go in a while.
    Busy,
}

impl Refusal {
    /// Its kind.
    pub const fn kind(&self) -> RefusalKind {
        match self {
            Self::Unusable { .. }
            | Self::BadPartitions { .. }
            | Self::Uncovered { .. }
            | Self::Canary { .. }
            | Self::BadPolicy { .. }
            | Self::BadEpoch { .. }
            | Self::BadOpening { .. }
            | Self::NotEligible { .. }
            | Self::KeyUsed { .. } => RefusalKind::Invalid,
            Self::NotFound { .. } | Self::UnknownTopic { .. } => RefusalKind::NotFound,
            Self::OtherPlatform { .. }
            | Self::Exists { .. }
            | Self::IndexTaken { .. }
            | Self::OtherIndex { .. }
            | Self::DiskReplaced { .. }
            | Self::PortTaken { .. }
            | Self::TopicExists { .. }
            | Self::NotMovable { .. }
            | Self::GroupNeeded { .. }
            | Self::RunOver { .. }
            | Self::OtherRun { .. }
            | Self::StepSpent { .. }
            | Self::NotRevoked { .. }
            | Self::Revoked { .. }
            | Self::ModeOutOfOrder { .. }
            | Self::ReportFinal { .. }
            | Self::Ended { .. } => RefusalKind::Conflict,
            Self::Changed { .. }
            | Self::OtherTopic { .. }
            | Self::OtherEpoch { .. }
            | Self::OtherMode { .. }
            | Self::OtherEvent { .. } => RefusalKind::Stale,
            Self::TooMany { .. } => RefusalKind::Limit,
            Self::Unformed | Self::TopicRestoring { .. } | Self::RunInProgress { .. } | Self::InProgress { .. } => {
                RefusalKind::Busy
            }
        }
    }

    pub(crate) fn not_found(what: &str, name: impl ToString) -> Self {
        Self::NotFound { what: what.to_owned(), name: name.to_string() }
    }

    pub(crate) fn unusable(what: &str, value: &str, reason: impl Into<String>) -> Self {
        Self::Unusable { what: what.to_owned(), value: value.chars().take(64).collect(), reason: reason.into() }
    }

    pub(crate) fn too_many(what: &str, count: usize, limit: usize) -> Self {
        Self::TooMany { what: what.to_owned(), count: count as u64, limit: limit as u64 }
    }

    pub(crate) fn unknown_group(group: &ProtectionGroup) -> Self {
        Self::not_found("protection group", group)
    }
}

impl From<policy::Invalid> for Refusal {
    fn from(invalid: policy::Invalid) -> Self {
        Self::BadPolicy { reason: invalid.to_string() }
    }
}
