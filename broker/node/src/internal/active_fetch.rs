//! ActiveFetch: another region that takes writes for the same topics reads what it lacks.

use crate::Broker;
use crate::api::{Call, Reply, Started};
use crate::listener::Outgoing;
use crate::replica::{Ear, Partition, Selected};
use bytes::Bytes;
use log::ReadError;
use mirror_core::active::{Ask, Carried, Row, Vector};
use model::{ByteCount, Incarnation, Offset, PartitionId, limits};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use wire::internal::active_fetch::{
    Partition as Asked, PartitionResponse, Portion, Received, Request, Response, Row as SentRow,
};
use wire::{ErrorCode, Records};

pub(crate) fn start(broker: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    let fetch = ActiveFetch { broker: broker.clone(), call, request };
    Ok(Reply::Later(Box::pin(fetch.answer())))
}

struct ActiveFetch {
    broker: Broker,
    call: Call,
    request: Request,
}

impl ActiveFetch {
    /// Answers as soon as there is something to send, or the time is up.
    async fn answer(self) -> Option<Outgoing> {
        let wait = Duration::from_millis(u64::try_from(self.request.max_wait_ms).unwrap_or(0));
        let deadline = Instant::now() + wait.min(limits::REQUEST_WAIT_MAX);
        let partitions = self.partitions();
        let (this, mut ear) = (Arc::new(self), Ear::new());
        loop {
            ear.listen_all(&partitions);
            let reading = this.clone();
            let found = tokio::task::spawn_blocking(move || reading.read()).await.ok()?;
            let is_news = found.iter().any(|found| !found.error.is_ok() || !found.portions.is_empty());
            if is_news || Instant::now() >= deadline {
                let response = Response { partitions: found, ..Default::default() };
                return this.call.encode_with_files(&response, Vec::new());
            }
            let _waits = this.broker.0.waiting.begin();
            // Late or not: the next look decides.
            let _ = timeout_at(deadline, ear.heard()).await;
        }
    }

    fn partitions(&self) -> Vec<Arc<Partition>> {
        let held = self.broker.0.partitions.held();
        let find = |asked: &Asked| held.partition(asked.topic_id, PartitionId(asked.partition)).cloned();
        self.request.partitions.iter().filter_map(find).collect()
    }

    fn read(&self) -> Vec<PartitionResponse> {
        let max = u64::try_from(self.request.max_bytes).unwrap_or(0).min(limits::FETCH_BYTES_MAX.0);
        let mut left = max;
        let mut found = Vec::with_capacity(self.request.partitions.len());
        for asked in &self.request.partitions {
            let (topic_id, partition) = (asked.topic_id, asked.partition);
            let nothing = PartitionResponse { topic_id, partition, ..Default::default() };
            // What one partition has to send is not kept waiting by the others for long: the rest comes next time.
            let response = match self.read_one(asked, ByteCount(left)) {
                _ if left == 0 => nothing,
                Ok(selected) => sent(nothing, selected),
                Err(error) => PartitionResponse { error, ..nothing },
            };
            let bytes = response.portions.iter().map(|portion| portion.records.len() as u64).sum();
            left = left.saturating_sub(bytes);
            found.push(response);
        }
        found
    }

    fn read_one(&self, asked: &Asked, max: ByteCount) -> Result<Selected, ErrorCode> {
        let held = self.broker.0.partitions.held();
        let topic = held.with_id(asked.topic_id).ok_or(ErrorCode::UNKNOWN_TOPIC_ID)?;
        let partition = topic.partition(PartitionId(asked.partition)).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
        if !partition.standing().leads() {
            return Err(ErrorCode::NOT_LEADER_OR_FOLLOWER);
        }
        let selected = partition.select(&self.ask(asked)?, max).map_err(|error| code(partition, &error))?;
        selected.ok_or(ErrorCode::NOT_LEADER_OR_FOLLOWER)
    }

    fn ask(&self, asked: &Asked) -> Result<Ask, ErrorCode> {
        let target = incarnation(self.request.target_incarnation)?;
        let tails = asked.have.iter().map(|known| Ok((incarnation(known.origin)?, Offset(known.tail))));
        let have = Vector::new(tails.collect::<Result<_, _>>()?).ok_or(ErrorCode::INVALID_REQUEST)?;
        let wanted = asked.wanted.iter().map(|origin| incarnation(*origin)).collect::<Result<_, _>>()?;
        Ok(Ask { target, have, wanted, records_max: u64::MAX })
    }
}

fn incarnation(number: i32) -> Result<Incarnation, ErrorCode> {
    u16::try_from(number).map(Incarnation).map_err(|_| ErrorCode::INVALID_REQUEST)
}

fn sent(nothing: PartitionResponse, selected: Selected) -> PartitionResponse {
    PartitionResponse {
        received: vector(&selected.received),
        portions: selected.portions.into_iter().map(portion).collect(),
        rows: selected.rows.iter().map(row).collect(),
        ..nothing
    }
}

fn portion(Carried { portion, batches }: Carried) -> Portion {
    let written = portion.written;
    Portion {
        local_start: portion.range.start.0,
        local_end: portion.range.end.0,
        origin: written.origin.0.into(),
        start: written.start.0,
        after: written.after.0,
        epoch: written.epoch.0,
        // The same 64 bits.
        time: written.time.0.cast_signed(),
        seen: vector(&written.seen),
        records: Records::Bytes(batches),
        ..Default::default()
    }
}

fn row(row: &Row) -> SentRow {
    SentRow { region: row.region.0.into(), from: row.from.0, seen: vector(&row.seen), ..Default::default() }
}

fn vector(vector: &Vector) -> Vec<Received> {
    let received = |(origin, tail): (Incarnation, Offset)| Received {
        origin: origin.0.into(),
        tail: tail.0,
        ..Default::default()
    };
    vector.iter().map(received).collect()
}

fn code(partition: &Partition, error: &ReadError) -> ErrorCode {
    match error {
        ReadError::OutOfRange { .. } | ReadError::Truncated => ErrorCode::NOT_LEADER_OR_FOLLOWER,
        ReadError::File(_) | ReadError::Damaged { .. } | ReadError::Records { .. } => {
            tracing::error!(partition = %partition.name, %error, "log cannot be read");
            ErrorCode::KAFKA_STORAGE_ERROR
        }
    }
}
