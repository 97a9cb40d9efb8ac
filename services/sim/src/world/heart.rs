//! Brokers say that they are alive, and hear for how long they may believe it.

use super::{World, slot, trace};
use crate::event::{Message, Timer};
use crate::guard::Guard;
use crate::marker::Marker;
use crate::net::Lane;
use crate::process::{Office, Purpose, Session};
use broker_core::liveness::{Consequence, Heartbeat, Liveness, Turn, Verdict, Word};
use broker_core::metadata::{Answer, BrokerEpoch, Refusal, Reign};
use model::BrokerSlot;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// What a controller says that will not have something, whatever happened meanwhile.
const FOR_GOOD: Refusal = Refusal::Fenced(BrokerSlot(u16::MAX));

impl World {
    pub(super) fn beat(&mut self, broker: usize) {
        let every = self.settings.timing.heartbeat().as_micros() as u64;
        self.remind(broker, (every, every + every / 10), Timer::Heartbeat);
        let asked_at = self.local(broker);
        let (leader, is_told) = (self.quorum.leader, self.reaches_majority(broker));
        let Some(process) = self.process(broker) else { return };
        let Some(Session { epoch, is_ready }) = process.session else {
            return self.register(broker);
        };
        if is_told {
            process.controller = leader;
        }
        let controller = if process.office.is_some() { broker } else { process.controller };
        let unanswered = asked_at.saturating_sub(process.unanswered_since);
        let stopping = process.is_leaving;
        let beat = Heartbeat { slot: slot(broker), session: epoch, ready: is_ready, stopping, unanswered };
        self.send((Lane::Controller, broker, controller), Message::Beat { beat, asked_at });
    }

    /// The controller confirms its office before it answers.
    pub(super) fn on_beat(&mut self, broker: usize, from: usize, beat: Heartbeat, asked_at: Duration) {
        let heard_at = self.local(broker);
        let Some(term) = self.process(broker).and_then(|p| p.office.as_ref()).map(|office| office.judge.reign().term)
        else {
            return;
        };
        self.remind(broker, (200, 3000), Timer::Confirmed { term, from, beat, asked_at, heard_at });
    }

    pub(super) fn on_confirmed(
        &mut self,
        broker: usize,
        term: u64,
        from: usize,
        beat: Heartbeat,
        (asked_at, heard_at): (Duration, Duration),
    ) {
        let is_confirmed = self.quorum.term == term && self.reaches_majority(broker);
        let index = if is_confirmed {
            self.quorum.confirmed_at = self.now;
            self.quorum.len() - 1
        } else if self.without(Guard::ConfirmOffice) {
            self.processes[broker].as_ref().map_or(0, |process| process.applied)
        } else {
            return;
        };
        let image = self.quorum.image_at(index).clone();
        let turn = Turn { heard_at, answered_at: self.local(broker) };
        let office = self.process(broker).and_then(|process| process.office.as_mut());
        let Some(office) = office.filter(|office| office.judge.reign().term == term) else { return };
        let mut verdict = office.judge.on_heartbeat(turn, &image, beat);
        if verdict == Verdict::Waiting && image.is_unfenced(beat.slot) && !beat.stopping {
            self.hit(Marker::DeafLeader);
            if self.without(Guard::DeafNotToldAlive) {
                verdict = Verdict::Alive;
            }
        }
        let message = Message::Verdict { verdict, session: beat.session, asked_at };
        self.send((Lane::Controller, broker, from), message);
    }

    pub(super) fn on_verdict(&mut self, broker: usize, verdict: Verdict, session: BrokerEpoch, asked_at: Duration) {
        let (timing, now) = (self.settings.timing, self.local(broker));
        let Some(process) = self.process(broker) else { return };
        if process.session.is_some_and(|known| known.epoch == session) {
            process.unanswered_since = now;
        }
        let word = Word { session, said_at: asked_at };
        let known = process.session.map(|known| known.epoch);
        match word.consequence(verdict, timing, known, process.is_leaving) {
            Consequence::StandsUntil(until) => process.footing = process.footing.max(until),
            Consequence::Unchanged => {}
            Consequence::MayGo => {
                self.hit(Marker::StoppedInOrder);
                self.stop(broker);
                self.after((20_000, 300_000), crate::event::Event::Restart { broker });
            }
            Consequence::RegisterAgain => {
                process.footing = Duration::ZERO;
                trace!(self, "broker {broker} was fenced");
                self.hit(Marker::RegisteredAgain);
                self.register(broker);
            }
        }
    }

