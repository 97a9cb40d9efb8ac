use dr_planner::policy;
use model::{ProtectionGroup, TopicId};
use serde::{Deserialize, Serialize};

/// Creates a protection group and its canary topic. Answered with `Answer::Group`.
///
/// Topics it covers more closely than their group does move to it. They bring their owner along: they must all have the
/// same one, whose other standbys and leases are not touched, and the new group's first ownership epoch is above theirs.
/// A group that takes over no topic starts at its home.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CreateGroup {
    /// What is asked of it.
    pub policy: policy::Group,
    /// The id its canary topic gets.
    pub canary: TopicId,
}

/// Replaces what is asked of a protection group. Ownership is not touched. Answered with `Answer::Group`.
///
/// Topics that it covers from now on, or no longer, move as in [`CreateGroup`], within one owner.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UpdateGroup {
    /// What is asked of it; the name says of which.
    pub policy: policy::Group,
    /// The revision it must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<u64>,
}

/// Deletes a protection group and its canary topic; its other topics move to the group that covers them next. Answered
/// with `Answer::Done`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeleteGroup {
    /// The group.
    pub group: ProtectionGroup,
    /// The revision it must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<u64>,
}
