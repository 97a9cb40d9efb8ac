//! Regions that all take writes for a topic, parted: what their clients wrote of the same keys comes to the same state
//! everywhere once they are joined again, and the conflict topic has every acknowledged version that does not stand.
//!
//! FARSHORE_CHAOS_ACTIVE_SECONDS is for how long the regions are parted (0: as long as the writes take); 60 is the whole
//! story. FARSHORE_CHAOS_ACTIVE_KEYS is how many keys both sides write (1000).

use crate::cluster::start_with;
use crate::load::{RECORD_BYTES, consumer, create, unique};
use crate::rest::list;
use crate::setting;
use api::conflicts::{ActivePartition, Conflict, ConflictState, Payload};
use chaos::line::{Direction, Line, Plan};
use chaos::platform::Platform;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::Consumer;
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const REGIONS: [&str; 3] = ["r1", "r2", "r3"];
const GATEWAY: &str = "gateway";
const PARTITIONS: i32 = 2;
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn keys_written_apart_stand_alike_everywhere_and_what_lost_is_in_the_conflict_topic() {
    let line = Line::open(Plan::default()).unwrap_or_else(|error| panic!("this test needs a line: {error}"));
    let platform = start_with(|options| options.arguments = vec!["--links-at".to_owned(), line.far().to_string()]);
    let mut story = Story::begin(platform, line);
    // The gateway serves the group's home.
    story.write(GATEWAY, "before", 1);
    story.come_together();
    story.part();
    let began = Instant::now();
    story.write("r1", "parted", 1);
    story.write("r2", "parted", 1);
    // A third one joins some of the disputes.
    story.write("r3", "parted", 10);
    let lasts = Duration::from_secs(setting("FARSHORE_CHAOS_ACTIVE_SECONDS", 0));
    story.platform.wait_for("the cut is over", lasts + PATIENCE, || began.elapsed() >= lasts).unwrap();
    assert!(story.conflicts("r1").is_empty(), "nobody knows of the others yet");
    let behind = REGIONS.map(|region| story.falls_behind(region));
    story.join();
    story.come_together();
    REGIONS.iter().zip(behind).for_each(|(region, behind)| story.is_behind_no_more(region, behind));
    story.carries_little_twice();
    // Again, and one of them dies while it hears of the others.
    story.part();
    story.write("r1", "again", 1);
    story.write("r2", "again", 1);
    story.join();
    story.platform.kill_region("r2").unwrap();
    story.platform.start_region("r2").unwrap();
    story.come_together();
}

/// What clients were told, and what is to come of it.
struct Story {
    platform: Platform,
    line: Line,
    topic: String,
    keys: u32,
    /// The values that were acknowledged, by round and key.
    acked: BTreeMap<(String, String), BTreeSet<String>>,
    rounds: Vec<String>,
}

impl Story {
    fn begin(platform: Platform, line: Line) -> Self {
        let topic = unique("shared");
        platform.command(&["protection", "active", "shared", "--topics", "shared*"]).unwrap();
        create(&bootstrap(&platform, "r1"), &topic, PARTITIONS);
        let keys = setting("FARSHORE_CHAOS_ACTIVE_KEYS", 1000);
        Self { platform, line, topic, keys, acked: BTreeMap::new(), rounds: Vec::new() }
    }

    fn part(&self) {
        [Direction::There, Direction::Back].into_iter().for_each(|direction| self.line.cut(direction, true));
    }

    fn join(&self) {
        [Direction::There, Direction::Back].into_iter().for_each(|direction| self.line.cut(direction, false));
    }

