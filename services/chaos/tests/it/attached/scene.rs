//! Three clusters in a row, two links, and what is known of the first cluster.

use crate::cluster::binary;
use chaos::kafka::Kafka;
use chaos::platform::free_base;
use model::{LeaderEpoch, Offset, ProducerId, Timestamp};
use rdkafka::TopicPartitionList;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use record::{BatchBuilder, Compression};
use std::collections::BTreeMap;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use wire::client::{Cluster, GroupOffset, Options};

const PARTITIONS: i32 = 3;
const GROUPS: usize = 200;
const ORDERS: &str = "orders";
const STATES: &str = "states";
pub(super) const PATIENCE: Duration = Duration::from_secs(120);
/// A cleaner that does not take its time.
const PROPERTIES: &str = "log.cleaner.backoff.ms=100\nlog.cleaner.dedupe.buffer.size=4194304\n\
                          offsets.topic.num.partitions=2\ntransaction.state.log.num.partitions=2";

/// Which link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    /// From the first Kafka to Farshore.
    Inward,
    /// From Farshore to the second Kafka.
    Outward,
}

/// A record as any reader of committed records sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    offset: i64,
    key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    timestamp: Option<i64>,
}

/// A process that ends with us.
pub(super) struct Process(pub(super) Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _gone_already = self.0.kill();
        let _reaped = self.0.wait();
    }
}

pub(super) struct Scene {
    runtime: Runtime,
    directory: PathBuf,
    first: Kafka,
    second: Kafka,
    _farshore: Process,
    middle: String,
    source: Arc<Cluster>,
    /// How many batches were written to each partition of `orders`.
    batches: u64,
    /// Where each group stands in the first cluster.
    groups: BTreeMap<String, Vec<(String, i32, i64)>>,
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _best_effort = std::fs::remove_dir_all(&self.directory);
    }
}

