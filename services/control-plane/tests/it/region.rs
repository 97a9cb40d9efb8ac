//! A region that keeps book: what it was ordered, and where its logs would end.

mod port;
mod shelf;

pub(crate) use shelf::Shelf;

use control_plane::ports::ArchivedTopic;
use env::Clock;
use model::{
    Action, Assignment, BrokerDrain, BrokerSlot, CommitMarks, CopyProof, DivergedTail, Done, Incarnation, LeaderEpoch,
    LinkPartitionStatus, Offset, OffsetRange, Order, OrderError, OwnershipEpoch, PartitionEnd, PartitionId,
    ProtectionGroup, RegionName, RunId, SealedPartition, StepId, Timestamp, TopicId, TopicSpec, copy_states,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

type Key = (TopicId, PartitionId);

/// All regions. They outlive the nodes that serve them, as disks outlive processes.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) regions: Mutex<BTreeMap<RegionName, Arc<Book>>>,
    /// Since when a region is down.
    pub(crate) down: Mutex<BTreeMap<RegionName, Instant>>,
    /// Backups by name.
    pub(crate) backups: Mutex<BTreeMap<String, Vec<ArchivedTopic>>>,
}

/// What one region keeps on disk.
pub(crate) struct Book {
    pub(crate) name: RegionName,
    world: Arc<World>,
    pages: Mutex<Pages>,
}

#[derive(Default)]
pub(crate) struct Pages {
    assignment: Option<Assignment>,
    pub(crate) ends: BTreeMap<Key, PartitionEnd>,
    /// What copies have heard of their sources' tails.
    pub(crate) source_tails: BTreeMap<Key, Offset>,
    opened: BTreeSet<(ProtectionGroup, OwnershipEpoch)>,
    stopped: BTreeSet<ProtectionGroup>,
    sealed: BTreeSet<ProtectionGroup>,
    journal: BTreeMap<(RunId, StepId), (Order, Done)>,
    /// Every order that was carried out, in order.
    pub(crate) effects: Vec<Order>,
    /// How often each order came.
    pub(crate) deliveries: BTreeMap<(RunId, StepId), usize>,
    /// Steps that fail, with what.
    pub(crate) failing: BTreeMap<String, OrderError>,
    /// Steps whose orders take until they are taken out of it.
    pub(crate) slow: BTreeSet<String>,
    diverged: Vec<DivergedTail>,
    crossed: BTreeSet<(Key, OwnershipEpoch)>,
    pub(crate) disk_full: bool,
    /// Whether its copies are no standby until they are made anew.
    pub(crate) must_rebuild: bool,
    /// How far its copies are proven.
    pub(crate) proof: Option<CopyProof>,
    /// Brokers that are to be emptied; a region has two.
    drains: BTreeMap<BrokerSlot, BrokerDrain>,
    /// Whether logs nobody wrote to are empty.
    is_blank: bool,
}

impl World {
    pub(crate) fn book(self: &Arc<Self>, name: &RegionName) -> Arc<Book> {
        let mut regions = self.regions.lock().unwrap();
        let book = || Arc::new(Book { name: name.clone(), world: self.clone(), pages: Mutex::default() });
        regions.entry(name.clone()).or_insert_with(book).clone()
    }

    pub(crate) fn region(&self, name: &str) -> Arc<Book> {
        self.regions.lock().unwrap().get(name).unwrap().clone()
    }

    pub(crate) fn effects(&self) -> Vec<(RegionName, Order)> {
        let regions = self.regions.lock().unwrap();
        let of = |book: &Arc<Book>| {
            let name = book.name.clone();
            book.pages().effects.clone().into_iter().map(move |order| (name.clone(), order)).collect::<Vec<_>>()
        };
        regions.values().flat_map(of).collect()
    }

    /// How often orders of this step came, to whomever.
    pub(crate) fn deliveries(&self, step: &str) -> usize {
        let of = |book: &Arc<Book>| {
            let pages = book.pages();
            let ours = pages.deliveries.iter().filter(|((_, named), _)| named.as_str() == step);
            ours.map(|(_, count)| *count).sum::<usize>()
        };
        self.regions.lock().unwrap().values().map(of).sum()
    }

