//! A leader takes what producers send, and acknowledges it.

use super::{World, trace};
use crate::disk::Entry;
use crate::event::{Message, Timer};
use crate::guard::Guard;
use crate::invariant::Fact;
use crate::marker::Marker;
use crate::net::{Lane, Node};
use crate::process::Pending;
use broker_core::partition::{AckOutcome, Authority, Refusal, Waiter};
use model::{LeaderEpoch, Offset};
use std::time::Duration;

/// How long the broker lets an ack wait.
const ACK_WAIT: Duration = Duration::from_millis(120);

/// Who asks: the client, its connection, and the number of its request.
type Asker = (Node, u64, u64);

/// Where a producer's batch belongs.
enum Fit {
    Next,
    Known(usize),
    OutOfOrder,
}

impl World {
    pub(super) fn on_produce(&mut self, broker: usize, partition: usize, asker: Asker, draft: Entry, all: bool) {
        let Some((epoch, at)) = self.take(broker, partition, draft, all) else {
            let message = Message::Produced { request: asker.2, is_acked: false };
            return self.send((Lane::Client, broker, asker.0), message);
        };
        self.sync(broker, partition);
        // Appending and waiting are two steps of a task that others may overtake.
        let pause = if self.random.chance(5) { (1000, 60_000) } else { (1, 100) };
        self.remind(broker, pause, Timer::Await { partition, asker, taken: (epoch, at, all) });
    }

    /// Appends a batch, or finds it; gives where, and under which leadership.
    fn take(&mut self, broker: usize, partition: usize, draft: Entry, all: bool) -> Option<(LeaderEpoch, usize)> {
        let now = self.local(broker);
        if !self.stands(broker) {
            return None;
        }
        let admitted = self.replica(broker, partition)?.core.admit_produce(now, Authority::Local, all);
        if let Err(Refusal::NotEnoughReplicas { .. }) = admitted {
            self.hit(Marker::MinInsyncRefused);
        }
        let epoch = admitted.ok()?;
        if self.disks[broker].logs[partition].failed {
            return None;
        }
        match self.fit(broker, partition, draft, epoch) {
            Fit::Known(at) => {
                self.hit(Marker::Duplicate);
                Some((epoch, at))
            }
            Fit::OutOfOrder => None,
            Fit::Next => {
                let entry = Entry { epoch, ..draft };
                let at = self.disks[broker].logs[partition].append(entry);
                trace!(self, "broker {broker} appends {entry:?} at {at} of {partition}");
                self.fact(&Fact::Appended { partition, at, entry });
                Some((epoch, at))
            }
        }
    }

    /// What the log's producer state says.
    fn fit(&self, broker: usize, partition: usize, draft: Entry, epoch: LeaderEpoch) -> Fit {
        let log = &self.disks[broker].logs[partition];
        if draft.producer.0 < 0 {
            return Fit::Next;
        }
        let last = log.last_of(draft.producer);
        if self.without(Guard::ProducersFromLog) && last.is_none_or(|last| last.epoch != epoch) {
            return Fit::Next;
        }
        match (last.map_or(0, |last| last.sequence + 1), log.find(draft.producer, draft.sequence)) {
            (_, Some(at)) => Fit::Known(at),
            (next, None) if next == draft.sequence => Fit::Next,
            _ => Fit::OutOfOrder,
        }
    }

    pub(super) fn await_ack(
        &mut self,
        broker: usize,
        partition: usize,
        (client, connection, request): Asker,
        (epoch, at, all): (LeaderEpoch, usize, bool),
    ) {
        let now = self.local(broker);
        let Some(process) = self.process(broker) else { return };
        if process.replicas[partition].leads() != Some(epoch) {
            return;
        }
        process.next_waiter += 1;
        let waiter = Waiter(process.next_waiter);
        let replica = &mut process.replicas[partition];
        replica.pending.insert(waiter, Pending { client, connection, request, at, epoch, all });
        let (required, deadline) = (Offset(at as i64 + 1), now + ACK_WAIT);
        let outcome = match all {
            true => replica.core.await_ack(waiter, required, deadline),
            false => replica.core.await_local_ack(waiter, required, deadline),
        };
        self.settle(broker, partition, outcome);
        let wait = ACK_WAIT.as_micros() as u64 * 11 / 10;
        self.remind(broker, (wait, wait + 1000), Timer::AcksDue { partition });
    }

