use mirror_core::active::{Ask, Portion, Row, Vector};
use model::Offset;
use std::collections::BTreeMap;
use std::time::Duration;

/// What a source sends.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// The portions, and which records they hold.
    pub(super) portions: Vec<(Portion, Vec<usize>)>,
    pub(super) rows: Vec<Row>,
    pub(super) received: Vector,
}

impl Answer {
    pub(super) fn records(&self) -> u64 {
        self.portions.iter().map(|(_, records)| records.len() as u64).sum()
    }
}

/// What a flush makes durable.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flushed {
    pub(super) log: usize,
    pub(super) side: usize,
    pub(super) conflicts: usize,
    pub(super) mark: Offset,
}

/// A connection ends when one of its ends dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Connection {
    pub(super) link: usize,
    pub(super) ticket: u64,
    pub(super) lives: (u64, u64),
}

#[derive(Clone, Debug)]
pub(super) enum Event {
    Write { region: usize },
    Flush { region: usize, life: u64, flushed: Flushed },
    Ask { link: usize },
    Asked { connection: Connection, ask: Ask },
    Answered { connection: Connection, answer: Answer },
    Overdue { link: usize, ticket: u64 },
    Fault,
    Heal { from: usize, to: usize },
    Restart { region: usize },
    Settle { region: usize },
    HealAll,
    End,
}

/// What is to happen, in order.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    events: BTreeMap<(Duration, u64), Event>,
    count: u64,
}

impl Agenda {
    pub(super) fn add(&mut self, at: Duration, event: Event) {
        self.count += 1;
        self.events.insert((at, self.count), event);
    }

    pub(super) fn next(&mut self) -> Option<(Duration, Event)> {
        self.events.pop_first().map(|((at, _), event)| (at, event))
    }
}
