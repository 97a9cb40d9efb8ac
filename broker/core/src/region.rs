//! How answers of several brokers become the answer of their region.
//!
//! ```text
//!   desk --ask--> broker 0: {p0, p3}    broker 1: {p1, p4}    broker 2: {p2, p5}
//!                       '--------------------+---------------------'
//!   desk <-- p0..p5, each from its leader; or who is missing
//! ```
//!
//! What counts of a partition is what its leader says. A partition that nobody leads, or whose leader said nothing of it,
//! makes an answer incomplete: it is asked for again, never guessed.

use crate::metadata::{Image, Partition, Topic};
use model::{
    BrokerSlot, CommitMarks, CopyTerm, Holding, PartitionEnd, PartitionId, PartitionStatus, ProtectionGroup,
    RegionStatus, SealedPartition, TopicId, TopicName, TopicState,
};
use std::collections::{BTreeMap, BTreeSet};

/// What each of a region's brokers said.
pub type Said<T> = BTreeMap<BrokerSlot, T>;

/// Why a region has no answer yet.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Incomplete {
    /// Nobody leads a partition.
    #[error("nobody leads {topic}-{partition}")]
    Leaderless {
        /// Its topic.
        topic: TopicName,
        /// Its number.
        partition: PartitionId,
    },
    /// The leader of a partition said nothing of it.
    #[error("broker {} leads {topic}-{partition} and said nothing of it", .broker.0)]
    Silent {
        /// The leader.
        broker: BrokerSlot,
        /// The topic.
        topic: TopicName,
        /// The partition.
        partition: PartitionId,
    },
    /// The region does not have a partition yet.
    #[error("there is no partition {partition} of topic id {topic} yet")]
    Unknown {
        /// The topic.
        topic: TopicId,
        /// The partition.
        partition: PartitionId,
    },
    /// The commits of consumer groups are not there up to what was asked for.
    #[error("the commits in partition {} of the source's offsets topic are not there up to what was asked for", .0)]
    Commits(PartitionId),
    /// The region holds less of a partition than was asked for.
    #[error("partition {partition} of topic id {topic} is not there up to what was asked for")]
    Short {
        /// The topic.
        topic: TopicId,
        /// The partition.
        partition: PartitionId,
    },
}

/// What is said of one partition.
pub trait OfPartition {
    /// Which one.
    fn place(&self) -> (TopicId, PartitionId);
}

impl OfPartition for PartitionEnd {
    fn place(&self) -> (TopicId, PartitionId) {
        (self.topic, self.partition)
    }
}

impl OfPartition for SealedPartition {
    fn place(&self) -> (TopicId, PartitionId) {
        (self.topic, self.partition)
    }
}

/// What the leaders of all partitions of `group` said, one item for each, in the order of topics and partitions.
///
/// # Errors
/// [`Incomplete`] names the first partition of which its leader, as `image` has it, said nothing.
pub fn of_leaders<T: OfPartition + Clone>(
    image: &Image,
    group: &ProtectionGroup,
    said: &Said<Vec<T>>,
) -> Result<Vec<T>, Incomplete> {
    let index = |items: &Vec<T>| items.iter().map(|item| (item.place(), item.clone())).collect::<BTreeMap<_, _>>();
    let by_place: Said<BTreeMap<_, T>> = said.iter().map(|(slot, items)| (*slot, index(items))).collect();
    let from_leader = |(topic, number, placed): (&Topic, PartitionId, &Partition)| {
        let name = || topic.name.clone();
        let broker =
            leader(image, placed).ok_or_else(|| Incomplete::Leaderless { topic: name(), partition: number })?;
        let item = by_place.get(&broker).and_then(|items| items.get(&(topic.id, number)));
        item.cloned().ok_or_else(|| Incomplete::Silent { broker, topic: name(), partition: number })
    };
    partitions(image, group).map(from_leader).collect()
}

/// Whether `held`, what the leaders hold, is all that was `wanted`.
///
/// # Errors
/// The first partition that is missing or ends too early.
pub fn holds(held: &[PartitionEnd], wanted: &[PartitionEnd]) -> Result<(), Incomplete> {
    let tails: BTreeMap<_, _> = held.iter().map(|end| (end.place(), end.tail)).collect();
    for PartitionEnd { topic, partition, tail, .. } in wanted {
        let (topic, partition) = (*topic, *partition);
        match tails.get(&(topic, partition)) {
            None => return Err(Incomplete::Unknown { topic, partition }),
            Some(known) if known < tail => return Err(Incomplete::Short { topic, partition }),
            Some(_) => {}
        }
    }
    Ok(())
}

