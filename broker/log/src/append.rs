//! Appending as the leader: offsets and epoch are given out here.

use crate::producers::{Jump, Refusal, Verdict};
use crate::segment::Segment;
use crate::view::Mark;
use crate::{AppendError, Config, FileError, HoleError, Log, TimestampType, log_start};
use model::{LeaderEpoch, Offset, Timestamp};
use record::{
    BatchView, CheckedBatch, ControlRecord, HEADER_BYTES, Header, PREFIX_BYTES, ProduceRules, encode_prefix,
    stamped_header,
};
use std::io::{self, IoSlice};
use std::sync::Arc;

/// What became of an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The offset of the batch's first record.
    pub first_offset: Offset,
    /// The offset behind its last record: it is durable once the log is flushed to here.
    pub next_offset: Offset,
    /// The first offset kept.
    pub log_start: Offset,
    /// The largest timestamp of the batch; its append time where the topic asks for that.
    pub max_timestamp: Timestamp,
    /// The append time, where the topic asks for that (the answer's `log_append_time_ms`); else none.
    pub append_time: Timestamp,
    /// Whether the batch was in the log already; then everything above is about the first time.
    pub duplicate: bool,
    /// The producer skipped forward, as it may once after a promote or a restore: evidence of loss.
    pub jump: Option<Jump>,
}

impl Log {
    /// Appends a batch as the leader of `epoch`, at `now`. It is in the page cache on return, and not durable before
    /// it is flushed.
    ///
    /// # Errors
    /// [`AppendError`]: nothing of the batch is in the log.
    pub fn append(
        &mut self,
        batch: &CheckedBatch,
        epoch: LeaderEpoch,
        now: Timestamp,
    ) -> Result<Appended, AppendError> {
        self.shared.check_open()?;
        let latest = self.latest_epoch();
        if epoch < latest {
            return Err(AppendError::StaleEpoch { epoch, latest });
        }
        let jump = match self.producers.judge(batch.header()).map_err(|refusal| refused(batch.header(), refusal))? {
            Verdict::Duplicate(kept) => {
                return Ok(self.duplicate(kept.first_offset(), kept.last_offset, kept.timestamp));
            }
            Verdict::Jump(jump) => Some(jump),
            Verdict::Next => None,
        };
        let header = self.write_batch(&batch.view(), self.tail(), epoch, now)?;
        Ok(self.appended(&header, jump))
    }

    /// Begins a new lineage at the common end: `epoch` starts there, and its first batch, one LEADER_CHANGE record,
    /// lies at `base` in a new segment. Every producer known so far may skip forward once from here on. The caller
    /// flushes before it opens anything.
    ///
    /// # Errors
    /// [`HoleError`]: the log is unchanged.
    pub fn open_epoch_across_hole(
        &mut self,
        common_end: Offset,
        base: Offset,
        epoch: LeaderEpoch,
        leader: i32,
        now: Timestamp,
    ) -> Result<Appended, HoleError> {
        let (tail, latest) = (self.tail(), self.latest_epoch());
        self.shared.check_open().map_err(AppendError::from)?;
        if tail != common_end {
            return Err(HoleError::NotAtCommonEnd { tail, common_end });
        }
        if base < common_end {
            return Err(HoleError::BaseBeforeEnd { base, common_end });
        }
        if epoch <= latest {
            return Err(AppendError::StaleEpoch { epoch, latest }.into());
        }
        let bytes = record::leader_change(Offset::ZERO, epoch, leader, now);
        let batch = CheckedBatch::check(bytes.into(), &ProduceRules::BROKER).expect("a batch of our own");
        let header = self.write_batch(&batch.view(), base, epoch, now)?;
        Ok(self.appended(&header, None))
    }

    fn duplicate(&self, first_offset: Offset, last_offset: Offset, time: Timestamp) -> Appended {
        Appended {
            first_offset,
            next_offset: last_offset.plus(1),
            log_start: self.start(),
            max_timestamp: time,
            append_time: self.append_time_of(time),
            duplicate: true,
            jump: None,
        }
    }

