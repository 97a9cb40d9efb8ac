//! Which partition follows whom.

use crate::follower::{Identity, Target};
use crate::ports::CopyKey;
use crate::way::Way;
use mirror_core::window::LineageStart;
use model::{Assignment, Grant, OffsetRange, PartitionId, RegionName, TopicName, TopicSpec, TopicState};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Every partition of an assignment, and whom it follows, if anybody.
pub(super) struct Plan(BTreeMap<CopyKey, (TopicName, Option<Target>)>);

impl Plan {
    /// All partitions follow nobody.
    pub(super) fn of_none(assignment: &Assignment) -> Self {
        let live = assignment.topics.iter().filter(|topic| topic.state == TopicState::Live);
        let partitions = live.flat_map(|topic| keys(topic).map(|key| (key, (topic.name.clone(), None))));
        Self(partitions.collect())
    }

    /// The partitions of a group that `leads` names follow the region at the end of `way`.
    pub(super) fn follow(
        &mut self,
        assignment: &Assignment,
        grant: &Grant,
        way: &Arc<Way>,
        leads: impl Fn(CopyKey) -> bool,
    ) {
        let source = &way.region().region;
        let openings: BTreeMap<CopyKey, LineageStart> = openings(grant).collect();
        for topic in assignment.topics.iter().filter(|topic| topic.group == grant.group) {
            let is_compacted = topic.config.get("cleanup.policy").is_some_and(|policy| policy.contains("compact"));
            let is_stopped = *source == grant.owner && assignment.stopped.contains(&topic.id);
            for key in keys(topic).filter(|key| leads(*key)) {
                let Some((_, target)) = self.0.get_mut(&key) else { continue };
                *target = Some(Target {
                    group: grant.group.clone(),
                    source: source.clone(),
                    is_owner: *source == grant.owner,
                    epoch: grant.ownership_epoch,
                    opening: openings.get(&key).copied(),
                    is_compacted,
                    is_stopped,
                    way: way.clone(),
                });
            }
        }
    }

    pub(super) fn holds(&self, key: &CopyKey) -> bool {
        self.0.contains_key(key)
    }

    /// The partitions, as copies in `region`.
    pub(super) fn into_partitions(self, region: &RegionName) -> impl Iterator<Item = (Identity, Option<Target>)> {
        self.0.into_iter().map(|(key, (topic, target))| (Identity { key, topic, region: region.clone() }, target))
    }
}

fn keys(topic: &TopicSpec) -> impl Iterator<Item = CopyKey> {
    let id = topic.id;
    (0..topic.partitions).map(move |partition| (id, PartitionId(partition)))
}

/// Where lineages depart from what was there before.
fn openings(grant: &Grant) -> impl Iterator<Item = (CopyKey, LineageStart)> {
    let openings = grant.openings.iter().map(|opening| {
        let hole = OffsetRange::new(opening.common_end, opening.base);
        ((opening.topic, opening.partition), LineageStart { ownership_epoch: grant.ownership_epoch, hole })
    });
    openings.filter(|(_, start)| !start.hole.is_empty())
}
