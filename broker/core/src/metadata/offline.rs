//! Replicas whose log cannot be used though their broker is alive: a disk of it failed (KIP-112, KIP-858).
//!
//! ```text
//!   in use --the broker says so--> offline: out of the in-sync set, never elected
//!      ^                              |
//!      '---- the broker's next session: it looks at its disks again
//! ```
//!
//! Somebody else in sync leads on. Where there is nobody, the leader stays: it refuses writes, and gives away what it can
//! still read, until somebody else has caught up. What the last member alone has is not given up.

use super::{Answer, BrokerEpoch, Choice, Image, Partition, Refusal};
use model::{BrokerSlot, PartitionId, TopicId};
use std::collections::HashMap;

/// Partitions, by topic and number.
type Places = [(TopicId, PartitionId)];

impl Image {
    /// The broker in `slot` cannot use its logs of `failed`, nor those of `lost`, which are gone: these begin anew where
    /// somebody else is in sync. `choices` lead on where they may.
    pub(super) fn fail_replicas(
        &mut self,
        slot: BrokerSlot,
        session: BrokerEpoch,
        (failed, lost): (&Places, &Places),
        choices: &[Choice],
    ) -> Result<Answer, Refusal> {
        self.check_session(slot, session)?;
        let wanted: HashMap<_, _> =
            choices.iter().map(|choice| ((choice.topic, choice.partition), choice.leader)).collect();
        let only_here = |(topic, number): &&(TopicId, PartitionId)| {
            self.partition(*topic, *number).is_some_and(|known| !known.isr.iter().any(|member| *member != slot))
        };
        let kept_by_nobody: Vec<_> = lost.iter().filter(only_here).copied().collect();
        let mut answer = Answer::Unchanged;
        for (topic, number) in failed.iter().copied().chain(kept_by_nobody) {
            let min_insync = self.min_insync(topic);
            if self.partition_mut(topic, number).is_some_and(|known| known.fail(slot, min_insync)) {
                answer = Answer::Applied;
                self.leave_offline_leader(topic, number, wanted.get(&(topic, number)).copied());
            }
        }
        Ok(answer)
    }

    /// Lets another replica lead where the leader's log cannot be used, as soon as one may: `wanted`, if that may.
    pub(super) fn leave_offline_leader(&mut self, topic: TopicId, number: PartitionId, wanted: Option<BrokerSlot>) {
        let live = self.live();
        let Some(known) = self.partition(topic, number) else { return };
        let leader = known.leader.map(|leader| leader.broker).filter(|leader| known.offline.contains(leader));
        let Some(leader) = leader.filter(|_| !self.eligible(topic, number, &live).is_empty()) else { return };
        let min_insync = self.min_insync(topic);
        if let Some(known) = self.partition_mut(topic, number) {
            known.leave(leader, min_insync);
            self.elect(topic, number, &live, wanted);
        }
    }

    /// The broker in `slot` begins another session: it will say which of its logs it cannot use.
    pub(super) fn trust_disks(&mut self, slot: BrokerSlot) {
        for (topic, number) in self.partitions_where(|known| known.offline.contains(&slot)) {
            if let Some(known) = self.partition_mut(topic, number) {
                known.offline.retain(|offline| *offline != slot);
                known.partition_epoch += 1;
            }
        }
    }

    pub(super) fn check_online(&self, topic: TopicId, partition: PartitionId, slot: BrokerSlot) -> Result<(), Refusal> {
        let is_offline = self.partition(topic, partition).is_some_and(|known| known.offline.contains(&slot));
        if is_offline { Err(Refusal::Offline { slot, topic, partition }) } else { Ok(()) }
    }
}

