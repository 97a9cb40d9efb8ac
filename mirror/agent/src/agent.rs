//! All links into one region: follows the owner of every protection group that another region owns.

use crate::commits;
use crate::fetcher::Fetcher;
use crate::partition::{Follower, Identity, Target};
use crate::ports::{Connector, CopyKey, Sink, Source};
use env::Clock;
use mirror_core::window::{LineageStart, Settings};
use model::{
    Assignment, ByteCount, CopyTerm, Grant, LinkPartitionStatus, OffsetRange, OwnershipEpoch, PartitionId,
    ProtectionGroup, RegionAddress, RegionName, TopicSpec, TopicState,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep};

/// What one fetch asks for.
const FETCH_BYTES: u32 = 8 << 20;
/// How much of one partition may be on its way to the disk.
const UNFLUSHED_MAX: ByteCount = ByteCount::mib(32);
const COLLECT_POLL: Duration = Duration::from_millis(20);

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
    sources: BTreeMap<RegionName, Way>,
    followers: BTreeMap<CopyKey, Follower>,
    commits: BTreeMap<ProtectionGroup, CommitLink>,
}

/// The way to one source region.
#[derive(Clone)]
struct Way {
    address: RegionAddress,
    source: Arc<dyn Source>,
    fetcher: Fetcher,
}

/// The link that carries a group's commits.
struct CommitLink {
    owner: RegionAddress,
    epoch: OwnershipEpoch,
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
        let mut state = self.state.lock().expect("no holder of this lock panics");
        if state.assignment.as_ref().is_some_and(|known| known.council_index > assignment.council_index) {
            return;
        }
        state.assignment = Some(assignment.clone());
        let mut followed = BTreeSet::new();
        let mut groups = BTreeSet::new();
        for grant in assignment.groups.iter().filter(|grant| grant.owner != assignment.region) {
            let Some(way) = self.way(&mut state, assignment, &grant.owner) else { continue };
            groups.insert(grant.group.clone());
            self.follow_commits(&mut state, grant, &way);
            for (topic, partition) in partitions(assignment, grant) {
                followed.insert((topic.id, partition));
                self.follow(&mut state, assignment, grant, topic, partition, &way);
            }
        }
        state.followers.retain(|key, _| followed.contains(key));
        state.commits.retain(|group, _| groups.contains(group));
    }

    fn way(&self, state: &mut State, assignment: &Assignment, region: &RegionName) -> Option<Way> {
        let address = assignment.regions.iter().find(|address| &address.region == region)?;
        if let Some(known) = state.sources.get(region).filter(|known| known.address == *address) {
            return Some(known.clone());
        }
        let source = self.connector.source(address);
        let way = Way { address: address.clone(), fetcher: Fetcher::start(source.clone()), source };
        state.sources.insert(region.clone(), way.clone());
        Some(way)
    }

    fn follow_commits(&self, state: &mut State, grant: &Grant, way: &Way) {
        let is_same = |link: &CommitLink| link.epoch == grant.ownership_epoch && link.owner == way.address;
        if state.commits.get(&grant.group).is_some_and(is_same) {
            return;
        }
        let (group, epoch) = (grant.group.clone(), grant.ownership_epoch);
        let following = commits::follow(group.clone(), epoch, way.source.clone(), self.sink.clone());
        let task = tokio::spawn(following).abort_handle();
        state.commits.insert(group, CommitLink { owner: way.address.clone(), epoch, task });
    }

    fn follow(
        &self,
        state: &mut State,
        assignment: &Assignment,
        grant: &Grant,
        topic: &TopicSpec,
        partition: PartitionId,
        way: &Way,
    ) {
        let key = (topic.id, partition);
        let target = target(grant, key, way);
        if let Some(follower) = state.followers.get(&key) {
            return follower.retarget(target);
        }
        let compacted = topic.config.get("cleanup.policy").is_some_and(|policy| policy.contains("compact"));
        let identity =
            Identity { key, topic: topic.name.clone(), group: grant.group.clone(), region: assignment.region.clone() };
        let settings = Settings {
            topic: topic.id,
            partition,
            compacted,
            fetch_bytes: FETCH_BYTES,
            unflushed_max: UNFLUSHED_MAX,
            openings: target.openings.clone(),
            copy_term: CopyTerm(0),
        };
        let follower = Follower::start(identity, settings, target, self.sink.clone(), self.clock.clone());
        state.followers.insert(key, follower);
    }

    /// How far every copy is.
    pub fn status(&self) -> Vec<LinkPartitionStatus> {
        let state = self.state.lock().expect("no holder of this lock panics");
        state.followers.values().map(Follower::status).collect()
    }

    /// Follows other copies of the same lineage, one region after the other, until everything they hold is here. The
    /// owner is followed again afterwards, as far as it can be reached.
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
            if !self.collect_from(group, region, within).await {
                missed.push(region.clone());
            }
        }
        self.retarget(group, None);
        if missed.is_empty() { Ok(()) } else { Err(missed) }
    }

    async fn collect_from(&self, group: &ProtectionGroup, region: &RegionName, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        let keys = self.retarget(group, Some(region));
        while Instant::now() < deadline {
            let caught_up = {
                let state = self.state.lock().expect("no holder of this lock panics");
                keys.iter().all(|key| state.followers.get(key).is_none_or(|follower| follower.has_caught_up(region)))
            };
            if caught_up {
                return true;
            }
            sleep(COLLECT_POLL).await;
        }
        false
    }

    /// Makes all partitions of `group` follow `region`, or their owner; says which these are.
    fn retarget(&self, group: &ProtectionGroup, region: Option<&RegionName>) -> Vec<CopyKey> {
        let mut state = self.state.lock().expect("no holder of this lock panics");
        let Some(assignment) = state.assignment.clone() else { return Vec::new() };
        let Some(grant) = assignment.groups.iter().find(|grant| &grant.group == group) else { return Vec::new() };
        let Some(way) = self.way(&mut state, &assignment, region.unwrap_or(&grant.owner)) else { return Vec::new() };
        let keys: Vec<CopyKey> =
            partitions(&assignment, grant).map(|(topic, partition)| (topic.id, partition)).collect();
        for key in &keys {
            if let Some(follower) = state.followers.get(key) {
                follower.retarget(target(grant, *key, &way));
            }
        }
        keys
    }
}

fn target(grant: &Grant, key: CopyKey, way: &Way) -> Target {
    let openings = grant.openings.iter().filter(|opening| (opening.topic, opening.partition) == key);
    let openings = openings.map(|opening| LineageStart {
        ownership_epoch: grant.ownership_epoch,
        hole: OffsetRange::new(opening.common_end, opening.base),
    });
    Target {
        source: way.address.region.clone(),
        epoch: grant.ownership_epoch,
        openings: openings.filter(|opening| !opening.hole.is_empty()).collect(),
        fetcher: way.fetcher.clone(),
    }
}

fn partitions<'a>(
    assignment: &'a Assignment,
    grant: &'a Grant,
) -> impl Iterator<Item = (&'a TopicSpec, PartitionId)> + 'a {
    let topics = assignment.topics.iter();
    let topics = topics.filter(|topic| topic.group == grant.group && topic.state == TopicState::Live);
    topics.flat_map(|topic| (0..topic.partitions).map(move |partition| (topic, PartitionId(partition))))
}
