//! All links into one region: follows the owner of every protection group that another region owns.

mod collect;
mod plan;

use crate::commits;
use crate::fetcher::Fetcher;
use crate::follower::Follower;
use crate::ports::{Connector, CopyKey, Sink, Source};
use collect::Detour;
use env::Clock;
use model::{
    Assignment, Coverage, Grant, LinkPartitionStatus, OwnershipEpoch, ProtectionGroup, RegionAddress, RegionName,
};
use plan::Plan;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::task::AbortHandle;

/// The links into one region. Dropping it ends them.
pub struct Agent {
    sink: Arc<dyn Sink>,
    connector: Arc<dyn Connector>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    assignment: Option<Assignment>,
    ways: BTreeMap<RegionName, Way>,
    /// Every partition that another region may own; those of this region's own groups are paused.
    followers: BTreeMap<CopyKey, Follower>,
    commits: BTreeMap<ProtectionGroup, CommitLink>,
    /// Groups whose copies follow another one than the owner for a while.
    detours: BTreeMap<ProtectionGroup, Detour>,
}

/// The way to one source region.
#[derive(Clone)]
struct Way {
    address: RegionAddress,
    source: Arc<dyn Source>,
    fetcher: Arc<Fetcher>,
}

/// The link that carries a group's commits.
struct CommitLink {
    owner: RegionAddress,
    epoch: OwnershipEpoch,
    coverage: Coverage,
    task: AbortHandle,
}

impl Drop for CommitLink {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Agent {
    /// Links that write to `sink`; they follow nobody before the first assignment.
    pub fn new(sink: Arc<dyn Sink>, connector: Arc<dyn Connector>, clock: Arc<dyn Clock>) -> Self {
        Self { sink, connector, clock, state: Mutex::default() }
    }

    /// Follows whom the assignment says. An older one than before changes nothing.
    pub fn assign(&self, assignment: &Assignment) {
        let mut state = self.state();
        if state.assignment.as_ref().is_some_and(|known| known.council_index > assignment.council_index) {
            return;
        }
        state.assignment = Some(assignment.clone());
        self.follow(&mut state, assignment);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }

    /// Makes `assignment` and the detours real.
    fn follow(&self, state: &mut State, assignment: &Assignment) {
        let others = || assignment.groups.iter().filter(|grant| grant.owner != assignment.region);
        state.detours.retain(|group, detour| others().any(|grant| grant.group == *group && detour.is_of(grant)));
        let mut plan = Plan::of_none(assignment);
        let mut groups = BTreeSet::new();
        for grant in others() {
            let detour = state.detours.get(&grant.group).map(|detour| detour.region.clone());
            if let Some(way) = self.way(state, assignment, &grant.owner) {
                groups.insert(grant.group.clone());
                self.follow_commits(state, grant, &way);
            }
            if let Some(way) = self.way(state, assignment, detour.as_ref().unwrap_or(&grant.owner)) {
                plan.follow(assignment, grant, &way);
            }
        }
        state.commits.retain(|group, _| groups.contains(group));
        self.carry_out(state, assignment, plan);
        let is_used = |region: &RegionName| {
            others().any(|grant| grant.owner == *region)
                || state.detours.values().any(|detour| detour.region == *region)
        };
        state.ways.retain(|region, _| is_used(region));
    }

    fn carry_out(&self, state: &mut State, assignment: &Assignment, plan: Plan) {
        state.followers.retain(|key, follower| plan.holds(key) && follower.is_alive());
        for (identity, target) in plan.into_partitions(&assignment.region) {
            let start = || Follower::start(identity.clone(), self.sink.clone(), self.clock.clone());
            state.followers.entry(identity.key).or_insert_with(start).retarget(target);
        }
    }

    fn way(&self, state: &mut State, assignment: &Assignment, region: &RegionName) -> Option<Way> {
        let address = assignment.regions.iter().find(|address| &address.region == region)?;
        if let Some(known) = state.ways.get(region).filter(|known| known.address == *address) {
            return Some(known.clone());
        }
        let source = self.connector.source(address);
        let way = Way { address: address.clone(), fetcher: Arc::new(Fetcher::start(source.clone())), source };
        state.ways.insert(region.clone(), way.clone());
        Some(way)
    }

    fn follow_commits(&self, state: &mut State, grant: &Grant, way: &Way) {
        let is_same = |link: &CommitLink| {
            link.epoch == grant.ownership_epoch && link.owner == way.address && link.coverage == grant.coverage
        };
        if state.commits.get(&grant.group).is_some_and(is_same) {
            return;
        }
        let (group, epoch, coverage) = (grant.group.clone(), grant.ownership_epoch, grant.coverage.clone());
        let following = commits::follow(group.clone(), epoch, way.source.clone(), self.sink.clone());
        let task = tokio::spawn(following).abort_handle();
        state.commits.insert(group, CommitLink { owner: way.address.clone(), epoch, coverage, task });
    }

    /// How far every copy is. One whose source was never heard of has a silence of [`u64::MAX`] milliseconds; its lag is
    /// unknown then, not 0.
    pub fn status(&self) -> Vec<LinkPartitionStatus> {
        self.state().followers.values().filter_map(Follower::status).collect()
    }
}
