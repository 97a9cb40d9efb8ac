use super::security::SecurityFault;
use crate::codec::{DecodeError, EncodeError, Versions};
use crate::{ApiKey, ErrorCode};
use std::io;
use std::time::Duration;

/// Why a call has no answer, or not the one that was hoped for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there, or not in time.
    #[error("cannot connect to {peer}: {source}")]
    Connect {
        /// Where.
        peer: String,
        /// Why not.
        source: io::Error,
    },
    /// The cluster and this client do not trust each other.
    #[error("{peer} {fault}")]
    Security {
        /// The broker.
        peer: String,
        /// Why, and what to do.
        fault: SecurityFault,
    },
    /// No answer in time. It may have been done all the same.
    #[error("{peer} has not answered {api} within {after:?}")]
    Timeout {
        /// Who was asked.
        peer: String,
        /// What.
        api: String,
        /// How long it had.
        after: Duration,
    },
    /// The connection ended before the answer came. It may have been done all the same.
    #[error("the connection to {peer} is closed: {reason}")]
    Closed {
        /// Who was asked.
        peer: String,
        /// Why.
        reason: String,
    },
    /// The broker answered with an error.
    #[error("{api} is refused with {code}{}", .message.as_deref().map(|text| format!(": {text}")).unwrap_or_default())]
    Refused {
        /// What was asked.
        api: &'static str,
        /// Kafka's code.
        code: ErrorCode,
        /// The broker's own words.
        message: Option<String>,
    },
    /// There is no version of the API that both sides speak.
    #[error("{peer} speaks {api} {theirs}, we speak {ours}")]
    NoCommonVersion {
        /// The broker.
        peer: String,
        /// The API.
        api: &'static str,
        /// Its versions.
        theirs: String,
        /// Ours.
        ours: Versions,
    },
    /// Nobody leads the partition at the moment.
    #[error("partition {topic}-{partition} has no leader at the moment")]
    NoLeader {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
    },
    /// The answer leaves out what was asked for.
    #[error("the answer to {0} does not contain what was asked for")]
    Missing(&'static str),
    /// The request cannot be written.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The answer cannot be read.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The fetched batches cannot be read.
    #[error("batches of {topic}-{partition} from offset {offset} on cannot be read: {reason}")]
    Records {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// Where reading stopped.
        offset: i64,
        /// What is wrong with them.
        reason: String,
    },
    /// No attempt succeeded until the time was up, or one more would have been of no use.
    #[error("{doing} has not succeeded in {after:?}; the last attempt: {}", last_words(.last))]
    GaveUp {
        /// What was tried.
        doing: &'static str,
        /// How long it took.
        after: Duration,
        /// How the last complete attempt failed.
        last: Option<Box<ClientError>>,
        /// Whether an attempt may have been done all the same.
        outcome: Outcome,
    },
}

fn last_words(last: &Option<Box<ClientError>>) -> String {
    last.as_ref().map_or_else(|| "still running".to_owned(), ToString::to_string)
}

/// What is known of a call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has changed nothing.
    NotDone,
    /// It may have been done.
    Unknown,
}

impl ClientError {
    pub(crate) fn refused(key: ApiKey, code: ErrorCode, message: Option<String>) -> Self {
        Self::Refused { api: key.name(), code, message }
    }

    pub(super) fn security(peer: &str, fault: SecurityFault) -> Self {
        Self::Security { peer: peer.to_owned(), fault }
    }

    /// Kafka's code, when a broker refused the call.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            Self::GaveUp { last, .. } => last.as_ref().and_then(|last| last.code()),
            _ => None,
        }
    }

    /// Whether the same call may succeed a little later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Connect { .. } | Self::Timeout { .. } | Self::Closed { .. } | Self::NoLeader { .. } => true,
            Self::Refused { code, .. } => code.is_retriable(),
            Self::Security { .. } => false,
            Self::NoCommonVersion { .. } | Self::Missing(_) | Self::Encode(_) | Self::Decode(_) => false,
            Self::Records { .. } | Self::GaveUp { .. } => false,
        }
    }

    /// Whether the same call may succeed much later: also when it was tried for as long as it may be.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::GaveUp { last, .. } => last.as_ref().is_none_or(|last| last.may_pass()),
            other => other.is_retryable(),
        }
    }

    /// Whether the call may have been done all the same.
    pub fn outcome(&self) -> Outcome {
        match self {
            Self::Timeout { .. } | Self::Closed { .. } | Self::Missing(_) | Self::Decode(_) => Outcome::Unknown,
            Self::Refused { code, .. } => outcome_of(*code),
            Self::GaveUp { outcome, .. } => *outcome,
            Self::Connect { .. } | Self::NoCommonVersion { .. } | Self::NoLeader { .. } => Outcome::NotDone,
            Self::Security { .. } | Self::Encode(_) | Self::Records { .. } => Outcome::NotDone,
        }
    }
}

/// A refused write may be in the log when it was the replicas that were late or missing, or nobody knows why.
fn outcome_of(code: ErrorCode) -> Outcome {
    match code {
        ErrorCode::REQUEST_TIMED_OUT
        | ErrorCode::NOT_ENOUGH_REPLICAS_AFTER_APPEND
        | ErrorCode::NETWORK_EXCEPTION
        | ErrorCode::NOT_LEADER_OR_FOLLOWER
        | ErrorCode::UNKNOWN_SERVER_ERROR
        | ErrorCode::KAFKA_STORAGE_ERROR => Outcome::Unknown,
        _ => Outcome::NotDone,
    }
}
