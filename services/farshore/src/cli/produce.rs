//! `farshore produce`

mod partition;

use super::place::Place;
use crate::output::{remark, say};
use anyhow::{Context, Result, bail};
use model::{Timestamp, TopicName};
use partition::Partitioner;
use record::BatchBuilder;
use std::io::{BufRead, IsTerminal};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::mpsc;
use wire::ErrorCode;
use wire::client::{Cluster, Producer};

const QUEUE: usize = 1000;
const BATCH_RECORDS_MAX: usize = 500;
const BATCH_BYTES_MAX: usize = 256 << 10;

/// Writes records: the values given, or the lines of the input.
///
/// Writes are idempotent and acknowledged by all in-sync replicas. A topic that is not there is created.
#[derive(Debug, clap::Args)]
pub(crate) struct Produce {
    /// The topic.
    topic: TopicName,
    /// The values, one record each; without any, every line of the input becomes a record.
    values: Vec<String>,
    /// The key of every record: records of one key keep their order.
    #[arg(long, short)]
    key: Option<String>,
    /// Splits each value at the first one of these into key and value.
    #[arg(long, value_name = "TEXT", conflicts_with = "key")]
    key_separator: Option<String>,
    /// The partition; by default the key decides, or they take turns.
    #[arg(long, short)]
    partition: Option<i32>,
    /// Another cluster than the gateway: host:port.
    #[arg(long, value_name = "HOST:PORT")]
    bootstrap: Option<String>,
}

/// One record to be written.
struct Message {
    key: Option<String>,
    value: String,
}

impl Produce {
    pub(super) async fn run(self, place: &Place) -> Result<()> {
        let cluster = place.cluster(self.bootstrap.as_deref());
        let partitions = partitions_or_create(&cluster, self.topic.as_str()).await?;
        if let Some(asked) = self.partition.filter(|asked| !(0..partitions).contains(asked)) {
            bail!("{} has no partition {asked}; it has {partitions}, counted from 0", self.topic);
        }
        let mut writer = Writer {
            producer: Producer::new(cluster, self.topic.as_str()),
            partitioner: Partitioner::new(partitions, self.partition),
            json: place.json,
            topic: self.topic.clone(),
            written: 0,
        };
        let mut messages = self.messages();
        let mut batch = Vec::new();
        while messages.recv_many(&mut batch, BATCH_RECORDS_MAX).await > 0 {
            writer.write(std::mem::take(&mut batch)).await?;
        }
        if !place.json {
            remark!("{} records written to {}", writer.written, writer.topic);
        }
        Ok(())
    }

    /// The values given, or the lines of the input as they come.
    fn messages(self) -> mpsc::Receiver<Message> {
        let (sender, messages) = mpsc::channel(QUEUE);
        std::thread::spawn(move || {
            let taken = |value: String| sender.blocking_send(self.message(value)).is_ok();
            if self.values.is_empty() {
                if std::io::stdin().is_terminal() {
                    remark!("one record per line; end with Ctrl-D");
                }
                std::io::stdin().lock().lines().map_while(Result::ok).all(taken);
            } else {
                self.values.clone().into_iter().all(taken);
            }
        });
        messages
    }

    fn message(&self, value: String) -> Message {
        let split = self.key_separator.as_deref().and_then(|separator| value.split_once(separator));
        match split {
            Some((key, value)) => Message { key: Some(key.to_owned()), value: value.to_owned() },
            None => Message { key: self.key.clone(), value },
        }
    }
}

/// How many partitions the topic has; it is created where it is not there.
async fn partitions_or_create(cluster: &Arc<Cluster>, topic: &str) -> Result<i32> {
    if let Some(count) = partitions(cluster, topic).await? {
        return Ok(count);
    }
    match cluster.create_topic(topic, 1, -1, &[]).await {
        Ok(_) => remark!("topic {topic} was not there: created with 1 partition"),
        Err(error) if error.code() == Some(ErrorCode::TOPIC_ALREADY_EXISTS) => {}
        Err(error) => return Err(error).with_context(|| format!("cannot create topic {topic}")),
    }
    // A new topic shows up in the metadata a moment later.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while tokio::time::Instant::now() < deadline {
        if let Some(count) = partitions(cluster, topic).await? {
            return Ok(count);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("topic {topic} was created and does not show up in the metadata")
}

/// How many partitions the topic has; none when it is not there.
pub(super) async fn partitions(cluster: &Cluster, topic: &str) -> Result<Option<i32>> {
    let metadata = cluster.metadata(Some(&[topic])).await?;
    let Some(found) = metadata.topics.into_iter().next() else { return Ok(None) };
    match found.error_code {
        ErrorCode::NONE => Ok((!found.partitions.is_empty()).then_some(found.partitions.len() as i32)),
        ErrorCode::UNKNOWN_TOPIC_OR_PARTITION | ErrorCode::LEADER_NOT_AVAILABLE => Ok(None),
        code => bail!("topic {topic}: {code}"),
    }
}

struct Writer {
    producer: Producer,
    partitioner: Partitioner,
    json: bool,
    topic: TopicName,
    written: usize,
}

impl Writer {
    async fn write(&mut self, messages: Vec<Message>) -> Result<()> {
        for (partition, batch) in self.partitioner.split(messages, |message| message.key.as_deref()) {
            let mut rest = batch.into_iter().peekable();
            while rest.peek().is_some() {
                let mut builder = BatchBuilder::new();
                while builder.plain_bytes() < BATCH_BYTES_MAX
                    && let Some(message) = rest.next()
                {
                    let key = message.key.as_deref().map(str::as_bytes);
                    builder.push(now(), key, Some(message.value.as_bytes()), &[]);
                }
                self.send(partition, builder).await?;
            }
        }
        Ok(())
    }

    async fn send(&mut self, partition: i32, batch: BatchBuilder) -> Result<()> {
        let count = batch.count();
        let produced = self.producer.send(partition, batch).await;
        let produced =
            produced.with_context(|| format!("{}-{partition}, after {} records", self.topic, self.written))?;
        self.written += count as usize;
        if self.json {
            for offset in produced.base_offset..produced.base_offset + i64::from(count) {
                say!("{}", serde_json::json!({"topic": self.topic, "partition": partition, "offset": offset}))?;
            }
        }
        Ok(())
    }
}

/// The wall clock, as records carry it.
pub(crate) fn now() -> Timestamp {
    Timestamp(SystemTime::UNIX_EPOCH.elapsed().unwrap_or(Duration::ZERO).as_millis() as i64)
}
