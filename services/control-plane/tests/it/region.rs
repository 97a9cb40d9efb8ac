//! A region that keeps book: what it was ordered, and where its logs would end.

use control_plane::ports::{
    ActivePartition, ArchivedTopic, Archivist, BackupReceipt, BackupRequest, Behind, ConflictAnswer, ConflictAsk,
    ConflictRefusal, ConsumerGroup, Disputed, InspectError, PortError, Progress, Region, RestoreReceipt,
    RestoreRequest, RestoredPartition,
};
use env::{BootInstant, Clock, PortFuture};
use mirror_core::active::{ConflictRecord, ConflictState, ConflictVersion, Dot, HybridTime, Payload, Reason};
use model::{
    Action, Assignment, BrokerDrain, BrokerOrder, BrokerOrderError, BrokerSlot, BrokerStatus, ByteCount, CommitMarks,
    CopyTerm, DiskStatus, DivergedTail, Done, Gap, Holding, Incarnation, LeaderEpoch, LinkPartitionStatus, Offset,
    OffsetRange, Order, OrderError, OwnershipEpoch, PartitionEnd, PartitionId, PartitionStatus, ProtectionGroup,
    RegionName, RegionStatus, RunId, SealedPartition, StepId, Timestamp, TopicId, TopicName, TopicSpec, copy_states,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

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
                proof: None,
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

impl Region for Book {
    fn assign(&self, assignment: Assignment) -> PortFuture<'_, Result<(), PortError>> {
        let mut pages = self.pages();
        let first = OwnershipEpoch(1);
        let owned = assignment.groups.iter().filter(|grant| grant.owner == self.name);
        // A group is open from the beginning where it begins.
        let opened: Vec<_> = owned
            .filter(|grant| grant.ownership_epoch == first || grant.openings.is_empty() && grant.home == self.name)
            .map(|grant| (grant.group.clone(), grant.ownership_epoch))
            .collect();
        pages.opened.extend(opened);
        pages.assignment = Some(assignment);
        pages.follow(&self.name);
        Box::pin(async { Ok(()) })
    }

    fn extend_lease(&self, _: &ProtectionGroup, _: OwnershipEpoch, _: BootInstant) {}

    fn holdings(&self) -> Vec<Holding> {
        let pages = self.pages();
        let Some(assignment) = &pages.assignment else { return vec![] };
        let holding = |grant: &model::Grant| {
            let owner = grant.owner == self.name;
            Holding {
                group: grant.group.clone(),
                obeyed: grant.ownership_epoch,
                owner,
                leased: owner,
                open: owner && pages.opened.contains(&(grant.group.clone(), grant.ownership_epoch)),
                stopped: pages.stopped.contains(&grant.group),
                sealed: pages.sealed.contains(&grant.group),
                commits: CommitMarks::default(),
            }
        };
        assignment.groups.iter().map(holding).collect()
    }

    fn order(&self, order: Order) -> PortFuture<'_, Result<Done, OrderError>> {
        Box::pin(async move {
            while self.pages().slow.contains(order.step.as_str()) {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            self.obey(&order)
        })
    }

    fn answers(&self) -> PortFuture<'_, Result<(), PortError>> {
        Box::pin(async { Ok(()) })
    }

    fn status(&self, _: bool) -> PortFuture<'_, Result<RegionStatus, PortError>> {
        let holdings = self.holdings();
        let pages = self.pages();
        let open = |group: &ProtectionGroup| {
            holdings.iter().any(|holding| holding.group == *group && holding.open && !holding.stopped)
        };
        let partition = |topic: &TopicSpec, n: i32| {
            let end = pages.end((topic.id, PartitionId(n)));
            PartitionStatus {
                topic_id: topic.id,
                topic: topic.name.clone(),
                partition: PartitionId(n),
                group: Some(topic.group.clone()),
                writable: open(&topic.group),
                leader_epoch: end.last_epoch,
                copy_term: CopyTerm(1),
                start: Offset::ZERO,
                tail: end.tail,
                flushed: end.tail,
                high_watermark: end.tail,
                size: ByteCount(1),
                hash: None,
                failed: None,
                sync: None,
            }
        };
        let topics = pages.topics();
        let partitions = topics.iter().flat_map(|topic| (0..topic.partitions).map(move |n| (topic, n)));
        let disk = DiskStatus { path: "/".into(), free: ByteCount(500), total: ByteCount(1000), full: pages.disk_full };
        let status = RegionStatus {
            region: self.name.clone(),
            incarnation: Self::incarnation(&pages),
            time: env::real::SystemClock.now(),
            council_index: pages.assignment.as_ref().map_or(0, |assignment| assignment.council_index),
            holdings: holdings.clone(),
            partitions: partitions.map(|(topic, n)| partition(topic, n)).collect(),
            disks: vec![disk],
            diverged: pages.diverged.clone(),
            gaps: vec![],
            orders: pages.journal.keys().map(|(run, step)| (run.clone(), step.clone(), Timestamp(0))).collect(),
        };
        Box::pin(async { Ok(status) })
    }

    fn links(&self) -> PortFuture<'_, Vec<LinkPartitionStatus>> {
        let links = self.known_links();
        Box::pin(async { links })
    }

    fn rebuild_copies(&self, _: ProtectionGroup) -> PortFuture<'_, Result<u64, PortError>> {
        Box::pin(async { Ok(0) })
    }

    fn consumer_groups(&self) -> PortFuture<'_, Result<Vec<ConsumerGroup>, PortError>> {
        Box::pin(async { Ok(vec![]) })
    }

    fn brokers(&self) -> PortFuture<'_, Result<Vec<BrokerStatus>, PortError>> {
        let drains = self.pages().drains.clone();
        let broker = |slot: u16| BrokerStatus {
            slot: BrokerSlot(slot),
            node_id: i32::from(slot) + 1,
            incarnation: Incarnation(1),
            alive: true,
            data_centre: String::new(),
            rack: format!("rack-{slot}"),
            clients: format!("127.0.0.1:{}", 9092 + slot),
            replicas: 7,
            in_sync: 7,
            leaders: 3,
            leaving: 0,
            drain: drains.get(&BrokerSlot(slot)).copied(),
        };
        let brokers = (0..2).map(broker).collect();
        Box::pin(async { Ok(brokers) })
    }

    fn order_broker(&self, order: BrokerOrder) -> PortFuture<'_, Result<(), BrokerOrderError>> {
        let drains = &mut self.pages().drains;
        let refused = |text: &str| Err(BrokerOrderError::Refused(text.to_owned()));
        let outcome = match order {
            order if order.broker().0 > 1 => Err(BrokerOrderError::Unknown(order.broker())),
            BrokerOrder::Drain { broker, onto } => {
                drains.insert(broker, BrokerDrain { onto });
                Ok(())
            }
            BrokerOrder::CancelDrain { broker } => match drains.remove(&broker) {
                Some(_) => Ok(()),
                None => refused("it is not being emptied"),
            },
            BrokerOrder::Unregister { .. } => refused("it still holds 7 replicas"),
        };
        Box::pin(async { outcome })
    }

    fn read_diverged(&self, file: String, _: u64, _: u32) -> PortFuture<'_, Result<Vec<u8>, PortError>> {
        Box::pin(async move { Err(PortError(format!("this region keeps no files, not {file} either"))) })
    }

    fn conflicts(&self, ask: ConflictAsk) -> PortFuture<'_, Result<ConflictAnswer, ConflictRefusal>> {
        Box::pin(async move { conflicts(ask) })
    }

    fn acknowledge(&self, diverged: Vec<DivergedTail>, _: Vec<Gap>) -> PortFuture<'_, Result<(), PortError>> {
        self.pages().diverged.retain(|tail| !diverged.contains(tail));
        Box::pin(async { Ok(()) })
    }
}

