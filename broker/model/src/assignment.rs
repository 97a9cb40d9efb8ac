//! What the council wants a region to be. A region makes it real; sending the same assignment twice changes nothing.

use crate::{
    ActiveActive, GroupId, Incarnation, LeaderEpoch, ModeState, Offset, OwnershipEpoch, PartitionId, ProtectionGroup,
    RegionName, TopicId, TopicName,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything one region has to know of the council's decisions, as of one entry of the council's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The council log entry this reflects. An assignment with a smaller index is out of date and is ignored.
    pub council_index: u64,
    /// The region it is for.
    pub region: RegionName,
    /// The incarnation the council gave that region.
    pub incarnation: Incarnation,
    /// Every protection group with its owner.
    pub groups: Vec<Grant>,
    /// Every topic, in every region that carries it.
    pub topics: Vec<TopicSpec>,
    /// Those of them that were made again under their names, and are not copied before a person says so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stopped: Vec<TopicId>,
    /// Where the other regions are reached.
    pub regions: Vec<RegionAddress>,
    /// The gateway's bootstrap address, named to clients that write to the wrong region.
    pub gateway: Option<String>,
}

/// Who owns a protection group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The group.
    pub group: ProtectionGroup,
    /// The region that may accept writes, or may have until the grant was revoked.
    pub owner: RegionName,
    /// The number of this grant.
    pub ownership_epoch: OwnershipEpoch,
    /// Whether it still stands.
    pub state: GrantState,
    /// The region it begins at and returns to.
    pub home: RegionName,
    /// The regions that keep copies, in the order in which they take over.
    pub standbys: Vec<RegionName>,
    /// What belongs to the group.
    pub coverage: Coverage,
    /// Where this grant's lineage departed from the one before, if records were left behind.
    pub openings: Vec<Opening>,
    /// What its acknowledgements promise across regions.
    #[serde(default, skip_serializing_if = "ModeState::is_initial")]
    pub mode: ModeState,
    /// Set where every region takes writes: then each is told that it is the owner itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<ActiveActive>,
}

/// Whether a grant still stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantState {
    /// The owner may renew its lease.
    Held,
    /// No renewal is answered any more; the owner's lease runs out.
    Revoked,
}

/// How one partition starts under a new grant after an unplanned failover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionId,
    /// The last offset both lineages share; the new lineage starts here.
    pub common_end: Offset,
    /// Where the new lineage's first batch lies. Equal to `common_end` when nothing that was acknowledged with acks=all can
    /// have been left behind: at the pivot the group was in SYNC, with the very copy that takes over.
    pub base: Offset,
}

impl Opening {
    /// Whether it leaves a hole: then writes that producers had acknowledged may be missing.
    pub fn leaves_hole(&self) -> bool {
        self.base > self.common_end
    }

    /// The same where nothing can be missing.
    #[must_use]
    pub const fn without_hole(self) -> Self {
        Self { base: self.common_end, ..self }
    }
}

/// Names a set of names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pattern {
    /// Exactly this name.
    Exact(String),
    /// Every name that begins so.
    Prefix(String),
    /// Every name but internal ones.
    Any,
}

impl Pattern {
    /// How closely it names `name`: the longer match wins over the shorter, an exact one over all; `None` is no match.
    pub fn closeness(&self, name: &str) -> Option<usize> {
        match self {
            Self::Exact(exact) => (exact == name).then_some(usize::MAX),
            Self::Prefix(prefix) => name.starts_with(prefix.as_str()).then_some(prefix.len() + 1),
            Self::Any => (!name.starts_with("__")).then_some(0),
        }
    }
}

/// What a protection group covers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// Its topics.
    pub topics: Vec<Pattern>,
    /// Its consumer groups.
    pub consumer_groups: Vec<Pattern>,
}

impl Coverage {
    /// How closely it covers the topic, see [`Pattern::closeness`].
    pub fn topic_closeness(&self, topic: &TopicName) -> Option<usize> {
        self.topics.iter().filter_map(|pattern| pattern.closeness(topic.as_str())).max()
    }

