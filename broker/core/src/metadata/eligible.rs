//! Who may lead though it is not in sync, and whose word is not enough any more (KIP-966).
//!
//! ```text
//!   in sync [0 1 2]        min.insync.replicas = 2
//!     2 leaves -> [0 1]
//!     1 leaves -> [0]    eligible [1]    below the minimum nothing is committed: 1 has all that is
//!     0 dies   -> [1]    eligible [0]    1 leads, nothing is lost
//!     0 is back in sync -> [0 1]         eligible []
//! ```
//!
//! Below `min.insync.replicas` the high watermark stands still, so whoever leaves then keeps all that is committed, as
//! long as its log does. Where acknowledgements wait for the disk it does, whatever happens to its broker. Where they wait
//! for the page cache only (`flush=os`), a broker that did not stop in order may have lost its end: it is neither in sync
//! nor eligible any more, and where nobody else is the partition has no leader until somebody decides to lose records.
//!
//! A copy shows what its in-sync set has, however small that is: nobody else is eligible for it.

use super::rules::ELIGIBLE_LEADERS;
use super::{Broker, Image, Partition, Topic, Under};
use crate::config::{self, Flush};
use model::{BrokerSlot, PartitionId, TopicId};

impl Topic {
    /// How many replicas its partitions have once nothing moves.
    pub fn replica_count(&self) -> usize {
        self.partition(PartitionId(0)).map_or(1, Partition::replica_count)
    }

    /// How many of them have to be in sync for acks=all.
    pub fn min_insync(&self) -> usize {
        config::min_insync(&self.config, self.replica_count())
    }

    /// Whether acknowledgements wait for the page cache only, on a broker that does so or not where a topic does not say.
    fn flushes_late(&self, by_default: bool) -> bool {
        match config::flush(&self.config) {
            Flush::Os => true,
            Flush::BeforeAck => false,
            Flush::Default => by_default,
        }
    }
}

impl Image {
    /// With fewer in sync nothing is committed, and who leaves stays eligible; 0 where the region does not go by that.
    pub(super) fn min_insync(&self, topic: TopicId) -> usize {
        let known = self.topic(topic).filter(|_| self.goes_by(ELIGIBLE_LEADERS));
        known.map_or(0, Topic::min_insync)
    }

    /// The topic needs more or fewer in sync than before.
    pub(super) fn review_eligible(&mut self, topic: TopicId) {
        let min = self.min_insync(topic);
        let holds = |known: &Topic| known.partitions().filter(|(_, p)| !p.elr.is_empty()).map(|(n, _)| n).collect();
        let numbers: Vec<PartitionId> = self.topic(topic).map(holds).unwrap_or_default();
        for number in numbers {
            if let Some(partition) = self.partition_mut(topic, number) {
                partition.review_eligible(min);
            }
        }
    }

    /// The broker in `slot` registered as `begun` after `known`: unless it goes on from there, it may have lost what was
    /// acknowledged and never synced.
    pub(super) fn doubt_tails(&mut self, slot: BrokerSlot, known: &Broker, begun: &Broker) {
        if !self.goes_by(ELIGIBLE_LEADERS) || begun.boot.continues(&known.boot, known.session) {
            return;
        }
        let by_default = known.boot.flushes_late || begun.boot.flushes_late;
        let late: Vec<_> = self.topics().filter(|topic| topic.flushes_late(by_default)).map(|topic| topic.id).collect();
        for (topic, number) in late.into_iter().flat_map(|topic| self.relied_on_in(topic, slot)).collect::<Vec<_>>() {
            if let Some(partition) = self.partition_mut(topic, number) {
                partition.last_known_leader = Some(slot).filter(|_| partition.isr == [slot]);
                partition.rely_no_more(slot);
            }
        }
    }

    fn relied_on_in(&self, topic: TopicId, slot: BrokerSlot) -> Vec<(TopicId, PartitionId)> {
        let partitions = self.topic(topic).into_iter().flat_map(Topic::partitions);
        partitions.filter(|(_, known)| known.is_relied_on(slot)).map(|(number, _)| (topic, number)).collect()
    }
}

impl Partition {
    /// Whether somebody else could take over, but what the broker in `slot` has is counted on.
    pub(super) fn is_relied_on(&self, slot: BrokerSlot) -> bool {
        self.isr == [slot] && self.replicas.len() > 1 || self.elr.contains(&slot)
    }

