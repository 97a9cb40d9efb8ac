//! Who leads on: elections when a broker is fenced or comes back, and leaders that hand over by themselves.
//!
//! A leader is elected from the in-sync set. Where none of it is alive, from those that left it with all that is committed
//! ([`eligible`](super::eligible)). Where none of these is either, the partition waits, unless its topic allows that a
//! replica leads that lacks records (`unclean.leader.election.enable`): what it lacks is lost, and that is noted.

use super::{Answer, BrokerEpoch, Image, Leader, Partition, Refusal, Topic, Under};
use model::{BrokerSlot, LeaderEpoch, PartitionId, TopicId, TopicName};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// How many unclean elections are remembered; the oldest are forgotten first.
const UNCLEAN_MAX: usize = 1_000;
/// The entry of a topic's configuration that lets a replica lead that lacks records.
const UNCLEAN_ENTRY: &str = "unclean.leader.election.enable";

/// Who is to lead a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionId,
    /// The leader to be.
    pub leader: BrokerSlot,
}

/// A replica out of sync became the leader: records that were acknowledged may be lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UncleanElection {
    /// The topic.
    pub topic: TopicId,
    /// Its name then.
    pub name: TopicName,
    /// The partition.
    pub partition: PartitionId,
    /// Who leads.
    pub leader: BrokerSlot,
    /// Who was in sync, and had all records.
    pub isr: Vec<BrokerSlot>,
    /// The leader epoch that begins behind the loss; `None` for a copy, which its source fills again.
    pub leader_epoch: Option<LeaderEpoch>,
}

/// The sessions of all brokers that may lead.
pub(super) type Live = BTreeMap<BrokerSlot, BrokerEpoch>;

/// A partition that somebody has to lead.
struct Vacancy {
    /// What it is led under; `None` while its group waits for an order.
    under: Option<Under>,
    /// Its leader epochs lie above this one.
    above: Option<LeaderEpoch>,
    /// Whether a replica may lead that lacks records.
    unclean: bool,
    /// With fewer in sync, who leaves stays eligible.
    min_insync: usize,
}

impl Topic {
    /// Whether a replica may lead that lacks records.
    pub fn allows_unclean(&self) -> bool {
        self.config.get(UNCLEAN_ENTRY).is_some_and(|value| value == "true")
    }
}

impl Image {
    /// Takes the fenced broker in `slot` out of every in-sync set, and elects all partitions it led: `choices` first.
    pub(super) fn depose(&mut self, slot: BrokerSlot, choices: &[Choice]) {
        let wanted: HashMap<_, _> =
            choices.iter().map(|choice| ((choice.topic, choice.partition), choice.leader)).collect();
        let touches = |partition: &Partition| {
            partition.leader.is_some_and(|leader| leader.broker == slot)
                || partition.isr.len() > 1 && partition.isr.contains(&slot)
        };
        let live = self.live();
        for (topic, number) in self.partitions_where(touches) {
            let min_insync = self.min_insync(topic);
            let Some(partition) = self.partition_mut(topic, number) else { continue };
            partition.leave(slot, min_insync);
            if partition.leader.is_some_and(|leader| leader.broker == slot) {
                self.elect(topic, number, &live, wanted.get(&(topic, number)).copied());
            }
        }
    }

    /// Lets the broker in `slot` lead what it may lead and nobody does.
    pub(super) fn fill_vacancies(&mut self, slot: BrokerSlot) {
        let live = self.live();
        for (topic, number) in self.partitions_where(|p| p.leader.is_none() && p.replicas.contains(&slot)) {
            let is_due = self.topic(topic).is_some_and(|topic| self.due_under(topic).is_some());
            if is_due && !self.eligible(topic, number, &live).is_empty() {
                self.elect(topic, number, &live, None);
            }
        }
    }

    /// The leader in `broker` hands over what it has stopped to lead. What cannot be handed over so stays.
    pub(super) fn move_leaders(
        &mut self,
        broker: BrokerSlot,
        session: BrokerEpoch,
        moves: &[Choice],
    ) -> Result<Answer, Refusal> {
        self.check_unfenced(broker, session)?;
        let (live, mut answer) = (self.live(), Answer::Unchanged);
        for Choice { topic, partition, leader } in moves {
            let led = self.partition(*topic, *partition).and_then(|known| known.leader);
            let leads = led.is_some_and(|led| (led.broker, led.session) == (broker, session));
            let is_heir = self.partition(*topic, *partition).is_some_and(|known| known.isr.contains(leader));
            if leads && is_heir && live.contains_key(leader) && *leader != broker {
                self.elect(*topic, *partition, &live, Some(*leader));
                answer = Answer::Applied;
            }
        }
        Ok(answer)
    }

