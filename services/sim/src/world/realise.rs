//! Makes the metadata real: who leads, who follows whom.

use super::{World, slot, trace};
use crate::guard::Guard;
use crate::invariant::Fact;
use crate::process::{Purpose, Stands};
use broker_core::follower::{Fence, Follower, Leadership};
use broker_core::metadata::{self, Command, Due, Role};
use broker_core::partition::{Outcome, Placement};
use model::{LeaderEpoch, Offset, PartitionId};

impl World {
    /// Makes what the broker has heard of the metadata real.
    pub(super) fn realise(&mut self, broker: usize) {
        let Some(process) = self.processes[broker].as_ref() else { return };
        let Some(session) = process.session else { return };
        let image = self.quorum.image_at(process.applied).clone();
        for partition in 0..self.settings.partitions {
            let Some(placed) = image.partition(self.topic, PartitionId(partition as i32)) else { continue };
            if !placed.replicas.contains(&slot(broker)) {
                continue;
            }
            match placed.due(slot(broker), session.epoch) {
                Due::Lead(Role::Owner { leader_epoch }) => self.lead(broker, partition, leader_epoch, placed),
                Due::Follow(leader) => {
                    self.follow(broker, partition, Leadership { broker: leader.broker, fence: leader.role.into() });
                }
                Due::Lead(Role::Copy { .. }) | Due::Resign => self.resign(broker, partition),
            }
        }
        let starts = image.starts_due(slot(broker));
        if !starts.is_empty() {
            let command = Command::StartLeaders { broker: slot(broker), session: session.epoch, starts };
            self.propose(broker, Purpose::Start, command);
        }
    }

    fn lead(&mut self, broker: usize, partition: usize, epoch: LeaderEpoch, placed: &metadata::Partition) {
        let (now, min_insync) = (self.local(broker), self.min_insync());
        let log = &mut self.disks[broker].logs[partition];
        let Some(process) = self.processes[broker].as_mut() else { return };
        let replica = &mut process.replicas[partition];
        let metadata::Partition { replicas, isr, partition_epoch, .. } = placed;
        let placement = Placement { me: slot(broker), replicas, isr, partition_epoch: *partition_epoch };
        if replica.leads() == Some(epoch) {
            let outcome = replica.core.place(now, placement);
            return self.settle(broker, partition, outcome);
        }
        let is_stale = log.entry(log.len().wrapping_sub(1)).is_some_and(|last| last.epoch > epoch);
        if log.failed || is_stale {
            return;
        }
        if !self.settings.late {
            log.sync_now();
        }
        let tail = Offset(log.len() as i64);
        replica.follower = None;
        replica.stands = Stands::Leads(epoch);
        replica.began = tail.0 as usize;
        let start = if self.options.without == Some(Guard::JoinNeedsEpochStart) { Offset::ZERO } else { tail };
        let outcome = replica.core.lead(now, epoch, placement, start);
        let smaller = replica.core.set_min_insync(now, min_insync);
        let advanced = replica.core.on_local(now, tail);
        replica.shown = (replica.core.high_watermark().0 as usize).min(tail.0 as usize);
        trace!(self, "broker {broker} leads {partition} under {epoch} from {tail}, in sync {isr:?}");
        self.fact(&Fact::Led { partition, broker, epoch });
        if let Some(replica) = self.replica(broker, partition) {
            // What it shows from now on it shows as the leader.
            replica.shown = 0;
        }
        for outcome in [outcome, smaller, advanced] {
            self.settle(broker, partition, outcome);
        }
    }

    /// How many in-sync replicas the cores are told to ask for.
    pub(super) fn min_insync(&self) -> usize {
        if self.without(Guard::MinInsync) { 1 } else { self.settings.min_insync }
    }

    fn resign(&mut self, broker: usize, partition: usize) {
        let Some(replica) = self.replica(broker, partition) else { return };
        replica.follower = None;
        replica.stands = Stands::Idle;
        let outcome = replica.core.fence();
        self.settle(broker, partition, outcome);
    }

    fn follow(&mut self, broker: usize, partition: usize, leadership: Leadership) {
        let now = self.local(broker);
        let Leadership { broker: leader, fence } = leadership;
        let Some(replica) = self.replica(broker, partition) else { return };
        let is_known = replica.stands == Stands::Follows(leader, fence);
        match &mut replica.follower {
            Some(follower) => _ = follower.assign(leadership, vec![]),
            None => replica.follower = Some(Follower::new(leadership, vec![])),
        }
        if is_known {
            return;
        }
        replica.stands = Stands::Follows(leader, fence);
        replica.asked = None;
        let outcome = replica.core.follow(fence);
        trace!(self, "broker {broker} follows {} in {partition} under {fence}", leader.0);
        self.settle(broker, partition, outcome);
        if self.without(Guard::TruncateByEpoch) {
            self.cut_at_watermark(broker, partition);
        }
        let durable = self.durable(broker, partition);
        let outcome = self.replica(broker, partition).map(|replica| replica.core.on_local(now, Offset(durable as i64)));
        self.settle(broker, partition, outcome.unwrap_or_default());
        self.fetch(broker, partition);
    }

    /// As it was done before KIP-101.
    fn cut_at_watermark(&mut self, broker: usize, partition: usize) {
        let Some(replica) = self.replica(broker, partition) else { return };
        let watermark = replica.core.high_watermark().0 as usize;
        if watermark < self.disks[broker].logs[partition].len() {
            self.truncate(broker, partition, watermark);
        }
    }

    /// Wakes whose acks are settled, shows what is new, and has the in-sync set looked at if it may change.
    pub(super) fn settle(&mut self, broker: usize, partition: usize, outcome: Outcome) {
        for (waiter, outcome) in outcome.acks {
            self.answer_producer(broker, partition, waiter, outcome);
        }
        if outcome.may_join {
            self.remind(broker, (50, 1000), crate::event::Timer::LookSoon { partition });
        }
        self.publish(broker, partition);
    }

    /// What others may have of it: what is on disk, or all of it where nobody waits for the disk.
    pub(super) fn kept(&self, broker: usize, partition: usize) -> usize {
        let log = &self.disks[broker].logs[partition];
        if self.settings.late { log.len() } else { log.flushed() }
    }

    /// What a broker may count as held.
    pub(super) fn durable(&self, broker: usize, partition: usize) -> usize {
        let log = &self.disks[broker].logs[partition];
        let follows = self.processes[broker]
            .as_ref()
            .is_some_and(|process| matches!(process.replicas[partition].stands, Stands::Follows(..)));
        let guard = if follows { Guard::FetchOffsetIsFlushed } else { Guard::OwnTailIsFlushed };
        if self.without(guard) { log.len() } else { self.kept(broker, partition) }
    }

    /// Whether `fence` is that of a leadership this broker holds.
    pub(super) fn leads_under(&self, broker: usize, partition: usize, fence: Fence) -> bool {
        let leads = self.processes[broker].as_ref().and_then(|process| process.replicas[partition].leads());
        leads.map(Fence::Epoch) == Some(fence)
    }
}
