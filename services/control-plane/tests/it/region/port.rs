//! The region as its council node asks it.

use super::Book;
use control_plane::ports::{
    ActivePartition, Behind, ConflictAnswer, ConflictAsk, ConflictRefusal, ConsumerGroup, Disputed, PortError, Region,
};
use env::{BootInstant, Clock, PortFuture};
use mirror_core::active::{ConflictRecord, ConflictState, ConflictVersion, Dot, HybridTime, Payload, Reason};
use model::{
    Assignment, BrokerDrain, BrokerOrder, BrokerOrderError, BrokerSlot, BrokerStatus, ByteCount, CommitMarks, CopyTerm,
    DiskStatus, DivergedTail, Done, Gap, Holding, Incarnation, LinkPartitionStatus, Offset, Order, OrderError,
    OwnershipEpoch, PartitionId, PartitionStatus, ProtectionGroup, RegionName, RegionStatus, Timestamp, TopicId,
    TopicName, TopicSpec,
};
use std::time::Duration;

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

    fn pending_facts(&self) -> PortFuture<'_, (Vec<DivergedTail>, Vec<Gap>)> {
        Box::pin(std::future::ready((self.pages().diverged.clone(), vec![])))
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