    fn silence_ms(&self, region: &RegionName) -> u64 {
        self.down.lock().unwrap().get(region).map_or(20, |since| since.elapsed().as_millis() as u64 + 20)
    }
}

impl Book {
    pub(crate) fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap()
    }

    pub(crate) fn erase(&self) {
        *self.pages() = Pages { is_blank: true, ..Pages::default() };
    }

    fn incarnation(pages: &Pages) -> Incarnation {
        pages.assignment.as_ref().map_or(Incarnation(0), |assignment| assignment.incarnation)
    }

    fn obey(&self, order: &Order) -> Result<Done, OrderError> {
        let mut pages = self.pages();
        let key = (order.run.clone(), order.step.clone());
        *pages.deliveries.entry(key.clone()).or_default() += 1;
        if let Some((before, done)) = pages.journal.get(&key) {
            assert_eq!(before, order, "one step gave two orders");
            return Ok(done.clone());
        }
        if let Some(error) = pages.failing.get(order.step.as_str()) {
            return Err(error.clone());
        }
        let obeyed = pages.grant(&order.group).map(|grant| grant.ownership_epoch).unwrap_or_default();
        if obeyed > order.ownership_epoch {
            let (region, group) = (self.name.clone(), order.group.clone());
            return Err(OrderError::Outdated { region, group, obeyed, ordered: order.ownership_epoch });
        }
        if obeyed < order.ownership_epoch {
            return Err(OrderError::NotReady { region: self.name.clone(), reason: "not heard of it".into() });
        }
        let done = pages.carry_out(order);
        pages.journal.insert(key, (order.clone(), done.clone()));
        pages.effects.push(order.clone());
        Ok(done)
    }
}

impl Book {
    fn known_links(&self) -> Vec<LinkPartitionStatus> {
        let pages = self.pages();
        let Some(assignment) = &pages.assignment else { return vec![] };
        let copied = assignment.groups.iter().filter(|grant| grant.owner != self.name);
        let link = |grant: &model::Grant, topic: &TopicSpec, n: i32| {
            let key = (topic.id, PartitionId(n));
            let tail = pages.end(key).tail;
            let source_tail = pages.source_tails.get(&key).copied().unwrap_or(tail);
            LinkPartitionStatus {
                topic_id: topic.id,
                topic: topic.name.clone(),
                partition: PartitionId(n),
                group: grant.group.clone(),
                source: grant.owner.clone(),
                target: self.name.clone(),
                state: if pages.must_rebuild { copy_states::MUST_REBUILD } else { "caught_up" }.into(),
                tail,
                source_tail: Some(source_tail),
                lag_records: (source_tail.0 - tail.0).max(0) as u64,
                lag_bytes: 0,
                lag_seconds: 0.0,
                silent_ms: self.world.silence_ms(&grant.owner),
                round_trip_ms: None,
                fetch_bytes: 0,
                fetches_under_way: 0,
                line: None,
                proof: pages.proof.clone(),
            }
        };
        let topics_of = |grant: &model::Grant| {
            let group = grant.group.clone();
            assignment.topics.iter().filter(move |topic| topic.group == group)
        };
        let links = copied.flat_map(|grant| {
            topics_of(grant).flat_map(move |topic| (0..topic.partitions).map(move |n| (grant, topic, n)))
        });
        links.map(|(grant, topic, n)| link(grant, topic, n)).collect()
    }
}

impl Pages {
    fn grant(&self, group: &ProtectionGroup) -> Option<&model::Grant> {
        self.assignment.as_ref()?.groups.iter().find(|grant| grant.group == *group)
    }

    fn topics(&self) -> Vec<TopicSpec> {
        self.assignment.as_ref().map_or_else(Vec::new, |assignment| assignment.topics.clone())
    }

    fn keys(&self, group: &ProtectionGroup) -> Vec<Key> {
        let topics = self.topics().into_iter().filter(|topic| topic.group == *group);
        topics.flat_map(|topic| (0..topic.partitions).map(move |n| (topic.id, PartitionId(n)))).collect()
    }

