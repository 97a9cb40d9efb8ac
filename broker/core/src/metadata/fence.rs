//! Brokers come and go: who is let in, who is shut out, and who leads on.
//!
//! ```text
//!   register --> fenced --ready--> unfenced --silent, stopping, or registered again--> fenced
//! ```
//!
//! A session that was fenced is over for good: its broker registers again.

use super::{Admission, Answer, BrokerEpoch, Choice, Image, Refusal, Reign};
use model::BrokerSlot;

impl Image {
    pub(super) fn take_office(&mut self, reign: Reign) -> Result<Answer, Refusal> {
        let before = self.reign;
        self.check_reign(reign)?;
        Ok(if before == reign { Answer::Unchanged } else { Answer::Applied })
    }

    /// Refuses what a controller says after a later one has taken office.
    pub(super) fn check_reign(&mut self, given: Reign) -> Result<(), Refusal> {
        let current = self.reign;
        if given < current {
            return Err(Refusal::ControllerOutdated { given, current });
        }
        self.reign = given;
        Ok(())
    }

    /// The last controller that took office.
    pub fn reign(&self) -> Reign {
        self.reign
    }

    pub(super) fn fence(
        &mut self,
        reign: Reign,
        slot: BrokerSlot,
        session: BrokerEpoch,
        choices: &[Choice],
    ) -> Result<Answer, Refusal> {
        self.check_reign(reign)?;
        self.check_session(slot, session)?;
        match self.brokers.get_mut(&slot) {
            Some(broker) if broker.admission != Admission::Out => broker.admission = Admission::Out,
            _ => return Ok(Answer::Unchanged),
        }
        self.depose(slot, choices);
        Ok(Answer::Applied)
    }

