//! A region that is asked, over the wire.

use crate::ports::CopyKey;
use mirror_core::active::{Carried, HybridTime, Portion, Row, Vector, Written};
use model::{Incarnation, LeaderEpoch, Offset, OffsetRange, PartitionId, RegionName};
use std::sync::Arc;
use std::time::Duration;
use wire::ErrorCode;
use wire::client::Connection;
use wire::internal::active_fetch::{self, PartitionResponse, Received, Request, Tail};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A source answers within its wait and this.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What is asked of one partition.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) key: CopyKey,
    pub(super) have: Vector,
    pub(super) wanted: Vec<Incarnation>,
}

/// What was answered of one: what came, what the source knows of others, and what it has received.
pub(super) struct Answer {
    pub(super) key: CopyKey,
    pub(super) outcome: Result<(Vec<Carried>, Vec<Row>, Vector), SourceError>,
}

/// There is no answer, or none that makes sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct SourceError(String);

fn failed(error: impl std::fmt::Display) -> SourceError {
    SourceError(error.to_string())
}

fn senseless(what: &str) -> SourceError {
    SourceError(format!("the answer has an impossible {what}"))
}

/// One connection at a time: there is one request at a time.
pub(super) struct Wire {
    address: String,
    region: RegionName,
    own: Incarnation,
    connection: Option<Connection>,
}

impl Wire {
    pub(super) fn to(address: &str, region: &RegionName, own: Incarnation) -> Self {
        Self { address: address.to_owned(), region: region.clone(), own, connection: None }
    }

    /// Asks for all of `asks` in one request.
    ///
    /// # Errors
    /// [`SourceError`]: there was no answer; the connection is given up.
    pub(super) async fn ask(
        &mut self,
        asks: Vec<Ask>,
        wait: Duration,
        bytes_max: u32,
    ) -> Result<Vec<Answer>, SourceError> {
        let request = self.request(asks, wait, bytes_max);
        // A connection whose call failed is not used again.
        let connection = match self.connection.take().filter(|connection| !connection.is_closed()) {
            Some(connection) => connection,
            None => Connection::connect(&self.address, "active-link", CONNECT_TIMEOUT).await.map_err(failed)?,
        };
        let response = connection.call_within(wait + ANSWER_TIMEOUT, &request, 0).await.map_err(failed)?;
        self.connection = Some(connection);
        if !response.error.is_ok() {
            return Err(refused(response.error));
        }
        Ok(response.partitions.into_iter().map(answer).collect())
    }

    fn request(&self, asks: Vec<Ask>, wait: Duration, bytes_max: u32) -> Request {
        let partition = |Ask { key: (topic_id, partition), have, wanted }| active_fetch::Partition {
            topic_id,
            partition: partition.0,
            have: have.iter().map(tail).collect(),
            wanted: wanted.into_iter().map(|origin| origin.0.into()).collect(),
            ..Default::default()
        };
        Request {
            target_region: self.region.to_string(),
            target_incarnation: self.own.0.into(),
            max_wait_ms: wait.as_millis() as i32,
            max_bytes: i32::try_from(bytes_max).unwrap_or(i32::MAX),
            partitions: asks.into_iter().map(partition).collect(),
            ..Default::default()
        }
    }
}

fn tail((origin, tail): (Incarnation, Offset)) -> Tail {
    Tail { origin: origin.0.into(), tail: tail.0, ..Default::default() }
}

fn refused(error: ErrorCode) -> SourceError {
    SourceError(format!("refused with {}", error.name().unwrap_or("an unknown code")))
}

fn answer(response: PartitionResponse) -> Answer {
    let key = (response.topic_id, PartitionId(response.partition));
    Answer { key, outcome: found(response) }
}

fn found(response: PartitionResponse) -> Result<(Vec<Carried>, Vec<Row>, Vector), SourceError> {
    if !response.error.is_ok() {
        return Err(refused(response.error));
    }
    let received = vector(&response.received)?;
    let brought = response.portions.into_iter().map(brought).collect::<Result<_, _>>()?;
    let rows = response
        .rows
        .into_iter()
        .map(|row| Ok(Row { region: incarnation(row.region)?, from: Offset(row.from), seen: vector(&row.seen)? }));
    Ok((brought, rows.collect::<Result<_, _>>()?, received))
}

fn brought(sent: active_fetch::Portion) -> Result<Carried, SourceError> {
    if sent.local_start < 0 || sent.local_end <= sent.local_start {
        return Err(senseless("range"));
    }
    let written = Written {
        origin: incarnation(sent.origin)?,
        start: Offset(sent.start),
        after: Offset(sent.after),
        epoch: LeaderEpoch(sent.epoch),
        // The same 64 bits.
        time: HybridTime(sent.time.cast_unsigned()),
        seen: Arc::new(vector(&sent.seen)?),
    };
    let range = OffsetRange::new(Offset(sent.local_start), Offset(sent.local_end));
    Ok(Carried { portion: Portion { range, written }, batches: sent.records.into_bytes() })
}

fn incarnation(number: i32) -> Result<Incarnation, SourceError> {
    u16::try_from(number).map(Incarnation).map_err(|_| senseless("incarnation"))
}

fn vector(received: &[Received]) -> Result<Vector, SourceError> {
    let tails = received.iter().map(|known| Ok((incarnation(known.origin)?, Offset(known.tail))));
    Vector::new(tails.collect::<Result<_, _>>()?).ok_or_else(|| senseless("vector"))
}
