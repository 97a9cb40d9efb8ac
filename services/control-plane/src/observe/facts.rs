//! What nodes and regions last said, and the picture it makes.

use super::picture::{Picture, RegionHealth};
use catalog::View;
use dr_planner::health::{Observation, Readings, Tracker, detect, score};
use dr_planner::inventory::{CouncilFacts, Inventory, LinkFacts, RegionFacts};
use model::{GrantState, LinkPartitionStatus, RegionName, RegionStatus, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What was last heard, and from whom.
#[derive(Default)]
pub(super) struct Facts {
    observations: BTreeMap<RegionName, Vec<Observation>>,
    links: BTreeMap<RegionName, Vec<LinkFacts>>,
    regions: BTreeMap<RegionName, (RegionFacts, Arc<RegionStatus>)>,
    trackers: BTreeMap<RegionName, Tracker>,
}

impl Facts {
    /// `observer` said so when it was asked at `asked_at`.
    pub(super) fn observed(&mut self, observer: RegionName, mut seen: Vec<Observation>, asked_at: Timestamp) {
        for observation in &mut seen {
            observation.observed_at = asked_at;
        }
        self.observations.insert(observer, seen);
    }

    pub(super) fn linked(&mut self, target: RegionName, links: &[LinkPartitionStatus], asked_at: Timestamp) {
        self.links.insert(target, LinkFacts::of(links, asked_at));
    }

    pub(super) fn stated(&mut self, status: RegionStatus, asked_at: Timestamp) {
        let facts = RegionFacts::of(&status, asked_at);
        self.regions.insert(status.region.clone(), (facts, Arc::new(status)));
    }

    /// What is known at `now`; `leader` is this node, if it has just made sure that it leads.
    pub(super) fn picture(&mut self, view: &View, leader: Option<RegionName>, now: Timestamp) -> Picture {
        let inventory = self.inventory(view, leader, now);
        let regions = view.regions.iter().map(|region| region.address.region.clone());
        let regions = regions.map(|region| self.judge(region, &inventory, now)).collect();
        let statuses = self.regions.iter().map(|(region, (_, status))| (region.clone(), status.clone())).collect();
        Picture { inventory, regions, idle: BTreeMap::new(), auto: BTreeMap::new(), statuses }
    }

    fn inventory(&self, view: &View, leader: Option<RegionName>, now: Timestamp) -> Inventory {
        let busy = view.groups.iter().filter(|group| group.run.is_some());
        Inventory {
            observed_at: now,
            regions: self.regions.values().map(|(facts, _)| facts.clone()).collect(),
            links: self.links.values().flatten().cloned().collect(),
            council: CouncilFacts { members: members(view), leader },
            grants: view.groups.iter().map(|group| group.grant.clone()).collect(),
            topics: view.topics.iter().map(|topic| (**topic).clone()).collect(),
            observations: self.observations.values().flatten().cloned().collect(),
            busy: busy.map(|group| group.grant.group.clone()).collect(),
        }
    }

    fn judge(&mut self, region: RegionName, inventory: &Inventory, now: Timestamp) -> RegionHealth {
        let score = score(&self.readings(&region, inventory));
        let tracker = self.trackers.entry(region.clone()).or_insert_with(|| Tracker::new(now));
        tracker.on_score(now, &score);
        RegionHealth { detection: detect(inventory, &region), condition: tracker.condition(), score, region }
    }

    /// What was measured of the region. One that says nothing was not measured: its silence is another question.
    fn readings(&self, region: &RegionName, inventory: &Inventory) -> Readings {
        let Some(facts) = inventory.region(region) else { return Readings::default() };
        let copies = inventory.links.iter().filter(|link| link.source == *region);
        let lag = copies.filter(|link| inventory.is_recent(link.observed_at)).map(|link| link.lag_seconds);
        Readings {
            leaderless: self.leaderless(region, inventory),
            quorum: Some(true),
            disk_free: Some(facts.disk_free),
            disk_full: Some(facts.disk_full),
            lag_seconds: lag.reduce(f64::min),
            ..Readings::default()
        }
    }

    /// The share of the partitions it owns that take no writes.
    fn leaderless(&self, region: &RegionName, inventory: &Inventory) -> Option<f64> {
        let (_, status) = self.regions.get(region)?;
        let held = |grant: &&model::Grant| grant.owner == *region && grant.state == GrantState::Held;
        let owned: BTreeSet<_> = inventory.grants.iter().filter(held).map(|grant| &grant.group).collect();
        let partitions: Vec<_> = status
            .partitions
            .iter()
            .filter(|partition| partition.group.as_ref().is_some_and(|group| owned.contains(group)))
            .collect();
        let closed = partitions.iter().filter(|partition| !partition.writable).count();
        Some(closed as f64 / partitions.len().max(1) as f64)
    }
}

fn members(view: &View) -> Vec<RegionName> {
    let regions = view.regions.iter().map(|region| region.address.region.clone());
    let witness = view.witness.as_ref().and_then(|witness| RegionName::new(&witness.name).ok());
    regions.chain(witness).collect()
}
