//! Partitions move to other brokers (KIP-455).
//!
//! ```text
//!   replicas [0 1 2], wanted [3 1]
//!     begin    -> replicas [3 1 0 2], adding [3], removing [0 2]
//!     3 joins the in-sync set, a leader that goes hands over to one that stays
//!     complete -> replicas [3 1]
//! ```
//!
//! A move never makes a partition less safe than it was: whoever goes stays until everybody who comes is in sync, and
//! leaves the in-sync set in the same step in which it stops to be a replica.

use super::{Answer, Choice, Image, Partition, Refusal};
use model::{BrokerSlot, PartitionId, TopicId};
use serde::{Deserialize, Serialize};

/// Where a partition is to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionId,
    /// Its replicas, the preferred leader first; `None` takes back a move under way.
    pub replicas: Option<Vec<BrokerSlot>>,
}

/// A move under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reassignment {
    /// The replicas it ends with, the preferred leader first.
    pub target: Vec<BrokerSlot>,
    /// Those it began with, which it goes back to when it is taken back.
    pub origin: Vec<BrokerSlot>,
}

impl Partition {
    /// Brokers that are to become replicas.
    pub fn adding(&self) -> Vec<BrokerSlot> {
        let Some(Reassignment { target, origin }) = &self.reassignment else { return vec![] };
        target.iter().copied().filter(|slot| !origin.contains(slot)).collect()
    }

    /// Brokers that are replicas for no longer than the move takes.
    pub fn removing(&self) -> Vec<BrokerSlot> {
        let Some(Reassignment { target, .. }) = &self.reassignment else { return vec![] };
        self.replicas.iter().copied().filter(|slot| !target.contains(slot)).collect()
    }

    /// How many replicas it has once nothing moves.
    pub fn replica_count(&self) -> usize {
        self.reassignment.as_ref().map_or(self.replicas.len(), |moving| moving.target.len())
    }

    /// Who leads best of those that are `fit`: the first replica; where the leader is to go, any that stays.
    pub(super) fn wanted_leader(&self, fit: impl Fn(BrokerSlot) -> bool) -> Option<BrokerSlot> {
        let leader = self.leader.map(|leader| leader.broker);
        let goes =
            self.reassignment.as_ref().filter(|moving| leader.is_some_and(|slot| !moving.target.contains(&slot)));
        match goes {
            Some(moving) => moving.target.iter().copied().find(|slot| fit(*slot)),
            None => self.replicas.first().copied().filter(|slot| fit(*slot)),
        }
    }

    /// Whether its move waits for nothing but a leader that goes.
    fn waits_for_leader(&self) -> bool {
        let Some(Reassignment { target, .. }) = &self.reassignment else { return false };
        let goes = self.leader.is_some_and(|leader| !target.contains(&leader.broker));
        goes && self.adding().iter().all(|slot| self.isr.contains(slot))
    }

    fn begin(&mut self, target: Vec<BrokerSlot>) {
        let origin = self.reassignment.take().map_or_else(|| self.replicas.clone(), |moving| moving.origin);
        let leader = self.leader.map(|leader| leader.broker);
        // Who came by a move that is replaced, and is needed already, goes like one of the first.
        let is_needed = |slot: &BrokerSlot| origin.contains(slot) || self.isr.contains(slot) || leader == Some(*slot);
        let staying = self.replicas.iter().copied().filter(|slot| is_needed(slot) && !target.contains(slot));
        self.replicas = target.iter().copied().chain(staying).collect();
        self.reassignment = Some(Reassignment { target, origin });
        self.partition_epoch += 1;
    }