    /// What the broker in `slot` leads in the place of its preferred leader, which is alive and in sync; and all that
    /// somebody else can lead, if it is to be emptied.
    pub fn leads_for_others(&self, slot: BrokerSlot) -> Vec<Choice> {
        let mut moves = vec![];
        for topic in self.topics() {
            moves.extend(topic.partitions().filter_map(|(number, _)| self.leads_for_others_in(slot, topic.id, number)));
        }
        moves
    }

    /// The same for one partition.
    pub fn leads_for_others_in(&self, slot: BrokerSlot, topic: TopicId, partition: PartitionId) -> Option<Choice> {
        let known =
            self.partition(topic, partition).filter(|p| p.leader.is_some_and(|leader| leader.broker == slot))?;
        let leads_well = |heir: BrokerSlot| self.is_unfenced(heir) && !self.is_draining(heir);
        let fit = |heir: BrokerSlot| known.isr.contains(&heir) && leads_well(heir) && !known.offline.contains(&heir);
        let any = || known.replicas.iter().copied().find(|heir| fit(*heir));
        let wanted = if self.is_draining(slot) { any() } else { known.wanted_leader(fit) };
        let leader = wanted.filter(|leader| *leader != slot)?;
        Some(Choice { topic, partition, leader })
    }

    /// Who may lead a partition once the broker in `leaving` is fenced, the first by default: those in sync and alive, in
    /// the order of the replicas; where there is none, those that are eligible. Where there is none either and the topic
    /// allows it, every replica that is alive.
    pub fn eligible_without(&self, topic: TopicId, number: PartitionId, leaving: BrokerSlot) -> Vec<BrokerSlot> {
        let mut live = self.live();
        live.remove(&leaving);
        self.eligible(topic, number, &live)
    }

    pub(super) fn eligible(&self, topic: TopicId, number: PartitionId, live: &Live) -> Vec<BrokerSlot> {
        let Some(known) = self.topic(topic) else { return vec![] };
        let eligible = |partition: &Partition| {
            let under = self.due_under(known).or(partition.leader.map(|leader| leader.under));
            partition.eligible(live, under, known.allows_unclean())
        };
        known.partition(number).map_or_else(Vec::new, eligible)
    }

    /// The elections that may have lost records, oldest first.
    pub fn unclean_elections(&self) -> &[UncleanElection] {
        &self.unclean
    }

    pub(super) fn elect(&mut self, topic: TopicId, number: PartitionId, live: &Live, wanted: Option<BrokerSlot>) {
        let Some(vacancy) = self.vacancy(topic, number) else { return };
        let Some(partition) = self.partition_mut(topic, number) else { return };
        let unclean = partition.elect(live, wanted, &vacancy);
        partition.complete(vacancy.min_insync);
        let Some((leader, isr)) = unclean else { return };
        let leader_epoch = partition.leader_epoch.filter(|_| !matches!(vacancy.under, Some(Under::Copy(_))));
        let Some(name) = self.topic(topic).map(|known| known.name.clone()) else { return };
        let election = UncleanElection { topic, name, partition: number, leader, isr, leader_epoch };
        let noted = Arc::make_mut(&mut self.unclean);
        noted.push(election);
        noted.drain(..noted.len().saturating_sub(UNCLEAN_MAX));
    }

    pub(super) fn live(&self) -> Live {
        let live = self.brokers.iter().filter(|(_, broker)| !broker.is_fenced());
        live.map(|(slot, broker)| (*slot, broker.session)).collect()
    }

    pub(super) fn partitions_where(&self, holds: impl Fn(&Partition) -> bool) -> Vec<(TopicId, PartitionId)> {
        let mut found = Vec::new();
        for topic in self.topics() {
            let those = topic.partitions().filter(|(_, partition)| holds(partition));
            found.extend(those.map(|(number, _)| (topic.id, number)));
        }
        found
    }

    /// What a partition is led under after a change of its leader: what is due, else what it was led under.
    fn vacancy(&self, topic: TopicId, number: PartitionId) -> Option<Vacancy> {
        let known = self.topic(topic)?;
        let before = known.partition(number)?.leader;
        let under = self.due_under(known).or(before.map(|leader: Leader| leader.under));
        let (above, unclean, min_insync) = (known.epochs_above, known.allows_unclean(), self.min_insync(topic));
        Some(Vacancy { under, above, unclean, min_insync })
    }
}

