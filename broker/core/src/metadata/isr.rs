//! The in-sync set of a partition: who may become its leader without a loss.

use super::{Answer, BrokerEpoch, Image, Refusal};
use model::{BrokerSlot, PartitionId, TopicId};

impl Image {
    pub(super) fn change_isr(
        &mut self,
        topic: TopicId,
        partition: PartitionId,
        leader: BrokerSlot,
        given: u32,
        isr: Vec<BrokerSlot>,
        joined: &[(BrokerSlot, BrokerEpoch)],
    ) -> Result<Answer, Refusal> {
        let unknown = Refusal::UnknownPartition { topic, partition };
        let known = self.topic(topic).ok_or(Refusal::UnknownTopic(topic))?;
        let led = known.partition(partition).ok_or(unknown.clone())?;
        if given != led.partition_epoch {
            return Err(Refusal::PartitionChanged { given, current: led.partition_epoch });
        }
        let leads = led.leader.is_some_and(|known| known.broker == leader) && isr.contains(&leader);
        if !leads || !isr.iter().all(|slot| led.replicas.contains(slot)) {
            return Err(Refusal::BadIsr { leader, isr });
        }
        for slot in isr.iter().filter(|slot| !led.isr.contains(slot)) {
            self.check_joins(*slot, joined)?;
            self.check_online(topic, partition, *slot)?;
        }
        let min_insync = self.min_insync(topic);
        let led = self.partition_mut(topic, partition).ok_or(unknown)?;
        let before = std::mem::replace(&mut led.isr, isr);
        let left: Vec<_> = before.into_iter().filter(|slot| !led.isr.contains(slot)).collect();
        led.note_left(&left, min_insync);
        led.partition_epoch += 1;
        led.complete(min_insync);
        self.leave_offline_leader(topic, partition, None);
        Ok(Answer::Applied)
    }

    /// Refuses a broker that is fenced, or was heard in another session than it is in now (KIP-841, KIP-903).
    fn check_joins(&self, slot: BrokerSlot, joined: &[(BrokerSlot, BrokerEpoch)]) -> Result<(), Refusal> {
        let session = joined.iter().find(|(joined, _)| *joined == slot).map(|(_, session)| *session);
        self.check_unfenced(slot, session.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{SLOT, cluster, create_on, grant, register};
    use super::super::{Command, Under};
    use super::*;
    use model::OwnershipEpoch;

    const ZERO: PartitionId = PartitionId(0);

    fn led_by_the_first_of_two() -> (Image, TopicId) {
        let mut image = cluster(2);
        image.obey(1, grant("orders", "r1", 1)).unwrap();
        let topic = create_on(&mut image, "eu.orders", Some("orders"), &[&[0, 1]]);
        let session = image.broker(SLOT).unwrap().session;
        let starts = image.starts_due(SLOT);
        assert_eq!(starts.len(), 1);
        assert_eq!(starts[0].under, Under::Owner(OwnershipEpoch(1)));
        image.apply(Command::StartLeaders { broker: SLOT, session, starts }).unwrap();
        (image, topic)
    }

    #[test]
    fn an_in_sync_set_changes_only_from_the_state_it_was_decided_on() {
        let (mut image, topic) = led_by_the_first_of_two();
        assert_eq!(image.change_isr(topic, ZERO, SLOT, 1, vec![SLOT], &[]), Ok(Answer::Applied));
        let late = image.change_isr(topic, ZERO, SLOT, 1, vec![SLOT], &[]);
        assert_eq!(late, Err(Refusal::PartitionChanged { given: 1, current: 2 }));
        let stranger = image.change_isr(topic, ZERO, SLOT, 2, vec![SLOT, BrokerSlot(9)], &[]);
        assert!(matches!(stranger, Err(Refusal::BadIsr { .. })));
        assert!(matches!(image.change_isr(topic, ZERO, SLOT, 2, vec![], &[]), Err(Refusal::BadIsr { .. })));
    }

    #[test]
    fn a_broker_joins_in_the_session_it_was_heard_in_and_not_while_it_is_fenced() {
        let (mut image, topic) = led_by_the_first_of_two();
        let other = BrokerSlot(1);
        image.change_isr(topic, ZERO, SLOT, 1, vec![SLOT], &[]).unwrap();
        let heard = image.broker(other).unwrap().session;
        let both = || vec![SLOT, other];
        let restarted = register(&mut image, other);
        let before = image.change_isr(topic, ZERO, SLOT, 2, both(), &[(other, heard)]);
        assert!(matches!(before, Err(Refusal::SessionOver { .. })));
        image.fence(Default::default(), other, restarted, &[]).unwrap();
        let fenced = image.change_isr(topic, ZERO, SLOT, 2, both(), &[(other, restarted)]);
        assert_eq!(fenced, Err(Refusal::Fenced(other)));
        let again = register(&mut image, other);
        assert_eq!(image.change_isr(topic, ZERO, SLOT, 2, both(), &[(other, again)]), Ok(Answer::Applied));
    }
}
