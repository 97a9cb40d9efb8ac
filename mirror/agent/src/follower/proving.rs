//! How far a followed partition is proven to be what its source is.

use super::Target;
use super::view::Board;
use crate::ports::{CopyKey, Source};
use crate::way::Address;
use env::Clock;
use mirror_core::gap::{Gap, GapReason};
use mirror_core::verify::{CheckpointsPage, CheckpointsSince, Difference, DigestOf, Interval, Kept, Prover, Verdict};
use model::{CopyProof, OffsetRange, RegionName};
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
        let keys = prover.keys();
        let is_known = prover.comparison().is_some() || keys.proof().is_some() || keys.difference().is_some();
        is_known.then(|| shown(prover))
    }
}

fn shown(prover: &Prover) -> CopyProof {
    let (keys, by_hash) = (prover.keys(), prover.comparison());
    let mut shown = CopyProof { keys: keys.proof(), difference: keys.difference(), ..CopyProof::default() };
    if let Some(comparison) = by_hash {
        shown.identical = comparison.identical;
        shown.unproven_ranges = comparison.unproven.len() as u64 + comparison.unproven_more;
        shown.difference = prover.difference().or(shown.difference);
        shown.source_damaged = prover.source_damaged();
    }
    shown
}

/// What is to be kept of a difference.
pub(crate) struct Finding {
    /// For the council.
    pub(crate) fact: Gap,
    /// Whether the copy is no standby for it.
    pub(crate) blames_copy: bool,
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

    /// Takes an answer.
    pub(crate) fn take(&self, page: CheckpointsPage, copy: &Kept) {
        let (now, is_settled) = (self.clock.boot().since_boot(), self.board.view().is_settled());
        self.proving.with(&self.target.source, |prover| prover.take(now, page, copy, &[], is_settled));
    }

    /// Judges a difference; gives what was not known, and which interval the copy is to read again for it.
    pub(crate) fn judge(&self, copy: &Kept) -> (Option<Finding>, Option<Interval>) {
        let is_settled = self.board.view().is_settled();
        let (found, to_judge) = self.proving.with(&self.target.source, |prover| {
            let found = if is_settled { prover.judge(copy) } else { None };
            (found, prover.to_judge())
        });
        (found.map(|(difference, verdict)| self.finding(&difference, verdict)), to_judge)
    }

    /// Compares the digest that the copy has made of its keys; gives a difference that was not known, or else what it is to
    /// make a digest of.
    pub(crate) fn compare_keys(&self, copy: &Kept) -> (Option<Finding>, Option<DigestOf>) {
        let (now, is_settled) = (self.clock.now(), self.board.view().is_settled());
        self.proving.with(&self.target.source, |prover| {
            let keys = prover.keys_of(copy);
            let difference = if is_settled { keys.take(now, copy) } else { None };
            (difference.map(|range| self.keys_differ(range)), keys.wanted())
        })
    }

    /// What was found in `range` could not be kept.
    pub(crate) fn find_again(&self, range: OffsetRange) {
        self.proving.with(&self.target.source, |prover| prover.find_again(range));
    }

    fn keys_differ(&self, range: OffsetRange) -> Finding {
        let (topic, partition) = self.key;
        tracing::error!(%topic, %partition, source = %self.target.source, %range, "the copy has not the keys its source has");
        Finding { fact: self.fact(range, GapReason::Difference), blames_copy: true }
    }

    fn finding(&self, Difference { range, source: there, target: here }: &Difference, verdict: Verdict) -> Finding {
        let ((topic, partition), source) = (self.key, &self.target.source);
        tracing::error!(%topic, %partition, %source, %range, ?verdict, ?there, ?here, "the copy is not what its source is");
        let reason = match verdict {
            Verdict::Copy | Verdict::Neither => GapReason::Difference,
            Verdict::Source => GapReason::SourceDamaged,
            Verdict::Both => GapReason::BothDamaged,
        };
        Finding { fact: self.fact(*range, reason), blames_copy: verdict.blames_copy() }
    }

    fn fact(&self, range: OffsetRange, reason: GapReason) -> Gap {
        let ((topic, partition), found_at) = (self.key, self.clock.now());
        Gap { topic, partition, range, reason, ownership_epoch: self.target.epoch, found_at }
    }
}
