//! Long work the council keeps book of: what schedules start, backups, restores, drills.

use super::NewTopic;
use dr_planner::drill::Scorecard;
use dr_planner::schedule::Schedule;
use model::{ByteCount, ProtectionGroup, RunId, Timestamp, TopicId, TopicName};
use serde::{Deserialize, Serialize};

/// Creates or replaces a schedule. Answered with `Answer::Revision`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PutSchedule {
    /// The schedule.
    pub schedule: Schedule,
    /// The revision it must have now; 0 for a schedule that is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<u64>,
}

/// Deletes a schedule; its firings stay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeleteSchedule {
    /// Its name.
    pub name: String,
}

/// Takes on one firing of a schedule, so that one node alone works on it. Answered with `Answer::Done`.
///
/// Refused when the firing is taken, and when the one before is still at work and not past its time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClaimFiring {
    /// The schedule.
    pub schedule: String,
    /// When it was due.
    pub due: Timestamp,
    /// Who takes it on.
    pub claimant: String,
    /// When others may take it for dead.
    pub expires: Timestamp,
}

/// Says what came of a firing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FinishFiring {
    /// The schedule.
    pub schedule: String,
    /// When it was due.
    pub due: Timestamp,
    /// What came of it.
    pub outcome: FiringOutcome,
}

/// What came of a firing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum FiringOutcome {
    /// It did what it was for.
    Succeeded {
        /// The backup or drill it started.
        started: String,
    },
    /// It did not.
    Failed {
        /// Why.
        reason: String,
    },
    /// It was not done.
    Missed {
        /// Why.
        reason: String,
    },
}

/// Says that a firing nobody took on did not happen. Changes nothing when it was taken on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordMissed {
    /// The schedule.
    pub schedule: String,
    /// When it was due.
    pub due: Timestamp,
    /// Why it was missed.
    pub reason: String,
}

/// Begins a backup. Refused while another backup of the group runs. Answered with `Answer::Done`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StartBackup {
    /// Its name.
    pub backup: String,
    /// The group.
    pub group: ProtectionGroup,
    /// Where its objects go: bucket and prefix.
    pub repository: String,
    /// The schedule that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
}

/// Says what came of a backup. Answered with `Answer::Done`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FinishBackup {
    /// The backup.
    pub backup: String,
    /// What came of it.
    pub outcome: BackupOutcome,
}

/// What came of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum BackupOutcome {
    /// Its manifest is written.
    Completed(BackupSummary),
    /// It has no manifest.
    Failed {
        /// Why.
        reason: String,
    },
}

/// What a completed backup holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupSummary {
    /// The key of its manifest.
    pub manifest: String,
    /// The manifest's hash.
    pub manifest_hash: String,
    /// The instant of its cut.
    pub cut_at: Timestamp,
    /// How many topics.
    pub topics: u64,
    /// How many partitions.
    pub partitions: u64,
    /// How many records.
    pub records: u64,
    /// How many bytes.
    pub bytes: ByteCount,
}

/// Forgets a backup whose objects are gone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ForgetBackup {
    /// The backup.
    pub backup: String,
}

/// Begins a restore: creates its topics, which clients do not see yet. All or nothing. Answered with `Answer::Topics`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StartRestore {
    /// Its name.
    pub restore: String,
    /// The backup it reads.
    pub backup: String,
    /// Its topics.
    pub topics: Vec<RestoredTopic>,
}

/// A topic a restore writes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RestoredTopic {
    /// Its name in the backup.
    pub source: TopicName,
    /// The topic to be created.
    pub topic: NewTopic,
    /// The topic of that name that gives way, because whoever asks has seen that it is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<TopicId>,
}

/// Says what came of a restore: its topics are opened to clients, or deleted. Answered with `Answer::Done`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FinishRestore {
    /// The restore.
    pub restore: String,
    /// What came of it.
    pub outcome: RestoreOutcome,
}

/// What came of a restore.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum RestoreOutcome {
    /// Everything is there and verified.
    Completed(RestoreSummary),
    /// Something is not.
    Failed {
        /// Why.
        reason: String,
    },
}

/// What a completed restore wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreSummary {
    /// How many partitions.
    pub partitions: u64,
    /// How many of them were being written at one moment, at most.
    #[serde(default)]
    pub at_once: u64,
    /// How many records.
    pub records: u64,
    /// How many bytes.
    pub bytes: ByteCount,
    /// How many group offsets.
    pub offsets: u64,
}

/// What a drill rehearses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DrillKind {
    /// A region is lost.
    RegionLoss,
    /// A planned switch.
    Switchover,
    /// A backup is restored into scratch topics.
    Restore,
    /// Nothing is touched: could it be done?
    Evaluate,
}

/// Begins a drill. Refused while another drill of the group is in progress. Answered with `Answer::Done`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StartDrill {
    /// Its name.
    pub drill: String,
    /// What it rehearses.
    pub kind: DrillKind,
    /// The group.
    pub group: ProtectionGroup,
    /// The schedule that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
}

/// Says what came of a drill. Answered with `Answer::Done`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FinishDrill {
    /// Its scorecard; it names the drill.
    pub scorecard: Scorecard,
    /// The run it rehearsed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
}
