//! The two ends of a link, as ports. The source is another region (over the wire) or a test's memory; the sink is this
//! region's broker.

use bytes::Bytes;
use env::PortFuture;
use mirror_core::gap::Gap;
use mirror_core::verify::{AskCheckpoints, CheckpointsPage, DigestOf, Interval, Kept};
use mirror_core::window::{Answer, LogState, Stream};
use model::{
    Baseline, Commit, CommitCursor, CommitPage, CopyTerm, FollowMetadata, LeaderEpoch, Leaders, ModeEpoch, Offset,
    OffsetRange, OwnershipEpoch, PartitionId, ProtectionGroup, RegionAddress, SyncCommits, Timestamp, TopicId,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// One copied partition.
pub type CopyKey = (TopicId, PartitionId);

/// What to read of the partitions of one source, in one request.
#[derive(Clone, Debug)]
pub struct FetchRequest {
    /// The partitions.
    pub partitions: Vec<FetchPartition>,
    /// How long the source may wait for the first byte.
    pub max_wait: Duration,
    /// How many bytes at most, in all.
    pub bytes_max: u32,
}

/// One partition, and from where.
#[derive(Clone, Copy, Debug)]
pub struct FetchPartition {
    /// Which.
    pub key: CopyKey,
    /// From where.
    pub from: Offset,
    /// The leader epoch of the last batch below it.
    pub last_epoch: LeaderEpoch,
    /// Below it everything is on disk here.
    pub durable: Offset,
    /// How many bytes at most; 0 only says how far the copy is.
    pub bytes_max: u32,
    /// The run of fetches it belongs to, if any.
    pub stream: Option<Stream>,
    /// How long the source gathers records after its last answer to the run, unless there are as many as are asked for.
    pub spacing: Duration,
    /// Under what this copy speaks, where the source waits for it.
    pub sync: Option<SyncWord>,
}

/// What makes a source count a copy's word in SYNC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncWord {
    /// The rule and the leadership of the copy.
    pub terms: SyncTerms,
    /// The leadership of the source that was last heard of.
    pub leader_epoch: LeaderEpoch,
}

/// Under what the leader of a copy speaks to a source that waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncTerms {
    /// The rule it obeys.
    pub mode_epoch: ModeEpoch,
    /// Its own leadership.
    pub copy_term: CopyTerm,
}

/// What a source answered.
#[derive(Clone, Debug, Default)]
pub struct FetchAnswer {
    /// In any order; a partition that is missing was not answered.
    pub partitions: Vec<(CopyKey, Answer)>,
    /// How long the source kept the request, on its own clock; `None` when it does not say.
    pub held: Option<Duration>,
}

/// The source did not answer; nothing is known.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the source does not answer: {0}")]
pub struct SourceError(pub String);

/// Asks for the commits of a protection group.
pub type CommitsRequest = SyncCommits;

/// One broker of the region where a link reads: the region that owns a group, or, while what is left of a lost owner is
/// collected, another copy of the same lineage. It answers for what it leads. Such a copy answers with what is durable there as its high watermark, with the last epoch it has
/// copied as its leader epoch, and with the grant it obeys.
pub trait Source: Send + Sync + 'static {
    /// Reads batches. Without partitions it only says whether the source answers.
    fn fetch(&self, request: FetchRequest) -> PortFuture<'_, Result<FetchAnswer, SourceError>>;

    /// Reads commits.
    fn commits(&self, request: CommitsRequest) -> PortFuture<'_, Result<CommitPage, SourceError>>;

    /// Who leads what in its region, as soon as that is other than the asker knows.
    fn leaders(&self, ask: FollowMetadata) -> PortFuture<'_, Result<Leaders, SourceError>>;

    /// What it has hashed of its logs. What it does not own is left out.
    fn checkpoints(&self, ask: AskCheckpoints) -> PortFuture<'_, Result<Vec<CheckpointsPage>, SourceError>>;
}

/// Makes sources.
pub trait Connector: Send + Sync + 'static {
    /// The broker of `region` whose internal listener is at `address`. It connects when it is asked, and again when it has
    /// to.
    fn source(&self, region: &RegionAddress, address: &str) -> Arc<dyn Source>;
}

/// What was last heard of a source, for the broker's watermarks and reports.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SourceMarks {
    /// Its tail.
    pub tail: Offset,
    /// Its high watermark.
    pub high_watermark: Offset,
    /// Bytes it holds above what is durable here, reckoned.
    pub missing_bytes: u64,
    /// When the oldest of them was appended there.
    pub oldest_missing: Option<Timestamp>,
}

