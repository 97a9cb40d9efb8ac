//! What steps of a run do to ownership. Each is identified by (run, step): what was done before under the same identity
//! is answered again and not done twice. Each is refused when its run is over or is not the run of the group.

use super::Change;
use dr_planner::run::CouncilAction;
use model::{Opening, OwnershipEpoch, ProtectionGroup, RegionName, RunId, StepId};
use serde::{Deserialize, Serialize};

/// No renewal of this grant is answered any more. Answered with `Answer::Grant`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Revoke {
    /// The run.
    pub run: RunId,
    /// Its step.
    pub step: StepId,
    /// The group.
    pub group: ProtectionGroup,
    /// The grant.
    pub ownership_epoch: OwnershipEpoch,
}

/// The same grant stands again, for the same incarnation of the same holder. Answered with `Answer::Grant`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Regrant {
    /// The run.
    pub run: RunId,
    /// Its step.
    pub step: StepId,
    /// The group.
    pub group: ProtectionGroup,
    /// The grant.
    pub ownership_epoch: OwnershipEpoch,
    /// Its holder.
    pub owner: RegionName,
}

/// Makes another region the owner, if the group is still at `from`. Answered with `Answer::Grant`.
///
/// A hole (`base` above `common_end`) means that records may have been left behind, and needs the old grant revoked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pivot {
    /// The run.
    pub run: RunId,
    /// Its step.
    pub step: StepId,
    /// The group.
    pub group: ProtectionGroup,
    /// The grant that ends.
    pub from: OwnershipEpoch,
    /// The new owner.
    pub owner: RegionName,
    /// Its grant; above `from`.
    pub ownership_epoch: OwnershipEpoch,
    /// How partitions start; those not listed start at their tails.
    pub openings: Vec<Opening>,
}

/// Sends the gateways to the owner. Answered with `Answer::Route`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Redirect {
    /// The run.
    pub run: RunId,
    /// Its step.
    pub step: StepId,
    /// The group.
    pub group: ProtectionGroup,
    /// The owner.
    pub owner: RegionName,
    /// Its grant.
    pub ownership_epoch: OwnershipEpoch,
}

impl Change {
    /// The change a run's step asks the council for.
    pub fn of_step(run: RunId, step: StepId, action: CouncilAction) -> Self {
        match action {
            CouncilAction::Revoke { group, ownership_epoch } => Revoke { run, step, group, ownership_epoch }.into(),
            CouncilAction::Regrant { group, ownership_epoch, owner } => {
                Regrant { run, step, group, ownership_epoch, owner }.into()
            }
            CouncilAction::Pivot { group, from, owner, ownership_epoch, openings } => {
                Pivot { run, step, group, from, owner, ownership_epoch, openings }.into()
            }
            CouncilAction::Redirect { group, owner, ownership_epoch } => {
                Redirect { run, step, group, owner, ownership_epoch }.into()
            }
        }
    }
}