/// Three conflicts, one of them in quarantine, and one partition.
fn conflicts(ask: ConflictAsk) -> Result<ConflictAnswer, ConflictRefusal> {
    let (topic, partition) = (TopicName::new("carts").unwrap(), PartitionId(0));
    let version = |origin: u16, offset: i64, value: &str| ConflictVersion {
        region: RegionName::new(format!("r{origin}")).unwrap(),
        dot: Dot { origin: Incarnation(origin), offset: Offset(offset) },
        local: Offset(offset + 10),
        time: HybridTime::at(Timestamp(1_000)),
        value: Payload::of(Some(value.as_bytes())),
    };
    let record = |at: i64| ConflictRecord {
        topic: TopicName::new("carts").unwrap(),
        topic_id: TopicId::ZERO,
        partition,
        key: Payload::of(Some(format!("k{at}").as_bytes())),
        winner: version(1, at, "stands"),
        loser: version(2, at, "lost"),
        reason: Reason::LaterWrite,
        state: ConflictState::Overwritten,
    };
    match ask {
        ConflictAsk::List { from, max } => {
            let end = (from.0 + i64::from(max)).min(3);
            let next = (end < 3).then_some(Offset(end));
            Ok(ConflictAnswer::List { conflicts: (from.0..end).map(record).collect(), next })
        }
        ConflictAsk::Disputes => {
            let versions = vec![version(1, 7, "one"), version(2, 8, "two")];
            Ok(ConflictAnswer::Disputes(vec![Disputed { topic, partition, key: b"k".to_vec(), versions }]))
        }
        ConflictAsk::Settle { topic: asked, .. } if asked != topic => Err(ConflictRefusal::Unknown(asked.to_string())),
        ConflictAsk::Settle { known, .. } if known.len() < 2 => Err(ConflictRefusal::Changed("look again".to_owned())),
        ConflictAsk::Settle { key, choice, .. } => {
            assert_eq!((key, choice), (b"k".to_vec(), version(2, 8, "").dot));
            Ok(ConflictAnswer::Settled(Offset(42)))
        }
        ConflictAsk::Partitions => {
            let received = vec![(Incarnation(500), Offset(9))];
            let (records, bytes, bytes_taken, repeats) = (4, 300, 290, 1);
            let behind = vec![Behind { origin: Incarnation(500), records_max: 3, time: Duration::from_millis(1500) }];
            let known = ActivePartition { topic, partition, received, behind, records, bytes, bytes_taken, repeats };
            Ok(ConflictAnswer::Partitions(vec![known]))
        }
    }
}

