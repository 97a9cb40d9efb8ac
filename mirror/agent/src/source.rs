//! Another region as a source, over its internal listener.

use crate::ports::{CommitsRequest, Connector, FetchAnswer, FetchRequest, Source, SourceError};
use env::PortFuture;
use mirror_core::verify::{AskCheckpoints, CheckpointsPage};
use mirror_core::window::{Answer, Body, Diverging};
use model::{
    CommitPage, FollowMetadata, Incarnation, LeaderEpoch, Leaders, Offset, OffsetRange, OwnershipEpoch, PartitionId,
    RegionAddress, RegionName, Timestamp, methods,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use wire::ErrorCode;
use wire::client::Connection;
use wire::internal::{control, link_fetch};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A source answers within its long poll and this.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Makes sources that are reached over the wire.
#[derive(Clone, Debug)]
pub struct WireConnector {
    /// The region that asks.
    pub region: RegionName,
    /// Its incarnation.
    pub incarnation: Incarnation,
}

impl Connector for WireConnector {
    fn source(&self, _: &RegionAddress, address: &str) -> Arc<dyn Source> {
        let (records, words) = (Pool::default(), Pool::default());
        Arc::new(WireSource { target: self.clone(), address: address.to_owned(), records, words })
    }
}

/// A broker's internal listener. Answers come in order on a connection, so each request under way has its own.
struct WireSource {
    target: WireConnector,
    address: String,
    /// What records come over. TCP has learned how fast that may be; a new connection has to learn it first.
    records: Pool,
    /// What everything else is said over.
    words: Pool,
}

/// Connections that nobody uses now.
#[derive(Default)]
struct Pool(Mutex<Vec<Connection>>);

impl Pool {
    /// The connection that was used last and is still good; those that ended with the source's last start are dropped.
    fn take(&self) -> Option<Connection> {
        let mut idle = self.idle();
        idle.retain(|connection| !connection.is_closed());
        idle.pop()
    }

    fn give(&self, connection: Connection) {
        self.idle().push(connection);
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WireSource {
    async fn with_connection<T>(
        &self,
        pool: &Pool,
        work: impl AsyncFnOnce(&Connection) -> Result<T, SourceError>,
    ) -> Result<T, SourceError> {
        let connection = match pool.take() {
            Some(connection) => connection,
            None => Connection::connect(&self.address, "link", CONNECT_TIMEOUT).await.map_err(failed)?,
        };
        // A connection whose call failed or was broken off is not used again.
        let done = work(&connection).await?;
        pool.give(connection);
        Ok(done)
    }

    /// Calls a method by name.
    async fn control<T: DeserializeOwned>(&self, method: &str, ask: &impl Serialize) -> Result<T, SourceError> {
        let payload = serde_json::to_vec(ask).map_err(failed)?.into();
        let request = control::Request { method: method.to_owned(), payload, ..Default::default() };
        let response = self
            .with_connection(&self.words, async |connection| {
                connection.call_within(ANSWER_TIMEOUT, &request, 0).await.map_err(failed)
            })
            .await?;
        refused(response.error)?;
        serde_json::from_slice(&response.payload).map_err(failed)
    }

    fn request(&self, request: FetchRequest) -> link_fetch::Request {
        let partitions = request.partitions.into_iter().map(|partition| link_fetch::Partition {
            topic_id: partition.key.0,
            partition: partition.key.1.0,
            fetch_offset: partition.from.0,
            last_epoch: partition.last_epoch.0,
            partition_max_bytes: partition.bytes_max.min(i32::MAX as u32) as i32,
            copy_durable_offset: partition.durable.0,
            copy_term: partition.sync.map_or(-1, |sync| signed(sync.terms.copy_term.0)),
            mode_epoch: partition.sync.map_or(-1, |sync| signed(sync.terms.mode_epoch.0)),
            source_leader_epoch: partition.sync.map_or(-1, |sync| sync.leader_epoch.0),
            run_window: partition.stream.map_or(-1, |stream| signed(stream.window)),
            run: partition.stream.map_or(0, |stream| i32::try_from(stream.run).unwrap_or(i32::MAX)),
            run_spacing_ms: i32::try_from(partition.spacing.as_millis()).unwrap_or(i32::MAX),
            ..Default::default()
        });
        link_fetch::Request {
            link_id: self.address.clone(),
            target_region: self.target.region.to_string(),
            target_incarnation: self.target.incarnation.0.into(),
            max_wait_ms: request.max_wait.as_millis() as i32,
            min_bytes: 1,
            max_bytes: i32::try_from(request.bytes_max).unwrap_or(i32::MAX),
            partitions: partitions.collect(),
            ..Default::default()
        }
    }
}

impl Source for WireSource {
    fn fetch(&self, request: FetchRequest) -> PortFuture<'_, Result<FetchAnswer, SourceError>> {
        Box::pin(async move {
            let brings = request.partitions.iter().any(|partition| partition.bytes_max > 0);
            let (request, pool) = (self.request(request), if brings { &self.records } else { &self.words });
            let response = self
                .with_connection(pool, async |connection| {
                    connection.call_within(ANSWER_TIMEOUT, &request, 0).await.map_err(failed)
                })
                .await?;
            refused(response.error)?;
            let source_time = Timestamp(response.source_time_ms);
            let held = u64::try_from(response.held_us).ok().map(Duration::from_micros);
            let partitions = response.partitions.into_iter().map(|partition| answer(source_time, partition)).collect();
            Ok(FetchAnswer { partitions, held })
        })
    }

    fn commits(&self, request: CommitsRequest) -> PortFuture<'_, Result<CommitPage, SourceError>> {
        Box::pin(async move { self.control(methods::SYNC_COMMITS, &request).await })
    }

    fn leaders(&self, ask: FollowMetadata) -> PortFuture<'_, Result<Leaders, SourceError>> {
        Box::pin(async move { self.control(methods::FOLLOW_METADATA, &ask).await })
    }

    fn checkpoints(&self, ask: AskCheckpoints) -> PortFuture<'_, Result<Vec<CheckpointsPage>, SourceError>> {
        Box::pin(async move { self.control(methods::CHECKPOINTS, &ask).await })
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn failed(error: impl std::fmt::Display) -> SourceError {
    SourceError(error.to_string())
}

fn refused(error: ErrorCode) -> Result<(), SourceError> {
    match error {
        ErrorCode::NONE => Ok(()),
        other => Err(SourceError(format!("refused with {}", other.name().unwrap_or("an unknown code")))),
    }
}

fn answer(source_time: Timestamp, partition: link_fetch::PartitionResponse) -> (crate::CopyKey, Answer) {
    let key = (partition.topic_id, PartitionId(partition.partition));
    let answer = Answer {
        source_time,
        source_tail: Offset(partition.source_tail),
        high_watermark: Offset(partition.high_watermark),
        log_start: Offset(partition.log_start),
        leader_epoch: LeaderEpoch(partition.leader_epoch),
        ownership_epoch: OwnershipEpoch(u32::try_from(partition.ownership_epoch).unwrap_or(0)),
        oldest_unread: Timestamp(partition.oldest_unread_append_time_ms),
        served: served(&partition),
        baseline: (&partition.baseline).into(),
        body: body(partition),
    };
    (key, answer)
}

fn served(partition: &link_fetch::PartitionResponse) -> Option<OffsetRange> {
    let (start, end) = (partition.run_start, partition.run_end);
    (0 <= start && start <= end).then(|| OffsetRange::new(Offset(start), Offset(end)))
}

fn body(partition: link_fetch::PartitionResponse) -> Body {
    match (partition.error, partition.diverging) {
        (ErrorCode::NONE, Some(diverging)) => {
            Body::Diverging(Diverging { epoch: LeaderEpoch(diverging.epoch), end: Offset(diverging.end_offset) })
        }
        (ErrorCode::NONE, None) => Body::Records(partition.records.into_bytes()),
        (ErrorCode::OFFSET_OUT_OF_RANGE, _) => Body::OutOfRange,
        (ErrorCode::INCONSISTENT_TOPIC_ID, _) => Body::TopicReset,
        (ErrorCode::UNKNOWN_LEADER_EPOCH, _) => Body::Behind,
        // An owner that has not opened yet answers so, too: it is asked again.
        _ => Body::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use link_fetch::PartitionResponse;
    use model::TopicId;
    use tokio::net::TcpListener;
    use wire::Records;

    fn response(error: ErrorCode) -> PartitionResponse {
        PartitionResponse {
            topic_id: TopicId(uuid::Uuid::from_u128(3)),
            partition: 4,
            error,
            high_watermark: 8,
            source_tail: 9,
            log_start: 2,
            leader_epoch: 4097,
            ownership_epoch: 1,
            ..Default::default()
        }
    }

    #[test]
    fn an_answer_says_what_the_source_said() {
        let mut with_records = response(ErrorCode::NONE);
        with_records.records = Records::Bytes(b"batches".as_slice().into());
        let (key, answer) = answer(Timestamp(5), with_records);
        assert_eq!(key, (TopicId(uuid::Uuid::from_u128(3)), PartitionId(4)));
        assert_eq!(
            (answer.source_time, answer.source_tail, answer.high_watermark),
            (Timestamp(5), Offset(9), Offset(8))
        );
        assert_eq!((answer.leader_epoch, answer.ownership_epoch), (LeaderEpoch(4097), OwnershipEpoch(1)));
        assert_eq!((answer.served, answer.body), (None, Body::Records(b"batches".as_slice().into())));
        let handed_out = PartitionResponse { run_start: 5, run_end: 8, ..response(ErrorCode::NONE) };
        assert_eq!(served(&handed_out), Some(OffsetRange::new(Offset(5), Offset(8))));
        assert_eq!(served(&PartitionResponse { run_start: 9, ..handed_out }), None, "it ends before it begins");
    }

    #[test]
    fn errors_of_a_partition_are_told_apart() {
        let body = |error| body(response(error));
        assert_eq!(body(ErrorCode::OFFSET_OUT_OF_RANGE), Body::OutOfRange);
        assert_eq!(body(ErrorCode::INCONSISTENT_TOPIC_ID), Body::TopicReset);
        assert_eq!(body(ErrorCode::UNKNOWN_LEADER_EPOCH), Body::Behind);
        assert_eq!(body(ErrorCode::NOT_LEADER_OR_FOLLOWER), Body::Unavailable);
        let mut diverged = response(ErrorCode::NONE);
        diverged.diverging = Some(link_fetch::Diverging { epoch: 4096, end_offset: 7, ..Default::default() });
        assert_eq!(super::body(diverged), Body::Diverging(Diverging { epoch: LeaderEpoch(4096), end: Offset(7) }));
    }

    #[tokio::test]
    async fn a_source_that_hangs_up_or_is_not_there_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let connector = WireConnector { region: RegionName::new("r2").unwrap(), incarnation: Incarnation(1) };
        let (records, words) = (Pool::default(), Pool::default());
        let source = WireSource { target: connector, address, records, words };
        let nothing = || FetchRequest { partitions: Vec::new(), max_wait: Duration::ZERO, bytes_max: 1 };
        let hanging_up = async {
            drop(listener.accept().await.unwrap());
            drop(listener);
        };
        let (answered, ()) = tokio::join!(source.fetch(nothing()), hanging_up);
        assert!(answered.is_err());
        assert!(source.fetch(nothing()).await.is_err());
        let kept = [&source.records, &source.words].map(|pool| pool.idle().len());
        assert_eq!(kept, [0, 0], "no broken connection is kept");
    }
}