    /// Ends the move, if everybody who comes is in sync, somebody in sync stays, and no leader goes.
    pub(super) fn complete(&mut self, min_insync: usize) {
        let Some(Reassignment { target, .. }) = &self.reassignment else { return };
        let goes = |slot: &BrokerSlot| !target.contains(slot);
        let all_came = self.adding().iter().all(|slot| self.isr.contains(slot));
        let is_held = self.isr.iter().any(|slot| !goes(slot));
        if !all_came || !is_held || self.leader.is_some_and(|leader| goes(&leader.broker)) {
            return;
        }
        self.isr.retain(|slot| target.contains(slot));
        self.offline.retain(|slot| target.contains(slot));
        self.replicas = target.clone();
        self.reassignment = None;
        self.review_eligible(min_insync);
        self.partition_epoch += 1;
    }
}

impl Image {
    /// Begins all of `moves`, or none.
    pub(super) fn reassign(&mut self, moves: &[Move]) -> Result<Answer, Refusal> {
        for one in moves {
            self.check_move(one)?;
        }
        let mut answer = Answer::Unchanged;
        for Move { topic, partition, replicas } in moves {
            let Some(known) = self.partition(*topic, *partition) else { continue };
            let target = replicas.clone().or_else(|| Some(known.reassignment.as_ref()?.origin.clone()));
            let settled = |target: &Vec<BrokerSlot>| known.reassignment.is_none() && known.replicas == *target;
            let Some(target) = target.filter(|target| !settled(target)) else { continue };
            if let Some(moved) = self.partition_mut(*topic, *partition) {
                moved.begin(target);
                answer = Answer::Applied;
            }
            // How many replicas there are to be may say how many have to be in sync.
            self.review_eligible(*topic);
            let min_insync = self.min_insync(*topic);
            if let Some(moved) = self.partition_mut(*topic, *partition) {
                moved.complete(min_insync);
            }
        }
        Ok(answer)
    }

    /// What the broker in `slot` has to hand over of `partitions` for their moves to end.
    pub fn leads_until_moved(
        &self,
        slot: BrokerSlot,
        partitions: impl IntoIterator<Item = (TopicId, PartitionId)>,
    ) -> Vec<Choice> {
        let waits = |(topic, number): &(TopicId, PartitionId)| {
            self.partition(*topic, *number).is_some_and(Partition::waits_for_leader)
        };
        let waiting = partitions.into_iter().filter(waits);
        waiting.filter_map(|(topic, number)| self.leads_for_others_in(slot, topic, number)).collect()
    }

