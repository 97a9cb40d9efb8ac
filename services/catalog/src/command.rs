//! What can be asked of the council: the entries of its log.
//!
//! A command holds everything its effect depends on, the time and every id included, so that every node that applies it
//! comes to the same state. The JSON form is what logs on disk hold; golden files pin it.

mod evidence;
mod group;
mod mode;
mod ownership;
mod platform;
mod publication;
mod run;
mod topic;
mod work;

pub use evidence::{
    FinishReinjection, RecordDiverged, RecordGaps, ReinjectionOutcome, ReinjectionPlan, ReinjectionSummary,
    StartReinjection,
};
pub use group::{CreateGroup, DeleteGroup, UpdateGroup};
pub use mode::{ChangeMode, NoteExposure};
pub use ownership::{Pivot, Redirect, Regrant, Revoke};
pub use platform::{
    Addresses, BlockAutomation, FormPlatform, Founder, FoundingWitness, JoinRegion, JoinWitness, NodePort, PutSetting,
    RegisterGateway, UnblockAutomation, WITNESS_SLOT, council_node_id,
};
pub use publication::{FinishPublication, PublicationPlan, PublicationSummary, PublishedRun, StartPublication};
pub use run::{AppendRunEvent, StartRun, StorePlan, StoreReport};
pub use topic::{
    AddPartitions, AlterTopicConfig, CreateTopics, DeleteTopic, DeleteTopics, FollowTopic, NewTopic, PurgeTopics,
};
pub use work::{
    BackupOutcome, BackupSummary, ClaimFiring, DeleteSchedule, DrillKind, FinishBackup, FinishDrill, FinishFiring,
    FinishRestore, FiringOutcome, ForgetBackup, PutSchedule, RecordMissed, RestoreOutcome, RestoreSummary,
    RestoredTopic, StartBackup, StartDrill, StartRestore,
};

use crate::limits;
use model::Timestamp;
use serde::{Deserialize, Deserializer, Serialize};

/// The form this program writes.
const VERSION: u16 = 1;

/// One entry of the council's log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Command {
    #[serde(rename = "v", deserialize_with = "known_version")]
    version: u16,
    /// When it was asked for, on the clock of the node that was asked.
    pub at: Timestamp,
    /// Who asked: a user, or `system:` and the name of a region.
    pub by: String,
    /// A key the asker chose: the same key again gets the same answer and has no second effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// What shall change.
    pub change: Change,
}

/// An entry this program cannot read.
#[derive(Debug, thiserror::Error)]
pub enum BadCommand {
    /// It is not the JSON of a command.
    #[error("this is no command: {0}; was it written by a newer farshore?")]
    Unreadable(#[from] serde_json::Error),
    /// It is of a later form.
    #[error("the command is of form {found}, this program knows forms up to {VERSION}; update farshore on this node")]
    Newer {
        /// Its form.
        found: u16,
    },
    /// It is too large.
    #[error("a command of {bytes} bytes is above the limit of {} bytes", limits::COMMAND_BYTES_MAX)]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
}

impl Command {
    /// The wish of `by`, uttered at `at`.
    pub fn new(at: Timestamp, by: impl Into<String>, change: impl Into<Change>) -> Self {
        Self { version: VERSION, at, by: by.into(), request: None, change: change.into() }
    }

    /// The same under a key: see [`Command::request`].
    #[must_use]
    pub fn with_request(mut self, key: impl Into<String>) -> Self {
        self.request = Some(key.into());
        self
    }

    /// The bytes of the log entry.
    ///
    /// # Errors
    /// [`BadCommand::TooLarge`] when no node would accept it.
    pub fn encode(&self) -> Result<Vec<u8>, BadCommand> {
        let bytes = serde_json::to_vec(self)?;
        if bytes.len() > limits::COMMAND_BYTES_MAX {
            return Err(BadCommand::TooLarge { bytes: bytes.len() });
        }
        Ok(bytes)
    }

    /// Reads the bytes of a log entry.
    ///
    /// # Errors
    /// [`BadCommand`]: the entry was decided and cannot be skipped, so a node that gets this has to stop.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadCommand> {
        if bytes.len() > limits::COMMAND_BYTES_MAX {
            return Err(BadCommand::TooLarge { bytes: bytes.len() });
        }
        let version: Version = serde_json::from_slice(bytes)?;
        if version.version > VERSION {
            return Err(BadCommand::Newer { found: version.version });
        }
        Ok(serde_json::from_slice(bytes)?)
    }
}

#[derive(Deserialize)]
struct Version {
    #[serde(rename = "v")]
    version: u16,
}

/// Whoever reads a command by other ways than [`Command::decode`] does not take a later form for this one either.
fn known_version<'de, D: Deserializer<'de>>(input: D) -> Result<u16, D::Error> {
    match u16::deserialize(input)? {
        known @ ..=VERSION => Ok(known),
        found => Err(serde::de::Error::custom(BadCommand::Newer { found })),
    }
}

