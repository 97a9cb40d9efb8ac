//! Where everybody of a drill writes down what they see, with one clock.

use chaos::history::{Entry, Event};
use model::{Offset, PartitionId, TopicName, TopicPartition};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The history of one drill while it is made.
#[derive(Clone, Debug)]
pub(super) struct Journal(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    began: Instant,
    topic: TopicName,
    notes: Mutex<Notes>,
}

#[derive(Debug, Default)]
struct Notes {
    entries: Vec<Entry>,
    acked: u64,
    /// The greatest offset acknowledged, per partition.
    last_acked: BTreeMap<PartitionId, Offset>,
    /// The greatest offset each reader was given, per partition.
    last_polled: BTreeMap<(String, PartitionId), Offset>,
    fatal: Vec<String>,
}

impl Journal {
    /// An empty history of a load on `topic`.
    pub(super) fn new(topic: TopicName) -> Self {
        Self(Arc::new(Inner { began: Instant::now(), topic, notes: Mutex::default() }))
    }

    /// The topic of the load.
    pub(super) fn topic(&self) -> &TopicName {
        &self.0.topic
    }

    /// A partition of that topic.
    pub(super) fn place(&self, partition: i32) -> TopicPartition {
        TopicPartition { topic: self.0.topic.clone(), partition: PartitionId(partition) }
    }

    /// Writes down what `process` saw just now.
    pub(super) fn tell(&self, process: &str, event: Event) {
        let mut notes = self.notes();
        if let Event::Polled { reader, partition, offset, .. } = &event {
            let last = notes.last_polled.entry((reader.clone(), partition.partition)).or_insert(*offset);
            *last = (*last).max(*offset);
        }
        let at = self.0.began.elapsed().as_nanos() as u64;
        notes.entries.push(Entry { at, process: process.to_owned(), event });
    }

    /// Writes down that a record was acknowledged.
    pub(super) fn acked(&self, process: &str, partition: i32, event: Event) {
        if let Event::Acked { offset, .. } = &event {
            let notes = &mut *self.notes();
            notes.acked += 1;
            let last = notes.last_acked.entry(PartitionId(partition)).or_insert(*offset);
            *last = (*last).max(*offset);
        }
        self.tell(process, event);
    }

    /// Writes down that a client came to an end it must not come to.
    pub(super) fn fatal(&self, what: String) {
        self.notes().fatal.push(what);
    }

    /// What ended clients.
    pub(super) fn fatal_errors(&self) -> Vec<String> {
        self.notes().fatal.clone()
    }

    /// How many records are acknowledged.
    pub(super) fn acked_count(&self) -> u64 {
        self.notes().acked
    }

    /// Who has not been given the newest acknowledged record of every partition yet.
    pub(super) fn behind(&self, readers: &[&str]) -> Vec<String> {
        let notes = self.notes();
        let wanted = readers.iter().flat_map(|reader| notes.last_acked.iter().map(move |acked| (*reader, acked)));
        let is_behind = |(reader, (partition, acked)): &(&str, (&PartitionId, &Offset))| {
            notes.last_polled.get(&((*reader).to_owned(), **partition)).is_none_or(|polled| polled < *acked)
        };
        wanted.filter(is_behind).map(|(reader, (partition, _))| format!("{reader} in partition {partition}")).collect()
    }

    /// Everything that was written down so far.
    pub(super) fn entries(&self) -> Vec<Entry> {
        self.notes().entries.clone()
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_is_behind_until_it_has_the_newest_record() {
        let journal = Journal::new(TopicName::new("t").unwrap());
        journal.acked("p", 0, Event::Acked { value: 1, offset: Offset(7), region: None });
        assert_eq!(journal.behind(&["alone"]), ["alone in partition 0"]);
        let polled = |offset| Event::Polled {
            reader: "alone".into(),
            partition: journal.place(0),
            offset: Offset(offset),
            value: 1,
        };
        journal.tell("alone", polled(6));
        assert_eq!(journal.behind(&["alone"]).len(), 1);
        journal.tell("alone", polled(7));
        assert!(journal.behind(&["alone"]).is_empty());
        assert_eq!((journal.acked_count(), journal.entries().len()), (1, 3));
    }
}
