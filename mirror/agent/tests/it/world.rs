//! Some regions, the links into each, and what the council says to all of them.

use crate::logs::range;
use crate::region::{MemorySource, Region};
use env::{BootInstant, Clock};
use mirror::{Agent, Connector, CopyKey, Source};
use model::{
    Assignment, Coverage, Grant, GrantState, Incarnation, LinkPartitionStatus, OffsetRange, Opening, OwnershipEpoch,
    PartitionId, ProtectionGroup, RegionAddress, RegionName, Timestamp, TopicId, TopicName, TopicSpec, TopicState,
    limits,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

pub(crate) const TOPIC: TopicId = TopicId(uuid::Uuid::from_u128(7));
pub(crate) const KEY: CopyKey = (TOPIC, PartitionId(0));
/// Nothing takes longer, in the tests' own time.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) regions: Vec<Arc<Region>>,
    agents: Vec<Agent>,
    topics: Vec<TopicSpec>,
    /// Those that are not copied for now.
    pub(crate) stopped: Vec<TopicId>,
    openings: Vec<Opening>,
    epoch: u32,
    owner: usize,
    index: u64,
}

struct TokioClock(Instant);

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        Timestamp(1_000_000).plus(self.0.elapsed())
    }

    fn boot(&self) -> BootInstant {
        BootInstant::after_boot(self.0.elapsed())
    }
}

struct MemoryConnector(Vec<Arc<Region>>, RegionName);

impl Connector for MemoryConnector {
    fn source(&self, region: &RegionAddress, address: &str) -> Arc<dyn Source> {
        let region = self.0.iter().find(|known| known.name == region.region).unwrap();
        let slot = address.split_once('/').map_or(0, |(_, slot)| slot.parse().unwrap());
        Arc::new(MemorySource(region.clone(), slot, self.1.clone()))
    }
}

pub(crate) fn group() -> ProtectionGroup {
    ProtectionGroup::new("default").unwrap()
}

pub(crate) fn key(partition: i32) -> CopyKey {
    (TOPIC, PartitionId(partition))
}

/// Waits until `is_so`.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what} did not come true");
        sleep(Duration::from_millis(1)).await;
    }
}

impl World {
    /// Regions `r1`, `r2`, ... with one topic; `r1` owns it, the others follow.
    pub(crate) fn new(regions: usize, partitions: i32) -> Self {
        let regions: Vec<_> = (1..=regions).map(|number| Region::new(&format!("r{number}"))).collect();
        let clock = Arc::new(TokioClock(Instant::now()));
        let connector = |region: &Region| Arc::new(MemoryConnector(regions.clone(), region.name.clone()));
        let agents =
            regions.iter().map(|region| Agent::new(region.clone(), connector(region), clock.clone())).collect();
        let (topics, stopped, openings) = (vec![], vec![], vec![]);
        let mut world = Self { regions, agents, topics, stopped, openings, epoch: 0, owner: 0, index: 0 };
        world.create_topic(TOPIC, partitions);
        world.grant(0, BTreeMap::new());
        world
    }

    pub(crate) fn region(&self, number: usize) -> &Arc<Region> {
        &self.regions[number - 1]
    }

    pub(crate) fn agent(&self, number: usize) -> &Agent {
        &self.agents[number - 1]
    }

    pub(crate) fn create_topic(&mut self, id: TopicId, partitions: i32) {
        self.regions.iter().for_each(|region| region.carry(id, partitions));
        self.topics.push(TopicSpec {
            id,
            name: TopicName::new("orders").unwrap(),
            partitions,
            config: BTreeMap::new(),
            group: group(),
            state: TopicState::Live,
            epochs_above: None,
        });
    }

    pub(crate) fn delete_topic(&mut self, id: TopicId) {
        self.regions.iter().for_each(|region| region.drop_topic(id));
        self.topics.retain(|topic| topic.id != id);
    }

    fn grant(&mut self, owner: usize, holes: BTreeMap<CopyKey, OffsetRange>) {
        self.epoch += 1;
        self.owner = owner;
        let opening = |(key, hole): (&CopyKey, &OffsetRange)| Opening {
            topic: key.0,
            partition: key.1,
            common_end: hole.start,
            base: hole.end,
        };
        self.openings = holes.iter().map(opening).collect();
        self.regions[owner].own(self.epoch, &holes);
        let others = self.regions.iter().enumerate().filter(|(number, _)| *number != owner);
        others.filter(|(_, region)| !region.state().is_down).for_each(|(_, region)| region.stand_by(self.epoch));
        self.assign();
    }

    /// Region `to` takes over in a planned way.
    pub(crate) fn switch(&mut self, to: usize) {
        self.grant(to - 1, BTreeMap::new());
    }