    pub(super) fn unfence(&mut self, reign: Reign, slot: BrokerSlot, session: BrokerEpoch) -> Result<Answer, Refusal> {
        self.check_reign(reign)?;
        self.check_session(slot, session)?;
        match self.brokers.get_mut(&slot).map(|broker| &mut broker.admission) {
            Some(Admission::Out) => return Err(Refusal::Fenced(slot)),
            Some(admission @ Admission::Waiting) => *admission = Admission::In,
            Some(Admission::In) | None => return Ok(Answer::Unchanged),
        }
        self.fill_vacancies(slot);
        Ok(Answer::Applied)
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{cluster, create_on, grant, local_on, register};
    use super::super::{Command, Role, Topic};
    use super::*;
    use model::{Incarnation, LeaderEpoch, OwnershipEpoch, PartitionId, TopicId};

    fn reign(term: u64) -> Reign {
        Reign::of(term, 1_u64)
    }

    fn slots(slots: &[u16]) -> Vec<BrokerSlot> {
        slots.iter().copied().map(BrokerSlot).collect()
    }

    fn start_all(image: &mut Image) {
        for slot in image.brokers().map(|(slot, broker)| (slot, broker.session)).collect::<Vec<_>>() {
            let starts = image.starts_due(slot.0);
            image.apply(Command::StartLeaders { broker: slot.0, session: slot.1, starts }).unwrap();
        }
    }

    /// Three brokers, and a topic the region owns that is placed as given and led.
    fn led(placement: &[&[u16]]) -> (Image, TopicId) {
        let mut image = cluster(3);
        image.obey(1, grant("orders", "r1", 1)).unwrap();
        let topic = create_on(&mut image, "eu.orders", Some("orders"), placement);
        start_all(&mut image);
        (image, topic)
    }

    fn session(image: &Image, slot: u16) -> BrokerEpoch {
        image.broker(BrokerSlot(slot)).unwrap().session
    }

    fn leaders(topic: &Topic) -> Vec<Option<u16>> {
        topic.partitions().map(|(_, partition)| partition.leader.map(|leader| leader.broker.0)).collect()
    }

    #[test]
    fn all_partitions_of_a_silent_broker_get_other_leaders_in_one_batch() {
        let (mut image, topic) = led(&[&[0, 1, 2], &[1, 2, 0], &[0, 2, 1], &[2, 0, 1]]);
        let before = image.clone();
        let session = session(&image, 0);
        let choices = vec![Choice { topic, partition: PartitionId(2), leader: BrokerSlot(1) }];
        image.apply(Command::Fence { reign: reign(1), broker: BrokerSlot(0), session, choices }).unwrap();
        let known = image.topic(topic).unwrap();
        assert_eq!(leaders(known), vec![Some(1), Some(1), Some(1), Some(2)]);
        for (number, partition) in known.partitions() {
            let was = before.partition(topic, number).unwrap();
            assert!(!partition.isr.contains(&BrokerSlot(0)) && partition.isr.len() == 2);
            assert!(partition.partition_epoch > was.partition_epoch);
            let moved = was.leader.unwrap().broker == BrokerSlot(0);
            assert_eq!(
                partition.leader_epoch > was.leader_epoch,
                moved,
                "an epoch is allotted where the leader changes"
            );
        }
    }

    #[test]
    fn a_choice_outside_the_in_sync_set_is_not_followed() {
        let (mut image, topic) = led(&[&[0, 1, 2]]);
        image.change_isr(topic, PartitionId(0), BrokerSlot(0), 1, slots(&[0, 2]), &[]).unwrap();
        let choices = [Choice { topic, partition: PartitionId(0), leader: BrokerSlot(1) }];
        let session = session(&image, 0);
        image.fence(reign(1), BrokerSlot(0), session, &choices).unwrap();
        assert_eq!(leaders(image.topic(topic).unwrap()), vec![Some(2)]);
    }

    #[test]
    fn the_last_member_stays_in_the_set_without_a_leader_and_leads_when_it_is_back() {
        let (mut image, topic) = led(&[&[0, 1]]);
        let old = session(&image, 0);
        image.change_isr(topic, PartitionId(0), BrokerSlot(0), 1, slots(&[0]), &[]).unwrap();
        image.fence(reign(1), BrokerSlot(0), old, &[]).unwrap();
        let partition = image.partition(topic, PartitionId(0)).unwrap();
        assert_eq!((&partition.isr, partition.leader), (&slots(&[0]), None));
        register(&mut image, BrokerSlot(0));
        let partition = image.partition(topic, PartitionId(0)).unwrap();
        let leader = partition.leader.unwrap();
        assert_eq!(leader.role, Role::Owner { leader_epoch: LeaderEpoch::of(OwnershipEpoch(1), 1).unwrap() });
        assert!(leader.session > old);
    }

    #[test]
    fn the_last_member_does_not_lead_with_an_empty_disk_what_others_still_hold() {
        let (mut image, topic) = led(&[&[0, 1], &[0]]);
        let (slot, session) = (BrokerSlot(0), session(&image, 0));
        image.change_isr(topic, PartitionId(0), slot, 1, slots(&[0]), &[]).unwrap();
        image.fence(reign(1), slot, session, &[]).unwrap();
        let session = image.registers(slot, Incarnation(2)).unwrap();
        image.unfence(reign(1), slot, session).unwrap();
        let known = image.partition(topic, PartitionId(0)).unwrap();
        assert_eq!((&known.isr, known.leader), (&slots(&[]), None));
        assert_eq!(leaders(image.topic(topic).unwrap()), vec![None, Some(0)], "the only replica begins anew");
    }

    #[test]
    fn a_broker_that_starts_again_before_it_was_missed_loses_what_it_led() {
        let (mut image, topic) = led(&[&[0, 1, 2]]);
        register(&mut image, BrokerSlot(0));
        let partition = image.partition(topic, PartitionId(0)).unwrap();
        assert_eq!((&partition.isr, partition.leader.unwrap().broker), (&slots(&[1, 2]), BrokerSlot(1)));
    }

    #[test]
    fn a_fenced_session_is_over_for_good_and_a_stale_controller_is_refused() {
        let (mut image, _) = led(&[&[0, 1, 2]]);
        let (slot, old) = (BrokerSlot(0), session(&image, 0));
        image.apply(Command::TakeOffice { reign: reign(3) }).unwrap();
        let stale = image.apply(Command::Fence { reign: reign(2), broker: slot, session: old, choices: vec![] });
        assert_eq!(stale, Err(Refusal::ControllerOutdated { given: reign(2), current: reign(3) }));
        image.fence(reign(3), slot, old, &[]).unwrap();
        assert_eq!(image.start_leaders(slot, old, &[]), Err(Refusal::Fenced(slot)));
        image.registers(slot, Incarnation(1)).unwrap();
        assert!(matches!(image.unfence(reign(3), slot, old), Err(Refusal::SessionOver { .. })));
    }

    #[test]
    fn a_regions_own_topic_moves_too() {
        let mut image = cluster(3);
        let topic = local_on(&mut image, "__consumer_offsets", &[&[0, 1, 2], &[1, 2, 0]]);
        start_all(&mut image);
        image.fence(reign(1), BrokerSlot(1), session(&image, 1), &[]).unwrap();
        assert_eq!(leaders(image.topic(topic).unwrap()), vec![Some(0), Some(2)]);
    }

    #[test]
    fn a_partition_that_is_placed_on_a_fenced_broker_begins_without_it() {
        let mut image = cluster(2);
        image.fence(reign(1), BrokerSlot(0), session(&image, 0), &[]).unwrap();
        let topic = local_on(&mut image, "own", &[&[0, 1], &[0]]);
        let isr = |image: &Image, number| image.partition(topic, PartitionId(number)).unwrap().isr.clone();
        assert_eq!((isr(&image, 0), isr(&image, 1)), (slots(&[1]), slots(&[0])));
    }
}
