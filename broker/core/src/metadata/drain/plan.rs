//! What moves next from the brokers that are emptied.

use crate::metadata::{Image, Location, Move, Partition};
use model::BrokerSlot;
use std::collections::BTreeMap;

impl Image {
    /// The moves that are to be begun now so that at most `at_once` partitions are leaving the brokers that are emptied.
    /// Nothing while no broker is.
    ///
    /// A replica is replaced in its place of the order by the broker whose data centre, then whose rack, holds the fewest of
    /// the partition, then by the one that holds the least; or by the one that is to take all. A partition without a leader
    /// waits for one: nobody could give it away. Where the broker that was to come has died on the way another one comes.
    pub fn drain_moves(&self, at_once: usize) -> Vec<Move> {
        if self.drains.is_empty() {
            return vec![];
        }
        let mut chooser = Chooser::new(self);
        let mut room = at_once.saturating_sub(self.all_partitions().filter(|(.., p)| self.is_leaving(p)).count());
        let mut moves = vec![];
        for (topic, number, partition) in self.all_partitions() {
            let begun = self.is_leaving(partition);
            if partition.leader.is_none() || room == 0 && !begun {
                continue;
            }
            let Some(replicas) = chooser.replicas(partition) else { continue };
            room -= usize::from(!begun);
            moves.push(Move { topic: topic.id, partition: number, replicas: Some(replicas) });
        }
        moves
    }

    /// Whether a partition is on its way from a broker that is emptied, and somebody leads it, so that it can get on.
    fn is_leaving(&self, partition: &Partition) -> bool {
        let goes = partition.removing().iter().any(|slot| self.is_draining(*slot));
        goes && partition.leader.is_some()
    }
}

/// Chooses brokers for replicas that have to go, and remembers whom it has chosen.
struct Chooser<'a> {
    image: &'a Image,
    /// How many replicas every broker that takes some is to hold.
    held: BTreeMap<BrokerSlot, usize>,
}

impl<'a> Chooser<'a> {
    fn new(image: &'a Image) -> Self {
        let mut held: BTreeMap<_, usize> = image.takers().map(|slot| (slot, 0)).collect();
        for (.., partition) in image.all_partitions() {
            for slot in partition.wanted() {
                held.entry(*slot).and_modify(|held| *held += 1);
            }
        }
        Self { image, held }
    }

    /// The replicas the partition is to have instead; `None` where none has to go, or nobody can come.
    fn replicas(&mut self, partition: &Partition) -> Option<Vec<BrokerSlot>> {
        let (wanted, adding) = (partition.wanted(), partition.adding());
        // Who died on the way is replaced only where the move is for a broker that is emptied.
        let for_drain = partition.removing().iter().any(|slot| self.image.is_draining(*slot));
        let is_lost = |slot: &BrokerSlot| for_drain && adding.contains(slot) && !self.image.is_unfenced(*slot);
        let goes = |slot: &BrokerSlot| self.image.is_draining(*slot) || is_lost(slot);
        let mut replicas: Vec<_> = wanted.iter().map(|slot| Some(*slot).filter(|slot| !goes(slot))).collect();
        let onto = self.heir(partition);
        let mut is_changed = false;
        for place in 0..replicas.len() {
            if replicas[place].is_some() {
                continue;
            }
            let taken: Vec<_> = replicas.iter().flatten().copied().collect();
            replicas[place] = Some(self.choose(&taken, onto)?);
            is_changed = true;
        }
        is_changed.then(|| replicas.into_iter().flatten().collect())
    }

    /// The broker that is to take all, where a broker that goes names one.
    fn heir(&self, partition: &Partition) -> Option<BrokerSlot> {
        let origin = partition.reassignment.as_ref().map_or(&partition.replicas, |moving| &moving.origin);
        origin.iter().chain(partition.wanted()).find_map(|slot| self.image.drain_of(*slot)?.onto)
    }

    fn choose(&mut self, taken: &[BrokerSlot], onto: Option<BrokerSlot>) -> Option<BrokerSlot> {
        let chosen = match onto.filter(|onto| !taken.contains(onto)) {
            // Only this one: it is waited for where it is away.
            Some(onto) => Some(onto).filter(|onto| self.held.contains_key(onto))?,
            None => {
                let free = self.held.iter().filter(|(slot, _)| !taken.contains(slot));
                *free.min_by_key(|(slot, held)| (self.crowd(taken, **slot), **held, **slot))?.0
            }
        };
        self.held.entry(chosen).and_modify(|held| *held += 1);
        Some(chosen)
    }

    /// How many of `taken` stand in the data centre, and how many in the rack, of the broker in `slot`.
    fn crowd(&self, taken: &[BrokerSlot], slot: BrokerSlot) -> (usize, usize) {
        let Some(here) = self.location(slot) else { return (usize::MAX, usize::MAX) };
        let beside = || taken.iter().filter_map(|other| self.location(*other));
        let same_centre = beside().filter(|other| other.data_centre == here.data_centre).count();
        (same_centre, beside().filter(|other| *other == here).count())
    }

    fn location(&self, slot: BrokerSlot) -> Option<&'a Location> {
        self.image.broker(slot).map(|known| &known.location)
    }
}
