//! The consumer groups a region knows of, for people and for their tools.

use crate::Broker;
use broker_core::group::offsets::Change;
use broker_core::group::record::CommitKey;
use model::{Commit, GroupId, ProtectionGroup};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A consumer group as its coordinator, or a copy of it, sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerGroup {
    /// Its name.
    pub name: String,
    /// The protection group it belongs to.
    pub group: Option<ProtectionGroup>,
    /// Kafka's name of its state; `Copy` in a region that does not coordinate it.
    pub state: String,
    /// How many members it has.
    pub members: usize,
    /// What it has committed.
    pub commits: Vec<Commit>,
}

impl Broker {
    /// Every consumer group that is coordinated here or whose commits are kept here.
    pub(crate) fn own_consumer_groups(&self) -> Vec<ConsumerGroup> {
        let (listed, committed) = self.list_groups();
        let names: BTreeSet<GroupId> = listed.into_iter().map(|listing| listing.group).chain(committed).collect();
        names.into_iter().map(|name| self.consumer_group(&name)).collect()
    }

    fn consumer_group(&self, name: &GroupId) -> ConsumerGroup {
        let image = self.image();
        let protection = image.coordinating_group(name);
        let (state, members) = match self.standing_of(name) {
            _ if !protection.is_some_and(|group| group.owned) => ("Copy", 0),
            Some(standing) => standing,
            None => ("Empty", 0),
        };
        ConsumerGroup {
            name: name.to_string(),
            group: protection.map(|group| group.grant.group.clone()),
            state: state.to_owned(),
            members,
            commits: self.commits_of(name),
        }
    }

    /// Kafka's name of where the group stands, and how many members it has.
    fn standing_of(&self, name: &GroupId) -> Option<(&'static str, usize)> {
        let classic = || self.describe_group(name).map(|described| (described.phase.name(), described.members.len()));
        let consumer =
            self.describe_consumer_group(name).map(|(described, _)| (described.state, described.members.len()));
        consumer.or_else(classic)
    }

    fn commits_of(&self, name: &GroupId) -> Vec<Commit> {
        let committed = self.all_committed(name).into_iter().map(|(partition, record)| Change {
            key: CommitKey { group: name.clone(), partition },
            committed: Some(record),
        });
        committed.map(super::sync::commit).collect()
    }
}