/// How far the commits go that the region's brokers keep, in each partition of its offsets topic as its leader says.
///
/// # Errors
/// The first partition of which its leader said nothing.
pub fn commits_of_leaders(
    image: &Image,
    offsets: Option<&Topic>,
    said: &Said<CommitMarks>,
) -> Result<CommitMarks, Incomplete> {
    let Some(topic) = offsets else { return Ok(CommitMarks::default()) };
    let of_leader = |(number, placed): (PartitionId, &Partition)| {
        let name = || topic.name.clone();
        let broker =
            leader(image, placed).ok_or_else(|| Incomplete::Leaderless { topic: name(), partition: number })?;
        let known = said.get(&broker).and_then(|marks| marks.iter().find(|(partition, _)| *partition == number));
        known.ok_or_else(|| Incomplete::Silent { broker, topic: name(), partition: number })
    };
    topic.partitions().map(of_leader).collect()
}

/// What brokers that carry another region's commits have of them together.
pub fn merged(said: &Said<CommitMarks>) -> CommitMarks {
    let mut all = CommitMarks::default();
    said.values().for_each(|marks| all.merge(marks));
    all
}

/// Whether `reached` is all of the commits that were `wanted`.
///
/// # Errors
/// The first partition of the source's offsets topic in which it is not.
pub fn has_commits(reached: &CommitMarks, wanted: &CommitMarks) -> Result<(), Incomplete> {
    let missing = wanted.iter().find(|(partition, cursor)| !reached.of(*partition).has_reached(*cursor));
    missing.map_or(Ok(()), |(partition, _)| Err(Incomplete::Commits(partition)))
}

/// The region as its brokers see it: each partition as its leader does, or where that says nothing the replica with the
/// longest log, which takes no writes. What else the brokers know is put together; the rest is the desk's `own`.
///
/// A log that failed on a replica is not counted as failed: its leader goes on without it.
pub fn status(image: &Image, own: RegionStatus, said: &Said<RegionStatus>) -> RegionStatus {
    let mut merged = own;
    let mut seen: BTreeMap<(TopicId, PartitionId), Vec<(BrokerSlot, &PartitionStatus)>> = BTreeMap::new();
    for (slot, status) in said {
        for partition in &status.partitions {
            seen.entry((partition.topic_id, partition.partition)).or_default().push((*slot, partition));
        }
        merged.disks.extend(status.disks.iter().cloned());
        merge_commits(&mut merged.holdings, &status.holdings);
        merged
            .diverged
            .extend(status.diverged.iter().filter(|tail| !merged.diverged.contains(tail)).cloned().collect::<Vec<_>>());
        merged.gaps.extend(status.gaps.iter().filter(|gap| !merged.gaps.contains(gap)).cloned().collect::<Vec<_>>());
    }
    merged.partitions = seen.into_iter().filter_map(|(place, seen)| partition_status(image, place, &seen)).collect();
    merged.partitions.sort_unstable_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
    merged
}

/// Each broker knows how far those commits go that it keeps itself.
fn merge_commits(holdings: &mut [Holding], said: &[Holding]) {
    for known in holdings {
        let same = |other: &&Holding| other.group == known.group && other.obeyed == known.obeyed;
        if let Some(other) = said.iter().find(same) {
            known.commits.merge(&other.commits);
        }
    }
}

fn partition_status(
    image: &Image,
    (topic, number): (TopicId, PartitionId),
    seen: &[(BrokerSlot, &PartitionStatus)],
) -> Option<PartitionStatus> {
    let leads = image.partition(topic, number).and_then(|placed| leader(image, placed));
    if let Some((_, of_leader)) = seen.iter().find(|(slot, _)| Some(*slot) == leads) {
        return Some((*of_leader).clone());
    }
    let (_, longest) = seen.iter().max_by_key(|(_, status)| (status.leader_epoch, status.flushed))?;
    Some(PartitionStatus { writable: false, copy_term: CopyTerm(0), failed: None, sync: None, ..(*longest).clone() })
}

/// The brokers that have to answer for `group`: those that lead one of its partitions.
pub fn leaders(image: &Image, group: &ProtectionGroup) -> BTreeSet<BrokerSlot> {
    partitions(image, group).filter_map(|(_, _, placed)| leader(image, placed)).collect()
}

/// Whether the region can serve clients, as far as its metadata says: at least half of its brokers are let in.
pub fn is_serving(image: &Image) -> bool {
    let (all, alive) = (image.brokers().count(), image.brokers().filter(|(_, known)| !known.is_fenced()).count());
    alive > 0 && 2 * alive >= all
}

/// The broker that leads a partition and is alive.
fn leader(image: &Image, placed: &Partition) -> Option<BrokerSlot> {
    placed.leader.filter(|leader| image.is_live(leader)).map(|leader| leader.broker)
}

