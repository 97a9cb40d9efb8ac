//! LinkFetch: another region's copy reads raw batches, and hears how far it is behind.
//!
//! Whether the copy's log has left this one is looked at first; then nothing else of the answer counts. A copy has no
//! hole yet, so epochs are compared by where they start, not by where their first batch lies.

use crate::Broker;
use crate::api::{Call, Reply, Started};
use crate::listener::{FileRange, Outgoing};
use crate::partitions::Held;
use crate::replica::{Ear, Marks, Partition, Run, RunId, Standing};
use broker_core::metadata::Image;
use broker_core::partition::LinkWord;
use bytes::Bytes;
use log::{ReadError, Slice};
use model::{ByteCount, CopyTerm, Incarnation, LeaderEpoch, ModeEpoch, Offset, PartitionId, RegionName, limits};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use wire::internal::link_fetch::{Diverging, Partition as Asked, PartitionResponse, Request, Response};
use wire::{ErrorCode, Records};

/// Fewer bytes than this go through memory.
const COPIED_BYTES_MAX: u64 = 16 * 1024;
/// How often to look for records that have become old enough for a link that is held back.
const DELAY_LOOK: Duration = Duration::from_millis(20);

pub(crate) fn start(broker: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    let region = RegionName::new(&request.target_region).ok();
    let fetch = LinkFetch { broker: broker.clone(), call, request, region, began: Instant::now() };
    Ok(Reply::Later(Box::pin(fetch.answer())))
}

struct LinkFetch {
    broker: Broker,
    call: Call,
    request: Request,
    /// Whose copies ask.
    region: Option<RegionName>,
    began: Instant,
}

/// What was read for one answer.
#[derive(Default)]
struct Found {
    partitions: Vec<PartitionResponse>,
    files: Vec<Vec<FileRange>>,
    bytes: u64,
    /// Something that must not wait.
    is_urgent: bool,
    /// When records that are gathered now will be handed out.
    gathers_until: Option<Instant>,
}

impl LinkFetch {
    async fn answer(self) -> Option<Outgoing> {
        let wait = Duration::from_millis(positive(self.request.max_wait_ms)).min(limits::REQUEST_WAIT_MAX);
        let deadline = Instant::now() + wait;
        let partitions = self.partitions();
        let mut ear = Ear::new();
        loop {
            ear.listen_all(&partitions);
            let found = self.read()?;
            let is_enough = found.is_urgent || found.bytes >= positive(self.request.min_bytes).max(1);
            if is_enough || Instant::now() >= deadline {
                return self.encode(found);
            }
            let _waits = self.broker.0.waiting.begin();
            // Late or not: the next look decides.
            let _ = timeout_at(self.next_look(deadline, found.gathers_until), ear.heard()).await;
        }
    }

    fn next_look(&self, deadline: Instant, gathers_until: Option<Instant>) -> Instant {
        let deadline = gathers_until.map_or(deadline, |until| until.min(deadline));
        match self.broker.config().link_delay {
            Duration::ZERO => deadline,
            _ => deadline.min(Instant::now() + DELAY_LOOK),
        }
    }

    fn partitions(&self) -> Vec<Arc<Partition>> {
        let held = self.broker.0.partitions.held();
        let find = |asked: &Asked| held.partition(asked.topic_id, PartitionId(asked.partition)).cloned();
        self.request.partitions.iter().filter_map(find).collect()
    }

    /// Reads all that was asked for; `None` when a log was cut meanwhile.
    fn read(&self) -> Option<Found> {
        let (held, image) = (self.broker.0.partitions.held(), self.broker.image());
        let bytes_max = positive(self.request.max_bytes).min(limits::FETCH_BYTES_MAX.0);
        let mut found = Found::default();
        for asked in &self.request.partitions {
            let left = bytes_max.saturating_sub(found.bytes);
            let response = self
                .read_one(&mut found, &held, &image, asked, left)
                .unwrap_or_else(|error| Some(PartitionResponse { error, ..nothing(asked) }))?;
            found.is_urgent |= !response.error.is_ok() || response.diverging.is_some();
            found.partitions.push(response);
        }
        Some(found)
    }