impl Partition {
    /// Takes a fenced broker out of the in-sync set, unless it is the last: what it alone has is not given up.
    pub(super) fn leave(&mut self, slot: BrokerSlot, min_insync: usize) {
        if self.isr.len() > 1 && self.isr.contains(&slot) {
            self.isr.retain(|member| *member != slot);
            self.note_left(&[slot], min_insync);
            self.partition_epoch += 1;
        }
    }

    fn eligible(&self, live: &Live, under: Option<Under>, unclean: bool) -> Vec<BrokerSlot> {
        let may = |slot: &BrokerSlot| live.contains_key(slot) && !self.offline.contains(slot);
        let mut alive: Vec<_> = self.replicas.iter().copied().filter(may).collect();
        let of = |known: &[BrokerSlot]| alive.iter().copied().filter(|slot| known.contains(slot)).collect::<Vec<_>>();
        let (in_sync, eligible) = (of(&self.isr), of(&self.elr));
        match under {
            _ if !in_sync.is_empty() => in_sync,
            Some(Under::Owner(_) | Under::Local) if !eligible.is_empty() => eligible,
            _ if unclean => {
                // Who lost its end only lacks less than who was out of sync. The others stay in order.
                alive.sort_by_key(|slot| Some(*slot) != self.last_known_leader);
                alive
            }
            _ => vec![],
        }
    }