impl Partition {
    /// Takes note that the replica in `slot` cannot be used; whether that is news.
    fn fail(&mut self, slot: BrokerSlot, min_insync: usize) -> bool {
        if !self.replicas.contains(&slot) || self.offline.contains(&slot) {
            return false;
        }
        self.offline.push(slot);
        self.partition_epoch += 1;
        self.leave(slot, min_insync);
        self.elr.retain(|eligible| *eligible != slot);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::super::Command;
    use super::super::samples::{cluster, create_on, grant, register};
    use super::*;

    const ZERO: PartitionId = PartitionId(0);
    const FIRST: BrokerSlot = BrokerSlot(0);

    fn slots(slots: &[u16]) -> Vec<BrokerSlot> {
        slots.iter().copied().map(BrokerSlot).collect()
    }

    fn session(image: &Image, slot: BrokerSlot) -> BrokerEpoch {
        image.broker(slot).unwrap().session
    }

    /// Three brokers, and a topic placed as given that is led by the first replicas.
    fn led(placement: &[&[u16]]) -> (Image, TopicId) {
        let mut image = cluster(3);
        image.apply(Command::Obey { council_index: 1, grant: grant("orders", "r1", 1) }).unwrap();
        let topic = create_on(&mut image, "eu.orders", Some("orders"), placement);
        for slot in slots(&[0, 1, 2]) {
            let (starts, session) = (image.starts_due(slot), session(&image, slot));
            image.apply(Command::StartLeaders { broker: slot, session, starts }).unwrap();
        }
        (image, topic)
    }

    fn fail(image: &mut Image, slot: BrokerSlot, failed: &[(TopicId, PartitionId)]) -> Answer {
        let session = session(image, slot);
        let (failed, lost, choices) = (failed.to_vec(), vec![], vec![]);
        image.apply(Command::FailReplicas { broker: slot, session, failed, lost, choices }).unwrap()
    }

    fn partition(image: &Image, topic: TopicId, number: i32) -> &Partition {
        image.partition(topic, PartitionId(number)).unwrap()
    }

    fn leader(image: &Image, topic: TopicId, number: i32) -> Option<BrokerSlot> {
        partition(image, topic, number).leader.map(|leader| leader.broker)
    }

    #[test]
    fn a_failed_disk_takes_its_partitions_and_no_others() {
        let (mut image, topic) = led(&[&[0, 1, 2], &[0, 1, 2], &[1, 0, 2]]);
        let before = partition(&image, topic, 0).leader_epoch;
        let failed = [(topic, ZERO), (topic, PartitionId(2))];
        assert_eq!(fail(&mut image, FIRST, &failed), Answer::Applied);
        assert_eq!(fail(&mut image, FIRST, &failed), Answer::Unchanged);
        assert_eq!(leader(&image, topic, 0), Some(BrokerSlot(1)));
        assert!(partition(&image, topic, 0).leader_epoch > before);
        assert_eq!(leader(&image, topic, 1), Some(FIRST), "it is on another disk");
        assert_eq!(partition(&image, topic, 1).isr, slots(&[0, 1, 2]));
        assert_eq!(leader(&image, topic, 2), Some(BrokerSlot(1)));
        assert_eq!(partition(&image, topic, 2).isr, slots(&[1, 2]));
        assert_eq!(image.leads_for_others(BrokerSlot(1)), vec![], "an offline replica is nobody's heir");
    }

    #[test]
    fn an_offline_replica_neither_joins_nor_leads_before_its_brokers_next_session() {
        let (mut image, topic) = led(&[&[0, 1]]);
        fail(&mut image, FIRST, &[(topic, ZERO)]);
        let (epoch, mine) = (partition(&image, topic, 0).partition_epoch, session(&image, FIRST));
        let joins = image.change_isr(topic, ZERO, BrokerSlot(1), epoch, slots(&[1, 0]), &[(FIRST, mine)]);
        assert_eq!(joins, Err(Refusal::Offline { slot: FIRST, topic, partition: ZERO }));
        let (reign, gone) = (image.reign(), session(&image, BrokerSlot(1)));
        image.apply(Command::Fence { reign, broker: BrokerSlot(1), session: gone, choices: vec![] }).unwrap();
        assert_eq!(leader(&image, topic, 0), None);
        register(&mut image, FIRST);
        assert_eq!((leader(&image, topic, 0), &partition(&image, topic, 0).isr), (None, &slots(&[1])));
        register(&mut image, BrokerSlot(1));
        assert_eq!(leader(&image, topic, 0), Some(BrokerSlot(1)));
        let (epoch, mine) = (partition(&image, topic, 0).partition_epoch, session(&image, FIRST));
        let joins = image.change_isr(topic, ZERO, BrokerSlot(1), epoch, slots(&[1, 0]), &[(FIRST, mine)]);
        assert_eq!(joins, Ok(Answer::Applied), "its disk is looked at anew");
    }

    #[test]
    fn the_last_member_goes_on_reading_until_somebody_else_has_caught_up() {
        let (mut image, topic) = led(&[&[0, 1]]);
        image.change_isr(topic, ZERO, FIRST, 1, slots(&[0]), &[]).unwrap();
        fail(&mut image, FIRST, &[(topic, ZERO)]);
        assert_eq!((leader(&image, topic, 0), &partition(&image, topic, 0).isr), (Some(FIRST), &slots(&[0])));
        let (epoch, other) = (partition(&image, topic, 0).partition_epoch, session(&image, BrokerSlot(1)));
        image.change_isr(topic, ZERO, FIRST, epoch, slots(&[0, 1]), &[(BrokerSlot(1), other)]).unwrap();
        assert_eq!(leader(&image, topic, 0), Some(BrokerSlot(1)));
        assert_eq!(partition(&image, topic, 0).isr, slots(&[1]));
    }

    #[test]
    fn a_lost_log_begins_anew_only_where_somebody_else_is_in_sync() {
        let (mut image, topic) = led(&[&[0, 1], &[0, 1]]);
        image.change_isr(topic, ZERO, FIRST, 1, slots(&[0]), &[]).unwrap();
        let addresses = image.broker(FIRST).unwrap().addresses.clone();
        let (incarnation, location) = (model::Incarnation(1), Default::default());
        let boot = Default::default();
        image
            .apply(Command::RegisterBroker { slot: FIRST, incarnation, addresses, location, desk: false, boot })
            .unwrap();
        let (session, lost) = (session(&image, FIRST), vec![(topic, ZERO), (topic, PartitionId(1))]);
        image.apply(Command::FailReplicas { broker: FIRST, session, failed: vec![], lost, choices: vec![] }).unwrap();
        assert_eq!(partition(&image, topic, 0).offline, slots(&[0]));
        assert_eq!(partition(&image, topic, 1).offline, slots(&[]));
        let reign = image.reign();
        image.apply(Command::Unfence { reign, broker: FIRST, session }).unwrap();
        assert_eq!(leader(&image, topic, 0), None, "what it alone had is not given up");
    }

    #[test]
    fn what_an_earlier_session_says_of_its_disks_is_refused() {
        let (mut image, topic) = led(&[&[0, 1]]);
        let old = session(&image, FIRST);
        register(&mut image, FIRST);
        let late = image.fail_replicas(FIRST, old, (&[(topic, ZERO)], &[]), &[]);
        assert!(matches!(late, Err(Refusal::SessionOver { .. })));
    }
}
