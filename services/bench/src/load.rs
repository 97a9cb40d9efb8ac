//! The same client for every subject: librdkafka, records of 1 KiB, no compression.

use anyhow::{Context, bail};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseRecord, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Offset, TopicPartitionList};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Over how many partitions the load is spread.
pub(crate) const PARTITIONS: i32 = 4;
pub(crate) const RECORD_BYTES: u64 = 1024;
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How much was moved in which time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    pub(crate) bytes: u64,
    pub(crate) took: Duration,
}

impl Done {
    /// Megabytes (10^6) per second.
    pub(crate) fn megabytes_per_second(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.took.as_secs_f64()
    }
}

/// Counts what was not delivered; librdkafka reports only that.
#[derive(Default)]
struct Failures(AtomicU64);

impl ClientContext for Failures {}

impl ProducerContext for Failures {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn producer(bootstrap: &str, acks: &str) -> anyhow::Result<ThreadedProducer<Failures>> {
    let config = [
        ("bootstrap.servers", bootstrap),
        ("acks", acks),
        ("linger.ms", "5"),
        ("batch.size", "1000000"),
        ("queue.buffering.max.messages", "200000"),
        ("queue.buffering.max.kbytes", "262144"),
        ("delivery.report.only.error", "true"),
        ("message.timeout.ms", "60000"),
        ("reconnect.backoff.ms", "1"),
        ("reconnect.backoff.max.ms", "10"),
    ];
    let config: ClientConfig = config.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    config.create_with_context(Failures::default()).context("librdkafka makes no producer")
}

/// Writes `bytes` or a little more to the topic with acks=1, and waits for every acknowledgement.
pub(crate) fn produce(bootstrap: &str, topic: &str, bytes: u64) -> anyhow::Result<Done> {
    produce_with(bootstrap, topic, bytes, "1")
}

/// The same with any `acks`.
pub(crate) fn produce_with(bootstrap: &str, topic: &str, bytes: u64, acks: &str) -> anyhow::Result<Done> {
    produce_over(bootstrap, topic, PARTITIONS, bytes, acks)
}

/// The same over so many partitions.
pub(crate) fn produce_over(
    bootstrap: &str,
    topic: &str,
    partitions: i32,
    bytes: u64,
    acks: &str,
) -> anyhow::Result<Done> {
    let producer = producer(bootstrap, acks)?;
    let payload = incompressible();
    let count = bytes.div_ceil(RECORD_BYTES);
    let began = Instant::now();
    for number in 0..count {
        let mut record = BaseRecord::<(), [u8]>::to(topic).partition(number as i32 % partitions).payload(&payload);
        while let Err((error, unsent)) = producer.send(record) {
            if error != KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) {
                bail!("cannot produce: {error}");
            }
            std::thread::sleep(Duration::from_micros(200));
            record = unsent;
        }
    }
    producer.flush(PATIENCE).context("not everything was acknowledged")?;
    let failed = producer.context().0.load(Ordering::Relaxed);
    if failed > 0 {
        bail!("{failed} of {count} records were not delivered");
    }
    Ok(Done { bytes: count * RECORD_BYTES, took: began.elapsed() })
}

/// Bytes without a pattern (xorshift), so that no layer can save work.
pub(crate) fn incompressible() -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..RECORD_BYTES).map(|_| next()).collect()
}

/// Sends one record until it is acknowledged; the topic is made by it.
pub(crate) fn first_ack(bootstrap: &str) -> anyhow::Result<()> {
    let producer = producer(bootstrap, "1")?;
    let record = BaseRecord::<(), [u8]>::to("first").payload(b"first");
    producer.send(record).map_err(|(error, _)| error).context("cannot produce")?;
    producer.flush(PATIENCE).context("the first record was not acknowledged")?;
    let failed = producer.context().0.load(Ordering::Relaxed);
    anyhow::ensure!(failed == 0, "the first record was refused");
    Ok(())
}

/// Makes the topic of the load.
pub(crate) fn create(bootstrap: &str, topic: &str) -> anyhow::Result<()> {
    create_replicated(bootstrap, topic, 1)
}

/// The same with so many replicas, all but one of which have to be in sync.
pub(crate) fn create_replicated(bootstrap: &str, topic: &str, replicas: i32) -> anyhow::Result<()> {
    create_with(bootstrap, topic, PARTITIONS, replicas)
}

/// The same with so many partitions.
pub(crate) fn create_with(bootstrap: &str, topic: &str, partitions: i32, replicas: i32) -> anyhow::Result<()> {
    let config: ClientConfig = [("bootstrap.servers".to_owned(), bootstrap.to_owned())].into_iter().collect();
    let admin: AdminClient<DefaultClientContext> = config.create()?;
    let min_in_sync = (replicas - 1).max(1).to_string();
    let wanted = NewTopic::new(topic, partitions, TopicReplication::Fixed(replicas));
    let wanted = wanted.set("min.insync.replicas", &min_in_sync);
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE));
    let made = wait(admin.create_topics(&[wanted], &options))?;
    match made.into_iter().next() {
        Some(Ok(_)) => Ok(()),
        Some(Err((name, error))) => bail!("cannot make the topic {name}: {error}"),
        None => bail!("nothing was answered to the creation of {topic}"),
    }
}

/// Drives one future on this thread; librdkafka's own threads wake it.
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

/// Reads `bytes` of the topic from its beginning.
pub(crate) fn consume(bootstrap: &str, topic: &str, bytes: u64) -> anyhow::Result<Done> {
    let config = [
        ("bootstrap.servers", bootstrap),
        ("group.id", "bench"),
        ("enable.auto.commit", "false"),
        ("queued.max.messages.kbytes", "262144"),
        ("fetch.message.max.bytes", "8388608"),
        ("receive.message.max.bytes", "200000000"),
    ];
    let config: ClientConfig = config.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let consumer: BaseConsumer = config.create().context("librdkafka makes no consumer")?;
    let mut places = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        places.add_partition_offset(topic, partition, Offset::Beginning)?;
    }
    let began = Instant::now();
    consumer.assign(&places)?;
    let (mut read, deadline) = (0, began + PATIENCE * 5);
    while read < bytes {
        match consumer.poll(Duration::from_millis(200)) {
            Some(message) => read += message.context("cannot consume")?.payload_len() as u64,
            None if Instant::now() > deadline => bail!("only {read} of {bytes} bytes could be read"),
            None => {}
        }
    }
    Ok(Done { bytes: read, took: began.elapsed() })
}
