use super::consumer::{Assigned, ConsumerHeartbeat};
use super::{InstanceId, MemberId, Token};
use bytes::Bytes;
use model::GroupId;
use std::time::Duration;

/// What a client asks of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// JoinGroup.
    Join(Join),
    /// SyncGroup.
    Sync(Sync),
    /// Heartbeat.
    Heartbeat(Heartbeat),
    /// LeaveGroup.
    Leave(Leave),
    /// ConsumerGroupHeartbeat.
    Consumer(ConsumerHeartbeat),
}

/// One way to assign partitions that a member understands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol {
    /// Its name, for example `range`.
    pub name: String,
    /// What the member tells the assignor, usually its subscription.
    pub metadata: Bytes,
}

/// A member wants to be part of the next generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Join {
    /// The group.
    pub group: GroupId,
    /// Its name, empty when it has none yet.
    pub member: MemberId,
    /// The name it gets in that case. Never used twice.
    pub fresh_member: MemberId,
    /// Its static name.
    pub instance: Option<InstanceId>,
    /// What its client calls itself.
    pub client_id: String,
    /// Where it comes from.
    pub client_host: String,
    /// How long it may be silent.
    pub session_timeout: Duration,
    /// How long a rebalance waits for it.
    pub rebalance_timeout: Duration,
    /// `consumer`, `connect`, ...
    pub protocol_type: String,
    /// What it understands, the preferred one first.
    pub protocols: Vec<Protocol>,
    /// Whether a member without a name gets one and joins again with it (version 4 and later, KIP-394).
    pub names_first: bool,
    /// Whether a leader that returns may be told to keep the assignment (version 9 and later, KIP-814).
    pub may_skip_assignment: bool,
}

/// A member asks for its part of the assignment; the leader brings it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sync {
    /// The group.
    pub group: GroupId,
    /// The member.
    pub member: MemberId,
    /// Its static name.
    pub instance: Option<InstanceId>,
    /// The generation it joined.
    pub generation: i32,
    /// The group's protocol type, if it names it.
    pub protocol_type: Option<String>,
    /// The group's protocol, if it names it.
    pub protocol: Option<String>,
    /// What each member gets (the leader only).
    pub assignments: Vec<(MemberId, Bytes)>,
}

/// A member says it is alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// The group.
    pub group: GroupId,
    /// The member.
    pub member: MemberId,
    /// Its static name.
    pub instance: Option<InstanceId>,
    /// The generation it is in.
    pub generation: i32,
}

/// Members go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leave {
    /// The group.
    pub group: GroupId,
    /// Who.
    pub members: Vec<Leaver>,
}

/// One member that goes, or is sent away by its static name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaver {
    /// Its name; may be empty when `instance` is there.
    pub member: MemberId,
    /// Its static name.
    pub instance: Option<InstanceId>,
}

/// Who commits offsets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The group.
    pub group: GroupId,
    /// The member; empty for a consumer that assigns partitions to itself.
    pub member: MemberId,
    /// Its static name.
    pub instance: Option<InstanceId>,
    /// Its generation, or its member epoch; negative for a consumer that assigns partitions to itself.
    pub generation: i32,
    /// Whether the request could bring a member epoch (version 9 and later).
    pub knows_epochs: bool,
}

/// The answer to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To [`Request::Join`].
    Join(Result<Joined, GroupError>),
    /// To [`Request::Sync`].
    Sync(Result<Synced, GroupError>),
    /// To [`Request::Heartbeat`].
    Heartbeat(Result<(), GroupError>),
    /// To [`Request::Leave`]: for the whole request, or each member.
    Leave(Result<Vec<Result<(), GroupError>>, GroupError>),
    /// To [`Request::Consumer`].
    Consumer(Result<Assigned, GroupError>),
}

impl Reply {
    /// The refusal of the request that this would have answered.
    #[must_use]
    pub fn refused(&self, error: GroupError) -> Self {
        match self {
            Self::Join(_) => Self::Join(Err(error)),
            Self::Sync(_) => Self::Sync(Err(error)),
            Self::Heartbeat(_) => Self::Heartbeat(Err(error)),
            Self::Leave(_) => Self::Leave(Err(error)),
            Self::Consumer(_) => Self::Consumer(Err(error)),
        }
    }
}

/// A member is in a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// The generation.
    pub generation: i32,
    /// The group's protocol type.
    pub protocol_type: String,
    /// The protocol the members agreed on.
    pub protocol: String,
    /// The leader.
    pub leader: MemberId,
    /// The member that joined.
    pub member: MemberId,
    /// Whether the leader keeps the assignment as it is.
    pub skip_assignment: bool,
    /// All members (for the leader only).
    pub members: Vec<JoinedMember>,
}

/// One member, as the leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMember {
    /// Its name.
    pub member: MemberId,
    /// Its static name.
    pub instance: Option<InstanceId>,
    /// What it told about itself under the chosen protocol.
    pub metadata: Bytes,
}

/// A member's part of the assignment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    /// The group's protocol type.
    pub protocol_type: String,
    /// The group's protocol.
    pub protocol: String,
    /// What the leader gave to it.
    pub assignment: Bytes,
}