    /// Writes every `step`th key in a region and waits until all of it is acknowledged.
    fn write(&mut self, region: &str, round: &str, step: usize) {
        let acked = Arc::new(Mutex::new(Vec::new()));
        let producer = producer(&bootstrap(&self.platform, region), &acked);
        for key in (0..self.keys).step_by(step) {
            let (key, mut value) = (format!("k{key}"), format!("{round}/{region}/{key}/"));
            value.extend(std::iter::repeat_n('.', RECORD_BYTES - value.len()));
            let partition = (key.len() % PARTITIONS as usize) as i32;
            let record: BaseRecord<'_, str, str, Box<(String, String)>> =
                BaseRecord::with_opaque_to(&self.topic, Box::new((key.clone(), value.clone())))
                    .partition(partition)
                    .key(key.as_str())
                    .payload(value.as_str());
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(PATIENCE).expect("every record gets its receipt");
        let acked = std::mem::take(&mut *acked.lock().unwrap());
        assert_eq!(acked.len(), (self.keys as usize).div_ceil(step), "{region} takes writes\n{}", self.platform.logs());
        for (key, value) in acked {
            self.acked.entry((round.to_owned(), key)).or_default().insert(value);
        }
        if !self.rounds.iter().any(|known| known == round) {
            self.rounds.push(round.to_owned());
        }
    }

    /// Waits until every region has received everything, then holds what they say against what clients were told.
    fn come_together(&self) {
        let mut last = Vec::new();
        let together = self.platform.wait_for("every region has everything", PATIENCE, || {
            last = REGIONS.iter().map(|region| self.partitions(region).map(|known| received(&known))).collect();
            let told = |at: usize| last[at].as_ref().ok().filter(|known| known.len() == PARTITIONS as usize);
            told(0).is_some() && told(0) == told(1) && told(1) == told(2)
        });
        together.unwrap_or_else(|error| panic!("{error}\n{last:?}\n{}", self.platform.logs()));
        let mut states = Vec::new();
        let same = self.platform.wait_for("every region shows the same", PATIENCE, || {
            states = REGIONS.iter().map(|region| self.standing(region)).collect();
            states[0] == states[1] && states[1] == states[2] && self.is_newest(&states[0])
        });
        same.unwrap_or_else(|error| panic!("{error}\n{}\n{}", differences(&states), self.platform.logs()));
        let expected = self.expected_losers(&states[0]);
        for region in REGIONS {
            self.tells_of(region, &expected);
        }
    }

    /// Whether every key has one of the values that were acknowledged for it last.
    fn is_newest(&self, state: &BTreeMap<String, String>) -> bool {
        let round = self.rounds.last().expect("something was written");
        let mut of_round = self.acked.iter().filter(|((of, _), _)| of == round);
        state.len() == self.keys as usize && of_round.all(|((_, key), values)| values.contains(&state[key]))
    }

    /// What was acknowledged beside something else of the same round and key, and does not stand over it.
    fn expected_losers(&self, state: &BTreeMap<String, String>) -> BTreeMap<(String, String), Losers> {
        let disputed = self.acked.iter().filter(|(_, values)| values.len() > 1);
        let expected = disputed.map(|(at @ (_, key), values)| {
            let standing = values.contains(&state[key]).then(|| state[key].clone());
            (at.clone(), Losers { values: values.clone(), standing })
        });
        expected.collect()
    }

    /// Waits until a region has told of as many conflicts as there must be, which are just those.
    fn tells_of(&self, region: &str, expected: &BTreeMap<(String, String), Losers>) {
        let count: usize = expected.values().map(|losers| losers.values.len() - 1).sum();
        let mut told = Vec::new();
        let heard = self.platform.wait_for("all conflicts are told", PATIENCE, || {
            told = self.conflicts(region);
            told.len() >= count
        });
        heard
            .unwrap_or_else(|error| panic!("{error}: {} of {count} in {region}\n{}", told.len(), self.platform.logs()));
        assert_eq!(told.len(), count, "{region} tells of more than there was");
        let mut lost: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
        for conflict in &told {
            assert_eq!(conflict.state, ConflictState::Overwritten);
            let (key, value, winner) = (text(&conflict.key), text(&conflict.loser.value), text(&conflict.winner.value));
            let (round, writer) = (part(&value, 0), part(&value, 1));
            assert_eq!((writer, part(&winner, 0)), (conflict.loser.region.clone(), round.clone()), "{key}");
            assert!(lost.entry((round, key)).or_default().insert(value), "a version is told of twice");
        }
        for (at, losers) in expected {
            let (left, lost): (Vec<_>, Vec<_>) = losers.values.iter().partition(|value| !lost[at].contains(*value));
            assert_eq!((left.len(), lost.len()), (1, losers.values.len() - 1), "{at:?}");
            let is_standing = losers.standing.as_ref().is_none_or(|standing| left == [standing]);
            assert!(is_standing, "{at:?}: {region} says that {left:?} stands");
        }
    }

    /// Links bring hardly anything that is there already.
    fn carries_little_twice(&self) {
        for region in REGIONS {
            let known = self.partitions(region).unwrap();
            let brought: u64 = known.iter().map(|known| known.bytes_brought).sum();
            let taken: u64 = known.iter().map(|known| known.bytes_taken).sum();
            println!("{region}: {brought} bytes came for {taken}");
            assert!(taken > 0 && brought * 100 <= taken * 105, "{region}: {brought} bytes came for {taken}");
        }
    }

    /// For how long at least, in milliseconds, a region has not had everything of each other one; and how many records it
    /// knows of that are not here.
    fn behind(&self, region: &str) -> Option<(u64, u64)> {
        let known = self.partitions(region).ok()?;
        let others = known.iter().flat_map(|known| &known.received).filter(|of| of.region.as_deref() != Some(region));
        let behind: Vec<_> = others.map(|of| Some((of.behind_ms?, of.records_behind_max?))).collect::<Option<_>>()?;
        Some((behind.iter().map(|(ms, _)| *ms).min()?, behind.iter().map(|(_, records)| *records).max()?))
    }

    /// Waits until a region that is cut off shows by more and more that it is behind all others; gives by how much.
    fn falls_behind(&self, region: &str) -> u64 {
        let (mut first, mut last) = (None, None);
        let grows = self.platform.wait_for("it falls behind", PATIENCE, || {
            last = self.behind(region).map(|(ms, _)| ms);
            first = first.or(last);
            last.zip(first).is_some_and(|(last, first)| last >= first + 1000)
        });
        grows.unwrap_or_else(|error| panic!("{error}: {region} {first:?} {last:?}\n{}", self.platform.logs()));
        last.unwrap_or_default()
    }

    fn is_behind_no_more(&self, region: &str, before: u64) {
        let mut last = None;
        let is_there = self.platform.wait_for("nothing is behind", PATIENCE, || {
            last = self.behind(region);
            last.is_some_and(|(ms, records)| ms + 1000 <= before && records == 0)
        });
        is_there.unwrap_or_else(|error| panic!("{error}: {region} {last:?} {before}\n{}", self.platform.logs()));
    }

    fn partitions(&self, region: &str) -> Result<Vec<ActivePartition>, String> {
        let path = format!("/v1/regions/{region}/active-partitions");
        let all: Vec<ActivePartition> = list(&self.platform.endpoints().api, &path, "")?;
        Ok(all.into_iter().filter(|known| known.topic == self.topic).collect())
    }

    fn conflicts(&self, region: &str) -> Vec<Conflict> {
        let mut last = Err("nothing was asked yet".to_owned());
        let told = self.platform.wait_for("conflicts are told", PATIENCE, || {
            last = list(&self.platform.endpoints().api, &format!("/v1/regions/{region}/conflicts"), "");
            last.is_ok()
        });
        told.unwrap_or_else(|error| panic!("{error}\n{last:?}\n{}", self.platform.logs()));
        last.expect("it was waited for")
    }

    /// The last value of each key, as a client of the region reads it.
    fn standing(&self, region: &str) -> BTreeMap<String, String> {
        let bootstrap = bootstrap(&self.platform, region);
        let consumer = consumer(&bootstrap, &format!("{}-scan", self.topic), &[("enable.auto.commit", "false")]);
        let (mut state, deadline) = (BTreeMap::new(), Instant::now() + PATIENCE);
        for partition in 0..PARTITIONS {
            let (_, tail) = loop {
                match consumer.fetch_watermarks(&self.topic, partition, Duration::from_secs(5)) {
                    Ok(ends) => break ends,
                    Err(error) => assert!(Instant::now() < deadline, "{region} does not tell its end: {error}"),
                }
            };
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(&self.topic, partition, Offset::Beginning).unwrap();
            consumer.assign(&list).unwrap();
            let mut next = 0;
            while next < tail {
                assert!(Instant::now() < deadline, "{region} cannot be read up to {tail}");
                if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
                    next = message.offset() + 1;
                    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap_or_default().to_vec()).unwrap();
                    state.insert(text(message.key()), text(message.payload()));
                }
            }
        }
        state
    }
}

