//! Conflicts: what is written to the conflict topic, and what waits for a person.

use super::super::{Held, Partition, Taken};
use super::{ActiveError, BadRecords, Found, TakeError, own_batch, push};
use crate::replica::Acks;
use mirror_core::active::{
    self, Conflict, ConflictKey, ConflictRecord, ConflictVersion, Dot, KeyedRecord, Payload, Version,
};
use model::{ActiveActive, Offset, RegionName};
use record::{BatchBuilder, Record};
use std::collections::HashSet;
use std::sync::Arc;

/// Versions of a key that wait for a person; the standing one is the first.
#[derive(Clone, Debug)]
pub(crate) struct Disputed {
    /// The key.
    pub(crate) key: Arc<[u8]>,
    /// The versions.
    pub(crate) versions: Vec<ConflictVersion>,
}

/// Why a dispute was not settled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettleError {
    /// There is no such dispute, or it is not only that.
    #[error(transparent)]
    Choice(#[from] active::SettleError),
    /// Nothing is written now.
    #[error(transparent)]
    Take(#[from] TakeError),
}

impl From<ActiveError> for SettleError {
    fn from(error: ActiveError) -> Self {
        Self::Take(error.into())
    }
}

/// A conflict, and where its records stand here.
struct Placed {
    conflict: Conflict,
    winner: Offset,
    loser: Offset,
}

impl Partition {
    /// The oldest conflicts whose records are flushed and that were not [told](Self::told) yet, at most `max`. It reads
    /// the log.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn untold(&self, max: usize) -> Result<Vec<ConflictRecord>, ActiveError> {
        let (placed, regions) = {
            let held = self.held();
            let Some(active) = &held.active else { return Ok(Vec::new()) };
            let flushed = self.public().marks.flushed;
            let due = active.found.iter().take_while(|found| found.behind <= flushed).take(max);
            let place = |dot| active.partition.log().local_of(dot).expect("nothing is taken away from these logs");
            let placed = due.map(|Found { conflict, .. }| Placed {
                conflict: conflict.clone(),
                winner: place(conflict.winner.dot),
                loser: place(conflict.loser.dot),
            });
            (placed.collect::<Vec<_>>(), active.part.all.clone())
        };
        placed.iter().map(|placed| self.conflict_record(placed, &regions)).collect()
    }

    fn conflict_record(&self, placed: &Placed, regions: &ActiveActive) -> Result<ConflictRecord, ActiveError> {
        let Placed { conflict, winner, loser } = placed;
        let (winning, losing) = (self.record_at(*winner)?, self.record_at(*loser)?);
        Ok(ConflictRecord {
            topic: self.name.topic.clone(),
            topic_id: self.topic_id,
            partition: self.name.partition,
            key: Payload::of(losing.key.as_deref()),
            winner: version(regions, &conflict.winner, *winner, &winning),
            loser: version(regions, &conflict.loser, *loser, &losing),
            reason: conflict.reason,
            state: conflict.state,
        })
    }

    /// Whether some that were not told may have been before the log was looked at once more.
    pub(crate) fn has_found_again(&self) -> bool {
        self.held().active.as_ref().is_some_and(|active| active.found.iter().any(|found| found.again))
    }

    /// Leaves out those found again that the conflict topic has, by their keys there.
    pub(crate) fn leave_out(&self, known: &HashSet<Vec<u8>>) {
        let (topic_id, partition) = self.place();
        let Some(active) = &mut self.held().active else { return };
        for found in &mut active.found {
            let key = ConflictKey { topic_id, partition, loser: found.conflict.loser.dot };
            found.again &= known.contains(key.to_string().as_bytes());
        }
        active.found.retain(|found| !found.again);
    }

    /// The first `count` of the conflicts that were not told are in the conflict topic.
    pub(crate) fn told(&self, count: usize) {
        if let Some(active) = &mut self.held().active {
            active.found.drain(..count.min(active.found.len()));
        }
    }

    /// What waits for a person here. It reads the log.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(crate) fn disputed(&self) -> Result<Vec<Disputed>, ActiveError> {
        let (quarantined, regions) = {
            let held = self.held();
            let Some(active) = &held.active else { return Ok(Vec::new()) };
            (active.partition.quarantined(), active.part.all.clone())
        };
        let mut disputed = Vec::with_capacity(quarantined.len());
        for active::Quarantined { key, versions } in quarantined {
            let placed = versions.iter();
            let shown = placed.map(|(known, at)| Ok(version(&regions, known, *at, &self.record_at(*at)?)));
            disputed.push(Disputed { key, versions: shown.collect::<Result<_, ActiveError>>()? });
        }
        Ok(disputed)
    }

    /// Settles the dispute about `key`: the choice is written again, as a client would that has seen all of `known`.
    /// Durable in this region once it is committed.
    ///
    /// # Errors
    /// [`SettleError`]: nothing was written.
    pub(crate) fn settle_dispute(
        self: &Arc<Self>,
        key: &[u8],
        choice: Dot,
        known: &[Dot],
    ) -> Result<Taken, SettleError> {
        let mut held = self.held();
        let active = held.active.as_ref().ok_or(TakeError::NotActive)?;
        let settlement = active.partition.settle(key, choice, known)?;
        let record = self.record_at(settlement.place)?;
        let keys = [KeyedRecord { index: 0, key: settlement.key }];
        self.write_again(&mut held, &record, &keys)
    }

    fn write_again(
        self: &Arc<Self>,
        held: &mut Held,
        record: &Record,
        keys: &[KeyedRecord],
    ) -> Result<Taken, SettleError> {
        let mut builder = BatchBuilder::new();
        push(&mut builder, record);
        let batch = own_batch(builder).map_err(|error: BadRecords| ActiveError::from(error))?;
        let (now, boot) = (self.storage.clock.now(), self.storage.clock.boot());
        let taken = self.try_append(held, &batch, Acks::All, now, boot, keys).map_err(TakeError::from)?;
        self.note_append(held, &taken);
        Ok(taken)
    }
}

fn version(regions: &ActiveActive, version: &Version, local: Offset, record: &Record) -> ConflictVersion {
    ConflictVersion {
        region: region_of(regions, version.dot),
        dot: version.dot,
        local,
        time: version.time,
        value: Payload::of(record.value.as_deref()),
    }
}

/// A region that was rebuilt since is named by its number.
fn region_of(regions: &ActiveActive, dot: Dot) -> RegionName {
    let named = regions.region_of(dot.origin).cloned();
    named.unwrap_or_else(|| RegionName::new(format!("incarnation-{}", dot.origin.0)).expect("it is a name"))
}
