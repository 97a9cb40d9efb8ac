//! The links that fill the copies a broker leads, and the broker as their sink.

use broker::{Broker, CollectError, CopyFailure, Links, SourceMarks as BrokerMarks};
use bytes::Bytes;
use env::real::SystemClock;
use env::{Clock, PortFuture};
use mirror::{Agent, Connector, CopyKey, Sink, SinkError, SourceMarks, SyncTerms, WireConnector};
use mirror_core::gap::Gap;
use mirror_core::verify::{DigestOf, Interval, Kept};
use mirror_core::window::LogState;
use mirror_core::{EpochList, EpochStart};
use model::{
    Assignment, Baseline, Commit, CommitCursor, CopyTerm, LinkPartitionStatus, Offset, OffsetRange, OwnershipEpoch,
    PartitionId, ProtectionGroup, RegionName,
};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::watch;

/// How long one other copy may take to be caught up with.
const COLLECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What links write to, and what makes their sources.
pub(super) type Ends = (Arc<dyn Sink>, Arc<dyn Connector>);

/// Makes the ends of links out of the plain ones.
pub(super) type Finish = Box<dyn Fn(Ends) -> Ends + Send + Sync>;

/// The links into one broker. They follow the newest assignment that the broker hears of.
pub(crate) struct BrokerLinks {
    broker: Broker,
    clock: Arc<dyn Clock>,
    finish: Finish,
    /// Made with the first assignment, which names the region's incarnation.
    agent: OnceLock<Agent>,
}

impl BrokerLinks {
    /// Starts them for as long as the process lives, and tells the broker of them.
    pub(super) fn start(broker: &Broker, clock: Arc<dyn Clock>, finish: Finish) {
        let links = Arc::new(Self { broker: broker.clone(), clock, finish, agent: OnceLock::new() });
        broker.set_links(links.clone());
        let mut newest = broker.watch_assignment();
        tokio::spawn(async move {
            loop {
                let assignment = newest.borrow_and_update().clone();
                if let Some(assignment) = assignment {
                    links.agent(&assignment).assign(&assignment);
                }
                if newest.changed().await.is_err() {
                    return;
                }
            }
        });
    }

    fn agent(&self, assignment: &Assignment) -> &Agent {
        self.agent.get_or_init(|| {
            let region = assignment.region.clone();
            let connector = WireConnector { region, incarnation: assignment.incarnation };
            let (sink, connector) = (self.finish)((Arc::new(BrokerSink(self.broker.clone())), Arc::new(connector)));
            Agent::new(sink, connector, self.clock.clone())
        })
    }
}

impl Links for BrokerLinks {
    fn collect<'a>(
        &'a self,
        group: &'a ProtectionGroup,
        from: &'a [RegionName],
    ) -> PortFuture<'a, Result<(), CollectError>> {
        Box::pin(async move {
            let agent = self.agent.get().ok_or_else(|| CollectError("the links are not started yet".to_owned()))?;
            if let Err(missed) = agent.collect(group, from, COLLECT_TIMEOUT).await {
                // What they hold and this region lacks is counted as lost; the report says so.
                tracing::warn!(%group, ?missed, "copies that could not be collected");
            }
            Ok(())
        })
    }

    fn status(&self) -> Vec<LinkPartitionStatus> {
        self.agent.get().map(Agent::status).unwrap_or_default()
    }
}

/// Writes to the broker's copies.
#[derive(Clone)]
pub(super) struct BrokerSink(pub(super) Broker);

fn failed(failure: CopyFailure) -> SinkError {
    match failure {
        CopyFailure::NotReady(reason) => SinkError::NotReady(reason),
        CopyFailure::Sealed => SinkError::Sealed,
        CopyFailure::Failed(reason) => SinkError::Failed(reason),
    }
}

fn epochs(epochs: Vec<log::EpochStart>) -> Result<EpochList, SinkError> {
    let epochs = epochs.into_iter();
    let epochs = epochs.map(|known| EpochStart { epoch: known.epoch, start: known.start, base: known.base }).collect();
    EpochList::new(epochs).ok_or_else(|| SinkError::Failed("the copy's leader epochs are out of order".to_owned()))
}

