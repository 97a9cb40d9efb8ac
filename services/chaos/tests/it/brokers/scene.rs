//! Where a fault is played: the region, the loads, the history, the gaps.

use super::confluent::Confluent;
use crate::cluster::binary;
use crate::faults::{hold, judge};
use crate::librdkafka::create_replicated;
use crate::load::{Journal, Load, consumer, scan, unique};
use crate::setting;
use chaos::brokers::Brokers;
use chaos::checker::{Requirements, Verdict};
use chaos::history::{Event, Outcome};
use model::{RegionName, TopicPartition};
use rdkafka::consumer::Consumer;
use rdkafka::metadata::MetadataPartition;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Display;
use std::path::PathBuf;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub(super) const PARTITIONS: i32 = 3;
const BROKERS: usize = 3;
/// How many records per second rdkafka writes, and confluent-kafka.
const PER_SECOND: (u64, u64) = (400, 200);
const PATIENCE: Duration = Duration::from_secs(120);
/// A history of fewer acknowledgements proves nothing.
const ACKED_MIN: usize = 1500;
/// A client that is not answered for so long asks elsewhere.
const CLIENT: [(&str, &str); 2] = [("socket.timeout.ms", "4000"), ("topic.metadata.refresh.interval.ms", "2000")];

/// Started by the first test that asks for it; one fault at a time.
static REGION: LazyLock<Mutex<Brokers>> = LazyLock::new(|| {
    let brokers = Brokers::start(binary(), directory("brokers"), BROKERS);
    Mutex::new(brokers.unwrap_or_else(|error| panic!("the region does not start: {error}")))
});

pub(super) fn directory(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()))
}

/// How often each fault is played.
pub(super) fn series() -> usize {
    setting("FARSHORE_CHAOS_SERIES", 1)
}

/// Lets time pass.
pub(super) fn rest(length: Duration) {
    let end = Instant::now() + length;
    while Instant::now() < end {
        std::thread::park_timeout(end.saturating_duration_since(Instant::now()));
    }
}

/// Whether the topic is there. Brokers that are starting refuse it, and an answer may get lost.
pub(super) fn made(answer: Result<(), String>) -> bool {
    answer.err().is_none_or(|error| error.contains("already exists"))
}

/// Waits until `holds`, and fails with the brokers' logs when it does not.
pub(super) fn until(brokers: &Brokers, what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}: not within {} s\n{}", PATIENCE.as_secs(), brokers.logs());
        rest(Duration::from_millis(20));
    }
}

/// One fault being played.
pub(super) struct Act<'a> {
    pub(super) brokers: &'a mut Brokers,
    pub(super) journal: Journal,
    pub(super) topic: String,
    /// The how manieth it is.
    pub(super) round: usize,
}

