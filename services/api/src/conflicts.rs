//! `/v1/regions/{region}/conflicts`, `/v1/regions/{region}/quarantine`, `/v1/regions/{region}/active-partitions`

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Two writes of a key that knew nothing of each other, and which of them stands. Every region finds the same ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Conflict {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The key both wrote.
    pub key: Payload,
    /// The one that stood over the other when the conflict was found.
    pub winner: Version,
    /// The other one.
    pub loser: Version,
    /// Why it does not stand.
    pub reason: ConflictReason,
    /// What becomes of it.
    pub state: ConflictState,
}

/// Why a version does not stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConflictReason {
    /// The other one was written later.
    LaterWrite,
    /// Both have the same stamp; the younger incarnation of a region stands.
    SameTime,
    /// The other one's region comes first.
    RegionPriority,
    /// Both count; the other one is the last in the log.
    BothKept,
    /// The other one was written earlier, and a person has to choose.
    AwaitsSettlement,
}

/// What becomes of a version that does not stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConflictState {
    /// It is in the conflict topic only.
    Overwritten,
    /// It counts as much as the other one.
    Kept,
    /// It waits for a person.
    Quarantined,
}

/// One write of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// The region that took it.
    pub region: String,
    /// Which record it is, the same in every region.
    pub record: RecordId,
    /// Its offset in the region that was asked.
    pub offset: i64,
    /// When it was written, by that region's clock, which is above every stamp it had received.
    #[schema(format = DateTime)]
    pub written_at: String,
    /// Its value.
    pub value: Payload,
}

/// Names a record for ever: the incarnation of the region that took it, and its offset there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
pub struct RecordId {
    /// The region's incarnation.
    pub origin: u16,
    /// The offset there.
    pub offset: i64,
}

/// Bytes, readable where they are text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// None: as a value, a tombstone.
    Null,
    /// UTF-8.
    Text(String),
    /// Anything else, in hexadecimal digits.
    Hex(String),
    /// More than is shown here.
    TooLarge {
        /// How many bytes.
        bytes: u64,
    },
}

/// Versions of a key that wait for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Quarantined {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The key.
    pub key: Payload,
    /// The key in hexadecimal digits, to settle it with.
    pub key_hex: String,
    /// The versions; the first one stands meanwhile.
    pub versions: Vec<Version>,
}

/// A choice between the versions of a key in quarantine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Settle {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The key in hexadecimal digits.
    pub key_hex: String,
    /// The version that shall stand.
    pub choice: RecordId,
    /// Every version the person was shown. When another one has joined them since, nothing is settled.
    pub known: Vec<RecordId>,
}

/// A choice that was written: a record that stands over all versions it was chosen from, in every region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Settled {
    /// Its offset in the region that was asked.
    pub offset: i64,
}

/// A partition that every region takes writes for, as one of them sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ActivePartition {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// What the region has received of each region, itself included.
    pub received: Vec<Received>,
    /// How many records links brought since the broker started.
    pub records_brought: u64,
    /// How many bytes of batches links brought.
    pub bytes_brought: u64,
    /// How many of them were taken: the others had come over another link before.
    pub bytes_taken: u64,
    /// How many records were repeated, so that the one that stands is the last of its key.
    pub repeats: u64,
}

/// How far the records of one region have come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Received {
    /// The region; absent for one that was rebuilt since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Its incarnation.
    pub incarnation: u16,
    /// Behind the last of its own records that is here, by its own offsets; 0 when there is none.
    pub tail: i64,
    /// The most records of it that are known of and not here: its offsets in between, where others' records lie, too.
    /// Absent for the region itself, and for one that was rebuilt since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records_behind_max: Option<u64>,
    /// How long ago, in milliseconds, everything that it had written was here last. It grows while the region does not
    /// answer; below a second nothing is missing for long. Absent as above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind_ms: Option<u64>,
}
