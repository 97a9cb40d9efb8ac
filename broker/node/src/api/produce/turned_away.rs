//! No write of a producer overtakes one that was turned away.
//!
//! ```text
//!   client     1 2 3 ------------>  broker: a copy, or without a lease
//!              <-- 1: not here, 2: not here     (it becomes the leader)
//!                                   3 would be taken as the producer's first write, and 1 and 2 be out of order for ever:
//!              <-- connection ends
//!              1 2 3 ------------>  again, in their order
//! ```
//!
//! A client sends more before it hears that a batch was refused. Nobody can tell a write that was on its way from one
//! that was sent later, so what is remembered is remembered while the connection lasts: until the very batch comes again.

use super::super::access::TopicRef;
use model::ProducerId;
use record::Header;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many producers and partitions of one connection are told apart; behind more than these nothing idempotent is taken.
const LINES_MAX: usize = 1024;

/// The first batch of each idempotent producer that was turned away from each partition: this broker did not lead it, or
/// was not to.
#[derive(Debug, Default)]
pub(crate) struct TurnedAway(Mutex<HashMap<Line, Place>>);

/// What one producer writes to one partition.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Line {
    topic: TopicRef,
    partition: i32,
    producer: ProducerId,
}

/// Where a batch stands in its line: producer epoch and first sequence number.
type Place = (i16, i32);

impl TurnedAway {
    /// Takes note of a batch that was turned away.
    pub(super) fn note(&self, topic: &TopicRef, partition: i32, batch: &Header) {
        let Some(line) = line(topic, partition, batch) else { return };
        let mut first = self.first();
        let room = first.len() < LINES_MAX;
        if let Entry::Vacant(vacant) = first.entry(line)
            && room
        {
            vacant.insert(place(batch));
        }
    }

    /// Whether the batch, were it taken, would overtake one that was turned away; the first of those would not.
    pub(super) fn is_overtaken_by(&self, topic: &TopicRef, partition: i32, batch: &Header) -> bool {
        let first = self.first();
        if first.is_empty() {
            return false;
        }
        let Some(line) = line(topic, partition, batch) else { return false };
        match first.get(&line) {
            Some(first) => *first != place(batch),
            None => first.len() == LINES_MAX,
        }
    }

    /// Takes note of a batch that was taken. From here on its log knows which one comes next.
    pub(super) fn forget(&self, topic: &TopicRef, partition: i32, batch: &Header) {
        let mut first = self.first();
        if first.is_empty() {
            return;
        }
        if let Some(line) = line(topic, partition, batch) {
            first.remove(&line);
        }
    }

    fn first(&self) -> MutexGuard<'_, HashMap<Line, Place>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn line(topic: &TopicRef, partition: i32, batch: &Header) -> Option<Line> {
    let line = || Line { topic: topic.clone(), partition, producer: batch.producer_id };
    batch.is_idempotent().then(line)
}

fn place(batch: &Header) -> Place {
    (batch.producer_epoch, batch.base_sequence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::{BatchBuilder, BatchView};

    fn batch(producer: i64, epoch: i16, sequence: i32) -> Header {
        let builder = BatchBuilder::new().producer(ProducerId(producer), epoch, sequence);
        *BatchView::parse(&builder.record(1, None, None, &[]).build()).unwrap().header()
    }

    fn topic(name: &str) -> TopicRef {
        TopicRef::Name(name.to_owned())
    }

    #[test]
    fn only_the_first_that_was_turned_away_goes_before_what_came_behind_it() {
        let (turned_away, t) = (TurnedAway::default(), topic("t"));
        for sequence in [3, 4] {
            turned_away.note(&t, 0, &batch(7, 2, sequence));
        }
        let overtakes = |topic: &TopicRef, partition, batch| turned_away.is_overtaken_by(topic, partition, &batch);
        for (epoch, sequence, expected) in [(2, 3, false), (2, 4, true), (2, 5, true), (2, 2, true), (3, 3, true)] {
            assert_eq!(overtakes(&t, 0, batch(7, epoch, sequence)), expected, "epoch {epoch}, sequence {sequence}");
        }
        assert!(!overtakes(&t, 0, batch(8, 2, 5)), "another producer");
        assert!(!overtakes(&t, 1, batch(7, 2, 5)), "another partition");
        assert!(!overtakes(&topic("u"), 0, batch(7, 2, 5)), "another topic");
        turned_away.forget(&t, 0, &batch(7, 2, 3));
        assert!(!overtakes(&t, 0, batch(7, 2, 5)), "from here on the log knows");
    }

    #[test]
    fn what_is_not_idempotent_has_no_order() {
        let (turned_away, t) = (TurnedAway::default(), topic("t"));
        turned_away.note(&t, 0, &batch(-1, -1, -1));
        assert!(turned_away.first().is_empty());
        turned_away.note(&t, 0, &batch(7, 0, 0));
        assert!(!turned_away.is_overtaken_by(&t, 0, &batch(-1, -1, -1)));
    }

    #[test]
    fn behind_more_than_can_be_told_apart_nothing_idempotent_is_taken() {
        let (turned_away, t) = (TurnedAway::default(), topic("t"));
        for partition in 0..LINES_MAX as i32 + 5 {
            turned_away.note(&t, partition, &batch(7, 0, 0));
        }
        assert_eq!(turned_away.first().len(), LINES_MAX);
        for partition in [LINES_MAX as i32 + 4, i32::MAX] {
            assert!(turned_away.is_overtaken_by(&t, partition, &batch(7, 0, 1)));
        }
        assert!(!turned_away.is_overtaken_by(&t, 0, &batch(-1, -1, -1)));
    }
}
