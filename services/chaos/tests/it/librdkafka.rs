//! The scenario matrix with the Rust crate `rdkafka`.

use crate::cluster::CLUSTER;
use rdkafka::TopicPartitionList;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{BorrowedMessage, DeliveryResult, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Offset};
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(120);
const CODECS: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
const PRODUCERS: [(&str, &[(&str, &str)]); 4] = [
    ("idempotent", &[("enable.idempotence", "true")]),
    ("acks=all", &[("acks", "all")]),
    ("acks=1", &[("acks", "1")]),
    ("acks=0", &[("acks", "0")]),
];

/// What a delivery report said: the offset or the error.
#[derive(Default)]
struct Deliveries(Mutex<Vec<Result<i64, String>>>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let outcome = result.as_ref().map(Message::offset).map_err(|(error, _)| error.to_string());
        self.0.lock().unwrap().push(outcome);
    }
}

/// One client's view of one route, with names nobody else uses.
struct Stage {
    bootstrap: String,
    run: String,
}

/// Key, value and one header of a record.
type Plain = (Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>);

impl Stage {
    fn on(bootstrap: &str) -> Self {
        let nanos = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
        Self { bootstrap: bootstrap.into(), run: format!("{:x}", nanos & 0xffff_ffff) }
    }

    fn name(&self, what: &str) -> String {
        format!("rust-{what}-{}", self.run)
    }

    fn config(&self, more: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap).set("message.timeout.ms", "20000");
        for (name, value) in more {
            config.set(*name, *value);
        }
        config
    }

    fn create(&self, what: &str, partitions: i32) -> String {
        let topic = self.name(what);
        create(&self.bootstrap, &topic, partitions);
        topic
    }

    /// Sends `records` to one partition and answers the offsets they got.
    fn send(&self, topic: &str, partition: i32, records: &[Plain], more: &[(&str, &str)]) -> Vec<i64> {
        let config = self.config(&[&[("linger.ms", "5")], more].concat());
        let producer: ThreadedProducer<Deliveries> = config.create_with_context(Deliveries::default()).unwrap();
        for (key, value, headers) in records {
            let named = headers
                .iter()
                .fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: value.as_deref() }));
            let mut record = BaseRecord::<[u8], [u8]>::to(topic).partition(partition).headers(named);
            record.key = key.as_deref();
            record.payload = value.as_deref();
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
        let delivered = std::mem::take(&mut *producer.context().0.lock().unwrap());
        delivered.into_iter().map(|outcome| outcome.unwrap()).collect()
    }

    fn consumer(&self, group: &str, more: &[(&str, &str)]) -> BaseConsumer {
        let defaults = [
            ("group.id", group),
            ("enable.auto.commit", "false"),
            ("auto.offset.reset", "earliest"),
            ("session.timeout.ms", "10000"),
            ("heartbeat.interval.ms", "300"),
            ("fetch.wait.max.ms", "100"),
        ];
        let mut config = self.config(&[&defaults, more].concat());
        config.remove("message.timeout.ms");
        config.create().unwrap()
    }
}

/// Makes a topic and waits until it has leaders.
pub(crate) fn create(bootstrap: &str, topic: &str, partitions: i32) {
    let (admin, options) = admin(bootstrap);
    let wanted = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
    assert_eq!(wait(admin.create_topics(&[wanted], &options)).unwrap(), [Ok(topic.to_owned())]);
    let deadline = Instant::now() + PATIENCE;
    let led = || {
        let metadata = admin.inner().fetch_metadata(Some(topic), PATIENCE).unwrap();
        metadata.topics()[0].partitions().iter().filter(|partition| partition.leader() >= 0).count()
    };
    while led() != partitions as usize {
        assert!(Instant::now() < deadline, "{topic} has no leaders");
    }
}

/// Drops what lies below `before`.
pub(crate) fn delete_records(bootstrap: &str, topic: &str, partition: i32, before: i64) {
    let (admin, options) = admin(bootstrap);
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(topic, partition, Offset::Offset(before)).unwrap();
    let deleted = wait(admin.delete_records(&offsets, &options)).unwrap();
    assert!(deleted.elements().iter().all(|element| element.error().is_ok()), "{deleted:?}");
}

