use model::{LeaderEpoch, Offset, PartitionId, TopicId, TopicName};

/// How a fetch names a topic: by name up to version 12, by id from version 13 on. One session keeps to one way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TopicKey {
    /// By name.
    Name(TopicName),
    /// By id.
    Id(TopicId),
}

impl TopicKey {
    pub(super) fn is_id(&self) -> bool {
        matches!(self, Self::Id(_))
    }
}

/// What a client wants of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Read from here.
    pub fetch_offset: Offset,
    /// At most this many bytes, but for one whole batch.
    pub max_bytes: i32,
    /// The leader epoch the client knows.
    pub leader_epoch: LeaderEpoch,
    /// The epoch of the last record it has.
    pub last_fetched_epoch: LeaderEpoch,
    /// A follower's log start.
    pub log_start: Offset,
}

/// One fetch request, as far as its session goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRequest {
    /// The session, 0 for none.
    pub id: i32,
    /// Its request number; 0 begins one, -1 ends it.
    pub epoch: i32,
    /// Whether the request names topics by id (version 13 and later).
    pub by_id: bool,
    /// What is new or changed.
    pub wanted: Vec<(TopicKey, PartitionId, Wanted)>,
    /// What is no longer fetched.
    pub forgotten: Vec<(TopicKey, PartitionId)>,
}

/// What to read for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The session to answer with, 0 for none.
    pub id: i32,
    /// Whether only what is new is answered.
    pub incremental: bool,
    /// Every partition to read, in the order in which to read them.
    pub items: Vec<Item>,
}

/// One partition to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its topic.
    pub topic: TopicKey,
    /// Its number.
    pub partition: PartitionId,
    /// What is wanted of it.
    pub wanted: Wanted,
}

/// What was read of one partition, as far as a client could tell it from the last answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reported {
    /// Whether records are sent, or anything else that has to be (a diverging epoch, a preferred replica).
    pub has_news: bool,
    /// Whether it is an error.
    pub is_error: bool,
    /// Its high watermark.
    pub high_watermark: Offset,
    /// Its log start.
    pub log_start: Offset,
}

/// Why a session cannot be used; each is the Kafka error of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// FETCH_SESSION_ID_NOT_FOUND.
    #[error("there is no fetch session {0}; begin a new one")]
    NotFound(i32),
    /// INVALID_FETCH_SESSION_EPOCH.
    #[error("request {given} of fetch session {id} is out of turn; {expected} is next")]
    WrongEpoch {
        /// The session.
        id: i32,
        /// The request number given.
        given: i32,
        /// The one expected.
        expected: i32,
    },
    /// FETCH_SESSION_TOPIC_ID_ERROR.
    #[error("fetch session {0} was begun naming topics the other way; begin a new one")]
    MixedNames(i32),
}
