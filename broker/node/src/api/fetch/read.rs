//! Reading what was asked for, within the limits of the whole answer.

use super::nearest::Nearness;
use super::{Limits, Wanted};
use crate::api::access;
use crate::listener::Door;
use crate::partitions::Held;
use crate::replica::{Marks, Partition, Readable, Standing};
use log::ReadError;
use model::{ByteCount, LeaderEpoch, Offset};
use std::sync::Arc;
use wire::ErrorCode;

/// What was found in one partition.
#[derive(Debug)]
pub(super) enum Part {
    /// Where its log stands, and records if there are any.
    Read(Readable),
    /// The reader's log has left this one: where the largest epoch both may share ended.
    Diverged(LeaderEpoch, Offset),
    /// A replica nearer to the reader has it: that broker's node id.
    Nearer(Marks, i32),
    /// Why nothing was read.
    Refused(ErrorCode),
}

/// What was found, in the order it was asked for.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) parts: Vec<(Wanted, Part)>,
    /// Bytes of records.
    bytes: u64,
    /// Something that must not wait.
    is_urgent: bool,
}

impl Found {
    /// Whether to answer now.
    pub(super) fn is_enough(&self, bytes_min: u64) -> bool {
        self.is_urgent || self.bytes >= bytes_min || self.parts.is_empty()
    }

    /// Bytes of records that were found.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    fn add(&mut self, wanted: &Wanted, part: Part) {
        match &part {
            Part::Read(readable) => self.bytes += readable.slice.as_ref().map_or(0, |slice| slice.len),
            Part::Diverged(..) | Part::Nearer(..) | Part::Refused(_) => self.is_urgent = true,
        }
        self.parts.push((wanted.clone(), part));
    }
}

/// What is read, for whom and how.
pub(super) struct Source<'a> {
    pub(super) held: Arc<Held>,
    pub(super) door: Door,
    pub(super) limits: &'a Limits,
    pub(super) nearness: &'a Nearness,
}

impl Source<'_> {
    /// Reads all of `wanted`. The first partition that has something gives at least one batch, whatever its size
    /// (KIP-74).
    pub(super) fn read(&self, wanted: &[Wanted]) -> Found {
        let mut found = Found { parts: Vec::with_capacity(wanted.len()), ..Found::default() };
        for one in wanted {
            let left = self.limits.bytes_max.0.saturating_sub(found.bytes);
            let max = ByteCount(left.min(u64::try_from(one.bytes_max).unwrap_or(0)));
            let part = self.read_one(one, max, found.bytes == 0);
            found.add(one, part.unwrap_or_else(Part::Refused));
        }
        found
    }

    fn read_one(&self, wanted: &Wanted, max: ByteCount, at_least_one: bool) -> Result<Part, ErrorCode> {
        let topic = wanted.topic.find(&self.held)?;
        let partition = access::partition(topic, wanted.partition)?;
        if !self.nearness.may_read_replica(partition) {
            access::check_readable(partition, self.door)?;
        }
        access::check_epoch(partition, self.door, wanted.current_leader_epoch)?;
        let from = Offset(wanted.fetch_offset);
        if is_of_another_region(partition, from) {
            return Err(ErrorCode::OFFSET_OUT_OF_RANGE);
        }
        if let Some((epoch, end)) = divergence(partition, wanted.last_fetched_epoch, from)? {
            return Ok(Part::Diverged(epoch, end));
        }
        if let Some(node) = self.nearness.nearer(partition, from) {
            return Ok(Part::Nearer(partition.marks(), node));
        }
        let read = partition.read(from, self.limits.isolation, max, at_least_one);
        read.map(Part::Read).map_err(|error| read_code(partition, &error))
    }
}

/// Whether the reader comes from another region of those that all take writes, whose offsets and epochs are its own.
fn is_of_another_region(partition: &Partition, from: Offset) -> bool {
    partition.is_active() && !(partition.marks().start..=partition.reader.tail()).contains(&from)
}

/// Where the reader's log left this one, if it did (KIP-595). Readers are clients, who stand behind a hole: an epoch
/// before one ends where the next batch lies.
fn divergence(partition: &Partition, last: i32, from: Offset) -> Result<Option<(LeaderEpoch, Offset)>, ErrorCode> {
    if last < 0 {
        return Ok(None);
    }
    let last = LeaderEpoch(last);
    let end = partition.reader.end_of_epoch_for_client(last);
    match end {
        None if partition.epoch() == last => Ok(None),
        None => Err(ErrorCode::UNKNOWN_LEADER_EPOCH),
        Some(_) if from < partition.marks().start => Err(ErrorCode::OFFSET_OUT_OF_RANGE),
        Some(end) if end.epoch < last || end.end < from => Ok(Some((end.epoch, end.end))),
        Some(_) => Ok(None),
    }
}

fn read_code(partition: &Partition, error: &ReadError) -> ErrorCode {
    match error {
        // A copy or a replica may be behind what the reader has seen elsewhere: that is no reason to start over.
        ReadError::OutOfRange { offset, tail, .. } if offset > tail && follows(partition) => {
            ErrorCode::OFFSET_NOT_AVAILABLE
        }
        ReadError::OutOfRange { .. } => ErrorCode::OFFSET_OUT_OF_RANGE,
        ReadError::Truncated => ErrorCode::NOT_LEADER_OR_FOLLOWER,
        ReadError::File(_) | ReadError::Damaged { .. } | ReadError::Records { .. } => {
            tracing::error!(partition = %partition.name, %error, "log cannot be read");
            ErrorCode::KAFKA_STORAGE_ERROR
        }
    }
}

fn follows(partition: &Partition) -> bool {
    matches!(partition.standing(), Standing::Copy { .. } | Standing::Replica { .. })
}
