//! Becoming the leader of a partition, of an owner or a copy.

use super::active::{ActiveError, Part};
use super::{Closed, Gate, Held, Partition, Standing};
use broker_core::metadata;
use broker_core::partition::Placement;
use log::{AppendError, FlushError, HoleError, Log};
use model::{Baseline, BrokerSlot, CopyTerm, LeaderEpoch, ModeState, Offset, Timestamp};
use record::{CheckedBatch, ProduceRules, end_txn_marker};
use std::sync::Arc;

/// Where a partition is held and by whom in sync.
#[derive(Clone, Debug)]
pub(crate) struct Replicas {
    me: BrokerSlot,
    replicas: Vec<BrokerSlot>,
    isr: Vec<BrokerSlot>,
    partition_epoch: u32,
}

impl Replicas {
    /// As the metadata says, for the broker in slot `me`.
    pub(crate) fn of(placed: &metadata::Partition, me: BrokerSlot) -> Self {
        let metadata::Partition { replicas, isr, partition_epoch, .. } = placed.clone();
        Self { me, replicas, isr, partition_epoch }
    }

    /// On one broker only.
    pub(crate) fn alone() -> Self {
        let me = BrokerSlot(0);
        Self { me, replicas: vec![me], isr: vec![me], partition_epoch: 0 }
    }

    fn placement(&self) -> Placement<'_> {
        let Self { me, replicas, isr, partition_epoch } = self;
        Placement { me: *me, replicas, isr, partition_epoch: *partition_epoch }
    }
}

/// How this broker becomes the owner.
#[derive(Clone, Debug)]
pub(crate) struct Leadership {
    /// Its leader epoch.
    pub(crate) epoch: LeaderEpoch,
    /// What writes go through.
    pub(crate) gate: Arc<Gate>,
    /// Where the lineage of this grant departed from the one before, if records were left behind.
    pub(crate) crossing: Option<Crossing>,
    /// Whether producers may skip forward once, though the log has no hole (what they wrote last may be lost); only where
    /// the grant's first leadership begins.
    pub(crate) jumps: bool,
    /// Where the partition is.
    pub(crate) replicas: Replicas,
    /// What its acknowledgements promise across regions.
    pub(crate) mode: ModeState,
    /// How the region takes part, where every region takes writes.
    pub(crate) active: Option<Part>,
}

/// The hole that a lineage begins behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Crossing {
    /// What both lineages share ends here.
    pub(crate) common_end: Offset,
    /// The new lineage's first batch lies here; the same offset when nothing can have been left behind.
    pub(crate) base: Offset,
}

