//! What all requests about consumer groups share: entering a group, and Kafka's codes for what goes wrong.

use crate::groups::NotHere;
use broker_core::group::{GroupError, InstanceId};
use std::time::Duration;
use wire::ErrorCode;

/// Kafka's code for what a group says no to.
pub(crate) fn group_code(error: &GroupError) -> ErrorCode {
    match error {
        GroupError::CoordinatorNotAvailable => ErrorCode::COORDINATOR_NOT_AVAILABLE,
        GroupError::NotCoordinator => ErrorCode::NOT_COORDINATOR,
        GroupError::InvalidGroupId => ErrorCode::INVALID_GROUP_ID,
        GroupError::IllegalGeneration { .. } => ErrorCode::ILLEGAL_GENERATION,
        GroupError::InconsistentProtocol => ErrorCode::INCONSISTENT_GROUP_PROTOCOL,
        GroupError::UnknownMember(_) => ErrorCode::UNKNOWN_MEMBER_ID,
        GroupError::InvalidSessionTimeout { .. } => ErrorCode::INVALID_SESSION_TIMEOUT,
        GroupError::RebalanceInProgress => ErrorCode::REBALANCE_IN_PROGRESS,
        GroupError::MemberIdRequired(_) => ErrorCode::MEMBER_ID_REQUIRED,
        GroupError::GroupFull(_) => ErrorCode::GROUP_MAX_SIZE_REACHED,
        GroupError::FencedInstance(_) => ErrorCode::FENCED_INSTANCE_ID,
        GroupError::NonEmptyGroup => ErrorCode::NON_EMPTY_GROUP,
        GroupError::GroupNotFound => ErrorCode::GROUP_ID_NOT_FOUND,
        GroupError::TooMuchMetadata { .. } | GroupError::InvalidHeartbeat(_) => ErrorCode::INVALID_REQUEST,
        GroupError::FencedMemberEpoch { .. } => ErrorCode::FENCED_MEMBER_EPOCH,
        GroupError::StaleMemberEpoch { .. } => ErrorCode::STALE_MEMBER_EPOCH,
        GroupError::UnreleasedInstance(_) => ErrorCode::UNRELEASED_INSTANCE_ID,
        GroupError::UnsupportedAssignor(_) => ErrorCode::UNSUPPORTED_ASSIGNOR,
        GroupError::InvalidPattern(_) => ErrorCode::INVALID_REGULAR_EXPRESSION,
        GroupError::CommitTooOld => ErrorCode::UNSUPPORTED_VERSION,
        GroupError::OtherProtocol => ErrorCode::GROUP_ID_NOT_FOUND,
    }
}

impl NotHere {
    /// Kafka's code for it.
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::Loading => ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
            Self::OtherBroker | Self::Elsewhere => ErrorCode::NOT_COORDINATOR,
        }
    }
}

/// The static name of a member, if it has one.
pub(crate) fn instance(name: Option<String>) -> Option<InstanceId> {
    name.filter(|name| !name.is_empty()).map(InstanceId::new)
}

/// A time a client gives; a negative one is none.
pub(crate) fn millis(millis: i32) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}