/// Deletes a topic.
pub(crate) fn delete_topic(bootstrap: &str, topic: &str) {
    let (admin, options) = admin(bootstrap);
    assert_eq!(wait(admin.delete_topics(&[topic], &options)).unwrap(), [Ok(topic.to_owned())]);
}

fn admin(bootstrap: &str) -> (AdminClient<DefaultClientContext>, AdminOptions) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", bootstrap);
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE));
    (config.create().unwrap(), options)
}

/// Makes a topic with so many replicas, all but one of which have to be in sync.
pub(crate) fn create_replicated(bootstrap: &str, topic: &str, partitions: i32, replicas: i32) -> Result<(), String> {
    let (admin, options) = admin(bootstrap);
    let min_in_sync = (replicas - 1).max(1).to_string();
    let wanted = NewTopic::new(topic, partitions, TopicReplication::Fixed(replicas));
    let wanted = wanted.set("min.insync.replicas", &min_in_sync);
    let made = wait(admin.create_topics(&[wanted], &options)).map_err(|error| error.to_string())?;
    made.into_iter().try_for_each(|made| made.map(drop).map_err(|(_, error)| error.to_string()))
}

/// Drives one future to its end; librdkafka's own threads do the work.
fn wait<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: std::sync::Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    let mut context = std::task::Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(value) => return value,
            std::task::Poll::Pending => std::thread::park(),
        }
    }
}

fn records(seed: usize) -> Vec<Plain> {
    let mut records: Vec<Plain> = vec![
        (None, None, vec![]),
        (Some(vec![]), Some(vec![]), vec![]),
        (None, Some(b"value".to_vec()), vec![("h".into(), None), ("h".into(), Some(b"again".to_vec()))]),
        (Some((0..=255).collect()), Some(b"farshore".repeat(4096)), vec![]),
    ];
    records.extend((4..40).map(|n| (Some(vec![n as u8]), Some(vec![seed as u8; n * 3]), vec![])));
    records
}

fn plain(message: &BorrowedMessage<'_>) -> Plain {
    let headers = message.headers().map(|headers| {
        headers.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect()
    });
    (message.key().map(<[u8]>::to_vec), message.payload().map(<[u8]>::to_vec), headers.unwrap_or_default())
}

fn at(topic: &str, partitions: std::ops::Range<i32>, offset: Offset) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    partitions.for_each(|partition| list.add_partition_offset(topic, partition, offset).unwrap());
    list
}

/// Polls until `count` records have come: (partition, offset, record).
fn take(consumer: &BaseConsumer, count: usize) -> Vec<(i32, i64, Plain)> {
    let (mut found, deadline) = (Vec::new(), Instant::now() + PATIENCE);
    while found.len() < count {
        assert!(Instant::now() < deadline, "only {} of {count} records", found.len());
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            let message = message.unwrap();
            found.push((message.partition(), message.offset(), plain(&message)));
        }
    }
    found
}

fn every_codec_with_every_acknowledgement(stage: &Stage) {
    let cases: Vec<_> = CODECS.iter().flat_map(|codec| PRODUCERS.iter().map(move |kind| (codec, kind))).collect();
    let topic = stage.create("codecs", cases.len() as i32);
    for (partition, (codec, (kind, config))) in cases.iter().enumerate() {
        let config = [&[("compression.type", **codec)], *config].concat();
        let offsets = stage.send(&topic, partition as i32, &records(partition), &config);
        assert!(*kind == "acks=0" || offsets == (0..40).collect::<Vec<_>>(), "{codec}, {kind}: {offsets:?}");
    }
    let consumer = stage.consumer("rust-alone", &[]);
    consumer.assign(&at(&topic, 0..cases.len() as i32, Offset::Beginning)).unwrap();
    let mut found = vec![Vec::new(); cases.len()];
    for (partition, _, record) in take(&consumer, cases.len() * 40) {
        found[partition as usize].push(record);
    }
    for (partition, found) in found.into_iter().enumerate() {
        assert!(found == records(partition), "records of {:?} are byte-equal", cases[partition]);
    }
}

