use mirror_core::mode::Change;
use model::{AtRisk, ModeEpoch, OwnershipEpoch, ProtectionGroup};
use serde::{Deserialize, Serialize};

/// Changes what a group's acknowledgements promise across regions, and the RPO ledger with it. Answered with
/// `Answer::Grant`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangeMode {
    /// The group.
    pub group: ProtectionGroup,
    /// The grant it was decided under.
    pub ownership_epoch: OwnershipEpoch,
    /// The mode it was decided in.
    pub mode_epoch: ModeEpoch,
    /// What changes.
    pub change: Change,
}

/// Raises the worst of the group's open exposure. Answered with `Answer::Done`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NoteExposure {
    /// The group.
    pub group: ProtectionGroup,
    /// The change of mode that began the exposure.
    pub mode_epoch: ModeEpoch,
    /// How much a crash would have lost.
    pub worst: AtRisk,
}