    /// How closely it covers the consumer group.
    pub fn consumer_group_closeness(&self, group: &GroupId) -> Option<usize> {
        self.consumer_groups.iter().filter_map(|pattern| pattern.closeness(group.as_str())).max()
    }
}

/// The one protection group among `groups` that coordinates `consumer_group`: the closest match, ties to the smaller
/// name, so that every region answers alike.
pub fn coordinating_grant<'a>(groups: &'a [Grant], consumer_group: &GroupId) -> Option<&'a Grant> {
    closest(groups, |grant| grant.coverage.consumer_group_closeness(consumer_group))
}

/// The one protection group among `groups` that a topic of this name belongs to.
pub fn covering_grant<'a>(groups: &'a [Grant], topic: &TopicName) -> Option<&'a Grant> {
    closest(groups, |grant| grant.coverage.topic_closeness(topic))
}

fn closest(groups: &[Grant], closeness: impl Fn(&Grant) -> Option<usize>) -> Option<&Grant> {
    let matches = groups.iter().filter_map(|grant| closeness(grant).map(|n| (n, grant)));
    matches.max_by(|(n, a), (m, b)| n.cmp(m).then_with(|| b.group.cmp(&a.group))).map(|(_, grant)| grant)
}

/// One topic as the council wants it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicSpec {
    /// Its identity, the same in every region.
    pub id: TopicId,
    /// Its name.
    pub name: TopicName,
    /// How many partitions it has.
    pub partitions: i32,
    /// Its configuration, as Kafka names the entries.
    pub config: BTreeMap<String, String>,
    /// The protection group it belongs to.
    pub group: ProtectionGroup,
    /// Whether clients may use it.
    pub state: TopicState,
    /// Its leader epochs begin above this one (a restored topic's batches already carry epochs).
    pub epochs_above: Option<LeaderEpoch>,
}

/// Whether clients may use a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TopicState {
    /// They may.
    Live,
    /// A restore is writing to it in the owner region; clients see no such topic yet.
    Restoring,
}

/// Where a region is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionAddress {
    /// The region.
    pub region: RegionName,
    /// Its number among the regions, from 0; never reused.
    pub index: u16,
    /// Its current incarnation.
    pub incarnation: Incarnation,
    /// `host:port` its own Kafka clients use; of several brokers in the order of their slots, separated by commas.
    pub clients: String,
    /// The same of the gateways' listeners.
    pub gateways: String,
    /// The same of the internal listeners: links, offset sync, metadata followers.
    pub internal: String,
    /// `host:port` of its council node.
    pub council: String,
    /// `host:port` of its REST API.
    pub rest: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(name: &str, pattern: Pattern) -> Grant {
        let region = RegionName::new("r1").unwrap();
        Grant {
            group: ProtectionGroup::new(name).unwrap(),
            owner: region.clone(),
            ownership_epoch: OwnershipEpoch(1),
            state: GrantState::Held,
            home: region,
            standbys: vec![],
            coverage: Coverage { topics: vec![pattern.clone()], consumer_groups: vec![pattern] },
            openings: vec![],
            mode: ModeState::default(),
            active: None,
        }
    }

    #[test]
    fn the_closest_pattern_covers_a_topic() {
        let groups = [
            grant("default", Pattern::Any),
            grant("eu", Pattern::Prefix("eu.".into())),
            grant("orders", Pattern::Exact("eu.orders".into())),
        ];
        let of = |name: &str| covering_grant(&groups, &TopicName::new(name).unwrap()).map(|g| g.group.to_string());
        assert_eq!(of("us.orders").as_deref(), Some("default"));
        assert_eq!(of("eu.bills").as_deref(), Some("eu"));
        assert_eq!(of("eu.orders").as_deref(), Some("orders"));
        assert_eq!(of("__consumer_offsets"), None);
    }
}
