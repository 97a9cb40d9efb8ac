//! The ends of a region's links as they are in this binary: a sink that has diverged tails kept in the object store before
//! they are cut off, and both ends with the places where a drill may have the process die.

use super::failpoint::{Failpoint, Place};
use super::links::Ends;
use super::vault::Vault;
use bytes::Bytes;
use env::PortFuture;
use mirror::{CopyKey, Sink, SinkError, SourceMarks, SyncTerms};
use mirror_core::gap::Gap;
use mirror_core::verify::{DigestOf, Interval, Kept};
use mirror_core::window::LogState;
use model::{
    Baseline, Commit, CommitCursor, CopyTerm, Offset, OffsetRange, OwnershipEpoch, PartitionId, ProtectionGroup,
};
use std::sync::Arc;
use tokio::sync::watch;

/// `ends` with all that.
pub(super) fn over((sink, connector): Ends, vault: Vault, failpoint: Failpoint) -> Ends {
    let connector = failpoint.over(connector);
    (Arc::new(WatchedSink { inner: sink, vault, failpoint }), connector)
}

struct WatchedSink {
    inner: Arc<dyn Sink>,
    vault: Vault,
    failpoint: Failpoint,
}

impl Sink for WatchedSink {
    fn log_state(&self, key: CopyKey) -> PortFuture<'_, Result<LogState, SinkError>> {
        self.inner.log_state(key)
    }

    fn watch_flushed(&self, key: CopyKey) -> Result<watch::Receiver<Offset>, SinkError> {
        self.inner.watch_flushed(key)
    }

    fn copy_term(&self, key: CopyKey) -> Result<CopyTerm, SinkError> {
        self.inner.copy_term(key)
    }

    fn sync_terms(&self, key: CopyKey) -> Option<SyncTerms> {
        self.inner.sync_terms(key)
    }

    fn append(&self, key: CopyKey, at: Offset, records: Bytes) -> PortFuture<'_, Result<(), SinkError>> {
        Box::pin(async move {
            self.failpoint.reach(Place::AppendBegun);
            self.inner.append(key, at, records).await?;
            self.failpoint.reach(Place::AppendDone);
            Ok(())
        })
    }

    fn archive(&self, key: CopyKey, range: OffsetRange) -> PortFuture<'_, Result<(), SinkError>> {
        Box::pin(async move {
            self.failpoint.reach(Place::TailFound);
            let turn = self.vault.turn().await;
            self.inner.archive(key, range).await?;
            self.vault.keep_soon().await;
            drop(turn);
            self.failpoint.reach(Place::TailArchived);
            Ok(())
        })
    }

    fn truncate(&self, key: CopyKey, to: Offset) -> PortFuture<'_, Result<Offset, SinkError>> {
        Box::pin(async move {
            let tail = self.inner.truncate(key, to).await?;
            self.failpoint.reach(Place::TailTruncated);
            Ok(tail)
        })
    }

    fn restart(&self, key: CopyKey, at: Offset) -> PortFuture<'_, Result<(), SinkError>> {
        Box::pin(async move {
            self.inner.restart(key, at).await?;
            self.failpoint.reach(Place::LogRestarted);
            Ok(())
        })
    }

    fn raise_log_start(&self, key: CopyKey, to: Offset) -> PortFuture<'_, Result<(), SinkError>> {
        Box::pin(async move {
            self.inner.raise_log_start(key, to).await?;
            self.failpoint.reach(Place::LogStartRaised);
            Ok(())
        })
    }

    fn raise_high_watermark(&self, key: CopyKey, to: Offset) {
        self.failpoint.reach(Place::Flushed);
        self.inner.raise_high_watermark(key, to);
    }

    fn inherit(&self, key: CopyKey, baseline: Baseline) -> PortFuture<'_, Result<(), SinkError>> {
        self.inner.inherit(key, baseline)
    }

    fn note_source(&self, key: CopyKey, epoch: OwnershipEpoch, marks: SourceMarks) {
        self.inner.note_source(key, epoch, marks);
    }

    fn checkpoints(&self, key: CopyKey) -> Option<Kept> {
        self.inner.checkpoints(key)
    }

    fn want_digest(&self, key: CopyKey, of: DigestOf) {
        self.inner.want_digest(key, of);
    }

    fn want_judgement(&self, key: CopyKey, interval: Interval) {
        self.inner.want_judgement(key, interval);
    }

    fn mark_different(&self, key: CopyKey, range: OffsetRange, remade: u32) -> PortFuture<'_, Result<(), SinkError>> {
        self.inner.mark_different(key, range, remade)
    }

    fn record_gap(&self, gap: Gap) -> PortFuture<'_, Result<(), SinkError>> {
        Box::pin(async move {
            self.failpoint.reach(Place::GapFound);
            self.inner.record_gap(gap).await?;
            self.failpoint.reach(Place::GapRecorded);
            Ok(())
        })
    }

    fn leads(&self, key: CopyKey) -> bool {
        self.inner.leads(key)
    }

    fn led_changes(&self) -> watch::Receiver<u64> {
        self.inner.led_changes()
    }

    fn led_offsets(&self) -> (Vec<PartitionId>, usize) {
        self.inner.led_offsets()
    }

    fn apply_commits<'a>(
        &'a self,
        group: &'a ProtectionGroup,
        epoch: OwnershipEpoch,
        partition: PartitionId,
        commits: Vec<Commit>,
        reached: CommitCursor,
    ) -> PortFuture<'a, Result<(), SinkError>> {
        Box::pin(async move {
            let has_some = !commits.is_empty();
            self.inner.apply_commits(group, epoch, partition, commits, reached).await?;
            self.failpoint.reach_if(has_some, Place::CommitsWritten);
            Ok(())
        })
    }
}