impl Scene {
    pub(super) fn start() -> Self {
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("attached-{}", std::process::id()));
        let kafka =
            |name: &str| Kafka::start(directory.join(name), PROPERTIES).unwrap_or_else(|error| panic!("{error}"));
        let (first, second) = std::thread::scope(|scope| {
            let second = scope.spawn(|| kafka("second"));
            (kafka("first"), second.join().expect("the second Kafka starts"))
        });
        let (farshore, middle) = start_farshore(&directory.join("farshore"));
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let source = Arc::new(Cluster::new(&first.bootstrap(), Options::default()));
        let scene = Self {
            runtime,
            directory,
            first,
            second,
            _farshore: farshore,
            middle,
            source,
            batches: 0,
            groups: BTreeMap::new(),
        };
        let compacted = [
            ("cleanup.policy", "compact"),
            ("segment.ms", "100"),
            ("min.cleanable.dirty.ratio", "0.001"),
            ("max.compaction.lag.ms", "100"),
        ];
        scene.runtime.block_on(async {
            scene.source.create_topic(ORDERS, PARTITIONS, 1, &[]).await.unwrap();
            scene.source.create_topic(STATES, 1, 1, &compacted).await.unwrap();
        });
        scene
    }

    /// Batches of every compression, transactions of both ends, and a compacted topic with holes.
    pub(super) fn write_everything(&mut self, batches: u64) {
        self.make_holes();
        self.write_more(batches / 2);
        self.transact("aborted", false);
        self.transact("committed", true);
        self.write_more(batches - batches / 2);
        self.transact("aborted last", false);
    }

    pub(super) fn write_more(&mut self, batches: u64) {
        let (source, from) = (self.source.clone(), self.batches);
        self.batches += batches;
        self.runtime.block_on(async move {
            for batch in from..from + batches {
                for partition in 0..PARTITIONS {
                    source.produce(ORDERS, partition, orders(batch, partition).into(), -1).await.unwrap();
                }
            }
        });
    }

    fn transact(&self, value: &str, commits: bool) {
        let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
            .set("bootstrap.servers", self.first.bootstrap())
            .set("transactional.id", "attached")
            .create()
            .unwrap();
        producer.init_transactions(PATIENCE).unwrap();
        producer.begin_transaction().unwrap();
        for (partition, at) in (0..PARTITIONS).flat_map(|partition| (0..5).map(move |at| (partition, at))) {
            let (key, payload) = (format!("tx-{at}"), value);
            producer.send(BaseRecord::to(ORDERS).partition(partition).key(&key).payload(payload)).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
        match commits {
            true => producer.commit_transaction(PATIENCE).unwrap(),
            false => producer.abort_transaction(PATIENCE).unwrap(),
        }
    }

    /// Writes few keys again and again until the cleaner has left holes that a reader sees.
    fn make_holes(&self) {
        let deadline = Instant::now() + PATIENCE;
        let mut round = 0;
        loop {
            self.runtime.block_on(async {
                for _ in 0..10 {
                    let batch = states(round);
                    self.source.produce(STATES, 0, batch.into(), -1).await.unwrap();
                    round += 1;
                }
            });
            let seen = committed(&self.first.bootstrap(), STATES, 0);
            let holes = seen.windows(2).filter(|pair| pair[1].offset != pair[0].offset + 1).count();
            if holes >= 3 {
                return;
            }
            assert!(Instant::now() < deadline, "the cleaner leaves no holes\n{}", self.first.logs());
            std::thread::park_timeout(Duration::from_millis(120));
        }
    }

    /// 200 groups, none of which has a member: at beginnings, ends, in transactions and in holes.
    pub(super) fn commit_groups(&mut self) {
        let ends = self.source_ends();
        for group in 0..GROUPS {
            let seats = ends.iter().map(|((topic, partition), end)| {
                let offset = (group as i64 * end / (GROUPS as i64 - 1)).min(*end);
                (topic.clone(), *partition, offset)
            });
            let seats: Vec<_> = seats.skip(group % 3).collect();
            self.commit(&format!("group-{group}"), seats);
        }
    }

    /// Every tenth group goes to the end, every fifth of them back.
    pub(super) fn move_some_groups(&mut self) {
        let ends = self.source_ends();
        for group in (0..GROUPS).step_by(10) {
            let to = |end: i64| if group % 50 == 0 { end / 3 } else { end };
            let seats = ends.iter().map(|((topic, partition), end)| (topic.clone(), *partition, to(*end))).collect();
            self.commit(&format!("group-{group}"), seats);
        }
    }

    fn commit(&mut self, group: &str, seats: Vec<(String, i32, i64)>) {
        let offset = |(topic, partition, offset): &(String, i32, i64)| GroupOffset {
            topic: topic.clone(),
            partition: *partition,
            offset: *offset,
            leader_epoch: -1,
            metadata: format!("of {group}"),
        };
        let offsets: Vec<_> = seats.iter().map(offset).collect();
        self.runtime.block_on(self.source.commit(group, &offsets)).unwrap();
        let known = self.groups.entry(group.to_owned()).or_default();
        known.retain(|old| !seats.iter().any(|new| (&new.0, new.1) == (&old.0, old.1)));
        known.extend(seats);
    }

    fn source_ends(&self) -> BTreeMap<(String, i32), i64> {
        let places = places().into_iter().map(|(topic, partition)| {
            let end = self.runtime.block_on(tail(&self.source, topic, partition));
            ((topic.to_owned(), partition), end)
        });
        places.collect()
    }

    fn ends(&self, ends: Ends) -> (String, String, &'static str) {
        match ends {
            Ends::Inward => (self.first.bootstrap(), self.middle.clone(), "inward"),
            Ends::Outward => (self.middle.clone(), self.second.bootstrap(), "outward"),
        }
    }

    fn link(&self, ends: Ends, further: &[&str]) -> Command {
        let (source, target, name) = self.ends(ends);
        let mut command = Command::new(binary());
        command.args(["attach", "--source", &source, "--target", &target, "--topics", &format!("{ORDERS},state*")]);
        command.arg("--data-dir").arg(self.directory.join(name)).args(further).stdin(Stdio::null());
        command
    }

    /// Lets the link copy something, and kills it at once.
    pub(super) fn kill_in_the_middle(&self, ends: Ends, kill: u64) {
        let (_, target, name) = self.ends(ends);
        let target = Cluster::new(&target, Options::default());
        let log = std::fs::File::create(self.directory.join(format!("{name}-{kill}.log"))).unwrap();
        let before = self.copied(&target);
        let mut link = Process(self.link(ends, &[]).stdout(Stdio::null()).stderr(log).spawn().unwrap());
        let deadline = Instant::now() + PATIENCE;
        while self.copied(&target) <= before + 20 * kill as i64 {
            assert!(Instant::now() < deadline, "{name} copies nothing: {}", self.log(name, kill));
            assert!(link.0.try_wait().unwrap().is_none(), "{name} has ended: {}", self.log(name, kill));
            std::thread::park_timeout(Duration::from_millis(2));
        }
        link.0.kill().unwrap();
        link.0.wait().unwrap();
    }

    fn log(&self, name: &str, kill: u64) -> String {
        std::fs::read_to_string(self.directory.join(format!("{name}-{kill}.log"))).unwrap_or_default()
    }

    /// How many records of `orders` there are; none while it is not there.
    fn copied(&self, cluster: &Cluster) -> i64 {
        self.runtime.block_on(async {
            let known = cluster.metadata(Some(&[ORDERS])).await.unwrap();
            if !known.topics.iter().any(|topic| topic.partitions.len() == PARTITIONS as usize) {
                return 0;
            }
            let mut records = 0;
            for partition in 0..PARTITIONS {
                records += tail(cluster, ORDERS, partition).await;
            }
            records
        })
    }

    pub(super) fn copy_to_the_end(&self, ends: Ends) {
        let mut command = Command::new("timeout");
        let link = self.link(ends, &["--exit-at-end"]);
        let ran = command.arg("120").arg(link.get_program()).args(link.get_args()).output().unwrap();
        let (told, failed) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        println!("{ends:?}:\n{told}");
        assert!(ran.status.success(), "{ends:?} ended with {}:\n{told}\n{failed}", ran.status);
    }

    pub(super) fn every_record_is_there_once(&self) {
        for (topic, partition) in places() {
            let truth = committed(&self.first.bootstrap(), topic, partition);
            assert!(!truth.is_empty());
            for target in [&self.middle, &self.second.bootstrap()] {
                let found = committed(target, topic, partition);
                let offsets: Vec<i64> = found.iter().map(|seen| seen.offset).collect();
                // What was compacted in the source before it was copied leaves no hole behind; the target may compact, too.
                if topic == ORDERS {
                    assert_eq!(offsets, (0..truth.len() as i64).collect::<Vec<_>>(), "{topic}-{partition} at {target}");
                    let strip = |seen: &[Seen]| -> Vec<Seen> {
                        seen.iter().cloned().map(|seen| Seen { offset: 0, ..seen }).collect()
                    };
                    assert!(strip(&found) == strip(&truth), "{topic}-{partition} at {target} differs");
                    let aborted = |seen: &Seen| seen.value.as_ref().is_some_and(|value| value.starts_with(b"aborted"));
                    assert!(!found.iter().any(aborted));
                } else {
                    assert_eq!(latest(&found), latest(&truth), "{topic}-{partition} at {target}");
                }
            }
        }
    }

    /// The offset in a target at which the same record comes next, for `orders`: nothing there is compacted.
    fn true_offset(&self, truths: &BTreeMap<i32, Vec<Seen>>, partition: i32, source: i64) -> i64 {
        truths[&partition].partition_point(|seen| seen.offset < source) as i64
    }

    fn truths(&self) -> BTreeMap<i32, Vec<Seen>> {
        (0..PARTITIONS).map(|partition| (partition, committed(&self.first.bootstrap(), ORDERS, partition))).collect()
    }

    pub(super) fn no_group_is_past_the_true_offset(&self) {
        self.check_groups(|found, truth, what| {
            assert!(found.is_none_or(|found| found <= truth), "{what}: {found:?} is past {truth}");
        });
    }

    pub(super) fn every_group_is_exact(&self) {
        self.check_groups(|found, truth, what| assert_eq!(found, Some(truth), "{what}"));
    }

    fn check_groups(&self, check: impl Fn(Option<i64>, i64, &str)) {
        let truths = self.truths();
        for target in [&self.middle, &self.second.bootstrap()] {
            let cluster = Cluster::new(target, Options::default());
            for (group, seats) in &self.groups {
                let found = self.runtime.block_on(cluster.committed(group)).unwrap();
                for (topic, partition, offset) in seats.iter().filter(|seat| seat.0 == ORDERS) {
                    let at = found.iter().find(|found| found.topic == *topic && found.partition == *partition);
                    let at = at.map(|found| found.offset).filter(|offset| *offset >= 0);
                    let truth = self.true_offset(&truths, *partition, *offset);
                    check(at, truth, &format!("{group} in {topic}-{partition} at {target}, source offset {offset}"));
                }
            }
        }
    }
}