    pub(super) fn on_acks_due(&mut self, broker: usize, partition: usize) {
        let now = self.local(broker);
        let outcome = self.replica(broker, partition).map(|replica| replica.core.on_time(now));
        self.settle(broker, partition, outcome.unwrap_or_default());
    }

    pub(super) fn answer_producer(&mut self, broker: usize, partition: usize, waiter: Waiter, outcome: AckOutcome) {
        let pending = self.replica(broker, partition).and_then(|replica| replica.pending.remove(&waiter));
        let Some(pending) = pending else { return };
        let is_acked = match outcome {
            AckOutcome::Committed => match self.may_ack(broker, partition, pending) {
                true => self.acknowledge(broker, partition, pending),
                // The connection is closed without an answer.
                false => return self.withhold(broker, pending),
            },
            AckOutcome::NotEnoughReplicas if self.without(Guard::MinInsyncAfterAppend) => {
                self.acknowledge(broker, partition, pending)
            }
            AckOutcome::NotEnoughReplicas => {
                self.hit(Marker::MinInsyncAfterAppend);
                false
            }
            AckOutcome::NotLeader => {
                self.hit(Marker::AcksEnded);
                false
            }
            AckOutcome::TimedOut | AckOutcome::Storage => false,
        };
        if self.net.connection((Lane::Client, broker, pending.client)) == pending.connection {
            let message = Message::Produced { request: pending.request, is_acked };
            self.send((Lane::Client, broker, pending.client), message);
        }
    }

    /// The second look, right before the ack is written.
    fn may_ack(&mut self, broker: usize, partition: usize, pending: Pending) -> bool {
        let now = self.local(broker);
        let stands = self.stands(broker);
        let admitted =
            self.replica(broker, partition).map(|r| r.core.admit_ack(now, Authority::Local, pending.epoch).is_ok());
        stands && admitted == Some(true)
    }

    fn withhold(&mut self, broker: usize, pending: Pending) {
        self.hit(Marker::AckWithheld);
        self.net.reset((Lane::Client, broker, pending.client));
    }

    fn acknowledge(&mut self, broker: usize, partition: usize, pending: Pending) -> bool {
        let Pending { at, epoch, all, .. } = pending;
        let in_sync = self.replica(broker, partition).map_or(0, |replica| replica.core.in_sync());
        // It is acknowledged once it is known to be committed.
        self.publish(broker, partition);
        let Some(entry) = self.disks[broker].logs[partition].entry(at) else { return false };
        trace!(self, "broker {broker} acknowledges {at} of {partition} under {epoch}, acks {all}: {entry:?}");
        self.fact(&Fact::Acked { partition, epoch, all, at, entry, in_sync });
        if all {
            let promised = &mut self.history.partitions[partition];
            promised.acked.insert(at, entry);
            promised.acked_under.entry(at).or_insert(epoch);
        }
        true
    }

    /// Has the log synced, if there is anything to sync.
    pub(super) fn sync(&mut self, broker: usize, partition: usize) {
        if self.disks[broker].logs[partition].begin_sync() {
            let time = self.disks[broker].sync_time(&mut self.random).as_micros() as u64;
            self.remind(broker, (time, time + 1), Timer::Synced { partition });
        }
    }

    pub(super) fn on_synced(&mut self, broker: usize, partition: usize) {
        if std::mem::take(&mut self.disks[broker].fails_next) {
            self.disks[broker].logs[partition].fail();
            self.hit(Marker::SyncFailed);
            trace!(self, "a sync of broker {broker} fails");
            let outcome = self.replica(broker, partition).map(|replica| replica.core.on_storage_failure());
            return self.settle(broker, partition, outcome.unwrap_or_default());
        }
        self.disks[broker].logs[partition].end_sync();
        self.advance(broker, partition);
        self.tell_progress(broker, partition);
        self.wake_parked(broker, partition);
        self.sync(broker, partition);
    }

    /// Tells the core how far this log is.
    pub(super) fn advance(&mut self, broker: usize, partition: usize) {
        let (now, durable) = (self.local(broker), self.durable(broker, partition));
        let outcome = self.replica(broker, partition).map(|replica| replica.core.on_local(now, Offset(durable as i64)));
        self.settle(broker, partition, outcome.unwrap_or_default());
    }
}