    /// Elects `wanted` if it may lead, else the first that may; nobody where none does. Gives the leader and the in-sync
    /// set before, where records may be lost.
    fn elect(
        &mut self,
        live: &Live,
        wanted: Option<BrokerSlot>,
        vacancy: &Vacancy,
    ) -> Option<(BrokerSlot, Vec<BrokerSlot>)> {
        self.leader = None;
        self.partition_epoch += 1;
        let eligible = self.eligible(live, vacancy.under, vacancy.unclean);
        let elected = wanted.filter(|slot| eligible.contains(slot)).or(eligible.first().copied())?;
        let (session, under) = (live.get(&elected)?, vacancy.under?);
        // Leader epochs that are used up leave it without a leader until a new grant comes.
        self.start(elected, *session, under, vacancy.above).ok()?;
        if self.isr.contains(&elected) {
            return None;
        }
        let was_eligible = self.elr.contains(&elected);
        let before = std::mem::replace(&mut self.isr, vec![elected]);
        if was_eligible {
            // Too few were in sync for more to be committed since: who was in sync has all that is, too.
            self.note_left(&before, vacancy.min_insync);
            return None;
        }
        self.elr.clear();
        Some((elected, before))
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{cluster, create_on, grant, register};
    use super::super::{Command, Start};
    use super::*;

    const ZERO: PartitionId = PartitionId(0);

    fn slots(slots: &[u16]) -> Vec<BrokerSlot> {
        slots.iter().copied().map(BrokerSlot).collect()
    }

    fn session(image: &Image, slot: u16) -> BrokerEpoch {
        image.broker(BrokerSlot(slot)).unwrap().session
    }

    /// A topic on three brokers, of which the first leads all partitions.
    fn led(placement: &[&[u16]]) -> (Image, TopicId) {
        let mut image = cluster(3);
        image.apply(Command::Obey { council_index: 1, grant: grant("orders", "r1", 1) }).unwrap();
        let topic = create_on(&mut image, "eu.orders", Some("orders"), placement);
        for slot in 0..3 {
            let starts: Vec<Start> = image.starts_due(BrokerSlot(slot));
            let session = session(&image, slot);
            image.apply(Command::StartLeaders { broker: BrokerSlot(slot), session, starts }).unwrap();
        }
        (image, topic)
    }

    fn leader(image: &Image, topic: TopicId, partition: i32) -> Option<BrokerSlot> {
        image.partition(topic, PartitionId(partition)).unwrap().leader.map(|leader| leader.broker)
    }

    fn fence(image: &mut Image, slot: u16) {
        let session = session(image, slot);
        let (reign, broker) = (image.reign(), BrokerSlot(slot));
        image.apply(Command::Fence { reign, broker, session, choices: vec![] }).unwrap();
    }

    #[test]
    fn what_is_led_for_others_is_handed_over_by_its_leader_only() {
        let (mut image, topic) = led(&[&[0, 1, 2], &[1, 0, 2]]);
        fence(&mut image, 0);
        register(&mut image, BrokerSlot(0));
        assert_eq!(image.leads_for_others(BrokerSlot(1)), vec![], "it is not in sync yet");
        let (epoch, joined) = (image.partition(topic, ZERO).unwrap().partition_epoch, session(&image, 0));
        let (leader_slot, mine) = (BrokerSlot(1), session(&image, 1));
        let isr = slots(&[0, 1, 2]);
        image.change_isr(topic, ZERO, leader_slot, epoch, isr, &[(BrokerSlot(0), joined)]).unwrap();
        let moves = image.leads_for_others(leader_slot);
        assert_eq!(moves, vec![Choice { topic, partition: ZERO, leader: BrokerSlot(0) }]);
        let before = image.partition(topic, ZERO).unwrap().leader_epoch;
        assert_eq!(image.move_leaders(BrokerSlot(2), session(&image, 2), &moves), Ok(Answer::Unchanged));
        assert_eq!(image.move_leaders(leader_slot, mine, &moves), Ok(Answer::Applied));
        assert_eq!(leader(&image, topic, 0), Some(BrokerSlot(0)));
        assert!(image.partition(topic, ZERO).unwrap().leader_epoch > before);
        assert_eq!(image.move_leaders(leader_slot, mine, &moves), Ok(Answer::Unchanged));
    }

    #[test]
    fn a_replica_that_lacks_records_leads_only_where_the_topic_allows_it_and_the_loss_is_noted() {
        for unclean in [false, true] {
            let (mut image, topic) = led(&[&[0, 1]]);
            image.topic_mut(topic).unwrap().config.insert(UNCLEAN_ENTRY.into(), unclean.to_string());
            image.change_isr(topic, ZERO, BrokerSlot(0), 1, slots(&[0]), &[]).unwrap();
            fence(&mut image, 0);
            let lost = image.unclean_elections();
            if !unclean {
                assert_eq!((leader(&image, topic, 0), lost.len()), (None, 0));
                continue;
            }
            assert_eq!(leader(&image, topic, 0), Some(BrokerSlot(1)));
            assert_eq!((lost[0].leader, &lost[0].isr), (BrokerSlot(1), &slots(&[0])));
            assert_eq!(lost[0].leader_epoch, image.partition(topic, ZERO).unwrap().leader_epoch);
            register(&mut image, BrokerSlot(0));
            assert_eq!(leader(&image, topic, 0), Some(BrokerSlot(1)), "who was in sync then follows now");
            assert_eq!(image.partition(topic, ZERO).unwrap().isr, slots(&[1]));
        }
    }

    #[test]
    fn a_broker_with_an_empty_disk_does_not_lead_what_it_alone_had() {
        let (mut image, topic) = led(&[&[0, 1]]);
        image.change_isr(topic, ZERO, BrokerSlot(0), 1, slots(&[0]), &[]).unwrap();
        fence(&mut image, 0);
        let (incarnation, addresses, location) = (model::Incarnation(2), Default::default(), Default::default());
        let register = Command::RegisterBroker {
            slot: BrokerSlot(0),
            incarnation,
            addresses,
            location,
            desk: false,
            boot: Default::default(),
        };
        image.apply(register).unwrap();
        let (reign, broker, session) = (image.reign(), BrokerSlot(0), session(&image, 0));
        image.apply(Command::Unfence { reign, broker, session }).unwrap();
        assert_eq!(leader(&image, topic, 0), None);
        assert_eq!(image.partition(topic, ZERO).unwrap().isr, slots(&[]));
    }

    #[test]
    fn a_partition_nobody_in_sync_leads_gets_a_leader_when_one_is_back_that_may() {
        let (mut image, topic) = led(&[&[0, 1]]);
        image.change_isr(topic, ZERO, BrokerSlot(0), 1, slots(&[0]), &[]).unwrap();
        fence(&mut image, 0);
        fence(&mut image, 1);
        register(&mut image, BrokerSlot(1));
        assert_eq!(leader(&image, topic, 0), None, "it is not in sync");
        image.topic_mut(topic).unwrap().config.insert(UNCLEAN_ENTRY.into(), "true".into());
        fence(&mut image, 1);
        register(&mut image, BrokerSlot(1));
        assert_eq!(leader(&image, topic, 0), Some(BrokerSlot(1)));
    }
}
