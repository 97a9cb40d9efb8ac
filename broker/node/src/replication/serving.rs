//! The leader's side of a fetch: what is new of the partitions of a session.

use super::fence_fields;
use super::followers::{Followed, Session, code};
use crate::Broker;
use crate::api::{Call, Reply, Started};
use crate::listener::{FileRange, Outgoing};
use crate::replica::{NotServed, Place, Served};
use bytes::Bytes;
use log::{ReadError, Slice};
use model::{ByteCount, Offset, limits};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use wire::internal::replica_fetch::{PartitionResponse, Request, Response};
use wire::internal::replica_progress;
use wire::{ErrorCode, Records};

/// Fewer bytes than this go through memory.
const COPIED_BYTES_MAX: u64 = 16 * 1024;
/// The log was cut meanwhile: the follower's has to be looked at again.
pub(super) const ASK_AGAIN: ErrorCode = ErrorCode::OFFSET_NOT_AVAILABLE;
/// A watermark alone waits so long for company: records carry it as well.
const WATERMARK_LINGER: Duration = Duration::from_millis(5);

/// Starts a ReplicaFetch.
pub(crate) fn start(broker: &Broker, call: Call, body: Bytes) -> Started {
    let request: Request = call.decode(body)?;
    let session = match broker.0.followers.open(&request) {
        Ok(session) => session,
        Err(error) => return Ok(call.reply(&Response { error, ..Default::default() })),
    };
    session.hear(broker.0.clock.boot());
    let serving = Serving {
        call,
        session: session.clone(),
        wait: Duration::from_millis(positive(request.max_wait_ms)).min(limits::REQUEST_WAIT_MAX),
        bytes_max: positive(request.max_bytes).min(limits::FETCH_BYTES_MAX.0),
        partition_bytes_max: positive(request.partition_max_bytes),
    };
    session.change(broker, request);
    Ok(Reply::Later(Box::pin(serving.answer())))
}

/// Starts a ReplicaProgress; nothing comes back.
pub(crate) fn progress(broker: &Broker, call: &Call, body: Bytes) -> Started {
    let request: replica_progress::Request = call.decode(body)?;
    if let Some(session) = broker.0.followers.of_progress(&request) {
        session.hear(broker.0.clock.boot());
        request.partitions.iter().for_each(|progress| session.note_progress(progress));
        if request.ends_wait {
            session.hurry();
        }
    }
    Ok(Reply::Nothing)
}

struct Serving {
    call: Call,
    session: Arc<Session>,
    wait: Duration,
    bytes_max: u64,
    partition_bytes_max: u64,
}

/// What there is to tell.
#[derive(Default)]
struct Found {
    partitions: Vec<PartitionResponse>,
    files: Vec<Vec<FileRange>>,
    bytes: u64,
    /// More than watermarks.
    is_urgent: bool,
}

impl Serving {
    async fn answer(self) -> Option<Outgoing> {
        let mut deadline = Instant::now() + self.wait;
        let mut found = Found::default();
        loop {
            self.look(&mut found);
            if found.is_urgent || self.session.takes_hurry() || Instant::now() >= deadline {
                let response = Response { partitions: found.partitions, ..Default::default() };
                return self.call.encode_with_files(&response, found.files);
            }
            if !found.partitions.is_empty() {
                deadline = deadline.min(Instant::now() + WATERMARK_LINGER);
            }
            // Late or not: the next look decides.
            let _ = timeout_at(deadline, self.session.stirred()).await;
        }
    }

    fn look(&self, found: &mut Found) {
        let early = self.session.take_early();
        found.is_urgent |= !early.is_empty();
        found.partitions.extend(early);
        let places = self.session.news.take();
        for place in places {
            if found.bytes >= self.bytes_max {
                // Its turn comes with the next fetch.
                self.session.news.mark(place);
                continue;
            }
            let max = ByteCount((self.bytes_max - found.bytes).min(self.partition_bytes_max));
            let is_first = found.bytes == 0;
            let looked = self.session.with(place, |followed| found.add(place, followed, max, is_first));
            if looked == Some(Looked::NoRoom) {
                self.session.news.mark(place);
            }
        }
    }
}

