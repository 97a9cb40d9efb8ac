//! What a run cost: how long it took and what was lost, measured. Provisional until the old log is back.

use crate::plan::{Kind, PlanId};
use crate::run::Outcome;
use model::{Offset, OffsetRange, OwnershipEpoch, PartitionId, ProtectionGroup, RegionName, RunId, Timestamp, TopicId};
use serde::{Deserialize, Serialize};

/// The report of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The run.
    pub run: RunId,
    /// Its plan.
    pub plan: PlanId,
    /// What kind of move it was.
    pub kind: Kind,
    /// The group.
    pub group: ProtectionGroup,
    /// The owner before.
    pub source: RegionName,
    /// The owner after.
    pub target: RegionName,
    /// The grant before.
    pub from_epoch: OwnershipEpoch,
    /// The grant after, once there is one.
    pub to_epoch: Option<OwnershipEpoch>,
    /// How the run ended, once it has.
    pub outcome: Option<Outcome>,
    /// The five instants.
    pub times: Times,
    /// From the incident to the first canary produced and consumed at the new owner.
    pub rto_ms: Option<u64>,
    /// Whether that is within the objective.
    pub rto_met: Option<bool>,
    /// What was lost, over all partitions.
    pub rpo: Loss,
    /// Whether the seconds lost are within the objective.
    pub rpo_met: Option<bool>,
    /// What was lost, partition by partition; only those that had something at stake.
    pub partitions: Vec<PartitionLoss>,
    /// Whether more may come to light.
    pub standing: Standing,
}

/// The five instants of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// t0: the last good sign of the source; in a planned switch, when writes were stopped.
    pub incident: Option<Timestamp>,
    /// t1: the run was created.
    pub decision: Option<Timestamp>,
    /// t2: the target became the owner.
    pub pivot: Option<Timestamp>,
    /// t3: the first canary was produced and consumed at the new owner.
    pub canary: Option<Timestamp>,
    /// t4: the group's objective is met again: another standby follows the new owner closely enough.
    pub recovered: Option<Timestamp>,
}

/// An amount of lost data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Loss {
    /// Records.
    pub records: u64,
    /// Bytes.
    pub bytes: u64,
    /// Seconds of writes: from the append of the oldest lost record to the last sign or last append of the source.
    pub seconds: f64,
}

/// What one partition lost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartitionLoss {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionId,
    /// The last offset both lineages share: everything of the old lineage from here on is declared lost.
    pub common_end: Offset,
    /// Where the old lineage ended: exactly when `tail_known`, else as last heard of.
    pub old_tail: Option<Offset>,
    /// Whether that is what the old log says.
    pub tail_known: bool,
    /// Kept, but above the source's last watermark heard of: whether the source had committed it is not known yet.
    pub unproven: Option<OffsetRange>,
    /// How much.
    pub loss: Loss,
    /// Where the old owner's records were archived, once they are.
    pub archived: Option<Archived>,
}

impl PartitionLoss {
    /// The offsets of the old lineage that are declared lost, as far as their end is known.
    pub fn declared(&self) -> Option<OffsetRange> {
        self.old_tail.map(|tail| OffsetRange::new(self.common_end, tail.max(self.common_end)))
    }
}

/// A diverged tail on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archived {
    /// In this region.
    pub region: RegionName,
    /// Under this name, relative to its data directory.
    pub file: String,
    /// These offsets.
    pub range: OffsetRange,
}

/// Whether more may come to light.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "standing")]
pub enum Standing {
    /// The old log has not come back for every partition.
    Provisional {
        /// How many partitions are still waited for.
        waiting_for: usize,
        /// The region they are waited for from.
        region: RegionName,
    },
    /// Nothing more can come.
    Final,
}