/// An archive in memory.
pub(crate) struct Shelf {
    pub(crate) book: Arc<Book>,
    pub(crate) world: Arc<World>,
    /// What restores fail with.
    pub(crate) damage: Arc<Mutex<Option<String>>>,
    /// Held while backups are to stay at work.
    pub(crate) hold: Arc<tokio::sync::RwLock<()>>,
}

impl Shelf {
    async fn put(&self, request: BackupRequest, progress: &(dyn Fn(Progress) + Send + Sync)) -> BackupReceipt {
        let bytes_total = request.topics.len() as u64 * 1000;
        progress(Progress { bytes_done: 1, bytes_total, partitions_done: 0, partitions_total: 1 });
        let _go_on = self.hold.read().await;
        let archived = |topic: TopicSpec| ArchivedTopic { topic, last_epoch: LeaderEpoch(4096 + 1), bytes: 1000 };
        let topics: Vec<_> = request.topics.into_iter().map(archived).collect();
        let partitions = topics.iter().map(|archived| archived.topic.partitions as u64).sum();
        self.world.backups.lock().unwrap().insert(request.backup.clone(), topics);
        BackupReceipt {
            manifest: format!("backups/{}", request.backup),
            manifest_sha256: "00".into(),
            partitions,
            records: partitions * 100,
            bytes: partitions * 1000,
            objects: 1,
            commits: 0,
        }
    }

    fn take(&self, request: &RestoreRequest) -> Result<RestoreReceipt, PortError> {
        if let Some(damage) = self.damage.lock().unwrap().clone() {
            return Err(PortError(damage));
        }
        let mut pages = self.book.pages();
        let mut partitions = vec![];
        for (name, id) in &request.topics {
            let topics = pages.topics();
            let topic = topics.iter().find(|topic| topic.id == *id).expect("the topic was made before");
            for n in (0..topic.partitions).map(PartitionId) {
                let (topic, last_epoch) = (*id, LeaderEpoch(4096 + 1));
                pages.ends.insert((*id, n), PartitionEnd { topic, partition: n, tail: Offset(100), last_epoch });
                let (topic, sha256) = (name.clone(), "00".to_owned());
                partitions.push(RestoredPartition { topic, partition: n, records: 100, bytes: 1000, sha256 });
            }
        }
        Ok(RestoreReceipt { at_once: 1, partitions, commits: u64::from(request.with_offsets) })
    }
}

impl Archivist for Shelf {
    fn kept_tails<'a>(
        &'a self,
        region: &'a RegionName,
        file: &'a str,
    ) -> PortFuture<'a, Result<Vec<String>, PortError>> {
        Box::pin(async move { Ok(vec![format!("{region}/{file}")]) })
    }

    fn backup<'a>(
        &'a self,
        request: BackupRequest,
        progress: &'a (dyn Fn(Progress) + Send + Sync),
    ) -> PortFuture<'a, Result<BackupReceipt, PortError>> {
        Box::pin(async move { Ok(self.put(request, progress).await) })
    }

    fn inspect<'a>(&'a self, backup: &'a str) -> PortFuture<'a, Result<Vec<ArchivedTopic>, InspectError>> {
        let found = self.world.backups.lock().unwrap().get(backup).cloned();
        Box::pin(async move { found.ok_or_else(|| InspectError::Damaged(format!("there is no manifest of {backup}"))) })
    }

    fn restore<'a>(
        &'a self,
        request: RestoreRequest,
        _: &'a (dyn Fn(Progress) + Send + Sync),
    ) -> PortFuture<'a, Result<RestoreReceipt, PortError>> {
        Box::pin(async move { self.take(&request) })
    }
}
