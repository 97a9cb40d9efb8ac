//! The answer to a fetch, with room left for what goes from files to the socket.

use super::Wanted;
use super::read::Part;
use crate::listener::FileRange;
use crate::replica::Readable;
use log::{AbortedTransaction, Slice};
use wire::api::fetch::{self, EpochEndOffset, PartitionResponse, Response, TopicResponse};
use wire::{ErrorCode, Records};

/// Fewer bytes than this go through memory: one system call instead of two, one packet instead of two.
const COPIED_BYTES_MAX: u64 = 16 * 1024;

/// An answer and the files that go where its records left room.
pub(super) struct Answer {
    pub(super) response: Response,
    pub(super) files: Vec<Vec<FileRange>>,
}

/// The answer to a request that is refused as a whole.
pub(super) fn refused(error_code: ErrorCode) -> Response {
    Response { error_code, ..Default::default() }
}

/// The answer with `parts`. `None` when a log was cut meanwhile: the connection is closed, and the reader asks again.
pub(super) fn of(session_id: i32, parts: Vec<(Wanted, Part)>) -> Option<Answer> {
    let mut answer = Answer { response: Response { session_id, ..Default::default() }, files: Vec::new() };
    let mut last = None;
    for (wanted, part) in parts {
        let response = answer.partition(wanted.partition, part)?;
        if last.as_ref() != Some(&wanted.topic) {
            let (topic, topic_id) = wanted.topic.clone().into_fields();
            answer.response.responses.push(TopicResponse { topic, topic_id, ..Default::default() });
            last = Some(wanted.topic);
        }
        answer.response.responses.last_mut().expect("one was just pushed").partitions.push(response);
    }
    Some(answer)
}

impl Answer {
    fn partition(&mut self, partition_index: i32, part: Part) -> Option<PartitionResponse> {
        let nothing = PartitionResponse { partition_index, high_watermark: -1, ..Default::default() };
        Some(match part {
            Part::Read(readable) => self.read(nothing, readable)?,
            Part::Diverged(epoch, end) => PartitionResponse {
                diverging_epoch: EpochEndOffset { epoch: epoch.0, end_offset: end.0, ..Default::default() },
                ..nothing
            },
            Part::Nearer(marks, preferred_read_replica) => PartitionResponse {
                high_watermark: marks.high_watermark.0,
                last_stable_offset: marks.last_stable.0,
                log_start_offset: marks.start.0,
                preferred_read_replica,
                ..nothing
            },
            Part::Refused(error_code) => PartitionResponse { error_code, ..nothing },
        })
    }

    fn read(&mut self, nothing: PartitionResponse, readable: Readable) -> Option<PartitionResponse> {
        let marks = readable.marks;
        let aborted = |aborted: AbortedTransaction| fetch::AbortedTransaction {
            producer_id: aborted.producer_id.0,
            first_offset: aborted.first_offset.0,
            ..Default::default()
        };
        Some(PartitionResponse {
            high_watermark: marks.high_watermark.0,
            last_stable_offset: marks.last_stable.0,
            log_start_offset: marks.start.0,
            aborted_transactions: readable.aborted.map(|all| all.into_iter().map(aborted).collect()),
            records: readable.slice.map_or(Some(Records::default()), |slice| self.records(slice))?,
            ..nothing
        })
    }

    fn records(&mut self, slice: Slice) -> Option<Records> {
        if slice.len < COPIED_BYTES_MAX {
            return slice.to_bytes().ok().map(Records::Bytes);
        }
        let len = slice.len as usize;
        self.files.push(vec![slice.into()]);
        Some(Records::Placeholder(len))
    }
}
