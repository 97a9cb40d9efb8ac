use super::Partitions;
use crate::group::{InstanceId, MemberId};
use model::GroupId;
use std::collections::BTreeSet;
use std::time::Duration;

/// A member says where it stands (ConsumerGroupHeartbeat); what is `None` is as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerHeartbeat {
    /// The group.
    pub group: GroupId,
    /// Its name; empty when it wants one.
    pub member: MemberId,
    /// The name it gets in that case. Never used twice.
    pub fresh_member: MemberId,
    /// Whether it has to bring its name (version 1 and later).
    pub names_itself: bool,
    /// Its epoch; 0 to join, -1 to leave, -2 to leave and come back.
    pub epoch: i32,
    /// Its static name.
    pub instance: Option<InstanceId>,
    /// Where it runs.
    pub rack: Option<String>,
    /// What its client calls itself.
    pub client_id: String,
    /// Where it comes from.
    pub client_host: String,
    /// How long it may take to give partitions back.
    pub rebalance_timeout: Option<Duration>,
    /// What it reads.
    pub topics: Option<BTreeSet<String>>,
    /// What it reads, as a pattern in RE2's syntax; empty for none.
    pub pattern: Option<String>,
    /// The assignor it wants.
    pub assignor: Option<String>,
    /// What it owns.
    pub owned: Option<Partitions>,
}

impl ConsumerHeartbeat {
    /// Whether it tells everything, as a member does that has lost track: then it is told everything too.
    pub(super) fn is_full(&self) -> bool {
        let subscribes = self.topics.is_some() || self.pattern.is_some();
        self.rebalance_timeout.is_some() && subscribes && self.owned.is_some()
    }

    /// Whether it is a sign of life and nothing else.
    pub(super) fn is_bare(&self) -> bool {
        let subscribes = self.topics.is_some() || self.pattern.is_some() || self.assignor.is_some();
        !subscribes && self.rack.is_none() && self.rebalance_timeout.is_none()
    }
}

/// The answer to a [`ConsumerHeartbeat`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assigned {
    /// The member's name.
    pub member: MemberId,
    /// Its epoch from now on.
    pub epoch: i32,
    /// How soon it is expected again.
    pub heartbeat_interval: Duration,
    /// What it may own; `None` when that has not changed.
    pub assignment: Option<Partitions>,
}