impl Sink for BrokerSink {
    fn log_state(&self, (topic, partition): CopyKey) -> PortFuture<'_, Result<LogState, SinkError>> {
        Box::pin(async move {
            let state = self.0.copy_state(topic, partition).map_err(failed)?;
            Ok(LogState {
                start: state.start,
                tail: state.tail,
                flushed: state.flushed,
                high_watermark: state.high_watermark,
                epochs: epochs(state.epochs)?,
                baseline: state.baseline,
            })
        })
    }

    fn watch_flushed(&self, (topic, partition): CopyKey) -> Result<watch::Receiver<Offset>, SinkError> {
        self.0.watch_copy(topic, partition).map_err(failed)
    }

    fn copy_term(&self, (topic, partition): CopyKey) -> Result<CopyTerm, SinkError> {
        self.0.copy_term(topic, partition).map_err(failed)
    }

    fn sync_terms(&self, (topic, partition): CopyKey) -> Option<SyncTerms> {
        let terms = self.0.sync_terms(topic, partition)?;
        Some(SyncTerms { mode_epoch: terms.mode_epoch, copy_term: terms.term })
    }

    fn append(&self, (topic, partition): CopyKey, at: Offset, records: Bytes) -> PortFuture<'_, Result<(), SinkError>> {
        Box::pin(async move { self.0.append_copy(topic, partition, at, records).await.map_err(failed) })
    }

    fn archive(&self, (topic, partition): CopyKey, range: OffsetRange) -> PortFuture<'_, Result<(), SinkError>> {
        Box::pin(async move {
            let tail = self.0.archive_tail(topic, partition, range.start).await.map_err(failed)?;
            tracing::warn!(%topic, %partition, range = %tail.range, records = tail.records, file = tail.file, "archived");
            Ok(())
        })
    }

    fn truncate(&self, (topic, partition): CopyKey, to: Offset) -> PortFuture<'_, Result<Offset, SinkError>> {
        Box::pin(async move { self.0.truncate_copy(topic, partition, to).await.map_err(failed) })
    }

    fn restart(&self, (topic, partition): CopyKey, at: Offset) -> PortFuture<'_, Result<(), SinkError>> {
        Box::pin(async move { self.0.restart_copy(topic, partition, at).await.map_err(failed) })
    }

    fn inherit(&self, (topic, partition): CopyKey, baseline: Baseline) -> PortFuture<'_, Result<(), SinkError>> {
        Box::pin(async move { self.0.inherit_copy(topic, partition, baseline).await.map_err(failed) })
    }

    fn raise_log_start(&self, (topic, partition): CopyKey, to: Offset) -> PortFuture<'_, Result<(), SinkError>> {
        Box::pin(async move { self.0.raise_copy_start(topic, partition, to).await.map_err(failed) })
    }

    fn raise_high_watermark(&self, _: CopyKey, _: Offset) {
        // The broker reckons it from its own copy watermark and what `note_source` tells it.
    }

    fn note_source(&self, (topic, partition): CopyKey, epoch: OwnershipEpoch, marks: SourceMarks) {
        let marks = BrokerMarks {
            high_watermark: marks.high_watermark,
            tail: marks.tail,
            missing_bytes: marks.missing_bytes,
            oldest_missing: marks.oldest_missing,
            heard_at: SystemClock.now(),
        };
        self.0.mark_source(topic, partition, epoch, marks);
    }

    fn checkpoints(&self, (topic, partition): CopyKey) -> Option<Kept> {
        self.0.copy_checkpoints(topic, partition)
    }

    fn want_digest(&self, (topic, partition): CopyKey, of: DigestOf) {
        self.0.want_copy_digest(topic, partition, of);
    }

    fn want_judgement(&self, (topic, partition): CopyKey, interval: Interval) {
        self.0.want_copy_judgement(topic, partition, interval);
    }

    fn mark_different(
        &self,
        (topic, partition): CopyKey,
        range: OffsetRange,
        remade: u32,
    ) -> PortFuture<'_, Result<(), SinkError>> {
        Box::pin(async move { self.0.mark_copy_different(topic, partition, range, remade).await.map_err(failed) })
    }

    fn record_gap(&self, gap: Gap) -> PortFuture<'_, Result<(), SinkError>> {
        Box::pin(async move { self.0.record_gap((&gap).into()).map_err(|error| SinkError::Failed(error.to_string())) })
    }

    fn leads(&self, (topic, partition): CopyKey) -> bool {
        self.0.leads_copy(topic, partition)
    }

    fn led_changes(&self) -> watch::Receiver<u64> {
        self.0.standing_changes()
    }

    fn led_offsets(&self) -> (Vec<PartitionId>, usize) {
        self.0.led_offsets_partitions()
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
            let applied = self.0.apply_commits(group, epoch, partition, commits, reached).await;
            applied.map_err(SinkError::NotReady)
        })
    }
}