    fn appended(&self, header: &Header, jump: Option<Jump>) -> Appended {
        Appended {
            first_offset: header.base_offset,
            next_offset: header.next_offset(),
            log_start: self.start(),
            max_timestamp: header.max_timestamp,
            append_time: self.append_time_of(header.max_timestamp),
            duplicate: false,
            jump,
        }
    }

    const fn append_time_of(&self, time: Timestamp) -> Timestamp {
        match self.config.timestamp_type {
            TimestampType::CreateTime => Timestamp::NONE,
            TimestampType::LogAppendTime => time,
        }
    }

    fn write_batch(
        &mut self,
        batch: &BatchView<'_>,
        offset: Offset,
        epoch: LeaderEpoch,
        now: Timestamp,
    ) -> Result<Header, AppendError> {
        let limit_bytes = self.config.segment_bytes_max();
        if batch.size_bytes as u64 > limit_bytes {
            return Err(AppendError::TooLarge { size_bytes: batch.size_bytes, limit_bytes });
        }
        let front = Front::of(batch, offset, epoch, now, &self.config);
        self.make_room(&front.header).map_err(|error| self.write_failed(error))?;
        let mut parts = [IoSlice::new(front.bytes()), IoSlice::new(&batch.bytes()[front.bytes().len()..])];
        self.write(&mut parts).map_err(|error| self.write_failed(error))?;
        self.note(&front.header, ControlRecord::of(batch), now);
        self.publish_tail();
        Ok(front.header)
    }

    fn write_failed(&self, failure: WriteFailure) -> AppendError {
        match failure {
            WriteFailure::DiskFull(error) => AppendError::DiskFull(error),
            WriteFailure::Fatal(error) => AppendError::Sealed(self.shared.seal_for(&error)),
        }
    }
}

/// Why bytes did not get into the log.
pub(crate) enum WriteFailure {
    /// No space, and nothing is left behind: the log goes on.
    DiskFull(FileError),
    /// The file is in doubt.
    Fatal(FileError),
}

impl From<FileError> for WriteFailure {
    fn from(error: FileError) -> Self {
        if error.is_disk_full() { Self::DiskFull(error) } else { Self::Fatal(error) }
    }
}

/// The steps that appends of a leader and of a copy share.
impl Log {
    /// Rolls if the batch that `header` describes needs a new segment.
    pub(crate) fn make_room(&mut self, header: &Header) -> Result<(), WriteFailure> {
        if header.opens_hole_behind(self.tail()) || self.tail.is_full_for(0, header, &self.config) {
            self.roll(header.base_offset)?;
        }
        Ok(())
    }

    /// Begins a new segment at `base`. The one before is trimmed, and durable after the next flush.
    pub(crate) fn roll(&mut self, base: Offset) -> Result<(), FileError> {
        let before = self.tail.segment.clone();
        if before.size() == 0 {
            // Its base said where the log starts, and goes with it.
            log_start::write_durably(&self.dir, self.start())?;
        }
        let segment = self.tail.roll(&self.dir, base, &self.config)?;
        self.unflushed.directory = true;
        if before.size() > 0 {
            self.unflushed.rolled.push(before.clone());
            self.snapshot(base)?;
        }
        self.publish_segment(&before, segment.clone());
        self.tail = crate::tail::Tail::of_empty(segment);
        Ok(())
    }

    /// Begins a new segment at the tail, before there is a batch for it.
    pub(crate) fn roll_idle(&mut self) -> Result<(), FileError> {
        let tail = self.tail();
        self.roll(tail)?;
        self.shared.write().tail = Mark::end_of(&self.tail.segment);
        Ok(())
    }

    fn publish_segment(&self, before: &Segment, segment: Arc<Segment>) {
        let mut view = self.shared.write();
        let segments = Arc::make_mut(&mut view.segments);
        segments.retain(|kept| kept.base != before.base || before.size() > 0);
        segments.push(segment);
        if before.size() == 0 && view.flushed.segment == before.base {
            // The segment it pointed into is gone; there is nothing before the new one that is not flushed.
            let base = view.active().base;
            view.flushed = Mark { segment: base, position: 0, ..view.flushed };
        }
    }