    pub(crate) fn end(&self, key: Key) -> PartitionEnd {
        let tail = if self.is_blank { Offset::ZERO } else { Offset(100) };
        let unset = PartitionEnd { topic: key.0, partition: key.1, tail, last_epoch: LeaderEpoch(4096 + 1) };
        self.ends.get(&key).copied().unwrap_or(unset)
    }

    fn ends(&self, group: &ProtectionGroup) -> Vec<PartitionEnd> {
        self.keys(group).into_iter().map(|key| self.end(key)).collect()
    }

    fn carry_out(&mut self, order: &Order) -> Done {
        let group = &order.group;
        match &order.action {
            Action::StopWrites => {
                self.stopped.insert(group.clone());
                Done::Stopped { ends: self.ends(group), commits: CommitMarks::default() }
            }
            Action::ResumeWrites => {
                self.stopped.remove(group);
                Done::Ok
            }
            Action::CatchUp { ends, .. } => {
                self.ends.extend(ends.iter().map(|end| ((end.topic, end.partition), *end)));
                Done::CaughtUp { ends: self.ends(group), commits: CommitMarks::default() }
            }
            Action::Collect { .. } => Done::CaughtUp { ends: self.ends(group), commits: CommitMarks::default() },
            Action::Seal => {
                self.sealed.insert(group.clone());
                Done::Sealed { partitions: self.keys(group).into_iter().map(|key| self.sealed_copy(key)).collect() }
            }
            Action::Unseal => {
                self.sealed.remove(group);
                Done::Ok
            }
            Action::Open { openings, .. } => {
                for opening in openings {
                    self.cross((opening.topic, opening.partition), opening.base, order.ownership_epoch);
                }
                self.opened.insert((group.clone(), order.ownership_epoch));
                self.sealed.remove(group);
                Done::Opened { ends: self.ends(group) }
            }
        }
    }

    fn sealed_copy(&self, key: Key) -> SealedPartition {
        let end = self.end(key);
        let source_tail = self.source_tails.get(&key).copied().unwrap_or(end.tail);
        let missing = (source_tail.0 - end.tail.0).max(0) as u64;
        SealedPartition {
            topic: key.0,
            partition: key.1,
            durable_end: end.tail,
            last_epoch: end.last_epoch,
            source_tail: Some(source_tail),
            source_watermark: Some(end.tail),
            missing_bytes: missing * 1000,
            oldest_missing: (missing > 0).then(|| Timestamp(env::real::SystemClock.now().0 - 1500)),
            heard_at: Some(env::real::SystemClock.now()),
        }
    }

    fn cross(&mut self, key: Key, base: Offset, epoch: OwnershipEpoch) {
        let last_epoch = LeaderEpoch::of(epoch, 1).unwrap();
        self.ends.insert(key, PartitionEnd { topic: key.0, partition: key.1, tail: base.plus(1), last_epoch });
    }

    /// Follows a new owner across the holes of its lineage; what diverges is archived first.
    fn follow(&mut self, me: &RegionName) {
        let Some(assignment) = self.assignment.clone() else { return };
        for grant in assignment.groups.iter().filter(|grant| grant.owner != *me) {
            for opening in &grant.openings {
                let key = (opening.topic, opening.partition);
                if !self.crossed.insert((key, grant.ownership_epoch)) {
                    continue;
                }
                let end = self.end(key);
                if end.tail > opening.common_end && end.tail < opening.base {
                    self.diverged.push(tail(opening, end));
                }
                self.cross(key, opening.base, grant.ownership_epoch);
            }
        }
    }
}

fn tail(opening: &model::Opening, end: PartitionEnd) -> DivergedTail {
    let range = OffsetRange::new(opening.common_end, end.tail);
    DivergedTail {
        topic: opening.topic,
        partition: opening.partition,
        ownership_epoch: end.last_epoch.ownership(),
        range,
        records: range.len(),
        bytes: range.len() * 1000,
        first_time: Timestamp(1),
        last_time: Timestamp(2),
        file: format!("diverged/{}-{}.log", opening.topic, opening.partition),
    }
}
