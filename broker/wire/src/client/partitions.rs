use super::{ClientError, Cluster};
use crate::api::{fetch, list_offsets, produce};
use crate::{ApiKey, ErrorCode};
use bytes::Bytes;
use std::time::Duration;

/// From version 13 on Produce and Fetch address topics by id; a gateway has no such versions.
const NEWEST_BY_NAME: i16 = 12;

/// Where produced records are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Produced {
    /// The offset of the first; -1 when the broker was not asked to answer.
    pub base_offset: i64,
    /// The broker's time of the append, if the topic has the broker's times, otherwise -1.
    pub log_append_time_ms: i64,
}

/// How much to read, and how long to wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchLimits {
    /// How long the broker may wait for [`FetchLimits::bytes_min`].
    pub wait_max: Duration,
    /// How many bytes are worth an answer before that.
    pub bytes_min: i32,
    /// How many bytes are enough. The first batch comes as a whole, however large.
    pub bytes_max: i32,
    /// Whether to stop before the first open transaction.
    pub committed_only: bool,
}

impl Default for FetchLimits {
    fn default() -> Self {
        Self { wait_max: Duration::from_millis(500), bytes_min: 1, bytes_max: 1 << 20, committed_only: false }
    }
}

/// A transaction whose records a reader of committed records skips, from its first offset to its marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbortedTransaction {
    /// Whose it was.
    pub producer_id: i64,
    /// The offset of its first record.
    pub first_offset: i64,
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Batches, back to back; the last one may be cut off.
    pub records: Bytes,
    /// Below it a record is committed.
    pub high_watermark: i64,
    /// Below it no transaction is open.
    pub last_stable_offset: i64,
    /// The first offset there is.
    pub log_start_offset: i64,
    /// With [`FetchLimits::committed_only`]: the aborted transactions that the batches belong to.
    pub aborted: Vec<AbortedTransaction>,
}

/// An offset, and the record there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedOffset {
    /// The offset; -1 when no record is that young.
    pub offset: i64,
    /// The record's timestamp, -1 for the ends of a log.
    pub timestamp: i64,
    /// The leader epoch there, -1 when unknown.
    pub leader_epoch: i32,
}

impl Cluster {
    /// Appends one batch, as built, to a partition. Unless the batch carries a producer id, it may be there twice if
    /// an answer was lost.
    ///
    /// # Errors
    /// When it is refused for good or the deadline passes.
    pub async fn produce(&self, topic: &str, partition: i32, batch: Bytes, acks: i16) -> Result<Produced, ClientError> {
        let request = self.produce_request(topic, partition, batch, acks);
        self.retry("produce", || self.produce_once(topic, partition, &request)).await
    }

    /// The same with acks=all and one attempt only: for whoever has several numbered batches under way, which must not
    /// overtake each other. Calls are written in the order in which they are first polled.
    ///
    /// # Errors
    /// When it is refused, or there is no answer within [`super::Options::call_timeout`].
    pub async fn try_produce(&self, topic: &str, partition: i32, batch: Bytes) -> Result<Produced, ClientError> {
        let request = self.produce_request(topic, partition, batch, -1);
        self.produce_once(topic, partition, &request).await
    }

    fn produce_request(&self, topic: &str, partition: i32, batch: Bytes, acks: i16) -> produce::Request {
        let data = produce::Partition { index: partition, records: Some(batch), ..Default::default() };
        let data = produce::Topic { name: topic.to_owned(), partition_data: vec![data], ..Default::default() };
        let timeout_ms = self.options().call_timeout.as_millis() as i32;
        produce::Request { acks, timeout_ms, topic_data: vec![data], ..Default::default() }
    }

    async fn produce_once(
        &self,
        topic: &str,
        partition: i32,
        request: &produce::Request,
    ) -> Result<Produced, ClientError> {
        let leader = self.leader(topic, partition).await?;
        let ask = async {
            if request.acks == 0 {
                self.send(&leader, request, NEWEST_BY_NAME).await?;
                return Ok(Produced { base_offset: -1, log_append_time_ms: -1 });
            }
            let response = self.call_limited(&leader, request, NEWEST_BY_NAME, Duration::ZERO).await?;
            let found = response.responses.into_iter().flat_map(|topic| topic.partition_responses).next();
            let found = found.ok_or(ClientError::Missing("Produce"))?;
            refused_unless_ok(ApiKey::Produce, found.error_code, found.error_message)?;
            Ok(Produced { base_offset: found.base_offset, log_append_time_ms: found.log_append_time_ms })
        };
        self.forgetting(topic, partition, ask.await)
    }

