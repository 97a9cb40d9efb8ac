//! What happens is held against everything that must never be.

use super::World;
use crate::invariant::{Fact, View};
use crate::marker::Marker;
use crate::run::Violation;
use broker_core::metadata::Image;
use model::LeaderEpoch;

impl World {
    pub(super) fn fact(&mut self, fact: &Fact<'_>) {
        if self.violation.is_some() {
            return;
        }
        let view = View {
            disks: &self.disks,
            history: &self.history,
            image: self.quorum.image(),
            topic: self.topic,
            min_insync: self.settings.min_insync,
            replaced: self.replaced,
            late: self.settings.late,
            doubtful: self.doubtful.is_some(),
        };
        for invariant in &mut self.invariants {
            if let Err(what) = invariant.see(fact, &view) {
                let (seed, at) = (self.options.seed, self.now);
                self.violation = Some(Violation { scenario: "", seed, at, invariant: invariant.name(), what });
                return;
            }
        }
    }

    pub(super) fn violate(&mut self, invariant: &'static str, what: String) {
        let (seed, at) = (self.options.seed, self.now);
        self.violation.get_or_insert(Violation { scenario: "", seed, at, invariant, what });
    }

    /// Shows readers what the core says, and wakes whoever waits for it.
    pub(super) fn publish(&mut self, broker: usize, partition: usize) {
        let flushed = self.durable(broker, partition);
        let Some(replica) = self.replica(broker, partition) else { return };
        let (from, leads) = (replica.shown, replica.leads());
        let to = (replica.core.high_watermark().0 as usize).min(flushed);
        replica.shown = to;
        if to > from {
            self.fact(&Fact::Advanced { partition, broker, leads, from, to });
            if let Some(epoch) = leads {
                self.commit(broker, partition, epoch, to);
            }
        }
        self.wake_parked(broker, partition);
    }

    fn commit(&mut self, broker: usize, partition: usize, epoch: LeaderEpoch, to: usize) {
        let from = self.history.partitions[partition].committed.len();
        if to <= from {
            return;
        }
        let log = &self.disks[broker].logs[partition];
        let new = (from..to).filter_map(|at| log.entry(at));
        let promised = &mut self.history.partitions[partition];
        promised.committed.extend(new);
        promised.committed_under.resize(promised.committed.len(), epoch);
        self.fact(&Fact::Committed { partition, from });
    }

    /// Notes what changed in the metadata.
    pub(super) fn note_agreed(&mut self, before: &Image, after: &Image) {
        for (slot, new) in after.brokers() {
            let old = before.broker(slot);
            if new.is_fenced() && old.is_some_and(|old| !old.is_fenced() && old.session == new.session) {
                self.hit(Marker::SessionFenced);
            }
        }
        for number in 0..self.settings.partitions {
            let id = model::PartitionId(number as i32);
            let (Some(old), Some(new)) = (before.partition(self.topic, id), after.partition(self.topic, id)) else {
                continue;
            };
            if new.leader.is_some_and(|leader| old.elr.contains(&leader.broker) && old.leader != new.leader) {
                self.hit(Marker::EligibleElected);
            }
            if old.last_known_leader.is_none() && new.last_known_leader.is_some() {
                self.hit(Marker::LastMemberDoubted);
            }
            if old.leader.is_some() && new.leader.is_none() {
                self.hit(Marker::LastMemberStayed);
            }
            if old.leader.is_some() && new.leader.is_some() && old.leader_epoch != new.leader_epoch {
                self.hit(Marker::Elected);
            }
        }
        self.fact(&Fact::Agreed { before, after });
    }
}
