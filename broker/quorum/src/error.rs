use crate::NodeId;
use std::path::PathBuf;
use std::time::Duration;

/// What an attempt that failed has left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing happened, and nothing will.
    Nothing,
    /// It was done; only its answer is lost.
    Done,
    /// It may have happened, or may still.
    Unknown,
}

/// A quorum node cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A file or directory cannot be used.
    #[error("cannot use {path}: {source}")]
    Disk {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The address is taken or not ours.
    #[error("cannot listen on {address}: {source}; free it or choose another")]
    Listen {
        /// Which.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Another process has the directory.
    #[error("{path} is in use by another process; stop it first")]
    InUse {
        /// Which.
        path: PathBuf,
    },
    /// The directory belongs to another node.
    #[error("{path} belongs to node {found} of {cluster:?}, not to node {wanted} of {wanted_cluster:?}")]
    NotOurs {
        /// Which.
        path: PathBuf,
        /// Whose it is.
        found: NodeId,
        /// In which cluster.
        cluster: String,
        /// Who wanted it.
        wanted: NodeId,
        /// In which cluster.
        wanted_cluster: String,
    },
    /// The directory is empty, but the node has served before: it must not vote under its old id.
    #[error("{path} is empty and node {id} is not new; join as a new incarnation to get an id of its own")]
    NoIdentity {
        /// Which.
        path: PathBuf,
        /// Who wanted it.
        id: NodeId,
    },
    /// The state machine lacks entries that the log no longer has.
    #[error(
        "the state stands at {applied:?}, but the log begins after {purged} and no snapshot fills the hole; join as a new incarnation"
    )]
    Hole {
        /// The last index in the state.
        applied: Option<u64>,
        /// The last index that the log has dropped.
        purged: u64,
    },
    /// The timings contradict each other.
    #[error("the timings do not fit together: {0}")]
    Timing(String),
    /// The state machine cannot be read.
    #[error("the state machine cannot start: {0}")]
    State(String),
    /// The consensus itself cannot start.
    #[error("the consensus cannot start: {0}")]
    Raft(String),
}

/// A command was not carried out, or nobody knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
pub enum ProposeError {
    /// The command is longer than a log entry may be.
    #[error("the command has {bytes} bytes; at most {limit} are allowed")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The command cannot be written as JSON.
    #[error("the command cannot be encoded: {0}")]
    Unencodable(String),
    /// There was no leader that a majority follows.
    #[error("no leader was found within {waited:?}; a majority of the nodes has to be up and connected")]
    NoLeader {
        /// How long was waited.
        waited: Duration,
    },
    /// Too many commands wait already.
    #[error("too many commands wait for the quorum; try again")]
    Busy,
    /// The answer did not come in time.
    #[error("the quorum did not answer within {waited:?}; the command may still be carried out")]
    TimedOut {
        /// How long was waited.
        waited: Duration,
    },
    /// The leader changed or went away before it answered.
    #[error("the answer was lost: {0}; the command may have been carried out")]
    Lost(String),
    /// The command was carried out; its answer cannot be read.
    #[error("the answer cannot be read: {0}")]
    Unreadable(String),
    /// This node has stopped.
    #[error("this node of the quorum has stopped: {0}")]
    Stopped(String),
}

impl ProposeError {
    /// Whether the same command may be proposed again without a second thought: nothing has happened, and it may work
    /// next time. With [`Outcome::Unknown`] that is so only for commands that can be repeated.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NoLeader { .. } | Self::Busy => true,
            Self::TooLarge { .. }
            | Self::Unencodable(_)
            | Self::TimedOut { .. }
            | Self::Lost(_)
            | Self::Unreadable(_)
            | Self::Stopped(_) => false,
        }
    }

    /// What the attempt left behind.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::TooLarge { .. } | Self::Unencodable(_) | Self::NoLeader { .. } | Self::Busy => Outcome::Nothing,
            Self::Unreadable(_) => Outcome::Done,
            Self::TimedOut { .. } | Self::Lost(_) | Self::Stopped(_) => Outcome::Unknown,
        }
    }
}

/// A call to another node got no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The node is not among the quorum's nodes.
    #[error("node {0} is not in the quorum")]
    Unknown(NodeId),
    /// No connection to it.
    #[error("{address} cannot be reached: {why}")]
    Unreachable {
        /// Where.
        address: String,
        /// Why.
        why: String,
    },
    /// Somebody else is there, or it knows us not.
    #[error("{address} refused: {why}")]
    Refused {
        /// Where.
        address: String,
        /// Why.
        why: String,
    },
    /// The request is longer than a frame may be.
    #[error("the request has {bytes} bytes; at most {limit} are allowed")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Too many requests wait for this node already.
    #[error("too many requests wait for {address}")]
    Busy {
        /// Where.
        address: String,
    },
    /// It did not answer in time.
    #[error("{address} did not answer within {waited:?}")]
    TimedOut {
        /// Where.
        address: String,
        /// How long was waited.
        waited: Duration,
    },
    /// The connection broke after the request was on its way.
    #[error("the connection to {address} broke before the answer: {why}")]
    Broken {
        /// Where.
        address: String,
        /// Why.
        why: String,
    },
    /// The other node says it cannot serve the request.
    #[error("{address} cannot serve the request: {why}")]
    Failed {
        /// Where.
        address: String,
        /// Its words.
        why: String,
    },
    /// There is no leader to call.
    #[error("no leader is known; a majority of the nodes has to be up and connected")]
    NoLeader,
}

impl CallError {
    /// Whether the same call may work later.
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Self::TooLarge { .. })
    }

    /// What the call left behind.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Unknown(_)
            | Self::Unreachable { .. }
            | Self::Refused { .. }
            | Self::TooLarge { .. }
            | Self::Busy { .. }
            | Self::Failed { .. }
            | Self::NoLeader => Outcome::Nothing,
            Self::TimedOut { .. } | Self::Broken { .. } => Outcome::Unknown,
        }
    }
}

/// Leadership, or a state as new as the last commit, could not be confirmed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfirmError {
    /// Another node leads, or none.
    #[error("this node does not lead the quorum; the leader is {leader:?}")]
    NotLeader {
        /// Who leads, as far as known.
        leader: Option<NodeId>,
    },
    /// This node believes that it leads, but no majority says so.
    #[error("no majority of the quorum answered")]
    NoQuorum,
    /// It took too long.
    #[error("the quorum did not confirm within {waited:?}")]
    TimedOut {
        /// How long was waited.
        waited: Duration,
    },
    /// This node has stopped.
    #[error("this node of the quorum has stopped: {0}")]
    Stopped(String),
}

/// The nodes of a quorum could not be changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MemberError {
    /// Only the leader changes members.
    #[error("this node does not lead the quorum; ask {leader:?}")]
    NotLeader {
        /// Who leads, as far as known.
        leader: Option<NodeId>,
    },
    /// Another change has not ended yet.
    #[error("another change of members is under way; try again")]
    InProgress,
    /// The change makes no sense.
    #[error("the change of members is refused: {0}")]
    Refused(String),
    /// It took too long; it may still come true.
    #[error("the change of members did not end within {waited:?}; it may still come true, and can be repeated")]
    TimedOut {
        /// How long was waited.
        waited: Duration,
    },
    /// This node has stopped.
    #[error("this node of the quorum has stopped: {0}")]
    Stopped(String),
}
