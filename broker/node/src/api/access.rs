//! Which partition a request means, and whether it may be asked here.

use crate::listener::Door;
use crate::partitions::{Held, HeldTopic};
use crate::replica::{Partition, Standing};
use model::{PartitionId, TopicId};
use std::sync::Arc;
use wire::ErrorCode;

/// From this version on Produce and Fetch name topics by id.
pub(crate) const FIRST_BY_ID: i16 = 13;

/// How a request names a topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum TopicRef {
    /// By name.
    Name(String),
    /// By id.
    Id(TopicId),
}

impl TopicRef {
    /// What a request of `version` means: one of the two fields is empty.
    pub(crate) fn of(version: i16, name: String, id: TopicId) -> Self {
        if version >= FIRST_BY_ID { Self::Id(id) } else { Self::Name(name) }
    }

    /// The name and the id as an answer repeats them.
    pub(crate) fn into_fields(self) -> (String, TopicId) {
        match self {
            Self::Name(name) => (name, TopicId::ZERO),
            Self::Id(id) => (String::new(), id),
        }
    }

    /// The topic, if clients may know of it.
    ///
    /// # Errors
    /// UNKNOWN_TOPIC_OR_PARTITION or UNKNOWN_TOPIC_ID.
    pub(crate) fn find<'a>(&self, held: &'a Held) -> Result<&'a Arc<HeldTopic>, ErrorCode> {
        let (found, unknown) = match self {
            Self::Name(name) => (held.named(name), ErrorCode::UNKNOWN_TOPIC_OR_PARTITION),
            Self::Id(id) => (held.with_id(*id), ErrorCode::UNKNOWN_TOPIC_ID),
        };
        found.filter(|topic| topic.is_live).ok_or(unknown)
    }
}

/// One partition of `topic`.
///
/// # Errors
/// UNKNOWN_TOPIC_OR_PARTITION.
pub(crate) fn partition(topic: &HeldTopic, number: i32) -> Result<&Arc<Partition>, ErrorCode> {
    topic.partition(PartitionId(number)).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)
}

/// Whether `partition` may be read through `door`: a copy may, but not by gateways, who look for the owner.
///
/// # Errors
/// NOT_LEADER_OR_FOLLOWER.
pub(crate) fn check_readable(partition: &Partition, door: Door) -> Result<(), ErrorCode> {
    match (partition.standing(), door) {
        (Standing::Idle | Standing::Replica { .. }, _) | (Standing::Copy { .. }, Door::Gateways) => {
            Err(ErrorCode::NOT_LEADER_OR_FOLLOWER)
        }
        (Standing::Owner { .. } | Standing::Copy { .. }, _) => Ok(()),
    }
}

/// Whether the client's idea of the leader epoch is ours (KIP-320); -1 is no idea. Gateways tell no epochs of what every
/// region takes writes for, and librdkafka says 0 where it was told none.
///
/// # Errors
/// FENCED_LEADER_EPOCH or UNKNOWN_LEADER_EPOCH.
pub(crate) fn check_epoch(partition: &Partition, door: Door, current_leader_epoch: i32) -> Result<(), ErrorCode> {
    if current_leader_epoch < 0 || door == Door::Gateways && partition.is_active() {
        return Ok(());
    }
    match current_leader_epoch.cmp(&partition.epoch().0) {
        std::cmp::Ordering::Less => Err(ErrorCode::FENCED_LEADER_EPOCH),
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(ErrorCode::UNKNOWN_LEADER_EPOCH),
    }
}