    fn read_one(
        &self,
        found: &mut Found,
        held: &Held,
        image: &Image,
        asked: &Asked,
        left: u64,
    ) -> Result<Option<PartitionResponse>, ErrorCode> {
        let partition = find(held, asked)?;
        if let Some(region) = &self.region {
            partition.note_link(region, Offset(asked.copy_durable_offset));
        }
        let (mut runs, led_under) = (partition.runs(), partition.epoch());
        let id = RunId { window: asked.run_window, run: asked.run };
        let mut run = match (&self.region, asked.run_window) {
            (Some(region), 0..) => {
                let run = runs.of(region, id, Offset(asked.fetch_offset), led_under);
                Some(run.ok_or(ErrorCode::LEADER_NOT_AVAILABLE)?)
            }
            _ => None,
        };
        let (from, marks) = (run.as_ref().map_or(Offset(asked.fetch_offset), |run| run.next()), partition.marks());
        let begins = if run.is_some() { from.0 } else { -1 };
        let response = PartitionResponse {
            high_watermark: marks.high_watermark.0,
            source_tail: marks.tail.0,
            log_start: marks.start.0,
            leader_epoch: led_under.0,
            ownership_epoch: ownership_epoch(image, partition),
            run_start: begins,
            run_end: begins,
            ..nothing(asked)
        };
        if let Some(diverging) = divergence(partition, &marks, asked)? {
            return Ok(Some(PartitionResponse { diverging: Some(diverging), ..response }));
        }
        if from < marks.start || from > marks.tail {
            let baseline = partition.reader.baseline().into();
            return Ok(Some(PartitionResponse { error: ErrorCode::OFFSET_OUT_OF_RANGE, baseline, ..response }));
        }
        let marks = self.hear(partition, asked, from, marks);
        let response = PartitionResponse { high_watermark: marks.high_watermark.0, ..response };
        let slice = self.slice(partition, asked, from, &marks, (left, found.bytes == 0))?;
        let slice = slice.filter(|slice| run.as_ref().is_none_or(|run| found.is_due(run, slice.len, asked)));
        // After the reading: what was not there any more is told.
        let baseline = partition.reader.baseline().into();
        let append_time = |offset| partition.append_time(offset).map_or(-1, |time| time.0);
        let end = slice.as_ref().map(|slice| slice.next_offset);
        let Some(records) = slice.map_or(Some(Records::default()), |slice| found.add(slice)) else { return Ok(None) };
        if let (Some(run), Some(end)) = (&mut run, end) {
            run.hand_out(end, Instant::now());
        }
        Ok(Some(PartitionResponse {
            oldest_unread_append_time_ms: append_time(from),
            tail_append_time_ms: append_time(marks.tail.plus(-1)),
            run_end: run.map_or(-1, |run| run.next().0),
            baseline,
            records,
            ..response
        }))
    }

    /// Counts what a link says of its copy where that is waited for; gives where the log stands then.
    fn hear(&self, partition: &Partition, asked: &Asked, from: Offset, marks: Marks) -> Marks {
        let (Some(region), Some(mode_epoch)) = (&self.region, mode_epoch(asked)) else { return marks };
        partition.hear_link(&LinkWord {
            region: region.clone(),
            incarnation: self.incarnation(),
            mode_epoch,
            term: CopyTerm(u64::try_from(asked.copy_term).unwrap_or(0)),
            leader_epoch: LeaderEpoch(asked.source_leader_epoch),
            durable: Offset(asked.copy_durable_offset).min(from).max(Offset::ZERO),
        });
        partition.marks()
    }

    fn incarnation(&self) -> Incarnation {
        Incarnation(u16::try_from(self.request.target_incarnation).unwrap_or(0))
    }

    /// What there is to read; nothing where the link only says how far its copy is.
    fn slice(
        &self,
        partition: &Partition,
        asked: &Asked,
        from: Offset,
        marks: &Marks,
        (left, is_first): (u64, bool),
    ) -> Result<Option<Slice>, ErrorCode> {
        let max = left.min(positive(asked.partition_max_bytes));
        if asked.partition_max_bytes <= 0 {
            return Ok(None);
        }
        let readable = match (&self.region, mode_epoch(asked)) {
            (Some(region), Some(mode)) => partition.readable_by(region, self.incarnation(), mode, marks),
            _ => marks.high_watermark,
        };
        let upto = self.visible(partition, from, readable);
        partition.reader.read(from, upto, ByteCount(max), is_first).map_err(|error| code(partition, &error))
    }

    /// How far a link may read: what is meant for it and, when links are held back, old enough.
    fn visible(&self, partition: &Partition, from: Offset, high_watermark: Offset) -> Offset {
        let delay = self.broker.config().link_delay;
        if delay.is_zero() {
            return high_watermark;
        }
        let until = model::Timestamp(self.broker.0.clock.now().0.saturating_sub(delay.as_millis() as i64));
        partition.appended_by(until, from, high_watermark)
    }

