//! How far a followed partition is proven to be what its source is.

use super::Target;
use super::view::Board;
use crate::ports::{CopyKey, Source};
use crate::way::Address;
use env::Clock;
use mirror_core::gap::{Gap, GapReason};
use mirror_core::verify::{CheckpointsPage, CheckpointsSince, Comparison, Difference, Kept, Prover};
use model::{CopyProof, RegionName, Timestamp};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What was heard of one source's hashes, shared between who compares and who asks.
#[derive(Clone, Default)]
pub(super) struct Proving(Arc<Mutex<Option<(RegionName, Prover)>>>);

impl Proving {
    fn known(&self) -> MutexGuard<'_, Option<(RegionName, Prover)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of `source`; what was heard of another one is forgotten.
    fn with<T>(&self, source: &RegionName, work: impl FnOnce(&mut Prover) -> T) -> T {
        let mut known = self.known();
        if known.as_ref().is_none_or(|(region, _)| region != source) {
            *known = None;
        }
        work(&mut known.get_or_insert_with(|| (source.clone(), Prover::default())).1)
    }

    pub(super) fn shown(&self, source: &RegionName) -> Option<CopyProof> {
        let known = self.known();
        let (_, prover) = known.as_ref().filter(|(region, _)| region == source)?;
        prover.comparison().map(shown)
    }
}

fn shown(comparison: &Comparison) -> CopyProof {
    CopyProof {
        identical: comparison.identical,
        unproven_ranges: comparison.unproven.len() as u64 + comparison.unproven_more,
        difference: comparison.difference.map(|difference| difference.range),
    }
}

/// A partition that follows an owner.
pub(crate) struct Unproven {
    pub(super) key: CopyKey,
    pub(super) target: Target,
    pub(super) board: Board,
    pub(super) proving: Proving,
    pub(super) clock: Arc<dyn Clock>,
}

impl Unproven {
    /// Which one it is.
    pub(crate) const fn key(&self) -> CopyKey {
        self.key
    }

    /// Who is asked about it.
    pub(crate) fn source(&self) -> (Address, Arc<dyn Source>) {
        let address = self.target.way.address_of(&self.key);
        let source = self.target.way.source(&address);
        (address, source)
    }

    /// What to ask, when the copy has `copy`.
    pub(crate) fn ask(&self, copy: &Kept) -> Option<CheckpointsSince> {
        let now = self.clock.boot().since_boot();
        self.proving.with(&self.target.source, |prover| prover.ask(now, copy, self.key))
    }

    /// Takes an answer; gives a difference that was not known.
    pub(crate) fn take(&self, page: CheckpointsPage, copy: &Kept) -> Option<Gap> {
        let (now, is_settled) = (self.clock.boot().since_boot(), self.board.view().is_settled());
        let take = |prover: &mut Prover| prover.take(now, page, copy, &[], is_settled);
        let difference = self.proving.with(&self.target.source, take)?;
        Some(self.fact(&difference, self.clock.now()))
    }

    fn fact(&self, difference: &Difference, found_at: Timestamp) -> Gap {
        let ((topic, partition), range) = (self.key, difference.range);
        tracing::error!(%topic, %partition, source = %self.target.source, %range, there = ?difference.source,
            here = ?difference.target, "the copy is not what its source is");
        Gap { topic, partition, range, reason: GapReason::Difference, ownership_epoch: self.target.epoch, found_at }
    }
}
