//! Which brokers hold a partition.

use super::{Broker, Image, Location};
use model::{BrokerSlot, TopicId};
use std::collections::BTreeMap;

/// Where replicas of one topic are placed: on which brokers, and how many of each partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The brokers, each far from the one before.
    order: Vec<(BrokerSlot, Location)>,
    /// How many replicas each partition has.
    replicas: usize,
    /// Where the first partition begins: another place for another topic.
    start: usize,
}

impl Placement {
    /// For `topic` on the brokers of `image` that `may_hold` it and are not to be emptied, with as many of the `replicas` as there are brokers.
    pub fn of(image: &Image, topic: TopicId, replicas: usize, may_hold: impl Fn(&Broker) -> bool) -> Self {
        let brokers = image.brokers().filter(|(slot, known)| may_hold(known) && !image.is_draining(*slot));
        Self::on(brokers.map(|(slot, known)| (slot, known.location.clone())).collect(), topic, replicas)
    }

    fn on(brokers: Vec<(BrokerSlot, Location)>, topic: TopicId, replicas: usize) -> Self {
        let replicas = replicas.min(brokers.len());
        let start = (topic.0.as_u128() % brokers.len().max(1) as u128) as usize;
        Self { order: spread(brokers), replicas, start }
    }

    /// How many replicas each partition gets.
    pub fn replicas(&self) -> usize {
        self.replicas
    }

    /// The replicas of partitions `from..to`, the preferred leader first. Every broker leads as many as any other, give
    /// or take one; of the others those come first whose data centre, then whose rack, holds the fewest of the partition.
    pub fn partitions(&self, from: i32, to: i32) -> Vec<Vec<BrokerSlot>> {
        (from.max(0)..to).map(|partition| self.partition(partition as usize)).collect()
    }

    fn partition(&self, partition: usize) -> Vec<BrokerSlot> {
        let count = self.order.len();
        let mut chosen: Vec<usize> = Vec::with_capacity(self.replicas);
        while chosen.len() < self.replicas {
            // The followers begin elsewhere in every round, so that no two brokers share all of their partitions.
            let shift = if chosen.is_empty() { 0 } else { 1 + partition / count };
            let first = self.start + partition + shift;
            let free = (0..count).map(|step| (first + step) % count).filter(|at| !chosen.contains(at));
            let Some(next) = free.min_by_key(|at| self.crowd(&chosen, *at)) else { break };
            chosen.push(next);
        }
        chosen.into_iter().map(|at| self.order[at].0).collect()
    }

    /// How many of `chosen` stand in the data centre, and how many in the rack, of the broker `at`.
    fn crowd(&self, chosen: &[usize], at: usize) -> (usize, usize) {
        let here = &self.order[at].1;
        let beside = chosen.iter().map(|other| &self.order[*other].1);
        let same_centre = beside.clone().filter(|other| other.data_centre == here.data_centre).count();
        (same_centre, beside.filter(|other| *other == here).count())
    }
}

/// Takes one broker of every data centre in turn, and within it one of every rack in turn.
fn spread(brokers: Vec<(BrokerSlot, Location)>) -> Vec<(BrokerSlot, Location)> {
    let mut centres: BTreeMap<String, BTreeMap<String, Vec<(BrokerSlot, Location)>>> = BTreeMap::new();
    for broker in brokers {
        let Location { data_centre, rack } = broker.1.clone();
        centres.entry(data_centre).or_default().entry(rack).or_default().push(broker);
    }
    let racks = |centre: BTreeMap<_, Vec<_>>| in_turn(centre.into_values().collect());
    in_turn(centres.into_values().map(racks).collect())
}