    fn encode(&self, found: Found) -> Option<Outgoing> {
        let response = Response {
            source_time_ms: self.broker.0.clock.now().0,
            source_incarnation: self.broker.image().region().map_or(-1, |region| i32::from(region.incarnation.0)),
            held_us: i64::try_from(self.began.elapsed().as_micros()).unwrap_or(i64::MAX),
            partitions: found.partitions,
            ..Default::default()
        };
        let is_steady = found.bytes > 0 && found.bytes < positive(self.request.max_bytes) / 2;
        self.call.encode_with_files(&response, found.files).map(|outgoing| outgoing.steady(is_steady))
    }
}

impl Found {
    /// Whether as many bytes are handed out now: enough of them at once, fewer when they were gathered for long enough.
    fn is_due(&mut self, run: &Run, bytes: u64, asked: &Asked) -> bool {
        let until = run.gathers_until(Duration::from_millis(positive(asked.run_spacing_ms)));
        let waits = until.filter(|until| *until > Instant::now() && bytes < positive(asked.partition_max_bytes) / 2);
        if let Some(until) = waits {
            self.gathers_until = Some(self.gathers_until.map_or(until, |known| known.min(until)));
        }
        waits.is_none()
    }

    /// Takes note of a slice; `None` when its log was cut meanwhile.
    fn add(&mut self, slice: Slice) -> Option<Records> {
        self.bytes += slice.len;
        if slice.len < COPIED_BYTES_MAX {
            return slice.to_bytes().ok().map(Records::Bytes);
        }
        let len = slice.len as usize;
        self.files.push(vec![slice.into()]);
        Some(Records::Placeholder(len))
    }
}

fn find<'a>(held: &'a Held, asked: &Asked) -> Result<&'a Arc<Partition>, ErrorCode> {
    let topic = held.with_id(asked.topic_id).ok_or(ErrorCode::UNKNOWN_TOPIC_ID)?;
    let partition = topic.partition(PartitionId(asked.partition)).ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)?;
    match partition.standing() {
        Standing::Idle | Standing::Replica { .. } => Err(ErrorCode::NOT_LEADER_OR_FOLLOWER),
        Standing::Owner { .. } | Standing::Copy { .. } => Ok(partition),
    }
}

/// Where the copy's log left this one, if it did. An epoch above all of this log says that the copy knows more: it is
/// not for this log to have it cut.
fn divergence(partition: &Partition, marks: &Marks, asked: &Asked) -> Result<Option<Diverging>, ErrorCode> {
    let (last, from) = (LeaderEpoch(asked.last_epoch), Offset(asked.fetch_offset));
    if last.0 < 0 || from < marks.start {
        return Ok(None);
    }
    let end = partition.reader.end_of_epoch_for_replica(last).ok_or(ErrorCode::UNKNOWN_LEADER_EPOCH)?;
    let left = end.epoch < last || end.end < from;
    Ok(left.then(|| Diverging { epoch: end.epoch.0, end_offset: end.end.0, ..Default::default() }))
}

/// The grant the region obeys for the partition; -1 for one of no group.
fn ownership_epoch(image: &Image, partition: &Partition) -> i32 {
    let group = image.topic(partition.topic_id).and_then(|topic| image.group(topic.group.as_ref()?));
    group.map_or(-1, |group| group.obeyed().0 as i32)
}

/// The SYNC rule the link believes in.
fn mode_epoch(asked: &Asked) -> Option<ModeEpoch> {
    u64::try_from(asked.mode_epoch).ok().map(ModeEpoch)
}

fn nothing(asked: &Asked) -> PartitionResponse {
    PartitionResponse { topic_id: asked.topic_id, partition: asked.partition, ..Default::default() }
}

fn code(partition: &Partition, error: &ReadError) -> ErrorCode {
    match error {
        ReadError::OutOfRange { .. } => ErrorCode::OFFSET_OUT_OF_RANGE,
        ReadError::Truncated => ErrorCode::NOT_LEADER_OR_FOLLOWER,
        ReadError::File(_) | ReadError::Damaged { .. } | ReadError::Records { .. } => {
            tracing::error!(partition = %partition.name, %error, "log cannot be read");
            ErrorCode::KAFKA_STORAGE_ERROR
        }
    }
}

fn positive(number: i32) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