fn places() -> Vec<(&'static str, i32)> {
    (0..PARTITIONS).map(|partition| (ORDERS, partition)).chain([(STATES, 0)]).collect()
}

pub(super) fn start_farshore(directory: &std::path::Path) -> (Process, String) {
    std::fs::create_dir_all(directory).unwrap();
    let port = free_base(5).expect("five free ports in a row");
    let log = std::fs::File::create(directory.join("broker.log")).unwrap();
    let mut command = Command::new(binary());
    command.args(["broker", "--port", &port.to_string(), "--data-dir"]).arg(directory.join("data"));
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("farshore starts");
    let mut process = Process(child);
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        let log = || std::fs::read_to_string(directory.join("broker.log")).unwrap_or_default();
        assert!(process.0.try_wait().unwrap().is_none() && Instant::now() < deadline, "{}", log());
        std::thread::park_timeout(Duration::from_millis(20));
    }
    (process, format!("127.0.0.1:{port}"))
}

/// One batch of `orders`, of a compression that its number says.
pub(super) fn orders(batch: u64, partition: i32) -> Vec<u8> {
    let compression = Compression::ALL[batch as usize % Compression::ALL.len()];
    let mut builder = BatchBuilder::new().leader_epoch(LeaderEpoch(-1)).base_offset(Offset(0)).compression(compression);
    for at in 0..1 + batch % 7 {
        let (key, value) = (format!("{batch}-{at}"), format!("order {batch} of partition {partition}, line {at} {at}"));
        let header = [("n", Some(key.as_bytes()))];
        builder.push(Timestamp(now() - 1000 + at as i64), Some(key.as_bytes()), Some(value.as_bytes()), &header);
    }
    builder.producer(ProducerId(-1), -1, -1).build()
}

