//! A compacted topic of one partition, in which a link keeps what both clusters are to know.

use mirror_core::attached::chart::Record;
use record::BatchBuilder;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use wire::ErrorCode;
use wire::api::list_offsets::LATEST;
use wire::client::{ClientError, Cluster, Consumer, FetchLimits, Producer, Start};

/// How many bytes of keys and values one batch has, the last record beyond not counted.
const BATCH_BYTES: usize = 256 << 10;
/// Small segments: what was written again is cleaned up soon.
const SETTINGS: [(&str, &str); 3] =
    [("cleanup.policy", "compact"), ("segment.bytes", "16777216"), ("min.cleanable.dirty.ratio", "0.1")];

/// The topic in one of the clusters.
pub(super) struct Table {
    cluster: Arc<Cluster>,
    topic: String,
    producer: Producer,
}

impl Table {
    pub(super) fn new(cluster: &Arc<Cluster>, topic: &str) -> Self {
        let producer = Producer::new(cluster.clone(), topic);
        Self { cluster: cluster.clone(), topic: topic.to_owned(), producer }
    }

    /// Its name.
    pub(super) fn topic(&self) -> &str {
        &self.topic
    }

    /// Makes it where it is missing.
    pub(super) async fn make(&self) -> Result<(), ClientError> {
        if self.is_there().await? {
            return Ok(());
        }
        match self.cluster.create_topic(&self.topic, 1, -1, &SETTINGS).await {
            Err(error) if error.code() != Some(ErrorCode::TOPIC_ALREADY_EXISTS) => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether it is there.
    pub(super) async fn is_there(&self) -> Result<bool, ClientError> {
        let answer = self.cluster.metadata(Some(&[&self.topic])).await?;
        let is_it = |topic: &wire::api::metadata::TopicResponse| topic.name.as_deref() == Some(&self.topic);
        match answer.topics.iter().find(|topic| is_it(topic)).map(|topic| topic.error_code) {
            None | Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION) => Ok(false),
            Some(ErrorCode::NONE | ErrorCode::LEADER_NOT_AVAILABLE) => Ok(true),
            Some(code) => Err(ClientError::Refused { api: "Metadata", code, message: Some(self.topic.clone()) }),
        }
    }

    /// Everything in it up to now, oldest first; nothing while it is not there.
    pub(super) async fn read(&self, mut take: impl FnMut(Record)) -> Result<(), ClientError> {
        if !self.is_there().await? {
            return Ok(());
        }
        let end = self.cluster.list_offset(&self.topic, 0, LATEST).await?.offset;
        let limits = FetchLimits { bytes_max: 4 << 20, ..FetchLimits::default() };
        let mut reader = Consumer::open(self.cluster.clone(), &self.topic, 0, Start::Earliest, limits).await?;
        while reader.position() < end {
            for found in reader.poll().await? {
                let key = found.key.and_then(|key| String::from_utf8(key).ok());
                if let Some(key) = key {
                    take(Record { key, value: found.value });
                }
            }
        }
        Ok(())
    }

    /// Writes all of it, in order.
    pub(super) async fn write(&mut self, records: &[Record]) -> Result<(), ClientError> {
        let mut rest = records;
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = rest.iter().take_while(|record| {
                let has_room = bytes < BATCH_BYTES;
                bytes += record.key.len() + record.value.as_ref().map_or(0, Vec::len);
                has_room
            });
            let (now, later) = rest.split_at(fits.count());
            self.producer.send(0, batch(now)).await?;
            rest = later;
        }
        Ok(())
    }
}

/// `None` where the cluster refuses for good, as to a client without the right to it: a link can do without what is kept there.
pub(super) fn unless_refused<T>(topic: &str, result: Result<T, ClientError>) -> Result<Option<T>, ClientError> {
    match result {
        Err(error) if error.code().is_some() && !error.may_pass() => {
            tracing::warn!(topic, %error, "the link goes on without this topic");
            Ok(None)
        }
        result => result.map(Some),
    }
}

fn batch(records: &[Record]) -> BatchBuilder {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
    let put = |batch: BatchBuilder, record: &Record| {
        batch.record(now, Some(record.key.as_bytes()), record.value.as_deref(), &[])
    };
    records.iter().fold(BatchBuilder::new(), put)
}
