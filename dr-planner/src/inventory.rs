//! What is known of the platform at one moment, and since when. Facts only: what they mean is decided elsewhere.

use crate::health::Observation;
use model::{
    Grant, GrantState, Holding, Incarnation, LeaderEpoch, Line, LinkPartitionStatus, Offset, OffsetRange, PartitionId,
    ProtectionGroup, RegionName, RegionStatus, Timestamp, TopicId, TopicPartition, TopicSpec,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// A fact older than this says nothing about now.
pub const FACT_AGE_MAX: Duration = Duration::from_secs(3);

/// Everything a decision is made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Inventory {
    /// When it was put together.
    pub observed_at: Timestamp,
    /// What regions last said of themselves.
    pub regions: Vec<RegionFacts>,
    /// How far copies are behind.
    pub links: Vec<LinkFacts>,
    /// The council.
    pub council: CouncilFacts,
    /// Who owns what, as the council has it.
    pub grants: Vec<Grant>,
    /// The topics, as the council has them.
    pub topics: Vec<TopicSpec>,
    /// What each observer sees of each region.
    pub observations: Vec<Observation>,
    /// Protection groups that have a run which has not ended.
    pub busy: Vec<ProtectionGroup>,
}

/// What a region last said of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RegionFacts {
    /// The region.
    pub region: RegionName,
    /// When it said so, on the clock of whoever asked.
    pub observed_at: Timestamp,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// The council log entry it has made real.
    pub council_index: u64,
    /// The grants it holds or follows.
    pub holdings: Vec<Holding>,
    /// Where its copies end.
    pub copies: Vec<CopyEnd>,
    /// Partitions whose log refuses writes for good.
    pub failed_partitions: usize,
    /// The smallest share of free space among its disks.
    pub disk_free: f64,
    /// Whether a disk has refused a write for lack of space.
    pub disk_full: bool,
}

/// Where one partition of a region's log ends, durably.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyEnd {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionId,
    /// The leader epoch of its last batch.
    pub last_epoch: LeaderEpoch,
    /// The next offset.
    pub tail: Offset,
}

/// How one group's copy in one region stands towards its source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkFacts {
    /// The group.
    pub group: ProtectionGroup,
    /// The source region.
    pub source: RegionName,
    /// The target region.
    pub target: RegionName,
    /// When the target said so, on the clock of whoever asked.
    pub observed_at: Timestamp,
    /// Partitions it copies.
    pub partitions: usize,
    /// Partitions whose source has never answered.
    pub never_heard: usize,
    /// Partitions that hold anything.
    pub holding: usize,
    /// Partitions that are no copies: what they are, and in which state.
    pub unusable: Vec<(TopicPartition, String)>,
    /// Where the source's disk gives something else than was written to it: the first range of each such partition.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source_damaged: Vec<(TopicPartition, OffsetRange)>,
    /// Records it lacks.
    pub lag_records: u64,
    /// Bytes it lacks.
    pub lag_bytes: u64,
    /// Seconds of writes it lacks, of its worst partition.
    pub lag_seconds: f64,
    /// Milliseconds since the source last answered for any partition.
    pub silent_ms: u64,
    /// What its worst line is like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<Line>,
}

/// The council, as its members see it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CouncilFacts {
    /// Its members: a node per region, and perhaps a witness.
    pub members: Vec<RegionName>,
    /// Its leader, where it has confirmed that it is one.
    pub leader: Option<RegionName>,
}

impl Inventory {
    /// What a region last said of itself, if that is recent.
    pub fn region(&self, region: &RegionName) -> Option<&RegionFacts> {
        self.recent_regions().find(|facts| facts.region == *region)
    }

    /// What regions said of themselves, as far as that is recent.
    pub fn recent_regions(&self) -> impl Iterator<Item = &RegionFacts> {
        self.regions.iter().filter(|facts| self.is_recent(facts.observed_at))
    }

    /// Takes what `target` says of its copies now for what it said before.
    pub fn relink(&mut self, target: &RegionName, links: &[LinkPartitionStatus]) {
        self.links.retain(|link| link.target != *target);
        self.links.extend(LinkFacts::of(links, self.observed_at));
    }

    /// The grant of a group.
    pub fn grant(&self, group: &ProtectionGroup) -> Option<&Grant> {
        self.grants.iter().find(|grant| grant.group == *group)
    }

    /// How the copy of `group` in `target` stands towards `source`, whenever that was said.
    pub fn link(&self, group: &ProtectionGroup, source: &RegionName, target: &RegionName) -> Option<&LinkFacts> {
        self.links.iter().find(|link| link.group == *group && link.source == *source && link.target == *target)
    }

