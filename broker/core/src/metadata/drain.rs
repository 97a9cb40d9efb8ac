//! Brokers that are emptied: all they hold moves to others, and nothing new is placed on them.
//!
//! ```text
//!   in use --drain--> draining: leaderships go first, then replicas, a bounded number at a time
//!      ^                 |  '--nothing is left--> drained: it can be stopped, and unregistered
//!      '----cancel-------'
//! ```
//!
//! What is drained is a fact of the metadata: it outlives every controller. What has to move next is decided from the
//! metadata alone, whenever somebody looks, so that a controller that ends half-way costs nothing. Moves are ordinary
//! reassignments (KIP-455): whoever goes stays until whoever comes is in sync.

mod plan;

use super::{Answer, Image, Move, Partition, Refusal, Topic};
use model::{BrokerSlot, Incarnation, PartitionId};
use serde::{Deserialize, Serialize};

/// The order to empty a broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    /// The one broker that takes all of it; `None` for whoever is fit.
    #[serde(default)]
    pub onto: Option<BrokerSlot>,
}

/// What a broker holds, as the metadata has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Partitions it is a replica of, moving or not.
    pub replicas: u64,
    /// Those of them it is in sync with.
    pub in_sync: u64,
    /// Those of them it leads.
    pub leaders: u64,
    /// Those of them that are on their way to others.
    pub leaving: u64,
}

impl Partition {
    /// The replicas it has once nothing moves.
    pub(super) fn wanted(&self) -> &[BrokerSlot] {
        self.reassignment.as_ref().map_or(&self.replicas, |moving| &moving.target)
    }
}

impl Image {
    /// The order to empty the broker in `slot`, if there is one.
    pub fn drain_of(&self, slot: BrokerSlot) -> Option<Drain> {
        self.drains.get(&slot).copied()
    }

    /// Whether the broker in `slot` is to be emptied: nothing new is placed on it, and it leads only what nobody else can.
    pub fn is_draining(&self, slot: BrokerSlot) -> bool {
        self.drains.contains_key(&slot)
    }

    /// What the broker in `slot` holds.
    pub fn load(&self, slot: BrokerSlot) -> Load {
        let mut load = Load::default();
        for (_, _, partition) in self.all_partitions().filter(|(.., partition)| partition.replicas.contains(&slot)) {
            load.replicas += 1;
            load.in_sync += u64::from(partition.isr.contains(&slot));
            load.leaders += u64::from(partition.leader.is_some_and(|leader| leader.broker == slot));
            load.leaving += u64::from(!partition.wanted().contains(&slot));
        }
        load
    }

    fn all_partitions(&self) -> impl Iterator<Item = (&Topic, PartitionId, &Partition)> {
        self.topics().flat_map(|topic| topic.partitions().map(move |(number, partition)| (topic, number, partition)))
    }

    /// Has a broker emptied from now on.
    pub(super) fn drain(&mut self, slot: BrokerSlot, onto: Option<BrokerSlot>) -> Result<Answer, Refusal> {
        let drain = Drain { onto };
        if self.drain_of(slot) == Some(drain) {
            return Ok(Answer::Unchanged);
        }
        self.check_drain(slot, onto)?;
        self.drains.insert(slot, drain);
        Ok(Answer::Applied)
    }

    /// Lets a broker be used as before. What has left it stays where it is; what is still on its way is taken back.
    pub(super) fn cancel_drain(&mut self, slot: BrokerSlot) -> Result<Answer, Refusal> {
        self.drains.remove(&slot).ok_or(Refusal::NotDraining(slot))?;
        let leaves = |partition: &Partition| {
            let began_here = partition.reassignment.as_ref().is_some_and(|moving| moving.origin.contains(&slot));
            began_here && !partition.wanted().contains(&slot)
        };
        let back = |(topic, partition)| Move { topic, partition, replicas: None };
        let moves: Vec<_> = self.partitions_where(leaves).into_iter().map(back).collect();
        self.reassign(&moves)?;
        Ok(Answer::Applied)
    }