    /// Region `to` takes over with what it holds and jumps over what the owner may have given out.
    pub(crate) fn fail_over(&mut self, to: usize) {
        let held = |region: &Region| {
            let state = region.state();
            state.logs.iter().map(|(key, held)| (*key, held.log.tail())).collect::<BTreeMap<_, _>>()
        };
        let (seen, common) = (held(&self.regions[self.owner]), held(self.region(to)));
        let hole = |(key, end)| {
            let base = seen[&key].max(end).plus(limits::PROMOTE_HOLE_OFFSETS);
            (key, OffsetRange::new(end, base))
        };
        self.grant(to - 1, common.into_iter().map(hole).collect());
    }

    /// Tells every region that is not down what the council says.
    pub(crate) fn assign(&mut self) {
        self.index += 1;
        for (region, agent) in self.regions.iter().zip(&self.agents) {
            if !region.state().is_down {
                agent.assign(&self.assignment(&region.name));
            }
        }
    }

    pub(crate) fn assignment(&self, region: &RegionName) -> Assignment {
        let names: Vec<_> = self.regions.iter().map(|region| region.name.clone()).collect();
        let internal = |index: usize| {
            let brokers =
                (0..self.regions[index].state().brokers.max(1)).map(|slot| format!("{}/{slot}", names[index]));
            brokers.collect::<Vec<_>>().join(",")
        };
        let address = |(index, name): (usize, &RegionName)| RegionAddress {
            region: name.clone(),
            index: index as u16,
            incarnation: Incarnation(1),
            clients: String::new(),
            gateways: String::new(),
            internal: internal(index),
            council: String::new(),
            rest: String::new(),
        };
        let grant = Grant {
            group: group(),
            owner: names[self.owner].clone(),
            ownership_epoch: OwnershipEpoch(self.epoch),
            state: GrantState::Held,
            home: names[0].clone(),
            standbys: names[1..].to_vec(),
            coverage: Coverage::default(),
            openings: self.openings.clone(),
            mode: model::ModeState::default(),
            active: None,
        };
        Assignment {
            council_index: self.index,
            region: region.clone(),
            incarnation: Incarnation(1),
            groups: vec![grant],
            topics: self.topics.clone(),
            stopped: self.stopped.clone(),
            regions: names.iter().enumerate().map(address).collect(),
            gateway: None,
        }
    }

    /// The links into a region follow nobody for now.
    pub(crate) async fn pause(&self, number: usize) {
        self.agent(number).assign(&Assignment { groups: vec![], ..self.assignment(&self.region(number).name) });
        until("the links rest", || self.agent(number).status().is_empty()).await;
        sleep(Duration::from_millis(1)).await;
    }

    pub(crate) fn resume(&self, number: usize) {
        self.agent(number).assign(&self.assignment(&self.region(number).name));
    }

    /// Cuts a region off from everybody, in both directions.
    pub(crate) fn lose(&self, number: usize) {
        let region = self.region(number);
        region.change(|state| state.is_down = true);
        // Its own links find nobody either.
        let nobody = Assignment { groups: vec![], ..self.assignment(&region.name) };
        self.agent(number).assign(&Assignment { council_index: u64::MAX - 1000 + self.index, ..nobody });
    }

    /// It is back, as a new process.
    pub(crate) fn heal(&mut self, number: usize) {
        let clock = Arc::new(TokioClock(Instant::now()));
        let connector = Arc::new(MemoryConnector(self.regions.clone(), self.region(number).name.clone()));
        self.agents[number - 1] = Agent::new(self.region(number).clone(), connector, clock);
        self.region(number).change(|state| state.is_down = false);
        if self.owner != number - 1 {
            self.region(number).stand_by(self.epoch);
        }
        self.assign();
    }

    pub(crate) fn is_equal(&self, a: usize, b: usize) -> bool {
        let (a, b) = (self.region(a).state(), self.region(b).state());
        a.logs.len() == b.logs.len()
            && a.logs.iter().all(|(key, held)| b.logs.get(key).is_some_and(|b| b.log == held.log))
    }

    /// Waits until region `copy` holds what region `source` does.
    pub(crate) async fn until_equal(&self, copy: usize, source: usize) {
        until(&format!("r{copy} equals r{source}"), || self.is_equal(copy, source)).await;
    }

    pub(crate) fn status(&self, number: usize) -> LinkPartitionStatus {
        self.agent(number).status().into_iter().next().expect("something is followed")
    }
}

/// Where each batch lies.
pub(crate) fn ranges(region: &Region, key: CopyKey) -> Vec<(i64, i64)> {
    region.log(key).batches.iter().map(|batch| (range(batch).start.0, range(batch).end.0)).collect()
}
