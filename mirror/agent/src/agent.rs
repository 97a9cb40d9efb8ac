//! All links into what one broker of a region leads: they follow the owner of every protection group that another region
//! owns.

mod collect;
mod plan;

use crate::commits;
use crate::follower::Follower;
use crate::ports::{Connector, CopyKey, Sink};
use crate::verify;
use crate::way::Way;
use collect::Detour;
use env::Clock;
use model::{
    Assignment, Coverage, Grant, LinkPartitionStatus, OwnershipEpoch, ProtectionGroup, RegionAddress, RegionName,
};
use plan::Plan;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::sleep;

/// How long to gather changes of what is led here.
const GATHER: Duration = Duration::from_millis(10);
/// How often copies are compared with their sources, where more of them was hashed.
const PROVE_EVERY: Duration = Duration::from_secs(1);

/// The links into what one broker of a region leads. Dropping it ends them.
pub struct Agent {
    links: Arc<Links>,
    following_led: AbortHandle,
    proving: AbortHandle,
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.following_led.abort();
        self.proving.abort();
        // A task that is just looking lets go of them a moment later.
        *self.links.state() = State::default();
    }
}

struct Links {
    sink: Arc<dyn Sink>,
    connector: Arc<dyn Connector>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    assignment: Option<Assignment>,
    ways: BTreeMap<RegionName, Arc<Way>>,
    /// Every partition that was ever led here as a copy; those that are not now are paused.
    followers: BTreeMap<CopyKey, Follower>,
    commits: BTreeMap<ProtectionGroup, CommitLink>,
    /// Groups whose copies follow another one than the owner for a while.
    detours: BTreeMap<ProtectionGroup, Detour>,
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
    /// Links that write to `sink` what is led there; they follow nobody before the first assignment.
    pub fn new(sink: Arc<dyn Sink>, connector: Arc<dyn Connector>, clock: Arc<dyn Clock>) -> Self {
        let changes = sink.led_changes();
        let links = Arc::new(Links { sink, connector, clock, state: Mutex::default() });
        let following_led = tokio::spawn(follow_led(links.clone(), changes)).abort_handle();
        let proving = tokio::spawn(prove(links.clone())).abort_handle();
        Self { links, following_led, proving }
    }

    /// Follows whom the assignment says. An older one than before changes nothing.
    pub fn assign(&self, assignment: &Assignment) {
        let mut state = self.links.state();
        if state.assignment.as_ref().is_some_and(|known| known.council_index > assignment.council_index) {
            return;
        }
        state.assignment = Some(assignment.clone());
        self.links.follow(&mut state, assignment);
    }

    /// How far every copy is that is led here. One whose source was never heard of has a silence of [`u64::MAX`]
    /// milliseconds; its lag is unknown then, not 0.
    pub fn status(&self) -> Vec<LinkPartitionStatus> {
        self.links.state().followers.values().filter_map(Follower::status).collect()
    }
}

/// Follows what is led here, as that changes.
async fn follow_led(links: Arc<Links>, mut changes: watch::Receiver<u64>) {
    while changes.changed().await.is_ok() {
        sleep(GATHER).await;
        changes.borrow_and_update();
        let mut state = links.state();
        if let Some(assignment) = state.assignment.clone() {
            links.follow(&mut state, &assignment);
        }
    }
}

/// Compares copies with their sources, for ever.
async fn prove(links: Arc<Links>) {
    loop {
        sleep(PROVE_EVERY).await;
        let unproven: Vec<_> = links.state().followers.values().filter_map(Follower::unproven).collect();
        verify::prove(unproven, &links.sink).await;
    }
}

impl Links {
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
                plan.follow(assignment, grant, &way, |key| self.sink.leads(key));
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
            match state.followers.get(&identity.key) {
                Some(follower) => follower.retarget(target),
                None if target.is_none() => {}
                None => {
                    let follower = Follower::start(identity.clone(), self.sink.clone(), self.clock.clone());
                    follower.retarget(target);
                    state.followers.insert(identity.key, follower);
                }
            }
        }
    }

    fn way(&self, state: &mut State, assignment: &Assignment, region: &RegionName) -> Option<Arc<Way>> {
        let address = assignment.regions.iter().find(|address| &address.region == region)?;
        if let Some(known) = state.ways.get(region).filter(|known| known.region() == address) {
            return Some(known.clone());
        }
        let way = Arc::new(Way::to(address.clone(), self.connector.clone()));
        state.ways.insert(region.clone(), way.clone());
        Some(way)
    }

    fn follow_commits(&self, state: &mut State, grant: &Grant, way: &Arc<Way>) {
        let is_same = |link: &CommitLink| {
            link.epoch == grant.ownership_epoch && link.owner == *way.region() && link.coverage == grant.coverage
        };
        if state.commits.get(&grant.group).is_some_and(is_same) {
            return;
        }
        let (group, epoch, coverage) = (grant.group.clone(), grant.ownership_epoch, grant.coverage.clone());
        let following = commits::follow(group.clone(), epoch, way.clone(), self.sink.clone());
        let task = tokio::spawn(following).abort_handle();
        state.commits.insert(group, CommitLink { owner: way.region().clone(), epoch, coverage, task });
    }
}
