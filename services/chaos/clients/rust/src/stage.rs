//! Where the checks play, and what they share.

use confluent_kafka::admin::{Admin, AdminClient, AdminClientConfig, NewTopic};
use confluent_kafka::common::header::{Header, RecordHeader, RecordHeaders};
use confluent_kafka::common::serialization::{ByteArrayDeserializer, ByteArraySerializer};
use confluent_kafka::common::{Error, KafkaFuture, TopicPartition};
use confluent_kafka::consumer::{Consumer as _, ConsumerConfig, ConsumerRecord, KafkaConsumer};
use confluent_kafka::producer::{
    KafkaProducer, Producer, ProducerConfig, ProducerRecord, ProducerRecordOptionsBuilder, RecordMetadata,
};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::pin::Pin;
use std::time::{Duration, Instant, SystemTime};

/// How long anything may take to become true.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Why a check failed.
#[derive(Debug)]
pub struct Failure(pub String);

pub type Outcome<T = ()> = Result<T, Failure>;

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self(error.to_string())
    }
}

pub type Producing = KafkaProducer<Vec<u8>, Vec<u8>>;
pub type Consumer = KafkaConsumer<Vec<u8>, Vec<u8>>;
type Record = ConsumerRecord<Vec<u8>, Vec<u8>>;
type Play = Box<dyn FnOnce(Stage) -> Pin<Box<dyn Future<Output = Outcome>>>>;

/// One check and what it says.
pub struct Check {
    pub sentence: &'static str,
    pub play: Play,
}

impl Check {
    pub fn new<F: Future<Output = Outcome> + 'static>(sentence: &'static str, play: fn(Stage) -> F) -> Self {
        Self { sentence, play: Box::new(move |stage| Box::pin(play(stage))) }
    }
}

/// The cluster's address, and names nobody else uses.
#[derive(Clone)]
pub struct Stage {
    pub bootstrap: String,
    run: String,
}

/// Key, value and headers of a record.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plain {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    pub timestamp: Option<i64>,
}

impl Plain {
    pub fn of(record: &Record) -> Self {
        let header = |header: &RecordHeader| (header.key().to_owned(), header.value().map(<[u8]>::to_vec));
        Self {
            key: record.key().cloned(),
            value: record.value().cloned(),
            headers: record.headers().into_iter().map(header).collect(),
            timestamp: None,
        }
    }

    pub fn number(number: i64) -> Self {
        Self { value: Some(number.to_string().into_bytes()), ..Self::default() }
    }
}

