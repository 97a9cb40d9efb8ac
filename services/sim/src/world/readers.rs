//! Consumers: one per partition that asks the leader, one that asks any replica.

use super::World;
use crate::disk::Entry;
use crate::event::{Event, Message};
use crate::guard::Guard;
use crate::invariant::Fact;
use crate::marker::Marker;
use crate::net::{CLIENTS, Lane, Node};
use model::LeaderEpoch;

/// One consumer.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    partition: usize,
    /// Whether it reads from any replica (KIP-392).
    any: bool,
    pub(super) position: usize,
    request: u64,
}

impl Reader {
    pub(super) fn of_all(partitions: usize) -> Vec<Self> {
        let reader = |number: usize| Self { partition: number / 2, any: number % 2 == 1, position: 0, request: 0 };
        (0..partitions * 2).map(reader).collect()
    }

    pub(super) fn partition(&self) -> usize {
        self.partition
    }
}

impl World {
    fn reader_node(&self, reader: usize) -> Node {
        CLIENTS + self.clients.len() + reader
    }

    pub(super) fn read_next(&mut self, reader: usize) {
        let Reader { partition, any, position, .. } = self.readers[reader];
        let leader = self.leader_of(partition);
        let asked = if any { Some(self.random.below(self.settings.brokers)) } else { leader };
        let Some(asked) = asked else { return self.after((10_000, 40_000), Event::Read { reader }) };
        let request = self.number();
        self.readers[reader].request = request;
        let node = self.reader_node(reader);
        self.send((Lane::Client, node, asked), Message::Read { partition, request, from: position });
        self.after((80_000, 150_000), Event::ReadOverdue { reader, request });
    }

    pub(super) fn on_read(&mut self, broker: usize, partition: usize, (node, request): (Node, u64), from: usize) {
        let hastes = self.without(Guard::EndAfterEpochStart);
        // The guard of joins takes the beginning of the leadership from the core; this one it leaves alone.
        let is_told = |began, shown| !self.without(Guard::JoinNeedsEpochStart) || shown >= began;
        let is_told = self.processes[broker].as_ref().is_some_and(|process| {
            let replica = &process.replicas[partition];
            is_told(replica.began, replica.shown)
        });
        let Some(replica) = self.replica(broker, partition) else { return };
        let (shown, leads) = (replica.shown, replica.leads());
        let told = if hastes { Ok(replica.core.high_watermark()) } else { replica.core.latest() };
        let end = leads.filter(|_| is_told).zip(told.ok()).map(|(epoch, end)| (epoch, end.0 as usize));
        if leads.is_some() && end.is_none() {
            self.hit(Marker::EndNotKnown);
        }
        let log = &self.disks[broker].logs[partition];
        let entries = (from..shown.min(from + 50)).filter_map(|at| log.entry(at)).collect();
        if let Some((epoch, end)) = end {
            self.fact(&Fact::End { partition, epoch, end });
        }
        self.send((Lane::Client, broker, node), Message::Records { request, partition, from, entries, end });
    }

    pub(super) fn on_records(
        &mut self,
        (node, request): (Node, u64),
        partition: usize,
        from: usize,
        entries: &[Entry],
        _: Option<(LeaderEpoch, usize)>,
    ) {
        let reader = node - CLIENTS - self.clients.len();
        for (at, entry) in (from..).zip(entries) {
            self.fact(&Fact::Read { partition, at, entry: *entry });
        }
        let one = &mut self.readers[reader];
        if one.request != request {
            return;
        }
        one.request = 0;
        one.position = one.position.max(from + entries.len());
        self.after((10_000, 60_000), Event::Read { reader });
    }

    pub(super) fn on_read_overdue(&mut self, reader: usize, request: u64) {
        if self.readers[reader].request == request {
            self.read_next(reader);
        }
    }
}
