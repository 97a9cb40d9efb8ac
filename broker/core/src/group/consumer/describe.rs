use super::Partitions;
use super::group::ConsumerGroup;
use super::state::Member;
use crate::group::{InstanceId, MemberId};

/// A group, as ConsumerGroupDescribe shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerDescription {
    /// Kafka's name of where it stands.
    pub state: &'static str,
    /// Its epoch.
    pub epoch: i32,
    /// The epoch of its targets.
    pub target_epoch: i32,
    /// The assignor it uses.
    pub assignor: &'static str,
    /// Its members.
    pub members: Vec<ConsumerMember>,
}

/// One member of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerMember {
    /// Its name.
    pub member: MemberId,
    /// Its static name.
    pub instance: Option<InstanceId>,
    /// Where it runs.
    pub rack: Option<String>,
    /// Its epoch.
    pub epoch: i32,
    /// What its client calls itself.
    pub client_id: String,
    /// Where it comes from.
    pub client_host: String,
    /// The topics it reads by name.
    pub topics: Vec<String>,
    /// The pattern it reads by.
    pub pattern: Option<String>,
    /// What it may own.
    pub assigned: Partitions,
    /// What it should own.
    pub target: Partitions,
    /// Whether it speaks the classic protocol.
    pub is_classic: bool,
}

impl ConsumerGroup {
    pub(super) fn describe(&self) -> ConsumerDescription {
        let state = self.state();
        let member = |(id, member): (&MemberId, &std::sync::Arc<Member>)| ConsumerMember {
            member: id.clone(),
            instance: member.instance.clone(),
            rack: member.rack.clone(),
            epoch: member.epoch,
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            topics: member.topics.iter().cloned().collect(),
            pattern: member.pattern.clone(),
            assigned: member.assigned.clone(),
            target: (*state.target(id)).clone(),
            is_classic: member.classic.is_some(),
        };
        ConsumerDescription {
            state: state.name(),
            epoch: state.epoch,
            target_epoch: state.target_epoch,
            assignor: state.assignor().name(),
            members: state.members.iter().map(member).collect(),
        }
    }
}