    /// Whether the copy in `target` is proven to hold every write that was acknowledged with acks=all: the group is in
    /// SYNC with that copy, as far as the council says, and the region has not lost it since.
    pub fn is_proven(&self, grant: &Grant, target: &RegionName) -> bool {
        let Some(facts) = self.region(target) else { return false };
        grant.mode.proven().is_some_and(|rule| rule.is_for(target, facts.incarnation))
    }

    /// Whether something said then still says something about now.
    pub fn is_recent(&self, observed_at: Timestamp) -> bool {
        self.observed_at.since(observed_at) <= FACT_AGE_MAX
    }

    /// Whether the group is open for writes in the region that owns it, as far as is known.
    pub fn is_served(&self, group: &ProtectionGroup) -> bool {
        let held = |grant: &&Grant| grant.state == GrantState::Held;
        let open = |grant: &Grant| {
            let holdings = self.region(&grant.owner).map_or(&[][..], |facts| &facts.holdings);
            holdings.iter().any(|holding| holding.group == *group && holding.owner && holding.open)
        };
        self.grant(group).filter(held).is_some_and(open)
    }

    /// Every partition of the group, in order.
    pub fn partitions(&self, group: &ProtectionGroup) -> Vec<(TopicId, PartitionId)> {
        let topics = self.topics.iter().filter(|topic| topic.group == *group);
        let each =
            |topic: &TopicSpec| (0..topic.partitions).map(PartitionId).map(|partition| (topic.id, partition)).collect();
        let mut all: Vec<_> = topics.flat_map(|topic| -> Vec<_> { each(topic) }).collect();
        all.sort_unstable();
        all
    }
}

impl RegionFacts {
    /// What matters of `status`, which was received at `observed_at`.
    pub fn of(status: &RegionStatus, observed_at: Timestamp) -> Self {
        let shares = status.disks.iter().map(|disk| disk.free.0 as f64 / disk.total.0.max(1) as f64);
        Self {
            region: status.region.clone(),
            observed_at,
            incarnation: status.incarnation,
            council_index: status.council_index,
            holdings: status.holdings.clone(),
            copies: status.partitions.iter().filter(|partition| partition.group.is_some()).map(copy_end).collect(),
            failed_partitions: status.partitions.iter().filter(|partition| partition.failed.is_some()).count(),
            disk_free: shares.fold(1.0, f64::min),
            disk_full: status.disks.iter().any(|disk| disk.full),
        }
    }
}

fn copy_end(status: &model::PartitionStatus) -> CopyEnd {
    CopyEnd {
        topic: status.topic_id,
        partition: status.partition,
        last_epoch: status.leader_epoch,
        tail: status.flushed,
    }
}

impl LinkFacts {
    /// The links that `partitions` tells of, one per (group, source, target); received at `observed_at`.
    pub fn of(partitions: &[LinkPartitionStatus], observed_at: Timestamp) -> Vec<Self> {
        let mut links = BTreeMap::new();
        for status in partitions {
            let key = (&status.group, &status.source, &status.target);
            links.entry(key).or_insert_with(|| Self::empty(status, observed_at)).add(status);
        }
        links.into_values().collect()
    }

    fn empty(status: &LinkPartitionStatus, observed_at: Timestamp) -> Self {
        Self {
            group: status.group.clone(),
            source: status.source.clone(),
            target: status.target.clone(),
            observed_at,
            partitions: 0,
            never_heard: 0,
            holding: 0,
            unusable: vec![],
            source_damaged: vec![],
            lag_records: 0,
            lag_bytes: 0,
            lag_seconds: 0.0,
            silent_ms: u64::MAX,
            line: None,
        }
    }

    fn add(&mut self, status: &LinkPartitionStatus) {
        self.partitions += 1;
        self.never_heard += usize::from(status.source_tail.is_none());
        self.holding += usize::from(status.tail > Offset::ZERO);
        self.lag_records += status.lag_records;
        self.lag_bytes += status.lag_bytes;
        self.lag_seconds = self.lag_seconds.max(status.lag_seconds);
        self.silent_ms = self.silent_ms.min(status.silent_ms);
        self.line = Line::worse(self.line, status.line);
        let partition = || TopicPartition { topic: status.topic.clone(), partition: status.partition };
        self.unusable.extend(status.unusable().map(|state| (partition(), state.to_owned())));
        let damaged = status.proof.as_ref().and_then(|proof| proof.source_damaged.first());
        self.source_damaged.extend(damaged.map(|range| (partition(), *range)));
    }

    /// How long the source has been silent by `now`: what the target said, and the time since it said so.
    pub fn silence(&self, now: Timestamp) -> Duration {
        Duration::from_millis(self.silent_ms).saturating_add(now.since(self.observed_at))
    }
}