    /// Forgets a broker that holds nothing and does not run (Kafka's UnregisterBroker, KIP-631). The disk it had is not
    /// taken back: whoever starts in its place begins anew.
    pub(super) fn unregister_broker(&mut self, slot: BrokerSlot) -> Result<Answer, Refusal> {
        let known = self.host(slot)?;
        let (incarnation, runs) = (known.incarnation, !known.is_fenced());
        let held = self.all_partitions().find(|(.., partition)| partition.replicas.contains(&slot));
        if let Some((topic, ..)) = held {
            let (topic, replicas) = (topic.name.clone(), self.load(slot).replicas);
            return Err(Refusal::StillHolds { slot, replicas, topic });
        }
        if runs {
            return Err(Refusal::StillRuns(slot));
        }
        self.brokers.remove(&slot);
        self.drains.remove(&slot);
        let last = self.allotted.get(&slot).copied().unwrap_or(incarnation).max(incarnation);
        self.allotted.insert(slot, last);
        self.unregistered.insert(slot, last);
        Ok(Answer::Applied)
    }

    /// Refuses the disk of a broker that was unregistered.
    pub(super) fn check_not_unregistered(&self, slot: BrokerSlot, given: Incarnation) -> Result<(), Refusal> {
        let last = self.unregistered.get(&slot).filter(|last| given <= **last);
        last.map_or(Ok(()), |_| Err(Refusal::Unregistered { slot, given }))
    }

    /// The last incarnation of the broker in `slot`, where it was unregistered and none has come in its place.
    pub fn unregistered(&self, slot: BrokerSlot) -> Option<Incarnation> {
        self.unregistered.get(&slot).copied()
    }

    /// The broker in `slot`, if it hosts partitions.
    fn host(&self, slot: BrokerSlot) -> Result<&super::Broker, Refusal> {
        self.broker(slot).filter(|known| !known.desk).ok_or(Refusal::UnknownBroker(slot))
    }

    fn check_drain(&self, slot: BrokerSlot, onto: Option<BrokerSlot>) -> Result<(), Refusal> {
        self.host(slot)?;
        if let Some(onto) = onto {
            self.check_heir(slot, onto)?;
        }
        let left: Vec<_> = self.takers().filter(|taker| *taker != slot).collect();
        if left.is_empty() {
            return Err(Refusal::NobodyLeft(slot));
        }
        let goes = |gone: &BrokerSlot| *gone == slot || self.is_draining(*gone);
        let concerned = self.all_partitions().filter(|(.., partition)| partition.wanted().iter().any(goes));
        match concerned.max_by_key(|(.., partition)| partition.wanted().len()) {
            Some((topic, _, partition)) if partition.wanted().len() > left.len() => {
                let (topic, replicas) = (topic.name.clone(), partition.wanted().len());
                Err(Refusal::TooFewBrokers { slot, topic, replicas, left })
            }
            _ => Ok(()),
        }
    }

    /// Whether everything on the broker in `slot` can go to the one in `onto`.
    fn check_heir(&self, slot: BrokerSlot, onto: BrokerSlot) -> Result<(), Refusal> {
        if self.host(onto)?.is_fenced() {
            return Err(Refusal::Fenced(onto));
        }
        if onto == slot || self.is_draining(onto) {
            return Err(Refusal::Draining(onto));
        }
        let on_both = |partition: &Partition| partition.wanted().contains(&slot) && partition.wanted().contains(&onto);
        match self.all_partitions().find(|(.., partition)| on_both(partition)) {
            Some((topic, partition, _)) => {
                Err(Refusal::HeldByBoth { slot, onto, topic: topic.name.clone(), partition })
            }
            None => Ok(()),
        }
    }

    /// The brokers that take what others have to give: they host partitions, are alive, and are not to be emptied.
    fn takers(&self) -> impl Iterator<Item = BrokerSlot> {
        let takes = |(slot, known): &(BrokerSlot, &super::Broker)| !known.is_fenced() && !self.is_draining(*slot);
        self.brokers().filter(takes).map(|(slot, _)| slot)
    }
}

#[cfg(test)]
mod tests;