/// One batch of `states`: two keys that come again, and one that stays.
fn states(round: u64) -> Vec<u8> {
    let builder = BatchBuilder::new().compression(Compression::ALL[round as usize % Compression::ALL.len()]);
    let builder = builder.record(now(), Some(b"often"), Some(format!("{round}").as_bytes()), &[]);
    let once = format!("once-{round}");
    let builder = builder.record(now(), Some(once.as_bytes()), Some(b"stays"), &[]);
    builder.record(now(), Some(b"again"), Some(format!("{round}").as_bytes()), &[]).build()
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.expect("the clock is past 1970").as_millis() as i64
}

pub(super) async fn tail(cluster: &Cluster, topic: &str, partition: i32) -> i64 {
    cluster.list_offset(topic, partition, wire::api::list_offsets::LATEST).await.unwrap().offset
}

/// The latest value of every key.
fn latest(seen: &[Seen]) -> BTreeMap<Option<Vec<u8>>, Option<Vec<u8>>> {
    seen.iter().map(|seen| (seen.key.clone(), seen.value.clone())).collect()
}

/// All committed records of a partition, as librdkafka reads them.
pub(super) fn committed(bootstrap: &str, topic: &str, partition: i32) -> Vec<Seen> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "attached-reader")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", "50")
        .create()
        .unwrap();
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(topic, partition, rdkafka::Offset::Beginning).unwrap();
    consumer.assign(&assignment).unwrap();
    let (mut seen, deadline) = (Vec::new(), Instant::now() + PATIENCE);
    loop {
        assert!(Instant::now() < deadline, "{topic}-{partition} of {bootstrap} cannot be read");
        match consumer.poll(Duration::from_millis(500)) {
            None => {}
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => return seen,
            Some(Err(error)) => println!("{topic}-{partition} of {bootstrap}: {error}"),
            Some(Ok(message)) => seen.push(Seen {
                offset: message.offset(),
                key: message.key().map(<[u8]>::to_vec),
                value: message.payload().map(<[u8]>::to_vec),
                timestamp: message.timestamp().to_millis(),
            }),
        }
    }
}