    /// Whether the broker may take itself for alive.
    pub(super) fn stands(&self, broker: usize) -> bool {
        let now = self.local(broker);
        self.processes[broker].as_ref().is_some_and(|process| now < process.footing)
            || self.without(Guard::NoAckAfterNewEpoch)
    }

    /// A proposal was decided on.
    pub(super) fn on_decided(&mut self, broker: usize, purpose: Purpose, outcome: Result<Answer, Refusal>) {
        match (purpose, outcome) {
            (Purpose::Register, Ok(Answer::Registered { session })) => self.begin_session(broker, session),
            (Purpose::Register, _) => self.on_unknown(broker, purpose),
            (Purpose::Isr { partition, partition_epoch }, Err(refusal)) => {
                self.hit(Marker::IsrRefused);
                let refusal = if self.without(Guard::ChangedIsNotRefused) { FOR_GOOD } else { refusal };
                self.on_isr_refused(broker, partition, partition_epoch, &refusal);
            }
            (Purpose::Office { term, since }, Ok(_)) => self.hold_office(broker, term, since),
            (Purpose::Office { .. }, Err(_)) => {}
            (Purpose::Membership { term }, outcome) => {
                if matches!(outcome, Err(Refusal::ControllerOutdated { .. })) {
                    self.hit(Marker::StaleControllerRefused);
                }
                self.next_change(broker, term);
            }
            (Purpose::Isr { .. }, Ok(_)) | (Purpose::Start, _) => {}
        }
    }

    /// Nobody knows what became of a proposal.
    pub(super) fn on_unknown(&mut self, broker: usize, purpose: Purpose) {
        match purpose {
            Purpose::Register => {
                if let Some(process) = self.process(broker) {
                    process.is_registering = false;
                }
                self.register(broker);
            }
            Purpose::Office { term, since } if self.quorum.term == term => self.take_office(broker, term, since),
            Purpose::Membership { term } => self.next_change(broker, term),
            Purpose::Isr { partition, partition_epoch } if self.without(Guard::UnknownIsNotRefused) => {
                self.on_isr_refused(broker, partition, partition_epoch, &FOR_GOOD);
            }
            // It is asked for again at the next look.
            Purpose::Isr { .. } | Purpose::Start | Purpose::Office { .. } => {}
        }
    }

    fn begin_session(&mut self, broker: usize, epoch: BrokerEpoch) {
        let now = self.local(broker);
        let Some(process) = self.process(broker) else { return };
        process.unanswered_since = now;
        process.is_registering = false;
        process.session = Some(Session { epoch, is_ready: false });
        self.realise(broker);
        if let Some(process) = self.process(broker) {
            process.session = Some(Session { epoch, is_ready: true });
        }
    }

    fn hold_office(&mut self, broker: usize, term: u64, since: Duration) {
        let (timing, silent_since) = (self.settings.timing, self.clocks[broker].at(self.quorum.confirmed_at));
        // Now and then no majority says since when the one before is silent.
        let is_known = self.quorum.term == term && self.random.chance(80);
        let before = self.quorum.before.filter(|before| *before != broker && is_known);
        let Some(process) = self.process(broker) else { return };
        if process.office.as_ref().is_some_and(|office| office.judge.reign().term >= term) {
            return;
        }
        let mut judge = Liveness::begin(timing, Reign::of(term, broker as u64), since);
        if let Some(before) = before {
            judge.succeed(slot(before), silent_since);
        }
        process.office = Some(Office {
            judge,
            before,
            since,
            changes: VecDeque::new(),
            round: 0,
            is_busy: false,
            tails: BTreeMap::new(),
            awaited: 0,
        });
        self.judge(broker, term);
    }
}