fn properties(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

impl Stage {
    pub fn on(bootstrap: &str) -> Self {
        let nanos = SystemTime::UNIX_EPOCH.elapsed().map(|since| since.as_nanos()).unwrap_or_default();
        Self { bootstrap: bootstrap.to_owned(), run: format!("{:x}", nanos & 0xffff_ffff) }
    }

    pub fn name(&self, what: &str) -> String {
        format!("confluent-rust-{what}-{}", self.run)
    }

    pub fn admin(&self) -> Outcome<Box<dyn Admin>> {
        let config = AdminClientConfig::new(&properties(&[("bootstrap.servers", &self.bootstrap)]))?;
        Ok(AdminClient::create(config)?)
    }

    /// Makes a topic and waits until its leaders are known.
    pub async fn create(&self, what: &str, partitions: i32) -> Outcome<String> {
        self.create_with(what, partitions, &[]).await
    }

    pub async fn create_with(&self, what: &str, partitions: i32, config: &[(&str, &str)]) -> Outcome<String> {
        let (topic, admin) = (self.name(what), self.admin()?);
        let config: BTreeMap<String, String> = properties(config).into_iter().collect();
        let wanted = NewTopic::with_num_partitions_replication_factor(topic.as_str(), Some(partitions), None);
        admin.create_topics(&[wanted.set_configs(Some(config))]).all().get().await?;
        until(&format!("{topic} has leaders"), async || Ok(leaders(&*admin, &topic).await == partitions as usize))
            .await?;
        admin.close().await;
        Ok(topic)
    }

    pub fn producer(&self, more: &[(&str, &str)]) -> Outcome<Producing> {
        let defaults = [("bootstrap.servers", self.bootstrap.as_str()), ("linger.ms", "5")];
        let config = ProducerConfig::new(&properties(&[&defaults, more].concat()))?;
        Ok(KafkaProducer::new(config, ByteArraySerializer::default(), ByteArraySerializer::default())?)
    }

    /// Sends records to one partition and answers their offsets; acks=0 brings none.
    pub async fn send(
        &self,
        topic: &str,
        partition: i32,
        records: &[Plain],
        more: &[(&str, &str)],
    ) -> Outcome<Vec<i64>> {
        let producer = self.producer(more)?;
        let mut sent = Vec::new();
        for record in records {
            sent.push(begin(&producer, topic, partition, record).await?);
        }
        let mut offsets = Vec::new();
        for delivery in sent {
            let delivered = delivery.get_with_timeout(PATIENCE).await?;
            offsets.extend(delivered.has_offset().then(|| delivered.offset()));
        }
        producer.close().await?;
        Ok(offsets)
    }

    pub fn consumer(&self, group: &str, more: &[(&str, &str)]) -> Outcome<Consumer> {
        let defaults = [
            ("bootstrap.servers", self.bootstrap.as_str()),
            ("group.id", group),
            ("group.protocol", "consumer"),
            ("enable.auto.commit", "false"),
            ("auto.offset.reset", "earliest"),
            ("fetch.max.wait.ms", "100"),
            ("metadata.max.age.ms", "1000"),
        ];
        let config = ConsumerConfig::new(&properties(&[&defaults, more].concat()))?;
        Ok(KafkaConsumer::new(config, ByteArrayDeserializer::default(), ByteArrayDeserializer::default())?)
    }
}

/// Hands a record to the producer; the answer comes when it is acknowledged.
pub async fn begin(
    producer: &Producing,
    topic: &str,
    partition: i32,
    record: &Plain,
) -> Outcome<KafkaFuture<RecordMetadata>> {
    Ok(Producer::send(producer, wanted(topic, partition, record)?).await?)
}

fn wanted(topic: &str, partition: i32, record: &Plain) -> Outcome<ProducerRecord<Vec<u8>, Vec<u8>>> {
    let headers = record.headers.iter().map(|(key, value)| RecordHeader::new(key.clone(), value.clone()));
    let options = ProducerRecordOptionsBuilder::new()
        .set_topic(topic.to_owned())
        .set_partition(Some(partition))
        .set_timestamp(record.timestamp)
        .set_key(record.key.clone())
        .set_value(record.value.clone())
        .set_headers(Some(RecordHeaders::with_header_iter(headers)))
        .build()?;
    ProducerRecord::with_options(options).map_err(|error| Failure(error.to_string()))
}

/// How many partitions of `topic` have leaders.
async fn leaders(admin: &dyn Admin, topic: &str) -> usize {
    let described = admin.describe_topics_with_topic_names(&[topic.to_owned()]);
    let Some(described) = described.all_topic_names() else { return 0 };
    let Ok(found) = described.get_with_timeout(PATIENCE).await else { return 0 };
    found.get(topic).map_or(0, |topic| topic.partitions().iter().filter(|one| one.leader().is_some()).count())
}

/// Polls until `count` records have come.
pub async fn take(consumer: &mut Consumer, count: usize) -> Outcome<Vec<Record>> {
    let (mut found, deadline) = (Vec::new(), Instant::now() + PATIENCE);
    while found.len() < count {
        if Instant::now() > deadline {
            return fail(format!("only {} of {count} records", found.len()));
        }
        found.extend(consumer.poll(Duration::from_millis(200)).await?);
    }
    Ok(found)
}

pub fn parts(topic: &str, partitions: std::ops::Range<i32>) -> Vec<TopicPartition> {
    partitions.map(|partition| TopicPartition::new(topic, partition)).collect()
}

pub fn fail<T>(why: impl Into<String>) -> Outcome<T> {
    Err(Failure(why.into()))
}

/// Fails with both values when they differ.
pub fn same<T: PartialEq + Debug>(found: T, wanted: T, what: &str) -> Outcome {
    if found == wanted {
        return Ok(());
    }
    let brief = |value: T| format!("{value:?}").chars().take(300).collect::<String>();
    fail(format!("{what}: found {}, wanted {}", brief(found), brief(wanted)))
}

/// Fails unless the error says `reason`.
pub fn refused<T>(result: Result<T, Error>, reason: &str, what: &str) -> Outcome {
    match result {
        Ok(_) => fail(format!("{what}: was accepted")),
        Err(error) if error.to_string().contains(reason) => Ok(()),
        Err(error) => fail(format!("{what}: refused with {error}, wanted {reason}")),
    }
}

/// Waits until `holds`.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> Outcome<bool>) -> Outcome {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await? {
        if Instant::now() > deadline {
            return fail(format!("not within {PATIENCE:?}: {what}"));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
