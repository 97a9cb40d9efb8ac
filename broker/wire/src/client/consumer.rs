use super::{ClientError, Cluster, FetchLimits, Fetched};
use crate::api::list_offsets::{EARLIEST, LATEST};
use model::limits::DECOMPRESSED_BYTES_MAX;
use record::{Batches, Record};
use std::sync::Arc;

/// Where a [`Consumer`] begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the first record there is.
    Earliest,
    /// After the last.
    Latest,
    /// At the first record at or after this time, in milliseconds; after the last when there is none.
    Time(i64),
    /// At this offset.
    Offset(i64),
}

/// Reads one partition, in order, each record once.
#[derive(Debug)]
pub struct Consumer {
    cluster: Arc<Cluster>,
    topic: String,
    partition: i32,
    position: i64,
    limits: FetchLimits,
}

impl Consumer {
    /// A reader that begins at `start`.
    ///
    /// # Errors
    /// When that offset cannot be found out.
    pub async fn open(
        cluster: Arc<Cluster>,
        topic: &str,
        partition: i32,
        start: Start,
        limits: FetchLimits,
    ) -> Result<Self, ClientError> {
        let position = position(&cluster, topic, partition, start).await?;
        Ok(Self { cluster, topic: topic.to_owned(), partition, position, limits })
    }

    /// The offset of the next record.
    pub fn position(&self) -> i64 {
        self.position
    }

    /// The next records, or none when there is nothing new within the limits. Control records are passed over.
    ///
    /// # Errors
    /// When the fetch fails, or a batch is damaged; the position stays before it.
    pub async fn poll(&mut self) -> Result<Vec<Record>, ClientError> {
        let fetched = self.cluster.fetch(&self.topic, self.partition, self.position, self.limits).await?;
        let (records, next) = self.decoded(&fetched)?;
        self.position = next;
        Ok(records)
    }

    /// The records at or after the position, and the position after them.
    fn decoded(&self, fetched: &Fetched) -> Result<(Vec<Record>, i64), ClientError> {
        let mut next = self.position;
        let mut records = Vec::new();
        for batch in Batches::new(&fetched.records) {
            let batch = batch.map_err(|error| self.damaged(next, &error))?;
            batch.verify().map_err(|error| self.damaged(next, &error))?;
            let end = batch.last_offset().0 + 1;
            if !batch.attributes.is_control() {
                let decoded = batch.records(DECOMPRESSED_BYTES_MAX).map_err(|error| self.damaged(next, &error))?;
                for record in decoded {
                    let record = record.map_err(|error| self.damaged(next, &error))?;
                    records.extend((record.offset.0 >= self.position).then_some(record));
                }
            }
            next = next.max(end);
        }
        Ok((records, next))
    }

    fn damaged(&self, offset: i64, reason: &dyn std::error::Error) -> ClientError {
        let (topic, partition) = (self.topic.clone(), self.partition);
        ClientError::Records { topic, partition, offset, reason: reason.to_string() }
    }
}

async fn position(cluster: &Cluster, topic: &str, partition: i32, start: Start) -> Result<i64, ClientError> {
    let timestamp = match start {
        Start::Offset(offset) => return Ok(offset),
        Start::Earliest => EARLIEST,
        Start::Latest => LATEST,
        Start::Time(timestamp) => timestamp,
    };
    match cluster.list_offset(topic, partition, timestamp).await?.offset {
        -1 => Ok(cluster.list_offset(topic, partition, LATEST).await?.offset),
        offset => Ok(offset),
    }
}