    /// Whether a partition can be moved so.
    ///
    /// # Errors
    /// [`Refusal`] says what is wrong with it.
    pub fn check_move(&self, Move { topic, partition, replicas }: &Move) -> Result<(), Refusal> {
        let unknown = Refusal::UnknownPartition { topic: *topic, partition: *partition };
        let known = self.topic(*topic).ok_or(Refusal::UnknownTopic(*topic))?.partition(*partition).ok_or(unknown)?;
        let Some(replicas) = replicas else {
            let not_moving = Refusal::NotMoving { topic: *topic, partition: *partition };
            return known.reassignment.as_ref().map(drop).ok_or(not_moving);
        };
        let repeated = replicas.iter().enumerate().any(|(at, slot)| replicas[..at].contains(slot));
        if replicas.is_empty() || repeated {
            return Err(Refusal::BadReplicas(replicas.clone()));
        }
        if let Some(stranger) = replicas.iter().find(|slot| self.broker(**slot).is_none_or(|known| known.desk)) {
            return Err(Refusal::UnknownBroker(*stranger));
        }
        let is_new = |slot: &&BrokerSlot| self.is_draining(**slot) && !known.wanted().contains(slot);
        replicas.iter().find(is_new).map_or(Ok(()), |slot| Err(Refusal::Draining(*slot)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Command;
    use super::super::samples::{cluster, create_on, grant};
    use super::*;

    const ZERO: PartitionId = PartitionId(0);

    fn slots(slots: &[u16]) -> Vec<BrokerSlot> {
        slots.iter().copied().map(BrokerSlot).collect()
    }

    /// Five brokers and a partition on the first three of them, led by the first.
    fn led() -> (Image, TopicId) {
        let mut image = cluster(5);
        image.apply(Command::Obey { council_index: 1, grant: grant("orders", "r1", 1) }).unwrap();
        let topic = create_on(&mut image, "eu.orders", Some("orders"), &[&[0, 1, 2]]);
        let session = image.broker(BrokerSlot(0)).unwrap().session;
        let starts = image.starts_due(BrokerSlot(0));
        image.apply(Command::StartLeaders { broker: BrokerSlot(0), session, starts }).unwrap();
        (image, topic)
    }

    fn reassign(image: &mut Image, topic: TopicId, replicas: Option<&[u16]>) -> Result<Answer, Refusal> {
        let moves = vec![Move { topic, partition: ZERO, replicas: replicas.map(slots) }];
        image.apply(Command::Reassign { moves })
    }

    fn partition(image: &Image, topic: TopicId) -> &Partition {
        image.partition(topic, ZERO).unwrap()
    }

    /// The leader reports who is in sync.
    fn in_sync(image: &mut Image, topic: TopicId, members: &[u16]) {
        let (leader, partition_epoch) =
            (partition(image, topic).leader.unwrap(), partition(image, topic).partition_epoch);
        let joined = image.brokers().map(|(slot, known)| (slot, known.session)).collect();
        let command = Command::ChangeIsr {
            topic,
            partition: ZERO,
            leader: leader.broker,
            session: leader.session,
            partition_epoch,
            isr: slots(members),
            joined,
        };
        image.apply(command).unwrap();
    }

    fn hand_over(image: &mut Image, topic: TopicId) -> Vec<Choice> {
        let leader = partition(image, topic).leader.unwrap();
        let moves = image.leads_for_others(leader.broker);
        let (broker, session) = (leader.broker, leader.session);
        image.apply(Command::MoveLeaders { broker, session, moves: moves.clone() }).unwrap();
        moves
    }

    #[test]
    fn who_goes_stays_until_everybody_who_comes_is_in_sync_and_leads() {
        let (mut image, topic) = led();
        assert_eq!(reassign(&mut image, topic, Some(&[3, 1])), Ok(Answer::Applied));
        let moving = partition(&image, topic);
        assert_eq!((&moving.replicas, &moving.isr), (&slots(&[3, 1, 0, 2]), &slots(&[0, 1, 2])));
        assert_eq!((moving.adding(), moving.removing(), moving.replica_count()), (slots(&[3]), slots(&[0, 2]), 2));
        let due = |image: &Image| image.leads_until_moved(BrokerSlot(0), [(topic, ZERO)]);
        assert_eq!(due(&image), vec![], "one has not come");
        in_sync(&mut image, topic, &[0, 1, 2, 3]);
        assert!(partition(&image, topic).reassignment.is_some(), "the leader goes, and has not handed over");
        assert_eq!(due(&image), vec![Choice { topic, partition: ZERO, leader: BrokerSlot(3) }]);
        assert_eq!(hand_over(&mut image, topic)[0].leader, BrokerSlot(3));
        let moved = partition(&image, topic);
        assert_eq!((&moved.replicas, &moved.isr, &moved.reassignment), (&slots(&[3, 1]), &slots(&[1, 3]), &None));
        assert_eq!(moved.leader.unwrap().broker, BrokerSlot(3));
    }

    #[test]
    fn a_leader_that_goes_hands_over_to_any_that_stays() {
        let (mut image, topic) = led();
        reassign(&mut image, topic, Some(&[3, 2])).unwrap();
        let heir = hand_over(&mut image, topic);
        assert_eq!(heir[0].leader, BrokerSlot(2), "the first one is not in sync yet");
        assert_eq!(partition(&image, topic).replicas, slots(&[3, 2, 0, 1]));
    }

    #[test]
    fn fewer_replicas_are_left_at_once_and_a_new_order_is_taken_at_once() {
        let (mut image, topic) = led();
        reassign(&mut image, topic, Some(&[0])).unwrap();
        let alone = partition(&image, topic);
        assert_eq!((&alone.replicas, &alone.isr, &alone.reassignment), (&slots(&[0]), &slots(&[0]), &None));
        reassign(&mut image, topic, Some(&[1, 0, 2])).unwrap();
        assert_eq!(partition(&image, topic).adding(), slots(&[1, 2]));
        in_sync(&mut image, topic, &[0, 1]);
        assert!(partition(&image, topic).reassignment.is_some());
        in_sync(&mut image, topic, &[0, 1, 2]);
        assert_eq!(partition(&image, topic).reassignment, None);
        reassign(&mut image, topic, Some(&[2, 1, 0])).unwrap();
        assert_eq!(
            (&partition(&image, topic).replicas, image.leads_for_others(BrokerSlot(0)).len()),
            (&slots(&[2, 1, 0]), 1)
        );
        assert_eq!(reassign(&mut image, topic, Some(&[2, 1, 0])), Ok(Answer::Unchanged));
    }

    #[test]
    fn a_move_is_taken_back_or_replaced() {
        let (mut image, topic) = led();
        assert!(matches!(reassign(&mut image, topic, None), Err(Refusal::NotMoving { .. })));
        reassign(&mut image, topic, Some(&[3, 4])).unwrap();
        reassign(&mut image, topic, None).unwrap();
        let back = partition(&image, topic);
        assert_eq!((&back.replicas, &back.isr, &back.reassignment), (&slots(&[0, 1, 2]), &slots(&[0, 1, 2]), &None));

        reassign(&mut image, topic, Some(&[3, 4])).unwrap();
        in_sync(&mut image, topic, &[0, 1, 2, 3]);
        hand_over(&mut image, topic);
        assert_eq!(partition(&image, topic).leader.unwrap().broker, BrokerSlot(3));
        reassign(&mut image, topic, None).unwrap();
        let moving = partition(&image, topic);
        assert_eq!((&moving.replicas, moving.removing()), (&slots(&[0, 1, 2, 3]), slots(&[3])));
        hand_over(&mut image, topic);
        let back = partition(&image, topic);
        assert_eq!((&back.replicas, &back.reassignment), (&slots(&[0, 1, 2]), &None));
        assert_eq!(back.isr, slots(&[0, 1, 2]));
    }

    #[test]
    fn a_broker_that_dies_on_the_way_does_not_end_the_move_early() {
        let (mut image, topic) = led();
        reassign(&mut image, topic, Some(&[3, 4])).unwrap();
        in_sync(&mut image, topic, &[0, 1, 2, 3]);
        let session = image.broker(BrokerSlot(0)).unwrap().session;
        image.apply(Command::Fence { reign: image.reign(), broker: BrokerSlot(0), session, choices: vec![] }).unwrap();
        let moving = partition(&image, topic);
        assert_eq!(moving.leader.unwrap().broker, BrokerSlot(3), "the first replica in sync");
        assert!(moving.reassignment.is_some(), "the other one has not come");
        in_sync(&mut image, topic, &[1, 2, 3, 4]);
        let moved = partition(&image, topic);
        assert_eq!((&moved.replicas, &moved.isr, &moved.reassignment), (&slots(&[3, 4]), &slots(&[3, 4]), &None));
    }

    #[test]
    fn what_cannot_be_is_refused_and_nothing_begins() {
        let (mut image, topic) = led();
        let before = image.clone();
        assert!(matches!(reassign(&mut image, topic, Some(&[])), Err(Refusal::BadReplicas(_))));
        assert!(matches!(reassign(&mut image, topic, Some(&[1, 1])), Err(Refusal::BadReplicas(_))));
        assert_eq!(reassign(&mut image, topic, Some(&[1, 9])), Err(Refusal::UnknownBroker(BrokerSlot(9))));
        let good = Move { topic, partition: ZERO, replicas: Some(slots(&[3])) };
        let bad = Move { topic, partition: PartitionId(7), replicas: Some(slots(&[3])) };
        let both = image.apply(Command::Reassign { moves: vec![good, bad] });
        assert!(matches!(both, Err(Refusal::UnknownPartition { .. })));
        assert_eq!(image, before);
    }
}