/// All partitions of the group's topics that clients may use.
fn partitions<'a>(
    image: &'a Image,
    group: &'a ProtectionGroup,
) -> impl Iterator<Item = (&'a Topic, PartitionId, &'a Partition)> {
    let topics =
        image.topics().filter(move |topic| topic.state == TopicState::Live && topic.group.as_ref() == Some(group));
    topics.flat_map(|topic| topic.partitions().map(move |(number, placed)| (topic, number, placed)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::samples::{cluster, create_on, grant, name, region};
    use crate::metadata::{Addresses, Answer, Command, Location};
    use model::{
        ByteCount, CommitCursor, DivergedTail, Incarnation, LeaderEpoch, Offset, OffsetRange, OwnershipEpoch, Timestamp,
    };

    /// Three brokers, and a topic of three partitions, each led by another one.
    fn led() -> (Image, TopicId) {
        let mut image = cluster(3);
        image.apply(Command::Obey { council_index: 1, grant: grant("orders", "r1", 1) }).unwrap();
        let topic = create_on(&mut image, "eu.orders", Some("orders"), &[&[0, 1, 2], &[1, 2, 0], &[2, 0, 1]]);
        for (broker, session) in image.brokers().map(|(slot, known)| (slot, known.session)).collect::<Vec<_>>() {
            let starts = image.starts_due(broker);
            image.apply(Command::StartLeaders { broker, session, starts }).unwrap();
        }
        (image, topic)
    }

    fn fence(image: &mut Image, slot: u16) {
        let broker = BrokerSlot(slot);
        let session = image.broker(broker).unwrap().session;
        image.apply(Command::Fence { reign: image.reign(), broker, session, choices: vec![] }).unwrap();
    }

    fn end(topic: TopicId, partition: i32, tail: i64) -> PartitionEnd {
        PartitionEnd { topic, partition: PartitionId(partition), tail: Offset(tail), last_epoch: LeaderEpoch(4096) }
    }

    fn said(topic: TopicId) -> Said<Vec<PartitionEnd>> {
        (0..3).map(|slot| (BrokerSlot(slot), vec![end(topic, i32::from(slot), 10 + i64::from(slot))])).collect()
    }

    #[test]
    fn every_partition_counts_as_its_leader_says() {
        let (image, topic) = led();
        let mut said = said(topic);
        said.get_mut(&BrokerSlot(0)).unwrap().push(end(topic, 1, 99));
        let tails: Vec<_> = of_leaders(&image, &name("orders"), &said).unwrap().iter().map(|end| end.tail.0).collect();
        assert_eq!(tails, [10, 11, 12], "what a follower says does not count");
        assert_eq!(of_leaders(&image, &name("other"), &said), Ok(vec![]));
    }

    #[test]
    fn a_leader_that_says_nothing_makes_the_answer_incomplete() {
        let (mut image, topic) = led();
        let mut said = said(topic);
        said.remove(&BrokerSlot(2));
        let silent = of_leaders(&image, &name("orders"), &said).unwrap_err();
        assert!(matches!(silent, Incomplete::Silent { broker: BrokerSlot(2), partition: PartitionId(2), .. }));
        fence(&mut image, 2);
        let moved = of_leaders(&image, &name("orders"), &said).unwrap_err();
        assert!(matches!(moved, Incomplete::Silent { broker: BrokerSlot(0), .. }), "its heir has to be asked: {moved}");
        fence(&mut image, 0);
        fence(&mut image, 1);
        let nobody = of_leaders(&image, &name("orders"), &said).unwrap_err();
        assert!(matches!(nobody, Incomplete::Leaderless { partition: PartitionId(0), .. }), "{nobody}");
        assert!(leaders(&image, &name("orders")).is_empty());
    }

    #[test]
    fn what_is_missing_or_too_short_is_named() {
        let (_, topic) = led();
        let held = [end(topic, 0, 10), end(topic, 1, 5)];
        assert_eq!(holds(&held, &[end(topic, 1, 5)]), Ok(()));
        assert!(matches!(holds(&held, &[end(topic, 1, 6)]), Err(Incomplete::Short { partition: PartitionId(1), .. })));
        assert!(matches!(holds(&held, &[end(topic, 2, 0)]), Err(Incomplete::Unknown { .. })));
    }

    fn seen(topic: TopicId, partition: i32, tail: i64, failed: Option<&str>) -> PartitionStatus {
        PartitionStatus {
            topic_id: topic,
            topic: TopicName::new("eu.orders").unwrap(),
            partition: PartitionId(partition),
            group: Some(name("orders")),
            writable: true,
            leader_epoch: LeaderEpoch(4096),
            copy_term: CopyTerm(0),
            start: Offset(0),
            tail: Offset(tail),
            flushed: Offset(tail),
            high_watermark: Offset(tail),
            size: ByteCount(1),
            hash: None,
            failed: failed.map(str::to_owned),
            sync: None,
        }
    }

    fn of(partitions: Vec<PartitionStatus>, diverged: Vec<DivergedTail>) -> RegionStatus {
        RegionStatus {
            region: region("r1"),
            incarnation: Incarnation(1),
            time: Timestamp(1),
            council_index: 1,
            holdings: vec![],
            partitions,
            disks: vec![],
            diverged,
            gaps: vec![],
            orders: vec![],
        }
    }

    #[test]
    fn commits_count_as_the_leader_of_their_partition_says_and_copies_of_them_together() {
        let (image, topic) = led();
        let at = |position| CommitCursor { incarnation: Incarnation(7), position: Offset(position) };
        let marks = |of: &[(i32, i64)]| of.iter().map(|(p, at_)| (PartitionId(*p), at(*at_))).collect::<CommitMarks>();
        let mut said = Said::from([
            (BrokerSlot(0), marks(&[(0, 5)])),
            (BrokerSlot(1), marks(&[(0, 9), (1, 6)])),
            (BrokerSlot(2), marks(&[(2, 0)])),
        ]);
        let offsets = image.topic(topic);
        assert_eq!(commits_of_leaders(&image, offsets, &said), Ok(marks(&[(0, 5), (1, 6), (2, 0)])));
        assert_eq!(commits_of_leaders(&image, None, &said), Ok(CommitMarks::default()));
        assert_eq!(has_commits(&merged(&said), &marks(&[(0, 9), (1, 6), (7, 0)])), Ok(()));
        assert_eq!(has_commits(&merged(&said), &marks(&[(1, 7)])), Err(Incomplete::Commits(PartitionId(1))));
        said.remove(&BrokerSlot(2));
        assert!(matches!(commits_of_leaders(&image, offsets, &said), Err(Incomplete::Silent { .. })));
    }

    #[test]
    fn a_region_is_seen_through_its_leaders_and_a_partition_without_one_takes_no_writes() {
        let (mut image, topic) = led();
        let tail = DivergedTail {
            topic,
            partition: PartitionId(0),
            ownership_epoch: OwnershipEpoch(1),
            range: OffsetRange::new(Offset(1), Offset(2)),
            records: 1,
            bytes: 1,
            first_time: Timestamp(1),
            last_time: Timestamp(1),
            file: "f".into(),
        };
        let brokers = Said::from([
            (BrokerSlot(0), of(vec![seen(topic, 0, 7, None), seen(topic, 1, 3, Some("disk"))], vec![tail.clone()])),
            (BrokerSlot(1), of(vec![seen(topic, 0, 9, Some("disk")), seen(topic, 1, 4, None)], vec![tail])),
        ]);
        let merged = status(&image, of(vec![], vec![]), &brokers);
        let shown = |status: &RegionStatus| {
            status.partitions.iter().map(|p| (p.tail.0, p.writable, p.failed.is_some())).collect::<Vec<_>>()
        };
        assert_eq!(shown(&merged), [(7, true, false), (4, true, false)]);
        assert_eq!(merged.diverged.len(), 1, "the same fact from two brokers is one");
        for slot in [0, 1, 2] {
            fence(&mut image, slot);
        }
        assert_eq!(shown(&status(&image, of(vec![], vec![]), &brokers))[0], (9, false, false));
    }

    #[test]
    fn a_region_serves_while_half_of_its_brokers_are_let_in_and_the_desk_is_none_of_them() {
        let mut image = cluster(3);
        let register = Command::RegisterBroker {
            slot: BrokerSlot(9),
            incarnation: Incarnation(1),
            addresses: Addresses::default(),
            location: Location::default(),
            desk: true,
            boot: Default::default(),
        };
        let Ok(Answer::Registered { session }) = image.apply(register) else { panic!("the desk registers") };
        image.apply(Command::Unfence { reign: image.reign(), broker: BrokerSlot(9), session }).unwrap();
        assert_eq!((image.brokers().count(), image.members().count()), (3, 4));
        assert!(is_serving(&image));
        fence(&mut image, 0);
        assert!(is_serving(&image));
        fence(&mut image, 1);
        assert!(!is_serving(&image));
        let placed = crate::metadata::Placement::of(&image, TopicId::ZERO, 9, |_| true);
        assert_eq!(placed.replicas(), 3, "nothing is placed on the desk");
    }
}