    /// Writes behind the last batch. After an error the file is as before, or the error is fatal.
    pub(crate) fn write(&self, parts: &mut [IoSlice<'_>]) -> Result<(), WriteFailure> {
        let segment = &self.tail.segment;
        let Err(source) = segment.write(parts) else { return Ok(()) };
        let error = FileError { action: "append to", path: segment.path.clone(), source };
        match segment.cut_torn_write() {
            Ok(()) if error.is_disk_full() || is_too_large(&error.source) => Err(WriteFailure::DiskFull(error)),
            _ => Err(WriteFailure::Fatal(error)),
        }
    }

    /// Takes note of a batch that was written at the end, but does not publish it yet.
    pub(crate) fn note(&mut self, header: &Header, control: Option<ControlRecord>, now: Timestamp) {
        let before = if self.tail.segment.size() > 0 { self.tail.segment.next() } else { self.tail() };
        self.tail.note(header, &self.config);
        let start = if header.opens_hole_behind(before) { before } else { header.base_offset };
        self.change_epochs(|epochs| epochs.begin(header.leader_epoch, start, header.base_offset));
        if start < header.base_offset {
            self.producers.open_jumps();
        }
        if let Some(aborted) = self.producers.note(header, control) {
            self.tail.segment.txns.push(aborted);
        }
        self.times.note(header.base_offset, now);
    }

    /// Shows readers what was noted.
    pub(crate) fn publish_tail(&self) {
        self.shared.write().tail = Mark::end_of(&self.tail.segment);
    }
}

/// A file that may not grow any more (`RLIMIT_FSIZE`, a limit of the file system) is as good as a full disk.
fn is_too_large(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::FileTooLarge
}

fn refused(header: &Header, refusal: Refusal) -> AppendError {
    let (producer_id, epoch) = (header.producer_id, header.producer_epoch);
    match refusal {
        Refusal::Fenced { latest } => AppendError::ProducerFenced { producer_id, epoch, latest },
        Refusal::OutOfOrder { expected } => {
            AppendError::OutOfOrderSequence { producer_id, expected, found: header.base_sequence }
        }
    }
}

/// The changed beginning of a batch: what a leader writes instead of what the client sent.
struct Front {
    header: Header,
    bytes: [u8; HEADER_BYTES],
    len: usize,
}

impl Front {
    fn of(batch: &BatchView<'_>, offset: Offset, epoch: LeaderEpoch, now: Timestamp, config: &Config) -> Self {
        let (mut bytes, len) = match config.timestamp_type {
            TimestampType::CreateTime => ([0; HEADER_BYTES], PREFIX_BYTES),
            TimestampType::LogAppendTime => (stamped_header(batch, now), HEADER_BYTES),
        };
        bytes[..PREFIX_BYTES].copy_from_slice(&encode_prefix(offset, batch.size_bytes, epoch));
        let mut header = Header { base_offset: offset, leader_epoch: epoch, ..*batch.header() };
        if len == HEADER_BYTES {
            header = Header::parse(&bytes).expect("a stamped header is a header");
        }
        Self { header, bytes, len }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::TopicId;
    use record::BatchBuilder;

    #[test]
    fn a_segment_that_waits_for_a_refused_batch_behind_a_hole_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (mut log, _) = Log::open(dir.path(), TopicId::ZERO, Config::default()).unwrap();
        let bytes = BatchBuilder::new().record(1, None, Some(b"v"), &[]).build();
        let batch = CheckedBatch::check(bytes.into(), &ProduceRules::default()).unwrap();
        log.append(&batch, LeaderEpoch(1), Timestamp(1)).unwrap();
        // What is left of an epoch that could not be opened because the disk was full.
        log.roll(Offset(1 << 40)).unwrap();
        assert_eq!((log.tail(), log.segment_count()), (Offset(1), 2));
        assert_eq!(log.append(&batch, LeaderEpoch(1), Timestamp(1)).unwrap().first_offset, Offset(1));
        assert_eq!(log.segment_count(), 2);
        log.roll(Offset(1 << 40)).unwrap();
        drop(log);
        let (log, recovery) = Log::open(dir.path(), TopicId::ZERO, Config::default()).unwrap();
        assert_eq!((log.tail(), log.segment_count(), recovery.cut), (Offset(2), 2, None));
    }
}