/// What came of a look at one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Looked {
    /// Everything there is to tell is told.
    Told,
    /// The next batch does not fit into this answer any more: it is to be looked at for the next one.
    NoRoom,
}

impl Found {
    /// Tells what is new of one partition.
    fn add(&mut self, place: Place, followed: &mut Followed, max: ByteCount, at_least_one: bool) -> Looked {
        let Some(from) = followed.position else { return Looked::Told };
        let served = followed.partition.serve(followed.fence, followed.cuts, from, (max, at_least_one));
        let told = match served {
            Ok(Served { marks, baseline, slice }) => {
                let told = PartitionResponse {
                    high_watermark: marks.high_watermark.0,
                    log_start: marks.start.0,
                    baseline: baseline.into(),
                    first_offset: slice.as_ref().map_or(-1, |slice| slice.first_offset.0),
                    ..nothing(place, followed, from)
                };
                let (durable, marks) = (marks.durable, Some((marks.high_watermark, marks.start)));
                match slice {
                    Some(slice) => match self.records(slice) {
                        Some(records) => PartitionResponse { records, ..told },
                        None => PartitionResponse { error: ASK_AGAIN, ..told },
                    },
                    None if from < durable && !at_least_one => return Looked::NoRoom,
                    None if followed.told == marks => return Looked::Told,
                    None => {
                        followed.told = marks;
                        self.replace(told);
                        return Looked::Told;
                    }
                }
            }
            Err(error) => {
                let error = error_code(followed, &error);
                PartitionResponse { error, ..nothing(place, followed, from) }
            }
        };
        followed.told = Some((Offset(told.high_watermark), Offset(told.log_start)));
        followed.position = None;
        self.is_urgent = true;
        self.replace(told);
        Looked::Told
    }

    /// A partition is in an answer once: what is told last counts.
    fn replace(&mut self, told: PartitionResponse) {
        let is_watermark =
            |known: &PartitionResponse| known.records.is_empty() && known.error.is_ok() && known.diverging.is_none();
        let place = (told.topic_id, told.partition);
        self.partitions.retain(|known| (known.topic_id, known.partition) != place || !is_watermark(known));
        self.partitions.push(told);
    }

    /// The bytes of `slice`; `None` when its log was cut meanwhile.
    fn records(&mut self, slice: Slice) -> Option<Records> {
        if slice.len < COPIED_BYTES_MAX {
            let bytes = slice.to_bytes().ok()?;
            self.bytes += slice.len;
            return Some(Records::Bytes(bytes));
        }
        self.bytes += slice.len;
        let len = slice.len as usize;
        self.files.push(vec![slice.into()]);
        Some(Records::Placeholder(len))
    }
}

fn nothing((topic_id, partition): Place, followed: &Followed, from: Offset) -> PartitionResponse {
    let (is_copy, fence) = fence_fields(followed.fence);
    PartitionResponse { topic_id, partition: partition.0, is_copy, fence, fetch_offset: from.0, ..Default::default() }
}

fn error_code(followed: &Followed, error: &NotServed) -> ErrorCode {
    match error {
        NotServed::Refused(refusal) => code(refusal),
        NotServed::Cut | NotServed::Read(ReadError::Truncated) => ASK_AGAIN,
        NotServed::Read(ReadError::OutOfRange { .. }) => ErrorCode::OFFSET_OUT_OF_RANGE,
        NotServed::Read(error) => {
            tracing::error!(partition = %followed.partition.name, %error, "log cannot be read for a replica");
            ErrorCode::KAFKA_STORAGE_ERROR
        }
    }
}

fn positive(number: i32) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