/// Plays `fault` under load, as often as is asked for, and judges what was seen.
pub(super) fn play(name: &str, limit: Option<Duration>, fault: impl Fn(&mut Act<'_>)) {
    let mut brokers = REGION.lock().unwrap_or_else(PoisonError::into_inner);
    // The test before this one may have failed midway.
    brokers.heal();
    (0..BROKERS).for_each(|slot| brokers.resume(slot).unwrap());
    brokers.start_all().unwrap();
    play_in(&mut brokers, name, limit, fault);
}

/// The same in a region whose power can be cut; says so where there is none.
pub(super) fn play_on_disks(name: &str, fault: impl Fn(&mut Act<'_>)) {
    let _alone = REGION.lock().unwrap_or_else(PoisonError::into_inner);
    match Brokers::start_on_disks(binary(), directory("disks"), BROKERS) {
        Ok(Ok(mut brokers)) => play_in(&mut brokers, name, None, fault),
        Ok(Err(error)) => eprintln!("SKIPPED: {error}; run the tests as root where file systems can be mounted"),
        Err(error) => panic!("the region does not start: {error}"),
    }
}

fn play_in(brokers: &mut Brokers, name: &str, limit: Option<Duration>, fault: impl Fn(&mut Act<'_>)) {
    let (bootstrap, topic, journal) = (brokers.bootstrap(), unique(name), Journal::new());
    until(brokers, "the topic is made", || made(create_replicated(&bootstrap, &topic, PARTITIONS, 3)));
    let mut act = Act { brokers, journal, topic, round: 0 };
    act.wait_until_whole();
    let load = Load::start_with(&bootstrap, &act.topic, PARTITIONS, PER_SECOND.0, &act.journal, &CLIENT);
    let other = Confluent::start(&bootstrap, &act.topic, PARTITIONS, PER_SECOND.1, &act.journal);
    act.wait_for_acks(600);
    let mut gaps = Vec::new();
    for round in 0..series() {
        act.round = round;
        let began = act.journal.now();
        fault(&mut act);
        act.wait_for_acks(600);
        act.wait_until_whole();
        let gap = longest_gap(&act.journal, began).expect("records were acknowledged");
        println!("{name} {}: gap {}", round + 1, told(&gap, began));
        gaps.push(gap.length);
    }
    act.wait_for_acks(ACKED_MIN.saturating_sub(act.journal.acked()));
    // The readers of the load end once nothing more comes.
    other.finish();
    load.finish();
    scan(&bootstrap, "r1", &act.topic, PARTITIONS, &act.journal);
    act.judge(name);
    if let (Some(limit), Some(longest)) = (limit, gaps.into_iter().max()) {
        hold(&format!("{name}: the longest gap"), longest, limit);
    }
}

impl Act<'_> {
    /// Strikes `target`, and writes it down.
    pub(super) fn fault(&mut self, kind: &str, target: impl Display, strike: impl FnOnce(&mut Brokers)) {
        strike(self.brokers);
        let (kind, target) = (kind.to_owned(), target.to_string());
        self.journal.tell("nemesis", Event::Fault { kind, target, outcome: Outcome::Installed });
    }

    /// Undoes it, and writes that down.
    pub(super) fn heal(&mut self, target: impl Display, undo: impl FnOnce(&mut Brokers)) {
        undo(self.brokers);
        self.journal.tell("nemesis", Event::Healed { target: target.to_string() });
    }

    /// Waits for so many more acknowledgements.
    pub(super) fn wait_for_acks(&self, more: usize) {
        let wanted = self.journal.acked() + more;
        until(self.brokers, &format!("{more} more acknowledgements"), || self.journal.acked() >= wanted);
    }

    /// What a broker, whichever answers, says of the topic.
    fn partitions<T>(&self, look: impl Fn(&[MetadataPartition]) -> T) -> Option<T> {
        self.look(|_, partitions| look(partitions))
    }

    /// The same, with how many brokers it knows of.
    fn look<T>(&self, look: impl Fn(usize, &[MetadataPartition]) -> T) -> Option<T> {
        let client = consumer(&self.brokers.bootstrap(), "chaos-eye", &CLIENT);
        let metadata = client.fetch_metadata(Some(&self.topic), Duration::from_secs(2)).ok()?;
        let known = metadata.topics().first().filter(|topic| topic.partitions().len() == PARTITIONS as usize)?;
        Some(look(metadata.brokers().len(), known.partitions()))
    }

    /// The slot of the broker that leads the partition.
    pub(super) fn leader(&self, partition: usize) -> usize {
        let mut leader = None;
        until(self.brokers, "somebody leads", || {
            leader = self.leaders().and_then(|leaders| leaders[partition]);
            leader.is_some()
        });
        leader.expect("it was waited for")
    }

    fn leaders(&self) -> Option<Vec<Option<usize>>> {
        let slot = |known: &MetadataPartition| usize::try_from(known.leader() - 1).ok();
        self.partitions(|partitions| partitions.iter().map(slot).collect())
    }

    pub(super) fn wait_for_another_leader(&self, partition: usize, old: usize) {
        until(self.brokers, "another broker leads", || {
            self.leaders().and_then(|leaders| leaders[partition]).is_some_and(|leader| leader != old)
        });
    }

    /// Waits until these lead.
    pub(super) fn wait_for_leaders(&self, wanted: &[usize]) {
        until(self.brokers, &format!("{wanted:?} lead"), || {
            self.leaders().is_some_and(|leaders| leaders.iter().copied().eq(wanted.iter().copied().map(Some)))
        });
    }

    /// Waits until the partitions are on these brokers, all in sync.
    pub(super) fn wait_for_replicas(&self, wanted: &[Vec<usize>]) {
        let is_there = |known: &MetadataPartition, slots: &Vec<usize>| {
            let wanted: Vec<_> = slots.iter().map(|slot| *slot as i32 + 1).collect();
            known.replicas() == wanted && known.isr().len() == wanted.len()
        };
        until(self.brokers, &format!("replicas on {wanted:?}"), || {
            self.partitions(|known| known.iter().zip(wanted).all(|(known, slots)| is_there(known, slots))) == Some(true)
        });
    }

    /// Waits until every replica is in sync.
    pub(super) fn wait_until_whole(&self) {
        let is_whole = |known: &MetadataPartition| known.leader() > 0 && known.isr().len() == known.replicas().len();
        until(self.brokers, "all replicas are in sync", || {
            self.look(|brokers, partitions| brokers == BROKERS && partitions.iter().all(is_whole)) == Some(true)
        });
    }

    fn judge(&self, name: &str) {
        let scanned = vec![RegionName::new("r1").unwrap()];
        let faults_min = series() as u64;
        let requirements = Requirements {
            acked_min: ACKED_MIN as u64,
            faults_min,
            readers_min: 2,
            scanned,
            ..Requirements::default()
        };
        let report = judge(&self.journal, &requirements);
        assert_eq!(report.verdict, Verdict::Pass, "{name}\n{}\n{report:?}", self.brokers.logs());
    }
}

/// How long it was, for whom, and when it ended, counted from the fault.
fn told(gap: &Gap, began: u64) -> String {
    let ended = Duration::from_nanos(gap.ended.saturating_sub(began));
    let (length, ended) = (gap.length.as_secs_f64(), ended.as_secs_f64());
    format!("{length:.2} s for {} in partition {}, over after {ended:.2} s", gap.process, gap.partition.partition.0)
}

/// A time in which a partition acknowledged nothing to one of its producers.
#[derive(Clone, Debug)]
struct Gap {
    length: Duration,
    process: String,
    partition: TopicPartition,
    /// When it ended, in nanoseconds of the history.
    ended: u64,
}

/// The longest one since `began`, if there was any.
fn longest_gap(journal: &Journal, began: u64) -> Option<Gap> {
    let (mut places, mut last): (HashMap<u64, TopicPartition>, BTreeMap<_, u64>) = Default::default();
    let mut longest: Option<Gap> = None;
    for entry in journal.entries() {
        match entry.event {
            Event::Sent { value, partition, idempotent: true } => _ = places.insert(value, partition),
            Event::Acked { value, .. } => {
                let Some(partition) = places.remove(&value) else { continue };
                let before = last.insert((entry.process.clone(), partition.clone()), entry.at);
                let length = before.map_or(0, |before| entry.at.saturating_sub(before.max(began)));
                let length = Duration::from_nanos(length);
                if entry.at > began && longest.as_ref().is_none_or(|longest| longest.length < length) {
                    longest = Some(Gap { length, process: entry.process, partition, ended: entry.at });
                }
            }
            _ => {}
        }
    }
    longest
}
