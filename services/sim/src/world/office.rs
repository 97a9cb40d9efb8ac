//! The active controller fences, lets in, and has leaders elected.

use super::{World, slot, trace};
use crate::disk::Looked;
use crate::event::{Message, Timer};
use crate::guard::Guard;
use crate::marker::Marker;
use crate::net::Lane;
use crate::process::{Office, Purpose};
use broker_core::follower::LogView;
use broker_core::liveness::{Change, Tail, choose, command, tails_wanted};
use broker_core::metadata::Image;
use model::{PartitionId, TopicId};
use std::collections::BTreeMap;
use std::time::Duration;

impl World {
    fn office(&mut self, broker: usize, term: u64) -> Option<&mut Office> {
        let office = self.processes[broker].as_mut()?.office.as_mut();
        office.filter(|office| office.judge.reign().term == term)
    }

    fn known_image(&self, broker: usize) -> Image {
        let applied = self.processes[broker].as_ref().map_or(0, |process| process.applied);
        self.quorum.image_at(applied).clone()
    }

    /// Looks who is silent.
    pub(super) fn judge(&mut self, broker: usize, term: u64) {
        let (now, image) = (self.local(broker), self.known_image(broker));
        let tick = self.settings.timing.tick().as_micros() as u64;
        let silence_max = self.settings.timing.silence_max;
        let early = if self.without(Guard::FenceAfterLease) { silence_max * 9 / 20 } else { Duration::ZERO };
        let Some(office) = self.office(broker, term) else { return };
        if !office.is_busy {
            let changes = office.judge.on_tick(now + early, &image);
            let is_early = |change: &Change| match (change, office.before) {
                (Change::Fence { broker, .. }, Some(before)) => {
                    *broker == slot(before) && now < office.since + silence_max
                }
                _ => false,
            };
            let is_early = changes.iter().any(is_early);
            office.changes = changes.into();
            if is_early {
                self.hit(Marker::PredecessorFenced);
            }
            self.next_change(broker, term);
        }
        self.remind(broker, (tick, tick + tick / 10), Timer::Office { term });
    }

    /// Goes on with the next change, if there is one.
    pub(super) fn next_change(&mut self, broker: usize, term: u64) {
        let (image, round) = (self.known_image(broker), self.number());
        let Some(office) = self.office(broker, term) else { return };
        let Some(change) = office.changes.front().copied() else {
            office.is_busy = false;
            return;
        };
        (office.is_busy, office.round) = (true, round);
        let wanted = match change {
            Change::Fence { broker, .. } => tails_wanted(&image, broker),
            Change::Unfence { .. } => BTreeMap::new(),
        };
        (office.awaited, office.tails) = (wanted.len(), BTreeMap::new());
        if wanted.is_empty() {
            return self.on_tails_due(broker, round);
        }
        for (heir, wanted) in wanted {
            let message = Message::AskTails { round, wanted };
            self.send((Lane::Controller, broker, super::broker(heir)), message);
        }
        self.remind(broker, (15_000, 16_000), Timer::TailsDue { round });
    }

    pub(super) fn on_ask_tails(&mut self, broker: usize, from: usize, round: u64, wanted: &[(TopicId, PartitionId)]) {
        let tail = |(topic, partition): &(TopicId, PartitionId)| {
            let (log, durable) = (partition.0 as usize, self.kept(broker, partition.0 as usize));
            let looked = Looked { log: &self.disks[broker].logs[log], durable };
            let (epoch, tail) = (looked.last_epoch(), looked.durable());
            Tail { topic: *topic, partition: *partition, epoch, tail }
        };
        let tails = wanted.iter().map(tail).collect();
        self.send((Lane::Controller, broker, from), Message::Tails { round, tails });
    }

    pub(super) fn on_tails(&mut self, broker: usize, from: usize, round: u64, tails: Vec<Tail>) {
        let Some(office) = self.process(broker).and_then(|process| process.office.as_mut()) else { return };
        if office.round != round {
            return;
        }
        office.tails.insert(slot(from), tails);
        if office.tails.len() == office.awaited {
            self.on_tails_due(broker, round);
        }
    }

    /// All tails are there, or the time for it is over: the change is proposed.
    pub(super) fn on_tails_due(&mut self, broker: usize, round: u64) {
        let image = self.known_image(broker);
        let Some(office) = self.process(broker).and_then(|process| process.office.as_mut()) else { return };
        if office.round != round {
            return;
        }
        office.round = 0;
        let (number, tails) = (office.judge.reign(), std::mem::take(&mut office.tails));
        let Some(change) = office.changes.pop_front() else { return };
        let choices = match change {
            Change::Fence { broker, .. } => choose(&image, broker, &tails),
            Change::Unfence { .. } => vec![],
        };
        if !choices.is_empty() {
            self.hit(Marker::LargestTailChosen);
        }
        let term = number.term;
        trace!(self, "controller {broker} of term {term} wants {change:?}");
        self.propose(broker, Purpose::Membership { term }, command(number, change, choices));
    }
}