/// Why a leadership was not started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LeadError {
    /// The log was closed or deleted.
    #[error(transparent)]
    Closed(#[from] Closed),
    /// A later epoch is in the log.
    #[error("leader epoch {epoch} is older than the log's latest, {latest}")]
    Stale {
        /// The epoch given.
        epoch: LeaderEpoch,
        /// The log's.
        latest: LeaderEpoch,
    },
    /// The hole could not be crossed.
    #[error(transparent)]
    Hole(#[from] HoleError),
    /// A marker could not be written.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// What was written could not be made durable.
    #[error(transparent)]
    Flush(#[from] FlushError),
    /// It does not take part with other regions.
    #[error(transparent)]
    Active(#[from] ActiveError),
    /// The jumps could not be made durable.
    #[error(transparent)]
    File(#[from] log::FileError),
}

impl Partition {
    /// Makes this broker the owner: begins the epoch, across the hole if there is one, aborts what transactions are
    /// open, and makes all of it durable. Doing it again under the same epoch changes the gate only. It may block.
    ///
    /// # Errors
    /// [`LeadError`]: the partition is what it was.
    pub(crate) fn lead(self: &Arc<Self>, leadership: &Leadership) -> Result<(), LeadError> {
        let mut story = self.story();
        let mut held = self.held();
        if let Some(part) = &leadership.active {
            self.open_active(&mut held, &mut story, part)?;
        }
        let Leadership { epoch: leader_epoch, gate, .. } = leadership.clone();
        if let Standing::Owner { leader_epoch: known, began_at, .. } = held.standing
            && known == leader_epoch
        {
            self.stand(&mut held, Standing::Owner { leader_epoch, began_at, gate });
            self.obey_mode(&mut held, &leadership.mode);
            self.replace(&mut held, &leadership.replicas);
            return Ok(());
        }
        let now = self.storage.clock.now();
        let log = held.log.as_mut().ok_or(Closed)?;
        // What an owner holds is what there is, whatever it lacked as a copy.
        log.set_baseline(owned(log.baseline(), log.tail()))?;
        let began_at = begin(log, leadership, self.storage.node_id, now)?;
        // What is flushed has its story on disk.
        let unwritten = held.active.as_mut().map(super::Active::take_unwritten).unwrap_or_default();
        if let Some(story) = story.as_mut() {
            story.write(&unwritten).map_err(ActiveError::from)?;
        }
        let log = held.log.as_mut().ok_or(Closed)?;
        let flushed = log.flush();
        flushed.inspect_err(|error| self.fail(&mut held, error))?;
        held.source = None;
        held.follower = None;
        // Before anything is committed under this leadership.
        self.obey_mode(&mut held, &leadership.mode);
        self.stand(&mut held, Standing::Owner { leader_epoch, began_at, gate });
        let outcome = held.core.lead(self.boot(), leader_epoch, leadership.replicas.placement(), began_at);
        self.settle(&mut held, outcome);
        if held.active.is_some() {
            let repeated = self.repeat_standing(&mut held, leader_epoch);
            repeated.inspect_err(|error| self.fail(&mut held, error))?;
            self.storage.flusher.request(self);
        }
        self.begun(&mut held);
        Ok(())
    }

    /// A leadership began: what the log holds counts for it.
    fn begun(&self, held: &mut Held) {
        let insync_min = self.settings().insync_min as usize;
        let outcome = held.core.set_min_insync(self.boot(), insync_min);
        self.settle(held, outcome);
        self.advance(held);
        self.publish(held);
    }

    /// Replicas or in-sync set may have changed under the same leadership.
    fn replace(&self, held: &mut Held, replicas: &Replicas) {
        let outcome = held.core.place(self.boot(), replicas.placement());
        self.settle(held, outcome);
        self.publish(held);
    }

    /// Makes this broker the leader of a copy, sealed or not. What it heard of a source under an earlier term is
    /// forgotten.
    pub(crate) fn lead_copy(&self, term: CopyTerm, sealed: bool, replicas: &Replicas, mode: &ModeState) {
        let mut held = self.held();
        self.obey_mode(&mut held, mode);
        let is_new = !matches!(held.standing, Standing::Copy { term: known, .. } if known == term);
        self.stand(&mut held, Standing::Copy { term, sealed });
        if !is_new {
            return self.replace(&mut held, replicas);
        }
        held.source = None;
        held.follower = None;
        let outcome = held.core.lead_copy(self.boot(), term, replicas.placement());
        self.settle(&mut held, outcome);
        self.trust_links(&mut held);
        self.begun(&mut held);
    }

    /// Links read committed records only, unless the group was ever on its way to SYNC: what a copy has was committed
    /// before it came here.
    pub(super) fn trust_links(&self, held: &mut Held) {
        let tail = held.log.as_ref().map_or(Offset::ZERO, Log::tail);
        if held.source.is_none() && held.mode.is_initial() {
            let outcome = held.core.on_upstream_watermark(self.boot(), tail);
            self.settle(held, outcome);
        }
    }

    /// Ends whatever leadership there is.
    pub(crate) fn resign(&self) {
        let mut held = self.held();
        held.follower = None;
        let outcome = held.core.fence();
        self.stand(&mut held, Standing::Idle);
        self.settle(&mut held, outcome);
    }

    /// Whether this broker leads, and for an owner whether everything before its leadership is committed (KIP-207).
    pub(crate) fn has_caught_up_with_its_epoch(&self) -> bool {
        let public = self.public();
        match public.standing {
            Standing::Owner { began_at, .. } => public.marks.high_watermark >= began_at,
            Standing::Copy { .. } => true,
            Standing::Idle | Standing::Replica { .. } => false,
        }
    }
}

fn owned(known: Baseline, tail: Offset) -> Baseline {
    let (forgotten, thinned) = (known.forgotten.min(tail), known.thinned.min(tail));
    Baseline { forgotten, thinned, missed: None, different: None, ..known }
}

/// Begins `leadership` in `log`; gives where.
fn begin(log: &mut Log, leadership: &Leadership, node_id: i32, now: Timestamp) -> Result<Offset, LeadError> {
    let (epoch, latest) = (leadership.epoch, log.latest_epoch());
    if epoch < latest {
        return Err(LeadError::Stale { epoch, latest });
    }
    // First, so that a crash in between does not leave a beginning without them.
    if leadership.jumps && !has_begun(log, leadership) {
        log.open_jumps()?;
    }
    match due_crossing(log, leadership) {
        Some(Crossing { common_end, base }) if base > common_end => {
            log.open_epoch_across_hole(common_end, base, epoch, node_id, now)?;
        }
        Some(Crossing { common_end, .. }) if log.tail() != common_end => {
            return Err(HoleError::NotAtCommonEnd { tail: log.tail(), common_end }.into());
        }
        _ => log.begin_epoch(epoch),
    }
    let began_at = log.tail();
    abort_open_transactions(log, epoch, now)?;
    Ok(began_at)
}

/// The crossing, unless an earlier start under the same grant has made it.
fn due_crossing(log: &Log, leadership: &Leadership) -> Option<Crossing> {
    leadership.crossing.filter(|_| !has_begun(log, leadership))
}

/// Whether there was a leadership under the same grant, or a later one.
fn has_begun(log: &Log, leadership: &Leadership) -> bool {
    log.latest_epoch().ownership() >= leadership.epoch.ownership()
}

/// Nobody is left who could decide them: their producers were another region's clients.
fn abort_open_transactions(log: &mut Log, epoch: LeaderEpoch, now: Timestamp) -> Result<(), AppendError> {
    for open in log.open_transactions() {
        let marker = end_txn_marker(false, open.producer_id, open.producer_epoch, epoch.0, now);
        let batch = CheckedBatch::check(marker.into(), &ProduceRules::BROKER).expect("a batch of our own");
        log.append(&batch, epoch, now)?;
    }
    Ok(())
}
