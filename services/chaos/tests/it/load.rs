//! A load with unique records, written down as a history: idempotent librdkafka producers, readers in a group and alone,
//! and the final scan of a whole log.

use chaos::history::{Entry, Event};
use model::{Offset, PartitionId, RegionName, TopicName, TopicPartition};
use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{Offset as Place, TopicPartitionList};
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(120);
pub(crate) const RECORD_BYTES: usize = 1024;
/// How many keys its records have.
const KEYS: u64 = 100;

/// Where everybody writes down what they see, with one clock.
#[derive(Clone)]
pub(crate) struct Journal {
    began: Instant,
    entries: Arc<Mutex<Vec<Entry>>>,
    acked: Arc<AtomicUsize>,
}

impl Journal {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), entries: Arc::default(), acked: Arc::default() }
    }

    /// The time by its clock, in nanoseconds.
    pub(crate) fn now(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    pub(crate) fn tell(&self, process: &str, event: Event) {
        self.acked.fetch_add(usize::from(matches!(event, Event::Acked { .. })), Ordering::Relaxed);
        let mut entries = self.entries.lock().unwrap();
        let at = self.now();
        entries.push(Entry { at, process: process.to_owned(), event });
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.entries.lock().unwrap().clone()
    }

    /// How many records were acknowledged so far.
    pub(crate) fn acked(&self) -> usize {
        self.acked.load(Ordering::Relaxed)
    }
}

pub(crate) fn place(topic: &str, partition: i32) -> TopicPartition {
    TopicPartition { topic: TopicName::new(topic).unwrap(), partition: PartitionId(partition) }
}

/// Writes down what became of each record.
struct Receipts(Journal);

impl ClientContext for Receipts {}

impl ProducerContext for Receipts {
    type DeliveryOpaque = Box<u64>;

    fn delivery(&self, result: &DeliveryResult<'_>, value: Box<u64>) {
        let event = match result {
            Ok(message) => Event::Acked { value: *value, offset: Offset(message.offset()), region: None },
            Err((error, _)) => outcome(*value, error),
        };
        self.0.tell("producer", event);
    }
}

/// Only what the broker refuses for good was certainly not written.
fn outcome(value: u64, error: &KafkaError) -> Event {
    let refused = matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::PolicyViolation | RDKafkaErrorCode::InvalidRecord
        )
    );
    let reason = error.to_string();
    if refused { Event::Refused { value, reason } } else { Event::Unclear { value, reason } }
}

/// A running load. It ends when it is told to.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// One idempotent producer over all partitions, `per_second` records; one reader alone and one group of two.
    pub(crate) fn start(bootstrap: &str, topic: &str, partitions: i32, per_second: u64, journal: &Journal) -> Self {
        Self::start_with(bootstrap, topic, partitions, per_second, journal, &[])
    }

    /// The same with `changes` to the usual configuration of all clients.
    pub(crate) fn start_with(
        bootstrap: &str,
        topic: &str,
        partitions: i32,
        per_second: u64,
        journal: &Journal,
        changes: &[(&str, &str)],
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        for partition in 0..partitions {
            for reader in ["alone", "group"] {
                let (reader, partition) = (reader.to_owned(), place(topic, partition));
                journal.tell("readers", Event::Began { reader, partition, from: Offset::ZERO });
            }
        }
        let producer = producer(bootstrap, journal, changes);
        let mut threads = vec![write(producer, 0, topic, partitions, per_second, journal.clone(), stop.clone())];
        threads.push(Reader::new("alone", journal, &stop).read(alone(bootstrap, topic, partitions, changes)));
        let group = Reader::new("group", journal, &stop);
        threads.extend((0..2).map(|_| group.clone().read(member(bootstrap, topic, changes))));
        Self { stop, threads }
    }

    /// The producer alone.
    pub(crate) fn write_only(
        bootstrap: &str,
        topic: &str,
        partitions: i32,
        per_second: u64,
        journal: &Journal,
        changes: &[(&str, &str)],
    ) -> Self {
        Self::write_from(0, bootstrap, topic, partitions, per_second, journal, changes)
    }

    /// The same, beginning with the value `first`, so that another producer can write beside it.
    pub(crate) fn write_from(
        first: u64,
        bootstrap: &str,
        topic: &str,
        partitions: i32,
        per_second: u64,
        journal: &Journal,
        changes: &[(&str, &str)],
    ) -> Self {
        let (stop, producer) = (Arc::new(AtomicBool::new(false)), producer(bootstrap, journal, changes));
        let writer = write(producer, first, topic, partitions, per_second, journal.clone(), stop.clone());
        Self { stop, threads: vec![writer] }
    }

    /// Ends the producer once everything has its receipt, and the readers once nothing more comes.
    pub(crate) fn finish(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().expect("no thread of the load fails"));
    }
}