    /// What the broker in `slot` has is not counted on any more.
    pub(super) fn rely_no_more(&mut self, slot: BrokerSlot) {
        self.elr.retain(|eligible| *eligible != slot);
        if self.isr == [slot] {
            self.isr.clear();
        }
        self.partition_epoch += 1;
    }

    /// The brokers in `left` are not in sync any more, though nothing happened to what they have.
    pub(super) fn note_left(&mut self, left: &[BrokerSlot], min_insync: usize) {
        if self.leader.is_some_and(|leader| !matches!(leader.under, Under::Copy(_))) {
            self.elr.extend(left);
        }
        self.review_eligible(min_insync);
    }

    /// Keeps eligible who may be, now that `min_insync` have to be in sync.
    pub(super) fn review_eligible(&mut self, min_insync: usize) {
        let (isr, replicas, offline) = (&self.isr, &self.replicas, &self.offline);
        let is_committing = isr.len() >= min_insync.min(replicas.len());
        let may = |slot: &BrokerSlot| !is_committing && replicas.contains(slot) && !isr.contains(slot);
        self.elr.retain(|slot| may(slot) && !offline.contains(slot));
        self.elr.sort_unstable();
        self.elr.dedup();
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{cluster, create_on, draft, grant, register, register_as};
    use super::super::{Boot, BrokerEpoch, Command, Move, TopicDraft};
    use super::*;
    use crate::config::{FLUSH, INSYNC};
    use model::{Incarnation, TopicState};
    use std::collections::BTreeMap;

    const ZERO: PartitionId = PartitionId(0);

    fn slots(slots: &[u16]) -> Vec<BrokerSlot> {
        slots.iter().copied().map(BrokerSlot).collect()
    }

    fn session(image: &Image, slot: u16) -> BrokerEpoch {
        image.broker(BrokerSlot(slot)).unwrap().session
    }

    /// Three brokers, and a partition on them that the first one leads, configured so.
    fn led(entries: &[(&str, &str)]) -> (Image, TopicId) {
        let mut image = cluster(3);
        let config = entries.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let topic = TopicDraft { config, placement: vec![slots(&[0, 1, 2])], ..draft("own", None, 0) };
        let id = topic.id;
        image.apply(Command::CreateTopic { council_index: None, topic }).unwrap();
        start(&mut image, 0);
        (image, id)
    }

    fn start(image: &mut Image, slot: u16) {
        let (broker, session) = (BrokerSlot(slot), session(image, slot));
        let starts = image.starts_due(broker);
        image.apply(Command::StartLeaders { broker, session, starts }).unwrap();
    }

    fn fence(image: &mut Image, slot: u16) {
        let (reign, broker, session) = (image.reign(), BrokerSlot(slot), session(image, slot));
        image.apply(Command::Fence { reign, broker, session, choices: vec![] }).unwrap();
    }

    /// Who leads, who is in sync, and who is eligible.
    fn seen(image: &Image, topic: TopicId) -> (Option<u16>, Vec<BrokerSlot>, Vec<BrokerSlot>) {
        let known = image.partition(topic, ZERO).unwrap();
        (known.leader.map(|leader| leader.broker.0), known.isr.clone(), known.elr.clone())
    }

    /// The leader asks for that in-sync set.
    fn in_sync(image: &mut Image, topic: TopicId, isr: &[u16]) {
        let known = image.partition(topic, ZERO).unwrap();
        let (partition_epoch, leader) = (known.partition_epoch, known.leader.unwrap());
        let joined = image.brokers().map(|(slot, known)| (slot, known.session)).collect();
        let (leader, session, isr) = (leader.broker, leader.session, slots(isr));
        let change = Command::ChangeIsr { topic, partition: ZERO, leader, session, partition_epoch, isr, joined };
        image.apply(change).unwrap();
    }

    #[test]
    fn who_leaves_below_the_minimum_stays_eligible_until_enough_are_in_sync_again() {
        let (mut image, topic) = led(&[]);
        fence(&mut image, 2);
        assert_eq!(seen(&image, topic), (Some(0), slots(&[0, 1]), vec![]), "two are enough");
        in_sync(&mut image, topic, &[0]);
        assert_eq!(seen(&image, topic), (Some(0), slots(&[0]), slots(&[1])));
        register(&mut image, BrokerSlot(2));
        in_sync(&mut image, topic, &[0, 2]);
        assert_eq!(seen(&image, topic), (Some(0), slots(&[0, 2]), vec![]));
    }

    #[test]
    fn an_eligible_replica_leads_where_nobody_in_sync_is_alive_and_nothing_counts_as_lost() {
        let (mut image, topic) = led(&[]);
        fence(&mut image, 2);
        in_sync(&mut image, topic, &[0]);
        fence(&mut image, 0);
        assert_eq!(seen(&image, topic), (Some(1), slots(&[1]), slots(&[0])), "the last one in sync has all as well");
        assert_eq!(image.unclean_elections(), []);
        fence(&mut image, 1);
        assert_eq!(seen(&image, topic), (None, slots(&[1]), slots(&[0])));
        register(&mut image, BrokerSlot(2));
        assert_eq!(seen(&image, topic).0, None, "it may lack what was committed after it left");
        register(&mut image, BrokerSlot(0));
        assert_eq!(seen(&image, topic), (Some(0), slots(&[0]), slots(&[1])));
        in_sync(&mut image, topic, &[0, 2]);
        assert_eq!(seen(&image, topic), (Some(0), slots(&[0, 2]), vec![]));
    }

    #[test]
    fn the_eligible_replica_with_the_largest_tail_leads() {
        use crate::liveness::{Tail, choose, tails_wanted};
        use model::{LeaderEpoch, Offset};
        let (mut image, topic) = led(&[(INSYNC, "3")]);
        in_sync(&mut image, topic, &[0]);
        assert_eq!(seen(&image, topic), (Some(0), slots(&[0]), slots(&[1, 2])));
        let wanted = tails_wanted(&image, BrokerSlot(0));
        assert_eq!(wanted.keys().copied().collect::<Vec<_>>(), slots(&[1, 2]));
        let tail = |tail| vec![Tail { topic, partition: ZERO, epoch: LeaderEpoch(0), tail: Offset(tail) }];
        let choices = choose(&image, BrokerSlot(0), &[(BrokerSlot(1), tail(4)), (BrokerSlot(2), tail(5))].into());
        let (broker, session) = (BrokerSlot(0), session(&image, 0));
        let mut failed = image.clone();
        let gone = vec![(topic, ZERO)];
        let fail = Command::FailReplicas { broker, session, failed: gone, lost: vec![], choices: choices.clone() };
        failed.apply(fail).unwrap();
        assert_eq!(
            seen(&failed, topic),
            (Some(2), slots(&[2]), slots(&[1])),
            "what is on a failed disk is not counted on"
        );
        image.apply(Command::Fence { reign: image.reign(), broker, session, choices }).unwrap();
        assert_eq!(seen(&image, topic), (Some(2), slots(&[2]), slots(&[0, 1])));
    }

    #[test]
    fn a_smaller_minimum_ends_what_was_eligible_for_more_is_committed_from_now_on() {
        let (mut image, topic) = led(&[]);
        image.apply(Command::Obey { council_index: 1, grant: grant("orders", "r1", 1) }).unwrap();
        in_sync(&mut image, topic, &[0]);
        assert_eq!(seen(&image, topic).2, slots(&[1, 2]));
        let configure = |config: BTreeMap<String, String>| Command::ConfigureTopic {
            council_index: 1,
            topic,
            group: grant("orders", "r1", 1).group,
            config,
            state: TopicState::Live,
        };
        image.apply(configure([("retention.ms".to_owned(), "1".to_owned())].into())).unwrap();
        assert_eq!(seen(&image, topic).2, slots(&[1, 2]));
        let mut moved = image.clone();
        image.apply(configure([(INSYNC.to_owned(), "1".to_owned())].into())).unwrap();
        assert_eq!(seen(&image, topic).2, vec![]);
        let fewer = vec![Move { topic, partition: ZERO, replicas: Some(slots(&[0, 1])) }];
        moved.apply(Command::Reassign { moves: fewer }).unwrap();
        assert_eq!(seen(&moved, topic).2, vec![], "one of two is enough");
    }

    #[test]
    fn nobody_is_eligible_for_a_copy() {
        let mut image = cluster(3);
        image.apply(Command::Obey { council_index: 1, grant: grant("orders", "r2", 1) }).unwrap();
        let topic = create_on(&mut image, "eu.orders", Some("orders"), &[&[0, 1, 2]]);
        start(&mut image, 0);
        in_sync(&mut image, topic, &[0]);
        assert_eq!(seen(&image, topic), (Some(0), slots(&[0]), vec![]));
        fence(&mut image, 0);
        assert_eq!(seen(&image, topic), (None, slots(&[0]), vec![]));
    }

    /// What the topic says, whether brokers flush late by default, and whether who was killed leads on.
    type Case = (&'static [(&'static str, &'static str)], bool, bool);

    /// The second broker left below the minimum, and the first one was in sync last; both are gone.
    fn both_gone(entries: &[(&str, &str)], flushes_late: bool) -> (Image, TopicId) {
        let (mut image, topic) = led(entries);
        for slot in [0, 1] {
            register_as(&mut image, BrokerSlot(slot), Boot { process: 7, flushes_late, ..Boot::default() });
        }
        in_sync(&mut image, topic, &[0, 1, 2]);
        fence(&mut image, 2);
        fence(&mut image, 1);
        fence(&mut image, 0);
        assert_eq!(seen(&image, topic), (None, slots(&[0]), slots(&[1])));
        (image, topic)
    }

    #[test]
    fn a_lost_page_cache_matters_only_where_nobody_waited_for_the_disk() {
        let cases: [Case; 4] = [
            (&[], false, true),
            (&[], true, false),
            (&[(FLUSH, "os")], false, false),
            (&[(FLUSH, "before-ack")], true, true),
        ];
        for (entries, flushes_late, leads) in cases {
            let (mut image, topic) = both_gone(entries, flushes_late);
            register_as(&mut image, BrokerSlot(1), Boot { process: 8, flushes_late, ..Boot::default() });
            let now = seen(&image, topic);
            assert_eq!(now.0, leads.then_some(1), "{entries:?} {flushes_late}");
            assert_eq!(now.2, if leads { slots(&[0]) } else { vec![] });
        }
    }

    #[test]
    fn who_stopped_in_order_or_never_stopped_stays_eligible() {
        for (process, stopped_in) in [(7, None), (8, Some(0))] {
            let (mut image, topic) = both_gone(&[(FLUSH, "os")], false);
            let stopped_in = stopped_in.map(|_: u64| session(&image, 1));
            register_as(&mut image, BrokerSlot(1), Boot { process, stopped_in, ..Boot::default() });
            assert_eq!(seen(&image, topic), (Some(1), slots(&[1]), slots(&[0])));
        }
    }

    #[test]
    fn where_the_last_one_lost_its_page_cache_nobody_leads_until_records_may_be_lost() {
        let (mut image, topic) = both_gone(&[(FLUSH, "os")], false);
        for slot in [1, 0, 2] {
            register_as(&mut image, BrokerSlot(slot), Boot { process: 8, ..Boot::default() });
        }
        assert_eq!(seen(&image, topic), (None, vec![], vec![]));
        assert_eq!(image.partition(topic, ZERO).unwrap().last_known_leader, Some(BrokerSlot(0)));
        image.topic_mut(topic).unwrap().config.insert("unclean.leader.election.enable".into(), "true".into());
        fence(&mut image, 2);
        register(&mut image, BrokerSlot(2));
        assert_eq!(seen(&image, topic), (Some(0), slots(&[0]), vec![]), "who was in sync last lacks least");
        assert_eq!(
            (image.unclean_elections().len(), image.partition(topic, ZERO).unwrap().last_known_leader),
            (1, None)
        );
    }

    #[test]
    fn a_replaced_disk_is_not_counted_on_and_neither_is_a_failed_one() {
        let (mut image, topic) = both_gone(&[], false);
        let mut replaced = image.clone();
        replaced.registers(BrokerSlot(1), Incarnation(2)).unwrap();
        assert_eq!(seen(&replaced, topic), (None, slots(&[0]), vec![]));
        let session = image.registers(BrokerSlot(1), Incarnation(1)).unwrap();
        let (broker, failed) = (BrokerSlot(1), vec![(topic, ZERO)]);
        image.apply(Command::FailReplicas { broker, session, failed, lost: vec![], choices: vec![] }).unwrap();
        assert_eq!(seen(&image, topic), (None, slots(&[0]), vec![]));
    }

    #[test]
    fn a_lonely_replica_leads_on_whatever_happened() {
        let mut image = cluster(1);
        let config = [(FLUSH.to_owned(), "os".to_owned())].into();
        let topic = TopicDraft { config, placement: vec![slots(&[0])], ..draft("own", None, 0) };
        let id = topic.id;
        image.apply(Command::CreateTopic { council_index: None, topic }).unwrap();
        start(&mut image, 0);
        register(&mut image, BrokerSlot(0));
        start(&mut image, 0);
        assert_eq!(seen(&image, id), (Some(0), slots(&[0]), vec![]));
    }
}
