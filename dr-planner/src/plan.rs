//! A plan: what to do, in which order, with nothing left to choose. Making one changes nothing; once made it never
//! changes, and a run carries a copy of it.

mod build;
mod step;

pub use build::{Refused, Request, build, leading};
pub use step::{Action, InDrill, Retry, Step, step_ids};

use model::{Opening, OwnershipEpoch, PartitionId, ProtectionGroup, RegionName, StepId, Timestamp, TopicId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The name of a plan.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PlanId(pub String);

impl fmt::Display for PlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What to do about one protection group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Its name.
    pub id: PlanId,
    /// The plan it replaces, if any.
    pub parent: Option<PlanId>,
    /// Which plan of its group it is; later plans have greater numbers.
    pub generation: u64,
    /// What kind of move it is.
    pub kind: Kind,
    /// The group it moves.
    pub group: ProtectionGroup,
    /// The owner it starts from.
    pub source: RegionName,
    /// The owner it ends with.
    pub target: RegionName,
    /// The ownership epoch it starts from; it is void under any other.
    pub ownership_epoch: OwnershipEpoch,
    /// The partitions of the group when it was made.
    pub partitions: Vec<(TopicId, PartitionId)>,
    /// The holes in the lineage it starts from: offsets nobody ever wrote, which count for nothing.
    pub holes: Vec<Opening>,
    /// The steps; each names the ones that must be done before it.
    pub steps: Vec<Step>,
    /// When it was made.
    pub created_at: Timestamp,
    /// The last good sign of the source (unplanned), or when the plan was made.
    pub incident_at: Timestamp,
    /// What made it.
    pub trigger: Trigger,
    /// Why, for people.
    pub reason: String,
    /// SHA-256 over everything it was made from.
    pub inputs_digest: String,
}

impl Plan {
    /// The step of that name.
    pub fn step(&self, id: &StepId) -> Option<&Step> {
        self.steps.iter().find(|step| step.id == *id)
    }

    /// SHA-256 over the plan itself: a run goes on with this very plan or not at all.
    pub fn digest(&self) -> String {
        build::digest(self)
    }

    /// The ownership epoch it ends with.
    pub fn new_epoch(&self) -> OwnershipEpoch {
        self.ownership_epoch.next()
    }
}

/// What kind of move a plan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Cut over now and accept the measured loss.
    Failover,
    /// Cut over after catching up; nothing is lost.
    Switchover,
    /// A switchover to the group's home.
    Failback,
    /// A rehearsal of a failover: nothing that matters is touched.
    Drill,
}

impl Kind {
    /// Whether the source may be dead or alive without our knowing, so that it is fenced by its lease alone.
    pub const fn is_unplanned(self) -> bool {
        matches!(self, Self::Failover | Self::Drill)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failover => "failover",
            Self::Switchover => "switchover",
            Self::Failback => "failback",
            Self::Drill => "drill",
        })
    }
}

/// What made a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "trigger")]
pub enum Trigger {
    /// A person asked.
    Manual {
        /// Who, as far as known.
        by: String,
    },
    /// A region fell silent, or answered badly for too long.
    RegionLost {
        /// The region.
        region: RegionName,
    },
    /// A schedule fired.
    Schedule {
        /// Which.
        name: String,
    },
}

impl Trigger {
    /// Whether nobody asked for it.
    pub const fn is_automatic(&self) -> bool {
        matches!(self, Self::RegionLost { .. })
    }
}
