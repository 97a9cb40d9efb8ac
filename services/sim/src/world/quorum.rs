//! The quorum under the metadata, modelled: one log. Whoever reaches a majority has proposals agreed on, and hears of
//! what was; answers may be late or lost.

use super::{World, slot, trace};
use crate::event::{Event, Timer};
use crate::guard::Guard;
use crate::marker::Marker;
use crate::process::Purpose;
use crate::settings::{REPLICAS, Settings};
use broker_core::config::{FLUSH, INSYNC};
use broker_core::metadata::{Answer, Boot, Command, Image, RULES, Refusal, Reign, TopicDraft};
use model::{BrokerSlot, Incarnation, PartitionId, RegionName, TopicId, TopicName, TopicState};
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) struct Quorum {
    /// The image after each agreed command.
    images: Vec<Image>,
    /// The term of its leader, which holds the controller's office.
    pub(super) term: u64,
    pub(super) leader: usize,
    /// Who led before, and when a leader confirmed its leadership last.
    pub(super) before: Option<usize>,
    pub(super) confirmed_at: Duration,
    /// The life of the process that leads.
    life: u64,
}

impl Quorum {
    /// A region with one topic.
    pub(super) fn founded(settings: &Settings, topic: TopicId) -> Self {
        let mut image = Image::default();
        let apply = |image: &mut Image, command| image.apply(command).expect("a new region takes it");
        let region = RegionName::new("r1").expect("a name");
        apply(&mut image, Command::Found { region, incarnation: Incarnation(1) });
        for broker in 0..settings.brokers {
            let (addresses, location) = (Default::default(), Default::default());
            let (slot, incarnation) = (slot(broker), Incarnation(1));
            let boot = Boot::default();
            apply(&mut image, Command::RegisterBroker { slot, incarnation, addresses, location, desk: false, boot });
        }
        apply(&mut image, Command::AdoptRules { reign: Reign::default(), rules: RULES });
        let replica = |partition: usize, nth: usize| slot((partition + nth) % settings.brokers);
        let replicas = |partition| (0..REPLICAS).map(|nth| replica(partition, nth)).collect();
        let draft = TopicDraft {
            id: topic,
            name: TopicName::new("topic").expect("a name"),
            group: None,
            config: config(settings),
            state: TopicState::Live,
            epochs_above: None,
            placement: (0..settings.partitions).map(replicas).collect(),
        };
        apply(&mut image, Command::CreateTopic { council_index: None, topic: draft });
        Self { images: vec![image], term: 0, leader: 0, before: None, confirmed_at: Duration::ZERO, life: 0 }
    }

    /// What was agreed on last.
    pub(super) fn image(&self) -> &Image {
        self.images.last().expect("it begins with one")
    }

    pub(super) fn image_at(&self, index: usize) -> &Image {
        &self.images[index]
    }

    /// How many images there are.
    pub(super) fn len(&self) -> usize {
        self.images.len()
    }
}

/// The broker, its life, and the number of a proposal.
type Proposal = (usize, u64, u64);

impl World {
    /// Whether the broker reaches more than half of all brokers, itself among them.
    pub(super) fn reaches_majority(&self, broker: usize) -> bool {
        let reached = |other: &usize| {
            *other == broker
                || self.is_up(*other) && !self.net.is_cut(broker, *other) && !self.net.is_cut(*other, broker)
        };
        self.is_up(broker) && (0..self.settings.brokers).filter(reached).count() * 2 > self.settings.brokers
    }

    pub(super) fn propose(&mut self, broker: usize, purpose: Purpose, command: Command) {
        let proposal = self.number();
        let Some(process) = self.process(broker) else { return };
        process.proposals.insert(proposal, purpose);
        let life = process.life;
        trace!(self, "broker {broker} proposes {proposal}: {command:?}");
        self.after((300, 4000), Event::Propose { broker, life, proposal, command, tries: 0 });
        self.remind(broker, (60_000, 90_000), Timer::ProposalOverdue { proposal });
    }