/// The versions of a key that one round has left, and which of them stands, where none was written since.
struct Losers {
    values: BTreeSet<String>,
    standing: Option<String>,
}

fn received(known: &[ActivePartition]) -> Vec<(i32, Vec<(u16, i64)>)> {
    let of = |known: &ActivePartition| {
        let wrote = known.received.iter().filter(|known| known.tail > 0);
        wrote.map(|known| (known.incarnation, known.tail)).collect()
    };
    known.iter().map(|known| (known.partition, of(known))).collect()
}

/// Some keys of which regions show other values.
fn differences(states: &[BTreeMap<String, String>]) -> String {
    let keys: BTreeSet<_> = states.iter().flat_map(BTreeMap::keys).collect();
    let shown = |key: &String| states.iter().map(|state| state.get(key).map(|value| &value[..20])).collect::<Vec<_>>();
    let other = keys.into_iter().map(|key| (key, shown(key)));
    let other = other.filter(|(_, shown)| shown.windows(2).any(|two| two[0] != two[1]));
    format!("{:?}", other.take(20).collect::<Vec<_>>())
}

fn bootstrap(platform: &Platform, region: &str) -> String {
    if region == GATEWAY {
        return platform.endpoints().gateway.clone();
    }
    platform.region(region).unwrap().bootstrap.clone()
}