fn two_members_share_a_topic(stage: &Stage, strategy: &str) {
    let topic = stage.create(&format!("share-{strategy}"), 4);
    let group = stage.name(&format!("group-{strategy}"));
    let members = [(); 2].map(|()| stage.consumer(&group, &[("partition.assignment.strategy", strategy)]));
    members.iter().for_each(|member| member.subscribe(&[&topic]).unwrap());
    let deadline = Instant::now() + PATIENCE;
    while members.iter().any(|member| member.assignment().unwrap().count() != 2) {
        assert!(Instant::now() < deadline, "{strategy}: both members own two partitions each");
        for member in &members {
            assert!(member.poll(Duration::from_millis(20)).is_none(), "there is nothing to read yet");
        }
    }
    let wanted: BTreeSet<(i32, i64)> = (0..4).flat_map(|p| (0..40).map(move |offset| (p, offset))).collect();
    for partition in 0..4 {
        stage.send(&topic, partition, &records(0), &[]);
    }
    let found: Vec<_> = members.iter().flat_map(|member| take(member, 80)).map(|(p, offset, _)| (p, offset)).collect();
    assert_eq!(found.len(), wanted.len());
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), wanted, "{strategy}: everything is read once");
}

fn a_commit_with_metadata_is_read_back(stage: &Stage) {
    let (topic, group) = (stage.create("commit", 1), stage.name("commit-group"));
    stage.send(&topic, 0, &records(0), &[]);
    let first = stage.consumer(&group, &[]);
    first.subscribe(&[&topic]).unwrap();
    take(&first, 40);
    let mut offsets = TopicPartitionList::new();
    let mut element = offsets.add_partition(&topic, 0);
    element.set_offset(Offset::Offset(7)).unwrap();
    element.set_metadata("seven");
    first.commit(&offsets, CommitMode::Sync).unwrap();
    drop(first);
    let second = stage.consumer(&group, &[]);
    let stored = second.committed_offsets(at(&topic, 0..1, Offset::Invalid), PATIENCE).unwrap();
    let stored = stored.elements();
    assert_eq!((stored[0].offset(), stored[0].metadata()), (Offset::Offset(7), "seven"));
    second.subscribe(&[&topic]).unwrap();
    assert_eq!(take(&second, 1)[0].1, 7);
}

fn seeking_by_timestamp_finds_the_record(stage: &Stage) {
    const BASE: i64 = 1_700_000_000_000;
    let topic = stage.create("times", 1);
    let producer: ThreadedProducer<Deliveries> =
        stage.config(&[("batch.num.messages", "10")]).create_with_context(Deliveries::default()).unwrap();
    for number in 0..100 {
        let record = BaseRecord::<[u8], [u8]>::to(&topic).partition(0).payload(b"x").timestamp(BASE + number * 1000);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
    let consumer = stage.consumer("rust-alone", &[]);
    for (asked, wanted) in [(-5, 0), (42_000, 42), (42_001, 43), (99_000, 99)] {
        let found = consumer.offsets_for_times(at(&topic, 0..1, Offset::Offset(BASE + asked)), PATIENCE).unwrap();
        assert_eq!(found.elements()[0].offset(), Offset::Offset(wanted), "at {asked}");
        consumer.assign(&found).unwrap();
        assert_eq!(take(&consumer, 1)[0].1, wanted);
    }
    assert_eq!(consumer.fetch_watermarks(&topic, 0, PATIENCE).unwrap(), (0, 100));
}

#[test]
fn rdkafka_passes_the_matrix() {
    for (route, bootstrap) in &CLUSTER.routes {
        println!("{route}");
        let stage = Stage::on(bootstrap);
        every_codec_with_every_acknowledgement(&stage);
        for strategy in ["range", "roundrobin", "cooperative-sticky"] {
            two_members_share_a_topic(&stage, strategy);
        }
        a_commit_with_metadata_is_read_back(&stage);
        seeking_by_timestamp_finds_the_record(&stage);
    }
}