    pub(super) fn on_propose(&mut self, (broker, life, proposal): Proposal, command: Command, tries: u32) {
        let is_there = self.processes[broker].as_ref().is_some_and(|process| process.life == life);
        let is_sent = is_there && self.reaches_majority(broker);
        if !is_sent {
            // The quorum's leader may have it already, or hear of it when the cut is healed.
            if tries < 3 && self.random.chance(60) {
                let tries = tries + 1;
                self.after((10_000, 150_000), Event::Propose { broker, life, proposal, command, tries });
            }
            return;
        }
        let outcome = self.agree(command);
        let index = self.quorum.len() - 1;
        trace!(self, "proposal {proposal} of {broker}: {outcome:?}");
        if self.random.chance(10) {
            return;
        }
        self.after((300, 4000), Event::Proposed { broker, life, proposal, index, outcome });
    }

    fn agree(&mut self, mut command: Command) -> Result<Answer, Refusal> {
        let before = self.quorum.image().clone();
        self.mistrust(&before, &mut command);
        let mut after = before.clone();
        let mut outcome = after.apply(command.clone());
        self.bypass(&before, &mut after, &command, &mut outcome);
        if after.version() != before.version() || outcome == Ok(Answer::Applied) {
            self.quorum.images.push(after.clone());
            let index = self.quorum.len() - 1;
            for broker in 0..self.settings.brokers {
                self.after((200, self.late[broker]), Event::Learn { broker, index });
            }
            self.note_agreed(&before, &after);
        }
        outcome
    }

    /// Changes a command so that a guard does not see what it is for.
    fn mistrust(&mut self, image: &Image, command: &mut Command) {
        if self.without(Guard::SessionInProgress)
            && let Command::ChangeIsr { joined, .. } = command
        {
            for (slot, session) in joined {
                *session = image.broker(*slot).map_or(*session, |known| known.session);
            }
        }
        if self.without(Guard::UncleanIsDoubted)
            && let Command::RegisterBroker { slot, boot, .. } = command
        {
            boot.stopped_in = image.broker(*slot).map(|known| known.session);
        }
    }

    /// Does what the core refused, or did not do.
    fn bypass(&mut self, before: &Image, image: &mut Image, command: &Command, outcome: &mut Result<Answer, Refusal>) {
        match (command, &outcome) {
            (Command::ChangeIsr { partition, isr, .. }, Ok(_)) if self.without(Guard::EligibleOnlyBelowMin) => {
                let known = before.partition(self.topic, *partition);
                let elr: Vec<u16> = known.into_iter().flat_map(|known| &known.elr).map(|slot| slot.0).collect();
                let elr: Vec<u16> = elr.into_iter().filter(|slot| !isr.contains(&BrokerSlot(*slot))).collect();
                *image = edited(image, *partition, |known| known["elr"] = elr.into());
            }
            (Command::ChangeIsr { partition, isr, .. }, Err(Refusal::Fenced(_)))
                if self.without(Guard::FencedNeverInIsr) =>
            {
                let isr: Vec<u16> = isr.iter().map(|slot| slot.0).collect();
                *image = edited(image, *partition, |known| known["isr"] = isr.into());
                *outcome = Ok(Answer::Applied);
            }
            (Command::Fence { .. }, Ok(_)) if self.without(Guard::ElectionOnlyFromIsr) => self.elect_anybody(image),
            _ => {}
        }
    }

    /// Makes any live replica the leader of what nobody leads.
    fn elect_anybody(&mut self, image: &mut Image) {
        for number in 0..self.settings.partitions {
            let id = PartitionId(number as i32);
            let Some(known) = image.partition(self.topic, id).filter(|known| known.leader.is_none()) else { continue };
            let live = known.replicas.iter().copied().find(|slot| image.is_unfenced(*slot));
            let (Some(BrokerSlot(elected)), Some(last)) = (live, known.leader_epoch) else { continue };
            let session = image.broker(BrokerSlot(elected)).map_or(0, |broker| broker.session.0);
            let next = last.0 + 1;
            let leader = serde_json::json!({
                "broker": elected, "session": session, "under": "local", "role": { "owner": { "leader_epoch": next } }
            });
            *image = edited(image, id, |known| {
                known["isr"] = vec![elected].into();
                known["leader"] = leader;
                known["leader_epoch"] = next.into();
            });
        }
    }