macro_rules! changes {
    ($($(#[$doc:meta])* $variant:ident = $kind:literal, $subject:expr;)*) => {
        /// What shall change. Each variant's arguments say what it does and when it is refused.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        pub enum Change {
            $(
                $(#[$doc])*
                #[serde(rename = $kind)]
                $variant($variant),
            )*
        }

        impl Change {
            /// The name of the kind of change, as in its JSON.
            pub const fn kind(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $kind,)*
                }
            }

            /// The name of what it changes.
            pub fn subject(&self) -> String {
                match self {
                    $(Self::$variant(change) => ($subject as fn(&$variant) -> String)(change),)*
                }
            }
        }

        $(
            impl From<$variant> for Change {
                fn from(change: $variant) -> Self {
                    Self::$variant(change)
                }
            }
        )*
    };
}

changes! {
    /// Forms the platform.
    FormPlatform = "form_platform", |c| c.cluster_id.clone();
    /// Takes a region in, or back.
    JoinRegion = "join_region", |c| c.region.to_string();
    /// Takes a witness in, or back.
    JoinWitness = "join_witness", |c| c.name.clone();
    /// Takes a gateway in and gives it its virtual nodes.
    RegisterGateway = "register_gateway", |c| c.gateway.clone();
    /// Sets a setting.
    PutSetting = "put_setting", |c| c.name.clone();
    /// Forbids automatic action on a group for a while.
    BlockAutomation = "block_automation", |c| c.group.to_string();
    /// Allows it again.
    UnblockAutomation = "unblock_automation", |c| c.group.to_string();
    /// Creates topics.
    CreateTopics = "create_topics", CreateTopics::names;
    /// Deletes topics.
    DeleteTopics = "delete_topics", DeleteTopics::names;
    /// Changes the configuration of a topic.
    AlterTopicConfig = "alter_topic_config", |c| c.topic.to_string();
    /// Gives a topic more partitions.
    AddPartitions = "add_partitions", |c| c.topic.to_string();
    /// Has a topic copied that was made again.
    FollowTopic = "follow_topic", |c| c.topic.to_string();
    /// Forgets topics that were deleted long ago.
    PurgeTopics = "purge_topics", |c| c.deleted_before.to_string();
    /// Creates a protection group.
    CreateGroup = "create_group", |c| c.policy.name.to_string();
    /// Replaces what a protection group is asked to be.
    UpdateGroup = "update_group", |c| c.policy.name.to_string();
    /// Deletes a protection group.
    DeleteGroup = "delete_group", |c| c.group.to_string();
    /// Changes what a group's acknowledgements promise across regions.
    ChangeMode = "change_mode", |c| c.group.to_string();
    /// Raises the worst of a group's open exposure.
    NoteExposure = "note_exposure", |c| c.group.to_string();
    /// Ends the owner's lease.
    Revoke = "revoke", |c| c.group.to_string();
    /// Undoes `Revoke`.
    Regrant = "regrant", |c| c.group.to_string();
    /// Makes another region the owner.
    Pivot = "pivot", |c| c.group.to_string();
    /// Sends clients to the owner.
    Redirect = "redirect", |c| c.group.to_string();
    /// Keeps a plan.
    StorePlan = "store_plan", |c| c.plan.id.to_string();
    /// Starts a run of a plan.
    StartRun = "start_run", |c| c.run.to_string();
    /// Appends to the events of a run.
    AppendRunEvent = "append_run_event", |c| c.run.to_string();
    /// Keeps the report of a run.
    StoreReport = "store_report", |c| c.report.run.to_string();
    /// Keeps facts about diverged tails.
    RecordDiverged = "record_diverged", |c| c.region.to_string();
    /// Keeps facts about gaps.
    RecordGaps = "record_gaps", |c| c.region.to_string();
    /// Begins to write a diverged tail again.
    StartReinjection = "start_reinjection", |c| c.tail.clone();
    /// Says what came of it.
    FinishReinjection = "finish_reinjection", |c| c.tail.clone();
    /// Begins to publish a diverged tail in a topic of its own.
    StartPublication = "start_publication", |c| c.tail.clone();
    /// Says where its records are.
    FinishPublication = "finish_publication", |c| c.tail.clone();
    /// Creates or replaces a schedule.
    PutSchedule = "put_schedule", |c| c.schedule.name.clone();
    /// Deletes a schedule.
    DeleteSchedule = "delete_schedule", |c| c.name.clone();
    /// Takes on a firing of a schedule.
    ClaimFiring = "claim_firing", |c| c.schedule.clone();
    /// Says what came of a firing.
    FinishFiring = "finish_firing", |c| c.schedule.clone();
    /// Says that a firing did not happen.
    RecordMissed = "record_missed", |c| c.schedule.clone();
    /// Begins a backup.
    StartBackup = "start_backup", |c| c.backup.clone();
    /// Says what came of a backup.
    FinishBackup = "finish_backup", |c| c.backup.clone();
    /// Forgets a backup that is gone.
    ForgetBackup = "forget_backup", |c| c.backup.clone();
    /// Begins a restore.
    StartRestore = "start_restore", |c| c.restore.clone();
    /// Says what came of a restore.
    FinishRestore = "finish_restore", |c| c.restore.clone();
    /// Begins a drill.
    StartDrill = "start_drill", |c| c.drill.clone();
    /// Says what came of a drill.
    FinishDrill = "finish_drill", |c| c.scorecard.drill.clone();
}
