//! What other copies of a lineage hold and this one lacks, when the owner is lost.

use super::{Agent, Links};
use crate::follower::Collected;
use model::{Grant, OwnershipEpoch, ProtectionGroup, RegionName, TopicId};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

const COLLECT_POLL: Duration = Duration::from_millis(10);
/// How long a copy's region may be out of reach before it is left out.
const REACH_WITHIN: Duration = Duration::from_millis(500);

/// The copies of a group follow this region instead of the owner.
pub(super) struct Detour {
    pub(super) region: RegionName,
    epoch: OwnershipEpoch,
    /// Whose detour it is.
    token: Arc<()>,
}

impl Detour {
    /// Whether it was begun under `grant`.
    pub(super) fn is_of(&self, grant: &Grant) -> bool {
        self.epoch == grant.ownership_epoch
    }
}

/// A detour that ends when it is dropped.
struct Detoured<'a> {
    links: &'a Links,
    group: &'a ProtectionGroup,
    region: &'a RegionName,
    token: Arc<()>,
    topics: Vec<TopicId>,
    connected: watch::Receiver<bool>,
}

impl Drop for Detoured<'_> {
    fn drop(&mut self) {
        let mut state = self.links.state();
        // Another one may have begun meanwhile.
        if state.detours.get(self.group).is_some_and(|detour| Arc::ptr_eq(&detour.token, &self.token)) {
            state.detours.remove(self.group);
        }
        if let Some(assignment) = state.assignment.clone() {
            self.links.follow(&mut state, &assignment);
        }
    }
}

impl Agent {
    /// Follows other copies of the same lineage, one region after the other, until everything they hold of what is led here
    /// is durable; each for as long as `within` says. What this region holds and they lack stays. The owner is followed again
    /// afterwards, as far as it can be reached.
    ///
    /// # Errors
    /// The regions that did not answer or were not caught up with in time.
    pub async fn collect(
        &self,
        group: &ProtectionGroup,
        from: &[RegionName],
        within: Duration,
    ) -> Result<(), Vec<RegionName>> {
        let mut missed = Vec::new();
        for region in from {
            let is_collected = match self.links.detour(group, region) {
                Some(detoured) => detoured.collect(within).await,
                None => false,
            };
            if !is_collected {
                missed.push(region.clone());
            }
        }
        if missed.is_empty() { Ok(()) } else { Err(missed) }
    }
}

impl Links {
    /// Makes the copies of `group` that are led here follow `region`; `None` when it is not known or the group is owned here.
    fn detour<'a>(&'a self, group: &'a ProtectionGroup, region: &'a RegionName) -> Option<Detoured<'a>> {
        let mut state = self.state();
        let assignment = state.assignment.clone()?;
        let grant = assignment.groups.iter().find(|grant| grant.group == *group)?;
        if grant.owner == assignment.region {
            return None;
        }
        let connected = self.way(&mut state, &assignment, region)?.connected();
        let token = Arc::new(());
        let detour = Detour { region: region.clone(), epoch: grant.ownership_epoch, token: token.clone() };
        state.detours.insert(group.clone(), detour);
        self.follow(&mut state, &assignment);
        let topics = assignment.topics.iter().filter(|topic| topic.group == *group).map(|topic| topic.id).collect();
        Some(Detoured { links: self, group, region, token, topics, connected })
    }
}

impl Detoured<'_> {
    async fn collect(self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        let mut reached = Instant::now();
        loop {
            let now = Instant::now();
            match self.state() {
                Collected::Done => return true,
                Collected::Refused => return false,
                Collected::Pending if *self.connected.borrow() => reached = now,
                Collected::Pending => {}
            }
            if now >= deadline || now - reached > REACH_WITHIN {
                return false;
            }
            sleep(COLLECT_POLL).await;
        }
    }

    /// Pending as long as any partition is that is led here; then refused if any is.
    fn state(&self) -> Collected {
        let state = self.links.state();
        let of_group = state.followers.iter().filter(|((topic, _), _)| self.topics.contains(topic));
        let mut all = Collected::Done;
        for collected in of_group.filter_map(|(_, follower)| follower.collected(self.region)) {
            match collected {
                Collected::Pending => return Collected::Pending,
                Collected::Refused => all = Collected::Refused,
                Collected::Done => {}
            }
        }
        all
    }
}
