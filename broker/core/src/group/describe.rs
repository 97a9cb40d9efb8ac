use super::consumer::ConsumerGroup;
use super::machine::{Group, Phase};
use super::member::Member;
use super::{InstanceId, MemberId};
use bytes::Bytes;
use model::GroupId;

/// A group, as DescribeGroups shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Where it stands.
    pub phase: Phase,
    /// `consumer`, `connect`, ... or nothing.
    pub protocol_type: String,
    /// What its members agreed on; empty unless it is stable.
    pub protocol: String,
    /// Its members.
    pub members: Vec<MemberDescription>,
}

/// One member of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberDescription {
    /// Its name.
    pub member: MemberId,
    /// Its static name.
    pub instance: Option<InstanceId>,
    /// What its client calls itself.
    pub client_id: String,
    /// Where it comes from.
    pub client_host: String,
    /// What it told about itself; empty unless the group is stable.
    pub metadata: Bytes,
    /// What it was given; empty unless the group is stable.
    pub assignment: Bytes,
}

/// A group, as ListGroups shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The group.
    pub group: GroupId,
    /// `consumer`, `connect`, ... or nothing.
    pub protocol_type: String,
    /// Kafka's name of where it stands.
    pub state: &'static str,
    /// Kafka's name of its protocol: `classic` or `consumer`.
    pub protocol: &'static str,
}

impl Listing {
    /// A group that only committed offsets.
    pub fn without_members(group: GroupId) -> Self {
        Self { group, protocol_type: String::new(), state: Phase::Empty.name(), protocol: CLASSIC }
    }
}

/// Kafka's name of the protocol in which a member assigns.
const CLASSIC: &str = "classic";
/// Kafka's name of the protocol in which the coordinator assigns, and of what its members do.
const CONSUMER: &str = "consumer";

impl ConsumerGroup {
    pub(super) fn listing(&self) -> Listing {
        let (group, state) = (self.id().clone(), self.state().name());
        Listing { group, protocol_type: CONSUMER.to_owned(), state, protocol: CONSUMER }
    }
}

impl Group {
    pub(super) fn describe(&self) -> Description {
        let stable = self.phase == Phase::Stable;
        let protocol = self.protocol.clone().filter(|_| stable).unwrap_or_default();
        let described = |(id, member): (&MemberId, &Member)| MemberDescription {
            member: id.clone(),
            instance: member.instance.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            metadata: if stable { member.metadata(&protocol) } else { Bytes::new() },
            assignment: if stable { member.assignment.clone() } else { Bytes::new() },
        };
        let members = self.members.iter().map(described).collect();
        Description { phase: self.phase, protocol_type: self.protocol_type(), protocol, members }
    }

    pub(super) fn listing(&self) -> Listing {
        let (group, state) = (self.id.clone(), self.phase.name());
        Listing { group, protocol_type: self.protocol_type(), state, protocol: CLASSIC }
    }

    fn protocol_type(&self) -> String {
        self.protocol_type.clone().unwrap_or_default()
    }
}