    pub(super) fn on_proposal_overdue(&mut self, broker: usize, proposal: u64) {
        let purpose = self.process(broker).and_then(|process| process.proposals.remove(&proposal));
        let Some(purpose) = purpose else { return };
        self.hit(Marker::ProposalUnknown);
        trace!(self, "broker {broker} does not know what became of {proposal}");
        self.on_unknown(broker, purpose);
    }

    pub(super) fn on_proposed(&mut self, broker: usize, proposal: u64, index: usize, outcome: Result<Answer, Refusal>) {
        let purpose = self.process(broker).and_then(|process| process.proposals.remove(&proposal));
        // An answer that is late is as good as none, but what it proves is learnt anyway. Who asks for an in-sync set does
        // not wait until it has heard of what was agreed on.
        if !matches!(purpose, Some(Purpose::Isr { .. })) || self.random.chance(50) {
            self.learn(broker, index);
        }
        if let Some(purpose) = purpose {
            self.on_decided(broker, purpose, outcome);
        }
    }

    pub(super) fn on_learn(&mut self, broker: usize, index: usize) {
        if self.reaches_majority(broker) {
            self.learn(broker, index);
        } else if index + 1 == self.quorum.len() {
            self.after((5000, 40_000), Event::Learn { broker, index });
        }
    }

    fn learn(&mut self, broker: usize, index: usize) {
        let Some(process) = self.process(broker).filter(|process| process.applied < index) else { return };
        process.applied = index;
        let current = self.quorum.image_at(index).reign();
        if let Some(process) = self.process(broker)
            && process.office.as_ref().is_some_and(|office| office.judge.reign() < current)
        {
            process.office = None;
        }
        self.realise(broker);
    }

    /// The quorum elects another leader where its leader is gone, and now and then for no reason.
    pub(super) fn watch_controller(&mut self) {
        self.after((15_000, 60_000), Event::WatchController);
        let leader = self.quorum.leader;
        let is_other = self.processes[leader].as_ref().is_none_or(|process| process.life != self.quorum.life);
        if is_other || !self.reaches_majority(leader) {
            self.change_controller();
        }
        // Whoever missed something asks for it.
        let index = self.quorum.len() - 1;
        for broker in 0..self.settings.brokers {
            self.after((100, self.late[broker]), Event::Learn { broker, index });
        }
    }

    pub(super) fn change_controller(&mut self) {
        let able: Vec<_> = (0..self.settings.brokers).filter(|broker| self.reaches_majority(*broker)).collect();
        if able.is_empty() {
            return;
        }
        self.quorum.before = (self.quorum.term > 0).then_some(self.quorum.leader);
        self.quorum.leader = able[self.random.below(able.len())];
        self.quorum.life = self.processes[self.quorum.leader].as_ref().map_or(0, |process| process.life);
        self.quorum.term += 1;
        if self.quorum.term > 1 {
            self.hit(Marker::ControllerChanged);
        }
        let (leader, term) = (self.quorum.leader, self.quorum.term);
        trace!(self, "broker {leader} leads the quorum in term {term}");
        let since = self.local(leader);
        self.take_office(leader, term, since);
    }

    pub(super) fn take_office(&mut self, broker: usize, term: u64, since: Duration) {
        self.propose(
            broker,
            Purpose::Office { term, since },
            Command::TakeOffice { reign: Reign::of(term, broker as u64) },
        );
    }
}

/// What the topic is configured to be.
fn config(settings: &Settings) -> BTreeMap<String, String> {
    let flush = if settings.late { "os" } else { "before-ack" };
    [(INSYNC.to_owned(), settings.min_insync.to_string()), (FLUSH.to_owned(), flush.to_owned())].into()
}

/// The same image with another state of one partition, as no command would make it.
fn edited(image: &Image, partition: PartitionId, edit: impl FnOnce(&mut serde_json::Value)) -> Image {
    let mut value = serde_json::to_value(image).expect("plain data");
    let version = value["version"].as_u64().unwrap_or_default();
    value["version"] = (version + 1).into();
    let topics = value["topics"].as_object_mut().expect("a map of topics");
    let topic = topics.values_mut().next().expect("there is one topic");
    let known = &mut topic["partitions"][partition.0 as usize];
    edit(known);
    known["partition_epoch"] = (known["partition_epoch"].as_u64().unwrap_or_default() + 1).into();
    serde_json::from_value(value).expect("an image again")
}
