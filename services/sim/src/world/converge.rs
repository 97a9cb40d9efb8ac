//! When everything is healed it has to come together.

use super::{World, broker, trace};
use crate::event::Event;
use broker_core::metadata::Partition;
use model::PartitionId;

impl World {
    /// Whether everything has come together; not to have done so in time is a violation.
    pub(super) fn look_for_end(&mut self) {
        match self.apart() {
            None => {
                trace!(self, "everything has come together");
                self.is_done = true;
            }
            Some(what) if self.now > self.settings.deadline => self.violate("converges", what),
            Some(_) => self.after((40_000, 60_000), Event::LookForEnd),
        }
    }

    /// What has not come together yet.
    fn apart(&self) -> Option<String> {
        let restarts = (0..self.settings.brokers).find(|broker| !self.is_up(*broker));
        if let Some(broker) = restarts {
            return Some(format!("broker {broker} is not up"));
        }
        let is_waited_for =
            |client: &super::Client| client.all && !client.is_idle() && !self.is_offline(client.partition);
        if let Some(client) = self.clients.iter().position(is_waited_for) {
            return Some(format!("client {client} has no answer"));
        }
        (0..self.settings.partitions).find_map(|partition| self.apart_in(partition))
    }

    fn is_offline(&self, partition: usize) -> bool {
        let known = self.quorum.image().partition(self.topic, PartitionId(partition as i32));
        known.is_some_and(|known| known.isr.is_empty())
    }

    /// A partition whose last in-sync replica lost its disk stays without a leader; what it promised is on others.
    fn lost_in_offline(&self, partition: usize) -> Option<String> {
        let mut acked = self.history.partitions[partition].acked.iter();
        let is_held =
            |at: usize, entry| self.disks.iter().any(|disk| disk.logs[partition].durable_entry(at) == Some(entry));
        let lost = acked.find(|(at, entry)| !is_held(**at, **entry));
        lost.map(|(at, entry)| {
            format!("offset {at} of partition {partition}, acknowledged as {entry:?}, is on no disk")
        })
    }

    fn apart_in(&self, partition: usize) -> Option<String> {
        let placed = self.quorum.image().partition(self.topic, PartitionId(partition as i32))?;
        let Partition { replicas, isr, leader, .. } = placed;
        if isr.is_empty() {
            return self.lost_in_offline(partition);
        }
        let Some(leader) = leader else { return Some(format!("partition {partition} has no leader")) };
        if isr.len() < replicas.len() {
            return Some(format!("only {isr:?} are in sync with partition {partition}"));
        }
        let committed = &self.history.partitions[partition].committed;
        for slot in replicas {
            let log = &self.disks[broker(*slot)].logs[partition];
            if log.flushed() != log.len() || !log.entries().eq(committed.iter().copied()) {
                return Some(format!(
                    "broker {} has {} records of partition {partition}, {} on disk; {} are committed, broker {} leads",
                    slot.0,
                    log.len(),
                    log.flushed(),
                    committed.len(),
                    leader.broker.0
                ));
            }
        }
        let lost =
            self.history.partitions[partition].acked.iter().find(|(at, entry)| committed.get(**at) != Some(entry));
        if let Some((at, entry)) = lost {
            return Some(format!("offset {at} of partition {partition} was acknowledged as {entry:?} and is not so"));
        }
        let behind = self.readers.iter().find(|r| r.partition() == partition && r.position < committed.len());
        behind.map(|reader| format!("a consumer of partition {partition} is at {}", reader.position))
    }
}
