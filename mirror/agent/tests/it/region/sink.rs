//! The region as a link writes its copies.

use super::{Held, Region, done};
use crate::logs::range;
use bytes::Bytes;
use env::PortFuture;
use mirror::{CopyKey, Sink, SinkError, SourceMarks, SyncTerms};
use mirror_core::gap::Gap;
use mirror_core::verify::{DigestOf, Interval, Kept};
use mirror_core::window::LogState;
use model::{
    Baseline, Commit, CommitCursor, CopyTerm, Offset, OffsetRange, OwnershipEpoch, PartitionId, ProtectionGroup,
};
use std::collections::BTreeSet;
use tokio::sync::watch;
use tokio::time::Instant;

impl Sink for Region {
    fn log_state(&self, key: CopyKey) -> PortFuture<'_, Result<LogState, SinkError>> {
        let mut state = self.state();
        state.opened += 1;
        done(state.writable(key).map(|held| LogState {
            start: held.log.start,
            tail: held.log.tail(),
            flushed: held.log.tail(),
            high_watermark: held.high_watermark,
            epochs: held.log.epochs(),
            baseline: held.baseline,
        }))
    }

    fn watch_flushed(&self, key: CopyKey) -> Result<watch::Receiver<Offset>, SinkError> {
        self.state().copy(key).map(|held| held.flushed.subscribe())
    }

    fn copy_term(&self, key: CopyKey) -> Result<CopyTerm, SinkError> {
        self.state().copy(key).map(|_| CopyTerm(1))
    }

    fn sync_terms(&self, _: CopyKey) -> Option<SyncTerms> {
        *self.sync_terms.lock().unwrap()
    }

    fn append(&self, key: CopyKey, at: Offset, records: Bytes) -> PortFuture<'_, Result<(), SinkError>> {
        if self.state().stuck.contains(&key) {
            return Box::pin(std::future::pending());
        }
        let append = |held: &mut Held| {
            if held.log.tail() != at {
                return Err(SinkError::NotReady(format!("ends at {}", held.log.tail())));
            }
            held.log.append(&records);
            held.appended_at = Instant::now();
            held.flushed.send_replace(held.log.tail());
            Ok(())
        };
        let appended = self.state().writable(key).and_then(append);
        self.bell.notify_waiters();
        done(appended)
    }

    fn archive(&self, key: CopyKey, cut: OffsetRange) -> PortFuture<'_, Result<(), SinkError>> {
        let mut state = self.state();
        let batches = state.writable(key).map(|held| {
            assert_eq!(held.log.tail(), cut.end, "the whole tail is archived");
            held.log.batches.iter().filter(|batch| range(batch).end > cut.start).cloned().collect()
        });
        done(batches.map(|batches| state.archived.push((key, cut, batches))))
    }

    fn truncate(&self, key: CopyKey, to: Offset) -> PortFuture<'_, Result<Offset, SinkError>> {
        let mut state = self.state();
        let archived: BTreeSet<Bytes> = state.archived.iter().flat_map(|(_, _, batches)| batches.clone()).collect();
        done(state.writable(key).map(|held| {
            let cut = held.log.truncate(to);
            assert!(cut.iter().all(|batch| archived.contains(batch)), "nothing is cut off that was not archived");
            held.flushed.send_replace(held.log.tail());
            held.log.tail()
        }))
    }

    fn restart(&self, key: CopyKey, at: Offset) -> PortFuture<'_, Result<(), SinkError>> {
        done(self.state().writable(key).map(|held| {
            if held.log.start < held.log.tail() {
                held.baseline = held.baseline.cleared();
            }
            held.log.restart(at);
            held.flushed.send_replace(at);
        }))
    }

    fn inherit(&self, key: CopyKey, baseline: Baseline) -> PortFuture<'_, Result<(), SinkError>> {
        done(self.state().writable(key).map(|held| held.baseline = baseline))
    }

    fn raise_log_start(&self, key: CopyKey, to: Offset) -> PortFuture<'_, Result<(), SinkError>> {
        done(self.state().writable(key).map(|held| held.log.raise_start(to)))
    }

    fn raise_high_watermark(&self, key: CopyKey, to: Offset) {
        if let Ok(held) = self.state().copy(key) {
            held.high_watermark.advance(to);
        }
    }

    fn note_source(&self, key: CopyKey, epoch: OwnershipEpoch, marks: SourceMarks) {
        self.state().marks.insert(key, (epoch, marks));
    }

    fn checkpoints(&self, _: CopyKey) -> Option<Kept> {
        Some(self.state().hashed.clone())
    }

    fn want_digest(&self, _: CopyKey, of: DigestOf) {
        self.state().wanted = Some(of);
    }

    fn want_judgement(&self, _: CopyKey, interval: Interval) {
        self.state().judge(interval);
    }

    fn mark_different(&self, key: CopyKey, range: OffsetRange, remade: u32) -> PortFuture<'_, Result<(), SinkError>> {
        done(self.state().writable(key).map(|held| {
            assert_eq!(held.baseline.remade, remade);
            held.baseline = held.baseline.differing(range);
        }))
    }

    fn record_gap(&self, gap: Gap) -> PortFuture<'_, Result<(), SinkError>> {
        self.state().gaps.push(gap);
        done(Ok(()))
    }

    fn leads(&self, key: CopyKey) -> bool {
        !self.state().led_elsewhere.contains(&key)
    }

    fn led_changes(&self) -> watch::Receiver<u64> {
        self.led_changes.subscribe()
    }

    fn led_offsets(&self) -> (Vec<PartitionId>, usize) {
        (vec![PartitionId(0)], 1)
    }

    fn apply_commits<'a>(
        &'a self,
        _: &'a ProtectionGroup,
        epoch: OwnershipEpoch,
        _: PartitionId,
        commits: Vec<Commit>,
        reached: CommitCursor,
    ) -> PortFuture<'a, Result<(), SinkError>> {
        let mut state = self.state();
        if state.is_owner || state.epoch != epoch {
            return done(Err(SinkError::NotReady("another grant is obeyed".into())));
        }
        commits.into_iter().for_each(|commit| state.keep(commit));
        state.reached = reached;
        done(Ok(()))
    }
}