/// Why a sink did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SinkError {
    /// The copy is not there yet, or not as the caller takes it; look again later.
    #[error("the copy is not ready: {0}")]
    NotReady(String),
    /// The region takes nothing more from links of this group.
    #[error("the copy is sealed")]
    Sealed,
    /// The log takes no more.
    #[error("the copy failed: {0}")]
    Failed(String),
}

/// Where a link writes: the region's broker. Methods about one partition are called one after the other; a call that was
/// begun is awaited to its end.
pub trait Sink: Send + Sync + 'static {
    /// What the copy holds.
    ///
    /// # Errors
    /// [`SinkError::Sealed`] as long as nothing would be taken: then nothing is fetched.
    fn log_state(&self, key: CopyKey) -> PortFuture<'_, Result<LogState, SinkError>>;

    /// The copy watermark, as it moves.
    ///
    /// # Errors
    /// [`SinkError::NotReady`] while there is no such copy.
    fn watch_flushed(&self, key: CopyKey) -> Result<watch::Receiver<Offset>, SinkError>;

    /// The leadership of the copy. What is told of the copy watermark belongs to one of them.
    ///
    /// # Errors
    /// [`SinkError::NotReady`] while there is no such copy.
    fn copy_term(&self, key: CopyKey) -> Result<CopyTerm, SinkError>;

    /// Under what the copy speaks to its source now; `None` where that does not wait for it.
    fn sync_terms(&self, key: CopyKey) -> Option<SyncTerms>;

    /// Appends whole batches at the tail, which is `at`. They are durable when the copy watermark has passed them.
    fn append(&self, key: CopyKey, at: Offset, records: Bytes) -> PortFuture<'_, Result<(), SinkError>>;

    /// Copies a diverged tail to a file and makes that durable. Doing it again for the same range changes nothing.
    fn archive(&self, key: CopyKey, range: OffsetRange) -> PortFuture<'_, Result<(), SinkError>>;

    /// Cuts the log off and returns its tail.
    fn truncate(&self, key: CopyKey, to: Offset) -> PortFuture<'_, Result<Offset, SinkError>>;

    /// Drops the log and begins an empty one at `at`.
    fn restart(&self, key: CopyKey, at: Offset) -> PortFuture<'_, Result<(), SinkError>>;

    /// Keeps beside the copy, durably, what it does not hold although nothing in it says so; refused when the copy was made
    /// anew meanwhile.
    fn inherit(&self, key: CopyKey, baseline: Baseline) -> PortFuture<'_, Result<(), SinkError>>;

    /// Forgets what lies below.
    fn raise_log_start(&self, key: CopyKey, to: Offset) -> PortFuture<'_, Result<(), SinkError>>;

    /// Shows readers everything below.
    fn raise_high_watermark(&self, key: CopyKey, to: Offset);

    /// Takes note of what was heard of the owner under a grant. What other copies say is not told here.
    fn note_source(&self, key: CopyKey, epoch: OwnershipEpoch, marks: SourceMarks);

    /// What is hashed of a copy; `None` where it is not led here.
    fn checkpoints(&self, key: CopyKey) -> Option<Kept>;

    /// Has a copy digested by its keys; [`checkpoints`](Self::checkpoints) has the digest once it is made.
    fn want_digest(&self, key: CopyKey, of: DigestOf);

    /// Has an interval of a copy read again, unless it was; [`checkpoints`](Self::checkpoints) says whether it is sound once
    /// that is done.
    fn want_judgement(&self, key: CopyKey, interval: Interval);

    /// Keeps beside the copy, durably, that it does not hold in `range` what its source holds, until it is made anew;
    /// refused when it was since it was `remade` so often.
    fn mark_different(&self, key: CopyKey, range: OffsetRange, remade: u32) -> PortFuture<'_, Result<(), SinkError>>;

    /// Stores a gap.
    fn record_gap(&self, gap: Gap) -> PortFuture<'_, Result<(), SinkError>>;

    /// Whether the copy is led here, by this very broker: only then it is written.
    fn leads(&self, key: CopyKey) -> bool;

    /// Moves whenever something else may be led here than before.
    fn led_changes(&self) -> watch::Receiver<u64>;

    /// The partitions of `__consumer_offsets` that are led here, whose groups' commits are taken here, and how many the
    /// topic has.
    fn led_offsets(&self) -> (Vec<PartitionId>, usize);

    /// Writes commits that lie in `partition` of the source's `__consumer_offsets`, and makes them durable; then everything
    /// up to `reached` there is here.
    fn apply_commits<'a>(
        &'a self,
        group: &'a ProtectionGroup,
        epoch: OwnershipEpoch,
        partition: PartitionId,
        commits: Vec<Commit>,
        reached: CommitCursor,
    ) -> PortFuture<'a, Result<(), SinkError>>;
}