    /// Reads batches from `offset` on; the first may start before it. Nothing new within the limits is no records.
    ///
    /// # Errors
    /// When it is refused for good (`OFFSET_OUT_OF_RANGE`) or the deadline passes.
    pub async fn fetch(
        &self,
        topic: &str,
        partition: i32,
        offset: i64,
        limits: FetchLimits,
    ) -> Result<Fetched, ClientError> {
        let from = fetch::Partition {
            partition,
            fetch_offset: offset,
            partition_max_bytes: limits.bytes_max,
            ..Default::default()
        };
        let from = fetch::Topic { topic: topic.to_owned(), partitions: vec![from], ..Default::default() };
        let request = fetch::Request {
            max_wait_ms: limits.wait_max.as_millis() as i32,
            min_bytes: limits.bytes_min,
            max_bytes: limits.bytes_max,
            isolation_level: i8::from(limits.committed_only),
            topics: vec![from],
            ..Default::default()
        };
        self.retry("fetch", || self.fetch_once(topic, partition, &request, limits.wait_max)).await
    }

    async fn fetch_once(
        &self,
        topic: &str,
        partition: i32,
        request: &fetch::Request,
        wait: Duration,
    ) -> Result<Fetched, ClientError> {
        let leader = self.leader(topic, partition).await?;
        let ask = async {
            let response = self.call_limited(&leader, request, NEWEST_BY_NAME, wait).await?;
            refused_unless_ok(ApiKey::Fetch, response.error_code, None)?;
            let found = response.responses.into_iter().flat_map(|topic| topic.partitions).next();
            let found = found.ok_or(ClientError::Missing("Fetch"))?;
            refused_unless_ok(ApiKey::Fetch, found.error_code, None)?;
            Ok(Fetched {
                records: found.records.into_bytes(),
                high_watermark: found.high_watermark,
                last_stable_offset: found.last_stable_offset,
                log_start_offset: found.log_start_offset,
                aborted: found.aborted_transactions.unwrap_or_default().into_iter().map(aborted).collect(),
            })
        };
        self.forgetting(topic, partition, ask.await)
    }

    /// The first offset at or after a time, or one of the ends: [`list_offsets::LATEST`], [`list_offsets::EARLIEST`].
    ///
    /// # Errors
    /// When it is refused for good or the deadline passes.
    pub async fn list_offset(&self, topic: &str, partition: i32, timestamp: i64) -> Result<ListedOffset, ClientError> {
        let asked = list_offsets::Partition { partition_index: partition, timestamp, ..Default::default() };
        let asked = list_offsets::Topic { name: topic.to_owned(), partitions: vec![asked], ..Default::default() };
        let timeout_ms = self.options().call_timeout.as_millis() as i32;
        let request = list_offsets::Request { topics: vec![asked], timeout_ms, ..Default::default() };
        self.retry("list offsets", || self.list_offset_once(topic, partition, &request)).await
    }

    async fn list_offset_once(
        &self,
        topic: &str,
        partition: i32,
        request: &list_offsets::Request,
    ) -> Result<ListedOffset, ClientError> {
        let leader = self.leader(topic, partition).await?;
        let ask = async {
            let response = self.call(&leader, request).await?;
            let found = response.topics.into_iter().flat_map(|topic| topic.partitions).next();
            let found = found.ok_or(ClientError::Missing("ListOffsets"))?;
            refused_unless_ok(ApiKey::ListOffsets, found.error_code, None)?;
            Ok(ListedOffset { offset: found.offset, timestamp: found.timestamp, leader_epoch: found.leader_epoch })
        };
        self.forgetting(topic, partition, ask.await)
    }

    /// After a failure that may be due to a new leader, the next attempt asks who leads.
    fn forgetting<T>(&self, topic: &str, partition: i32, result: Result<T, ClientError>) -> Result<T, ClientError> {
        if result.as_ref().is_err_and(ClientError::is_retryable) {
            self.forget_leader(topic, partition);
        }
        result
    }
}

fn aborted(found: fetch::AbortedTransaction) -> AbortedTransaction {
    AbortedTransaction { producer_id: found.producer_id, first_offset: found.first_offset }
}

pub(super) fn refused_unless_ok(key: ApiKey, code: ErrorCode, message: Option<String>) -> Result<(), ClientError> {
    code.ok().map_err(|code| ClientError::refused(key, code, message))
}