fn text(payload: &Payload) -> String {
    match payload {
        Payload::Text(text) => text.clone(),
        other => panic!("{other:?}"),
    }
}

/// A part of a value: its round, or who wrote it.
fn part(value: &str, at: usize) -> String {
    value.split('/').nth(at).expect("a value of this test").to_owned()
}

/// Keys and values that were acknowledged.
pub(crate) type Acked = Arc<Mutex<Vec<(String, String)>>>;

/// Keeps what was acknowledged.
pub(crate) struct Receipts(Acked);

impl ClientContext for Receipts {}

impl ProducerContext for Receipts {
    type DeliveryOpaque = Box<(String, String)>;

    fn delivery(&self, result: &DeliveryResult<'_>, record: Self::DeliveryOpaque) {
        match result {
            Ok(_) => self.0.lock().unwrap().push(*record),
            Err((error, _)) => eprintln!("{} was not acknowledged: {error}", record.0),
        }
    }
}

pub(crate) fn producer(bootstrap: &str, acked: &Acked) -> ThreadedProducer<Receipts> {
    let mut config = ClientConfig::new();
    for (name, value) in [
        ("bootstrap.servers", bootstrap),
        ("enable.idempotence", "true"),
        ("linger.ms", "2"),
        ("message.timeout.ms", "60000"),
        ("reconnect.backoff.max.ms", "500"),
        ("topic.metadata.refresh.fast.interval.ms", "100"),
    ] {
        config.set(name, value);
    }
    config.create_with_context(Receipts(acked.clone())).unwrap()
}
