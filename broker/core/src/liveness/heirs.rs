//! Who could lead what a broker leads.

use crate::metadata::{Choice, Image, Partition};
use model::{BrokerSlot, LeaderEpoch, Offset, PartitionId, TopicId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// Where one replica's log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tail {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionId,
    /// The leader epoch of its last batch.
    pub epoch: LeaderEpoch,
    /// Everything below would survive a loss of power; the next offset where nobody waits for the disk.
    pub tail: Offset,
}

/// Whose tails have to be known before the broker in `leaving` is fenced: the partitions it leads that more than one
/// other broker could lead, by broker.
pub fn tails_wanted(image: &Image, leaving: BrokerSlot) -> BTreeMap<BrokerSlot, Vec<(TopicId, PartitionId)>> {
    let mut wanted: BTreeMap<BrokerSlot, Vec<_>> = BTreeMap::new();
    for topic in image.topics() {
        for (number, _) in topic.partitions().filter(|(_, partition)| is_led_by(partition, leaving)) {
            let heirs = image.eligible_without(topic.id, number, leaving);
            if heirs.len() > 1 {
                heirs.into_iter().for_each(|slot| wanted.entry(slot).or_default().push((topic.id, number)));
            }
        }
    }
    wanted
}

/// Where the log of a broker ends, as far as it is compared: by epoch, then by offset.
type End = (BrokerSlot, (LeaderEpoch, Offset));

/// The replica with the largest tail for each partition that the broker in `leaving` leads, as far as `tails` are known;
/// left out where the first replica in sync has it anyway. A later leader epoch counts before a larger offset.
pub fn choose(image: &Image, leaving: BrokerSlot, tails: &BTreeMap<BrokerSlot, Vec<Tail>>) -> Vec<Choice> {
    let mut ends: HashMap<(TopicId, PartitionId), Vec<End>> = HashMap::new();
    for (slot, tails) in tails {
        for tail in tails {
            ends.entry((tail.topic, tail.partition)).or_default().push((*slot, (tail.epoch, tail.tail)));
        }
    }
    let chosen = ends.into_iter().filter_map(|((topic, number), ends)| {
        image.partition(topic, number).filter(|partition| is_led_by(partition, leaving))?;
        let leader = longest(&image.eligible_without(topic, number, leaving), &ends)?;
        Some(Choice { topic, partition: number, leader })
    });
    let mut chosen: Vec<_> = chosen.collect();
    chosen.sort_unstable_by_key(|choice| (choice.topic, choice.partition));
    chosen
}

/// Whether there is something that the broker in `slot` leads and another one in sync could lead, and nothing that would
/// fall to one that is not in sync.
pub(super) fn can_be_replaced(image: &Image, slot: BrokerSlot) -> bool {
    let mut some = false;
    for topic in image.topics() {
        for (number, partition) in topic.partitions().filter(|(_, partition)| is_led_by(partition, slot)) {
            match image.eligible_without(topic.id, number, slot).first() {
                Some(heir) if partition.isr.contains(heir) || partition.elr.contains(heir) => some = true,
                Some(_) => return false,
                None => {}
            }
        }
    }
    some
}

fn is_led_by(partition: &Partition, slot: BrokerSlot) -> bool {
    partition.leader.is_some_and(|leader| leader.broker == slot)
}

/// The heir with the longest log, if that is not the first.
fn longest(heirs: &[BrokerSlot], ends: &[End]) -> Option<BrokerSlot> {
    let end = |slot: BrokerSlot| ends.iter().find(|(known, _)| *known == slot).map(|(_, end)| *end);
    // The first of equals is kept: the order of the replicas is the order of preference.
    let best = heirs.iter().copied().reduce(|best, slot| if end(slot) > end(best) { slot } else { best })?;
    heirs.first().is_some_and(|first| *first != best).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::samples::{cluster, draft, grant, local_on};
    use crate::metadata::{Command, TopicDraft};

    const ZERO: BrokerSlot = BrokerSlot(0);

    fn start_all(image: &mut Image) {
        for (slot, known) in image.clone().brokers() {
            let starts = image.starts_due(slot);
            image.apply(Command::StartLeaders { broker: slot, session: known.session, starts }).unwrap();
        }
    }

    #[test]
    fn the_replica_in_sync_with_the_largest_tail_is_chosen() {
        let mut image = cluster(3);
        image.apply(Command::Obey { council_index: 1, grant: grant("orders", "r1", 1) }).unwrap();
        let topic = local_on(&mut image, "own", &[&[0, 1, 2], &[0, 1, 2], &[0, 2, 1], &[1, 2, 0], &[0, 1]]);
        start_all(&mut image);
        let (one, two) = (BrokerSlot(1), BrokerSlot(2));
        let those = |numbers: &[i32]| numbers.iter().map(|number| (topic, PartitionId(*number))).collect::<Vec<_>>();
        let wanted = tails_wanted(&image, ZERO);
        assert_eq!(wanted, BTreeMap::from([(one, those(&[0, 1, 2])), (two, those(&[0, 1, 2]))]));
        let tail = |number: i32, epoch: i32, tail: i64| {
            let (partition, epoch, tail) = (PartitionId(number), LeaderEpoch(epoch), Offset(tail));
            Tail { topic, partition, epoch, tail }
        };
        let tails = BTreeMap::from([
            (one, vec![tail(0, 3, 10), tail(1, 3, 10), tail(2, 3, 90), tail(3, 3, 1)]),
            (two, vec![tail(0, 3, 11), tail(1, 3, 10), tail(2, 4, 7)]),
        ]);
        assert_eq!(choose(&image, ZERO, &tails), vec![Choice { topic, partition: PartitionId(0), leader: two }]);
        let only_one = BTreeMap::from([(two, vec![tail(1, 3, 1)])]);
        let chosen = choose(&image, ZERO, &only_one);
        assert_eq!(
            chosen,
            vec![Choice { topic, partition: PartitionId(1), leader: two }],
            "who is not heard may be gone"
        );
    }

    #[test]
    fn a_leader_is_replaced_only_where_one_in_sync_can_lead_and_no_other_has_to() {
        let mut image = cluster(3);
        let one = BrokerSlot(1);
        assert!(!can_be_replaced(&image, ZERO), "it leads nothing");
        local_on(&mut image, "own", &[&[0]]);
        start_all(&mut image);
        assert!(!can_be_replaced(&image, ZERO), "nobody else holds it");
        local_on(&mut image, "shared", &[&[0, 1]]);
        // Here a replica may lead that is not in sync, once the other one is not.
        let config = BTreeMap::from([("unclean.leader.election.enable".to_owned(), "true".to_owned())]);
        let risky = TopicDraft { config, placement: vec![vec![one, ZERO]], ..draft("risky", None, 1) };
        let topic = risky.id;
        image.apply(Command::CreateTopic { council_index: None, topic: risky }).unwrap();
        start_all(&mut image);
        assert!(can_be_replaced(&image, ZERO) && can_be_replaced(&image, one));
        let partition = PartitionId(0);
        let known = image.partition(topic, partition).unwrap();
        let (session, partition_epoch) = (known.leader.unwrap().session, known.partition_epoch);
        let (isr, joined) = (vec![one], vec![]);
        let shrink = Command::ChangeIsr { topic, partition, leader: one, session, partition_epoch, isr, joined };
        image.apply(shrink).unwrap();
        assert!(!can_be_replaced(&image, one), "records would be lost");
    }
}
