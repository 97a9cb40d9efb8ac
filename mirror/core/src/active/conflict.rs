use super::limits::PAYLOAD_BYTES_MAX;
use super::{Dot, HybridTime, Policy, Relation, Version};
use model::{Offset, PartitionId, RegionName, TopicId, TopicName};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Two writes of a key that knew nothing of each other, and which of them stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The one that stands over the other.
    pub winner: Version,
    /// The other one.
    pub loser: Version,
    /// Why.
    pub reason: Reason,
    /// What becomes of the loser.
    pub state: ConflictState,
}

/// Why a version does not stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The other one was written later.
    LaterWrite,
    /// Both have the same stamp; the younger incarnation stands.
    SameTime,
    /// The other one's region comes first.
    RegionPriority,
    /// Both count; the other one is the last in the log.
    BothKept,
    /// The other one was written earlier, and a human has to choose.
    AwaitsSettlement,
}

/// What becomes of a version that does not stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConflictState {
    /// It is in the conflict topic only.
    Overwritten,
    /// It counts as much as the other one.
    Kept,
    /// It waits for a human.
    Quarantined,
}

impl Conflict {
    /// The conflict of two versions of one key, if they conflict; the same whichever is named first.
    pub fn between(policy: &Policy, one: &Version, other: &Version) -> Option<Self> {
        if one.relation(other) != Relation::Concurrent {
            return None;
        }
        let one_stands = policy.rank(one) > policy.rank(other);
        let (winner, loser) = if one_stands { (one, other) } else { (other, one) };
        let reason = policy.reason(winner, loser);
        Some(Self { winner: winner.clone(), loser: loser.clone(), reason, state: policy.state() })
    }
}

/// The key of a conflict in the conflict topic: one per version that lost, however often it is found again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ConflictKey {
    /// The topic.
    pub topic_id: TopicId,
    /// The partition.
    pub partition: PartitionId,
    /// The record that does not stand.
    pub loser: Dot,
}

impl fmt::Display for ConflictKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.topic_id, self.partition, self.loser)
    }
}

/// What the conflict topic holds, as JSON under its [`ConflictKey`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictRecord {
    /// The topic.
    pub topic: TopicName,
    /// Its id.
    pub topic_id: TopicId,
    /// The partition.
    pub partition: PartitionId,
    /// The key both wrote.
    pub key: Payload,
    /// The one that stood when the conflict was found.
    pub winner: ConflictVersion,
    /// The other one.
    pub loser: ConflictVersion,
    /// Why it does not stand.
    pub reason: Reason,
    /// What becomes of it.
    pub state: ConflictState,
}

impl ConflictRecord {
    /// Its key in the conflict topic.
    pub const fn conflict_key(&self) -> ConflictKey {
        ConflictKey { topic_id: self.topic_id, partition: self.partition, loser: self.loser.dot }
    }
}

/// One of the versions in conflict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConflictVersion {
    /// The region that took it.
    pub region: RegionName,
    /// Which record it is.
    pub dot: Dot,
    /// Where it stands in the log of the region that wrote this record.
    pub local: Offset,
    /// Its stamp.
    pub time: HybridTime,
    /// Its value.
    pub value: Payload,
}

/// Bytes, readable where they are text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// None: as a value, a tombstone.
    Null,
    /// UTF-8.
    Text(String),
    /// Anything else, in hexadecimal digits.
    Hex(String),
    /// More than a conflict record repeats; its version says where it stands.
    TooLarge {
        /// How many bytes.
        bytes: u64,
    },
}

impl Payload {
    /// Shows `bytes`.
    pub fn of(bytes: Option<&[u8]>) -> Self {
        match bytes {
            None => Self::Null,
            Some(bytes) if bytes.len() > PAYLOAD_BYTES_MAX => Self::TooLarge { bytes: bytes.len() as u64 },
            Some(bytes) => std::str::from_utf8(bytes).map_or_else(
                |_| Self::Hex(bytes.iter().map(|byte| format!("{byte:02x}")).collect()),
                |text| Self::Text(text.to_owned()),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Incarnation;

    fn version(region: &str, origin: u16, value: Option<&[u8]>) -> ConflictVersion {
        let dot = Dot { origin: Incarnation(origin), offset: Offset(7) };
        let value = Payload::of(value);
        ConflictVersion { region: RegionName::new(region).unwrap(), dot, local: Offset(9), time: HybridTime(5), value }
    }

    #[test]
    fn a_conflict_record_is_read_back_and_named_by_its_loser() {
        let record = ConflictRecord {
            topic: TopicName::new("orders").unwrap(),
            topic_id: TopicId::ZERO,
            partition: PartitionId(3),
            key: Payload::of(Some(b"k")),
            winner: version("r1", 1, Some(&[0xff, 0])),
            loser: version("r2", 2, None),
            reason: Reason::LaterWrite,
            state: ConflictState::Overwritten,
        };
        let json = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<ConflictRecord>(&json).unwrap(), record);
        assert_eq!(record.conflict_key().to_string(), "00000000-0000-0000-0000-000000000000/3/2:7");
        assert_eq!(record.winner.value, Payload::Hex("ff00".into()));
    }

    #[test]
    fn a_value_that_is_too_large_is_named_only() {
        let bytes = vec![b'x'; PAYLOAD_BYTES_MAX + 1];
        assert_eq!(Payload::of(Some(&bytes)), Payload::TooLarge { bytes: bytes.len() as u64 });
    }
}
