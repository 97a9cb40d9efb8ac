//! Long work: backups, restores, evaluating drills. The council keeps book of it; the owner region's node does it.
//!
//! ```text
//!  Works::back_up, restore, drill        (any node)   entry: started
//!        |
//!  keep  ---- is it done? -------------> Workshop of the owner region's node -> Archivist
//!        |                                  (one job per name, whoever asks how often)
//!        +-- entry: finished             (the leader, also the next one)
//! ```
//!
//! Starting work is an entry of the council; the leader sees to everything that is started and not finished. A job is
//! known by its name, so that asking for it twice does it once. A job that its region forgot (its process was restarted)
//! has failed: a backup without a manifest is none, and a restore's topics are deleted.

mod destination;
mod drills;
mod keep;
mod publish;
mod restore;
mod salvage;
mod workshop;

pub(crate) use restore::PARALLEL_MAX;
pub use restore::{RestoreWish, TopicWish};
pub(crate) use salvage::KnownTail;
pub(crate) use workshop::Workshop;

use crate::council::{Call, CallFailed, Council, CouncilError, Reply};
use crate::execute::Recovery;
use crate::ports::{
    ArchivedTopic, BackupReceipt, BackupRequest, InspectError, Ports, Progress, RestoreReceipt, RestoreRequest,
};
use catalog::CatalogError;
use catalog::command::{DrillKind, StartBackup, StartDrill};
use model::{ProtectionGroup, RegionName, TopicName};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long a region may take to say how its work goes.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// What a region is asked to do with an archive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkCall {
    /// Begin this backup, unless it has begun. Answered with [`WorkReply::State`].
    Backup(BackupRequest),
    /// Begin this restore, unless it has begun. Answered with [`WorkReply::State`].
    Restore(RestoreRequest),
    /// How the backup or restore of this name stands.
    State(String),
    /// What the backup of this name holds. Answered with [`WorkReply::Inspected`].
    Inspect(String),
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkReply {
    /// How the work stands.
    State(JobState),
    /// What a backup holds.
    Inspected(Result<Vec<ArchivedTopic>, InspectError>),
}

/// How a backup or restore stands in its region.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// This process never heard of it.
    Unknown,
    /// At work.
    Running(Progress),
    /// A backup is complete.
    BackedUp(BackupReceipt),
    /// A restore is complete.
    Restored(RestoreReceipt),
    /// Not done, and why.
    Failed(String),
}

/// Why work was not begun.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// The council refused, or did not answer.
    #[error(transparent)]
    Council(#[from] CouncilError),
    /// The catalog cannot be read.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// No such group.
    #[error("there is no protection group {0}")]
    UnknownGroup(ProtectionGroup),
    /// No such backup, or none that is complete.
    #[error("there is no completed backup {0}")]
    UnknownBackup(String),
    /// The backup is not what was written.
    #[error("backup {backup} cannot be restored: {what}")]
    Damaged {
        /// The backup.
        backup: String,
        /// What is wrong with it.
        what: String,
    },
    /// The backup has no such topic.
    #[error("backup {backup} holds no topic {topic}; it holds {held}")]
    NotInBackup {
        /// The backup.
        backup: String,
        /// What was asked for.
        topic: TopicName,
        /// What it holds.
        held: String,
    },
    /// A topic of a target name has data.
    #[error(
        "topic {topic} has data ({records} offsets in partition {partition}); delete it first, or restore under another name"
    )]
    HasData {
        /// The topic.
        topic: TopicName,
        /// One of its partitions that has.
        partition: model::PartitionId,
        /// How much.
        records: u64,
    },
    /// Every topic of the backup is there.
    #[error("every topic of backup {0} is there and has data; nothing is to be restored")]
    NothingToRestore(String),
    /// No such diverged tail.
    #[error("there is no diverged tail {0}")]
    UnknownTail(String),
    /// The records of the tail belong nowhere.
    #[error("diverged tail {tail} cannot be written again: {what}")]
    NotReinjectable {
        /// The tail.
        tail: String,
        /// Why.
        what: String,
    },
    /// The owner region cannot say or do what is needed.
    #[error("region {region}: {what}")]
    Region {
        /// The region.
        region: RegionName,
        /// What is the matter.
        what: String,
    },
}

/// Begins long work and sees to it.
#[derive(Clone)]
pub struct Works {
    council: Council,
    ports: Ports,
    recovery: Recovery,
    repository: String,
}

impl Works {
    /// The work of this node's council; backups go to `repository` (bucket and prefix, for people).
    pub fn new(council: Council, ports: Ports, recovery: Recovery, repository: impl Into<String>) -> Self {
        Self { council, ports, recovery, repository: repository.into() }
    }

    /// Begins a backup of a group, called `name` or anew, and says what it is called.
    ///
    /// # Errors
    /// [`WorkError`]: for example when another backup of the group is at work.
    pub async fn back_up(
        &self,
        group: &ProtectionGroup,
        name: Option<String>,
        schedule: Option<String>,
        by: &str,
    ) -> Result<String, WorkError> {
        let backup = name.unwrap_or_else(|| self.new_name("backup"));
        let (group, repository) = (group.clone(), self.repository.clone());
        self.council.propose(by, StartBackup { backup: backup.clone(), group, repository, schedule }).await?;
        Ok(backup)
    }

    /// Begins a drill that evaluates whether a failover of the group could be done, and says what it is called.
    ///
    /// # Errors
    /// [`WorkError`]: for example when another drill of the group is in progress.
    pub async fn drill(
        &self,
        group: &ProtectionGroup,
        name: Option<String>,
        schedule: Option<String>,
        by: &str,
    ) -> Result<String, WorkError> {
        let drill = name.unwrap_or_else(|| self.new_name("drill"));
        let start = StartDrill { drill: drill.clone(), kind: DrillKind::Evaluate, group: group.clone(), schedule };
        self.council.propose(by, start).await?;
        Ok(drill)
    }

    /// How far a backup or restore of the group is, while a region works on it.
    pub async fn progress(&self, group: &ProtectionGroup, work: &str) -> Option<Progress> {
        let owner = self.owner(group).ok()?;
        match self.ask(&owner, WorkCall::State(work.to_owned())).await {
            Ok(JobState::Running(progress)) => Some(progress),
            _ => None,
        }
    }

    fn owner(&self, group: &ProtectionGroup) -> Result<RegionName, WorkError> {
        let view = self.council.view();
        let known = view.group(group).map(|group| group.grant.owner.clone());
        known.ok_or_else(|| WorkError::UnknownGroup(group.clone()))
    }

    fn new_name(&self, kind: &str) -> String {
        format!("{kind}-{:012x}", self.ports.entropy.next_u64() >> 16)
    }

    async fn ask(&self, region: &RegionName, call: WorkCall) -> Result<JobState, CallFailed> {
        match self.council.call_region(region, &Call::Work(call), CALL_TIMEOUT).await? {
            Reply::Work(WorkReply::State(state)) => Ok(state),
            other => Err(CallFailed { what: format!("{region} answered {other:?}"), may_have_happened: true }),
        }
    }
}