fn write(
    producer: ThreadedProducer<Receipts>,
    first: u64,
    topic: &str,
    partitions: i32,
    per_second: u64,
    journal: Journal,
    stop: Arc<AtomicBool>,
) -> JoinHandle<()> {
    let topic = topic.to_owned();
    thread::spawn(move || {
        let (began, mut sent) = (Instant::now(), 0);
        while !stop.load(Ordering::Relaxed) {
            if began.elapsed().as_millis() as u64 * per_second / 1000 <= sent {
                thread::park_timeout(Duration::from_millis(1));
                continue;
            }
            send(&producer, &journal, &topic, (sent % partitions as u64) as i32, first + sent);
            sent += 1;
        }
        producer.flush(PATIENCE).expect("every record gets its receipt");
    })
}

fn producer(bootstrap: &str, journal: &Journal, changes: &[(&str, &str)]) -> ThreadedProducer<Receipts> {
    let usual = [
        ("bootstrap.servers", bootstrap),
        ("enable.idempotence", "true"),
        ("linger.ms", "2"),
        ("message.timeout.ms", "60000"),
        ("reconnect.backoff.max.ms", "500"),
    ];
    config(&[&usual, changes].concat()).create_with_context(Receipts(journal.clone())).unwrap()
}

/// A writer that is connected, and writes when it is told to.
pub(crate) struct Writer {
    producer: ThreadedProducer<Receipts>,
    journal: Journal,
    topic: String,
}

impl Writer {
    /// One to partition 0 of `topic`, whose first record is `value`.
    pub(crate) fn open(bootstrap: &str, topic: &str, value: u64, journal: &Journal) -> Self {
        let writer =
            Self { producer: producer(bootstrap, journal, &[]), journal: journal.clone(), topic: topic.to_owned() };
        writer.write(value);
        writer
    }

    /// Writes a record and waits until it is acknowledged.
    pub(crate) fn write(&self, value: u64) {
        send(&self.producer, &self.journal, &self.topic, 0, value);
        self.producer.flush(PATIENCE).expect("the record gets its receipt");
    }
}

/// Writes `values` to one partition and waits until all of them are acknowledged.
pub(crate) fn fill(bootstrap: &str, topic: &str, partition: i32, values: std::ops::Range<u64>) {
    let (journal, count) = (Journal::new(), values.clone().count());
    let producer = producer(bootstrap, &journal, &[]);
    values.for_each(|value| send(&producer, &journal, topic, partition, value));
    producer.flush(PATIENCE).expect("every record gets its receipt");
    assert_eq!(journal.acked(), count, "records acknowledged in {topic}-{partition}");
}

fn send(producer: &ThreadedProducer<Receipts>, journal: &Journal, topic: &str, partition: i32, value: u64) {
    let mut payload = value.to_be_bytes().to_vec();
    payload.resize(RECORD_BYTES, b'.');
    let idempotent = true;
    journal.tell("producer", Event::Sent { value, partition: place(topic, partition), idempotent });
    let key = format!("key-{}", value % KEYS);
    let headers = OwnedHeaders::new().insert(Header { key: "value", value: Some(&value.to_string()) });
    let record: BaseRecord<'_, str, [u8], Box<u64>> = BaseRecord::with_opaque_to(topic, Box::new(value))
        .partition(partition)
        .key(key.as_str())
        .headers(headers)
        .payload(payload.as_slice());
    if let Err((error, _)) = producer.send(record) {
        journal.tell("producer", Event::Refused { value, reason: error.to_string() });
    }
}