/// What the shell does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Answer a request.
    Reply {
        /// Which.
        token: Token,
        /// With this.
        reply: Reply,
    },
    /// Append this record to `__consumer_offsets` (no value is a tombstone), then call
    /// [`Coordinator::on_persisted`](super::Coordinator::on_persisted).
    Persist {
        /// The group.
        group: GroupId,
        /// Its generation.
        generation: i32,
        /// The record's key.
        key: Bytes,
        /// The record's value.
        value: Option<Bytes>,
    },
    /// Append these records to `__consumer_offsets` in one batch and at once, before anything else is asked of the
    /// coordinator; then call [`Coordinator::on_appended`](super::Coordinator::on_appended) or
    /// [`Coordinator::on_refused`](super::Coordinator::on_refused). The answers are given when these records, and all
    /// that were written before them, are committed; otherwise they are refused.
    Write {
        /// The group.
        group: GroupId,
        /// Keys and values; no value is a tombstone. There may be none.
        records: Vec<(Bytes, Option<Bytes>)>,
        /// Who is answered then.
        answers: Vec<(Token, Reply)>,
    },
}

/// Why a request of a group was refused; each is the Kafka error of the same name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// COORDINATOR_NOT_AVAILABLE: try again.
    #[error("the coordinator cannot take the request now")]
    CoordinatorNotAvailable,
    /// NOT_COORDINATOR: ask for the coordinator again.
    #[error("the group is not coordinated here")]
    NotCoordinator,
    /// INVALID_GROUP_ID.
    #[error("a group needs a name")]
    InvalidGroupId,
    /// ILLEGAL_GENERATION.
    #[error("generation {given} is not the group's generation {current}")]
    IllegalGeneration {
        /// The generation given.
        given: i32,
        /// The group's.
        current: i32,
    },
    /// INCONSISTENT_GROUP_PROTOCOL.
    #[error("the member's protocols do not fit the group's")]
    InconsistentProtocol,
    /// UNKNOWN_MEMBER_ID.
    #[error("the group has no member {0:?}; join again")]
    UnknownMember(MemberId),
    /// INVALID_SESSION_TIMEOUT.
    #[error("a session of {given:?} is not allowed; it must be between {min:?} and {max:?}")]
    InvalidSessionTimeout {
        /// What was asked for.
        given: Duration,
        /// The shortest allowed.
        min: Duration,
        /// The longest allowed.
        max: Duration,
    },
    /// REBALANCE_IN_PROGRESS.
    #[error("the group is rebalancing; join again")]
    RebalanceInProgress,
    /// MEMBER_ID_REQUIRED: join again under this name.
    #[error("join again as {0}")]
    MemberIdRequired(MemberId),
    /// GROUP_MAX_SIZE_REACHED.
    #[error("the group has {0} members, the most it may have")]
    GroupFull(usize),
    /// FENCED_INSTANCE_ID.
    #[error("the static member {0} is another process now")]
    FencedInstance(InstanceId),
    /// NON_EMPTY_GROUP.
    #[error("the group has members")]
    NonEmptyGroup,
    /// GROUP_ID_NOT_FOUND.
    #[error("there is no such group")]
    GroupNotFound,
    /// FENCED_MEMBER_EPOCH: give up everything and join again.
    #[error("member epoch {given} is not the member's epoch {current}; give up all partitions and join again")]
    FencedMemberEpoch {
        /// The epoch given.
        given: i32,
        /// The member's.
        current: i32,
    },
    /// STALE_MEMBER_EPOCH: look at the epoch of the last heartbeat and try again.
    #[error("member epoch {given} is not the member's epoch {current}")]
    StaleMemberEpoch {
        /// The epoch given.
        given: i32,
        /// The member's.
        current: i32,
    },
    /// UNRELEASED_INSTANCE_ID.
    #[error("the static member {0} is still in the group; it has to leave first, or its session to end")]
    UnreleasedInstance(InstanceId),
    /// UNSUPPORTED_ASSIGNOR.
    #[error("there is no assignor {0:?}; there are uniform and range")]
    UnsupportedAssignor(String),
    /// INVALID_REGULAR_EXPRESSION.
    #[error("the pattern of topics is not usable: {0}")]
    InvalidPattern(String),
    /// INVALID_REQUEST: a heartbeat that says too little or what cannot be.
    #[error("{0}")]
    InvalidHeartbeat(&'static str),
    /// UNSUPPORTED_VERSION: a member of the consumer protocol commits without its epoch.
    #[error("a member of the consumer protocol commits with version 9 or later, which has its epoch")]
    CommitTooOld,
    /// GROUP_ID_NOT_FOUND: the members of the group speak the other protocol.
    #[error("the group's members speak the other protocol")]
    OtherProtocol,
    /// INVALID_REQUEST: more protocol metadata than allowed.
    #[error("a member may bring {allowed} bytes of protocol metadata, not {given}")]
    TooMuchMetadata {
        /// How much it brought.
        given: usize,
        /// How much it may bring.
        allowed: usize,
    },
}