/// The first of every list, then the second of every list, and so on.
fn in_turn<T>(lists: Vec<Vec<T>>) -> Vec<T> {
    let longest = lists.iter().map(Vec::len).max().unwrap_or(0);
    let mut lists: Vec<_> = lists.into_iter().map(Vec::into_iter).collect();
    (0..longest).flat_map(|_| lists.iter_mut().filter_map(Iterator::next).collect::<Vec<_>>()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn broker(slot: u16, data_centre: &str, rack: &str) -> (BrokerSlot, Location) {
        (BrokerSlot(slot), Location { data_centre: data_centre.to_owned(), rack: rack.to_owned() })
    }

    fn topic(number: u128) -> TopicId {
        TopicId(uuid::Uuid::from_u128(number))
    }

    fn slots(slots: &[u16]) -> Vec<BrokerSlot> {
        slots.iter().copied().map(BrokerSlot).collect()
    }

    #[test]
    fn leaders_go_round_and_another_topic_begins_elsewhere() {
        let brokers = || (0..3).map(|slot| broker(slot, "", "")).collect::<Vec<_>>();
        let placed = Placement::on(brokers(), topic(0), 3).partitions(0, 3);
        assert_eq!(placed, vec![slots(&[0, 1, 2]), slots(&[1, 2, 0]), slots(&[2, 0, 1])]);
        assert_eq!(Placement::on(brokers(), topic(1), 3).partitions(0, 1), vec![slots(&[1, 2, 0])]);
        assert_eq!(Placement::on(brokers()[..1].to_vec(), topic(1), 3).partitions(0, 2), vec![slots(&[0]); 2]);
        assert_eq!(Placement::on(vec![], topic(1), 3).partitions(0, 2), vec![slots(&[]); 2]);
    }

    #[test]
    fn partitions_that_are_added_go_on_where_the_others_ended() {
        let placement = Placement::on((0..4).map(|slot| broker(slot, "", "")).collect(), topic(9), 2);
        let (all, first) = (placement.partitions(0, 11), placement.partitions(0, 6));
        assert_eq!([first, placement.partitions(6, 11)].concat(), all);
    }

    #[test]
    fn replicas_lie_in_other_data_centres_first_and_in_other_racks_next() {
        let brokers = vec![
            broker(0, "east", "a"),
            broker(1, "east", "a"),
            broker(2, "east", "b"),
            broker(3, "west", "a"),
            broker(4, "west", "b"),
        ];
        let place: BTreeMap<_, _> = brokers.iter().cloned().collect();
        for replicas in Placement::on(brokers, topic(3), 3).partitions(0, 20) {
            let centres: BTreeSet<_> = replicas.iter().map(|slot| &place[slot].data_centre).collect();
            let racks: BTreeSet<_> = replicas.iter().map(|slot| &place[slot]).collect();
            assert_eq!((centres.len(), racks.len()), (2, 3), "{replicas:?}");
        }
    }

    proptest! {
        #[test]
        fn replicas_are_different_brokers_and_leaders_are_balanced(
            racks in prop::collection::vec((0_u8..3, 0_u8..3), 1..8),
            replicas in 1_usize..5,
            (number, partitions) in (any::<u128>(), 1_i32..60),
        ) {
            let at = |(slot, (centre, rack)): (u16, &(u8, u8))| broker(slot, &centre.to_string(), &rack.to_string());
            let brokers: Vec<_> = (0..).zip(&racks).map(at).collect();
            let place: BTreeMap<_, _> = brokers.iter().cloned().collect();
            let placed = Placement::on(brokers, topic(number), replicas).partitions(0, partitions);
            let mut led: BTreeMap<BrokerSlot, i32> = place.keys().map(|slot| (*slot, 0)).collect();
            for replicas_of in &placed {
                let different: BTreeSet<_> = replicas_of.iter().collect();
                prop_assert_eq!(different.len(), replicas.min(place.len()));
                let centres: BTreeSet<_> = replicas_of.iter().map(|slot| &place[slot].data_centre).collect();
                let all: BTreeSet<_> = place.values().map(|location| &location.data_centre).collect();
                prop_assert_eq!(centres.len(), all.len().min(replicas_of.len()));
                *led.get_mut(&replicas_of[0]).unwrap() += 1;
            }
            let (least, most) = (led.values().min().unwrap(), led.values().max().unwrap());
            prop_assert!(most - least <= 1, "{:?}", led);
        }
    }
}