fn config(pairs: &[(&str, &str)]) -> ClientConfig {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A consumer of `group`, with `changes` to the usual configuration.
pub(crate) fn consumer(bootstrap: &str, group: &str, changes: &[(&str, &str)]) -> BaseConsumer {
    let usual = [
        ("bootstrap.servers", bootstrap),
        ("group.id", group),
        ("enable.auto.commit", "true"),
        ("auto.commit.interval.ms", "200"),
        ("auto.offset.reset", "earliest"),
        ("session.timeout.ms", "10000"),
        ("heartbeat.interval.ms", "500"),
        ("fetch.wait.max.ms", "100"),
        ("reconnect.backoff.max.ms", "500"),
    ];
    config(&[&usual, changes].concat()).create().unwrap()
}

fn alone(bootstrap: &str, topic: &str, partitions: i32, changes: &[(&str, &str)]) -> BaseConsumer {
    let consumer = consumer(bootstrap, &format!("{topic}-alone"), changes);
    let mut list = TopicPartitionList::new();
    for partition in 0..partitions {
        list.add_partition_offset(topic, partition, Place::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    consumer
}

fn member(bootstrap: &str, topic: &str, changes: &[(&str, &str)]) -> BaseConsumer {
    let consumer = consumer(bootstrap, &format!("{topic}-group"), changes);
    consumer.subscribe(&[topic]).unwrap();
    consumer
}

/// What the consumers of one reader share.
#[derive(Clone)]
struct Reader {
    name: &'static str,
    journal: Journal,
    stop: Arc<AtomicBool>,
    /// What they were given.
    given: Arc<Mutex<HashSet<u64>>>,
}

impl Reader {
    fn new(name: &'static str, journal: &Journal, stop: &Arc<AtomicBool>) -> Self {
        Self { name, journal: journal.clone(), stop: stop.clone(), given: Arc::default() }
    }

    /// Reads until told to stop and nothing has come for a while since.
    fn read(self, consumer: BaseConsumer) -> JoinHandle<()> {
        thread::spawn(move || {
            let mut quiet_since = Instant::now();
            loop {
                let is_stopped = self.stop.load(Ordering::Relaxed);
                if is_stopped && quiet_since.elapsed() >= self.patience() {
                    return;
                }
                // Errors are transient: a broker that is down, a coordinator that moves. What is missing shows in the end.
                let message = consumer.poll(Duration::from_millis(100)).and_then(Result::ok);
                message.iter().for_each(|message| self.tell(message));
                if message.is_some() || !is_stopped {
                    quiet_since = Instant::now();
                }
            }
        })
    }

    /// How long nothing may come before it is the end: longer while something is missing that may still come, or was lost.
    /// A group that never had the time to rebalance between faults waits first for members that are gone to time out.
    fn patience(&self) -> Duration {
        let given = self.given.lock().unwrap().len();
        match given {
            0 => PATIENCE,
            given if given < self.journal.acked() => Duration::from_secs(20),
            _ => Duration::from_secs(2),
        }
    }

    fn tell(&self, message: &impl Message) {
        let (partition, offset) = (place(message.topic(), message.partition()), Offset(message.offset()));
        let value = value_of(message.payload());
        self.given.lock().unwrap().insert(value);
        self.journal.tell(self.name, Event::Polled { reader: self.name.to_owned(), partition, offset, value });
    }
}

fn value_of(payload: Option<&[u8]>) -> u64 {
    let head = payload.and_then(|payload| payload.first_chunk::<8>()).expect("a record of the load");
    u64::from_be_bytes(*head)
}

/// Reads the whole log of every partition from one region and writes it down.
pub(crate) fn scan(bootstrap: &str, region: &str, topic: &str, partitions: i32, journal: &Journal) {
    for partition in 0..partitions {
        let consumer = consumer(bootstrap, &format!("{topic}-scan"), &[("enable.auto.commit", "false")]);
        let deadline = Instant::now() + PATIENCE;
        let (start, tail) = ends(&consumer, topic, partition, deadline);
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Place::Beginning).unwrap();
        consumer.assign(&list).unwrap();
        let mut records = Vec::new();
        while next_offset(&consumer, &records) < tail {
            assert!(Instant::now() < deadline, "{topic}-{partition} in {region} cannot be read up to {tail}");
            // Leaders may still move after a fault: what errors tell is over soon, or the deadline is.
            if let Some(Ok(message)) = consumer.poll(Duration::from_millis(100)) {
                records.push((Offset(message.offset()), value_of(message.payload())));
            }
        }
        let (region, partition) = (RegionName::new(region).unwrap(), place(topic, partition));
        let (start, tail) = (Offset(start), Offset(tail));
        journal.tell("scan", Event::Scanned { region, partition, start, tail, records, hash: None });
    }
}

/// Where a partition begins and ends for readers, as soon as somebody says so.
pub(crate) fn ends(consumer: &BaseConsumer, topic: &str, partition: i32, deadline: Instant) -> (i64, i64) {
    loop {
        match consumer.fetch_watermarks(topic, partition, Duration::from_secs(5)) {
            Ok(ends) => return ends,
            Err(error) => assert!(Instant::now() < deadline, "the ends of {topic}-{partition} are not told: {error}"),
        }
    }
}

/// Where a partition ends for readers; `None` while nobody says so.
pub(crate) fn tail(bootstrap: &str, topic: &str, partition: i32) -> Option<i64> {
    let consumer = consumer(bootstrap, &format!("{topic}-tail"), &[]);
    consumer.fetch_watermarks(topic, partition, Duration::from_secs(5)).ok().map(|(_, tail)| tail)
}

/// The consumer's position: behind control batches and holes too.
fn next_offset(consumer: &BaseConsumer, records: &[(Offset, u64)]) -> i64 {
    let position =
        consumer.position().ok().and_then(|list| list.elements().first().map(TopicPartitionListElem::offset));
    let read = records.last().map_or(0, |(offset, _)| offset.0 + 1);
    position.and_then(Place::to_raw).map_or(read, |position| position.max(read))
}

/// A topic name that nobody else uses.
pub(crate) fn unique(what: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let nanos = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos();
    format!("{what}-{}-{}", nanos & 0xffff_ffff, COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Drops what lies below `before`.
pub(crate) fn delete_records(bootstrap: &str, topic: &str, partition: i32, before: i64) {
    crate::librdkafka::delete_records(bootstrap, topic, partition, before);
}

/// Makes the topic.
pub(crate) fn create(bootstrap: &str, topic: &str, partitions: i32) {
    crate::librdkafka::create(bootstrap, topic, partitions);
}
