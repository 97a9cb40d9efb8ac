//! Producers: some idempotent with acks=all, two that ask for one ack only.

use super::{World, broker, trace};
use crate::disk::Entry;
use crate::event::{Event, Message};
use crate::net::{CLIENTS, Lane, Node};
use crate::random::Random;
use model::{LeaderEpoch, PartitionId, ProducerId};

/// One producer, with one batch under way at most.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) partition: usize,
    producer: ProducerId,
    pub(super) all: bool,
    /// Microseconds between batches.
    every: (u64, u64),
    next_sequence: i32,
    sent: Option<Sent>,
    /// Whom it takes for the leader.
    leader: Option<usize>,
    /// Asks anew before every batch who leads.
    forgets: bool,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    draft: Entry,
    /// `None` between two tries.
    request: Option<(u64, usize)>,
}

impl Client {
    pub(super) fn draw(partitions: usize, random: &mut Random) -> Vec<Self> {
        let idempotent = 2 * partitions;
        let client = |number: usize| {
            let is_idempotent = number < idempotent;
            let forgets = number > idempotent;
            let every = if forgets { 8_000 } else { random.between(2_000..30_000) };
            Self {
                partition: if is_idempotent { number % partitions } else { 0 },
                producer: if is_idempotent { ProducerId(number as i64) } else { ProducerId::NONE },
                all: is_idempotent,
                every: (every / 2, every * 2),
                next_sequence: 0,
                sent: None,
                leader: None,
                forgets,
            }
        };
        (0..idempotent + 2).map(client).collect()
    }

    pub(super) fn is_idle(&self) -> bool {
        self.sent.is_none()
    }
}

impl World {
    /// Sends a new batch, or the one that was not acknowledged again.
    pub(super) fn send_next(&mut self, client: usize) {
        let value = self.number() as i64;
        let one = &mut self.clients[client];
        if one.sent.is_none() {
            if self.is_healed {
                return;
            }
            let sequence = if one.all { one.next_sequence } else { -1 };
            let draft = Entry { epoch: LeaderEpoch::NONE, value, producer: one.producer, sequence };
            one.sent = Some(Sent { draft, request: None });
        }
        self.send_again(client);
    }

    fn send_again(&mut self, client: usize) {
        let request = self.number();
        let Some(mut sent) = self.clients[client].sent else { return };
        let (partition, all) = (self.clients[client].partition, self.clients[client].all);
        if self.clients[client].leader.is_none() || self.clients[client].forgets {
            self.clients[client].leader = self.leader_of(partition);
        }
        let Some(leader) = self.clients[client].leader else {
            return self.after((5000, 30_000), Event::Produce { client });
        };
        if !all {
            // Without idempotence every try is a record of its own.
            sent.draft.value = self.number() as i64;
        }
        sent.request = Some((request, leader));
        self.clients[client].sent = Some(sent);
        let message = Message::Produce { partition, request, draft: sent.draft, all };
        self.send((Lane::Client, CLIENTS + client, leader), message);
        self.after((40_000, 150_000), Event::ProduceOverdue { client, request });
    }

    /// Who leads, as some broker says.
    pub(super) fn leader_of(&mut self, partition: usize) -> Option<usize> {
        let asked = self.random.below(self.settings.brokers);
        let applied = self.processes[asked].as_ref().filter(|process| !process.is_paused)?.applied;
        let known = self.quorum.image_at(applied).partition(self.topic, PartitionId(partition as i32))?;
        known.leader.map(|leader| broker(leader.broker))
    }

    pub(super) fn on_produced(&mut self, node: Node, request: u64, is_acked: bool) {
        let client = node - CLIENTS;
        let Some(one) = self.clients.get_mut(client) else { return };
        if one.sent.and_then(|sent| sent.request).is_none_or(|(sent, _)| sent != request) {
            return;
        }
        if is_acked {
            one.next_sequence += 1;
            one.sent = None;
            let every = one.every;
            return self.after(every, Event::Produce { client });
        }
        self.try_later(client);
    }

    fn try_later(&mut self, client: usize) {
        if let Some(sent) = &mut self.clients[client].sent {
            sent.request = None;
        }
        self.clients[client].leader = None;
        if self.is_healed && !self.clients[client].all {
            self.clients[client].sent = None;
        }
        self.after((3000, 20_000), Event::Produce { client });
    }

    pub(super) fn on_produce_overdue(&mut self, client: usize, request: u64) {
        let sent = self.clients[client].sent.and_then(|sent| sent.request);
        let Some((_, leader)) = sent.filter(|(sent, _)| *sent == request) else { return };
        trace!(self, "client {client} gives request {request} up");
        if self.random.chance(70) {
            self.net.reset((Lane::Client, CLIENTS + client, leader));
        }
        self.try_later(client);
    }
}
