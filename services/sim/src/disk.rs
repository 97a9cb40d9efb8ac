//! Disks that keep what was synced, and of the rest what they like.
//!
//! ```text
//!   0                  flushed                 tail
//!   |                     |                      |
//!   | survives everything | page cache: survives | (unwritten)
//!   |                     | the process, not the |
//!   |                     | loss of power        |
//! ```
//!
//! Every batch holds one record, so that its offset is its number.

use crate::random::Random;
use broker_core::follower::{EpochEnd, LogView};
use broker_core::metadata::BrokerEpoch;
use bytes::Bytes;
use model::{Baseline, LeaderEpoch, Offset, ProducerId};
use record::{BatchBuilder, Batches, Header};
use std::time::Duration;

/// What a batch is, without its offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) epoch: LeaderEpoch,
    /// No two sends have the same, except retries of an idempotent producer.
    pub(crate) value: i64,
    pub(crate) producer: ProducerId,
    pub(crate) sequence: i32,
}

/// One replica's log.
#[derive(Clone, Debug, Default)]
pub(crate) struct SimLog {
    batches: Vec<(Bytes, Entry)>,
    flushed: usize,
    /// How far the sync that is under way reaches.
    syncing: Option<usize>,
    /// A sync failed: nothing is written any more.
    pub(crate) failed: bool,
}

/// The disk of one broker.
#[derive(Clone, Debug)]
pub(crate) struct SimDisk {
    pub(crate) logs: Vec<SimLog>,
    pub(crate) incarnation: u64,
    /// The session that a process stopped in, in order, and none was started since.
    pub(crate) stopped_in: Option<BrokerEpoch>,
    /// The life of the process that has all of it; 0 after a loss of power.
    pub(crate) life: u64,
    /// How long a sync takes.
    pub(crate) sync: (u64, u64),
    /// The next sync fails.
    pub(crate) fails_next: bool,
}

impl SimDisk {
    pub(crate) fn new(partitions: usize) -> Self {
        let logs = vec![SimLog::default(); partitions];
        Self { logs, incarnation: 1, stopped_in: None, life: 0, sync: (150, 1500), fails_next: false }
    }

    pub(crate) fn sync_time(&self, random: &mut Random) -> Duration {
        random.micros(self.sync.0..self.sync.1)
    }
}

impl SimLog {
    pub(crate) fn len(&self) -> usize {
        self.batches.len()
    }

    pub(crate) fn flushed(&self) -> usize {
        self.flushed
    }

    pub(crate) fn entry(&self, at: usize) -> Option<Entry> {
        self.batches.get(at).map(|(_, entry)| *entry)
    }

    /// What is durable at that offset.
    pub(crate) fn durable_entry(&self, at: usize) -> Option<Entry> {
        self.entry(at).filter(|_| at < self.flushed)
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        self.batches.iter().map(|(_, entry)| *entry)
    }

    /// Appends as the leader; gives the offset.
    pub(crate) fn append(&mut self, entry: Entry) -> usize {
        let at = self.len();
        let builder = BatchBuilder::new().base_offset(Offset(at as i64)).leader_epoch(entry.epoch);
        let builder = builder.producer(entry.producer, if entry.producer.0 < 0 { -1 } else { 0 }, entry.sequence);
        let bytes = builder.record(entry.value, None, Some(b"sim"), &[]).build();
        self.batches.push((bytes.into(), entry));
        at
    }

    /// Appends what a leader sent, as it is.
    pub(crate) fn append_copy(&mut self, batches: &Bytes) {
        let mut begin = 0;
        let mut each = Batches::new(batches);
        while let Some(Ok(batch)) = each.next() {
            let entry = entry_of(&batch);
            let end = each.position();
            self.batches.push((batches.slice(begin..end), entry));
            begin = end;
        }
    }

    /// At most `max` raw batches from `from` on, below `end`.
    pub(crate) fn read(&self, from: usize, max: usize, end: usize) -> Bytes {
        let end = end.min(from + max).max(from);
        let mut bytes = Vec::new();
        for (batch, _) in &self.batches[from..end] {
            bytes.extend_from_slice(batch);
        }
        bytes.into()
    }

    /// Cuts durably; gives what was cut off.
    pub(crate) fn truncate(&mut self, to: usize) -> Vec<Entry> {
        let removed = self.batches.drain(to.min(self.len())..).map(|(_, entry)| entry).collect();
        self.flushed = self.flushed.min(self.len());
        self.syncing = self.syncing.map(|end| end.min(self.batches.len()));
        removed
    }

    /// Begins a sync unless there is one, or nothing to do.
    pub(crate) fn begin_sync(&mut self) -> bool {
        let begins = self.syncing.is_none() && !self.failed && self.flushed < self.len();
        if begins {
            self.syncing = Some(self.len());
        }
        begins
    }

    /// The sync has ended; whether more became durable.
    pub(crate) fn end_sync(&mut self) -> bool {
        let end = self.syncing.take().unwrap_or(0);
        let is_more = end > self.flushed;
        self.flushed = self.flushed.max(end);
        is_more
    }

    /// A sync failed: the log takes no more writes.
    pub(crate) fn fail(&mut self) {
        self.syncing = None;
        self.failed = true;
    }

    /// Makes everything durable while the caller waits.
    pub(crate) fn sync_now(&mut self) {
        self.flushed = self.len();
    }

    /// The last batch of a producer.
    pub(crate) fn last_of(&self, producer: ProducerId) -> Option<Entry> {
        self.batches.iter().rev().map(|(_, entry)| *entry).find(|entry| entry.producer == producer)
    }

    /// Where a producer's batch with that sequence number is.
    pub(crate) fn find(&self, producer: ProducerId, sequence: i32) -> Option<usize> {
        self.batches.iter().rposition(|(_, entry)| entry.producer == producer && entry.sequence == sequence)
    }

    /// The process died, and with `power` the machine: of what was not synced any part is left, whole or torn. Gives
    /// whether a batch was torn.
    pub(crate) fn crash(&mut self, power: bool, random: &mut Random) -> bool {
        self.syncing = None;
        if !power {
            return false;
        }
        let (mut bytes, mut is_torn) = (Vec::new(), false);
        for (batch, _) in self.batches.drain(self.flushed..) {
            let at = bytes.len();
            bytes.extend_from_slice(&batch);
            match random.below(4) {
                0 => bytes[at..].fill(0),
                1 => {
                    let half = at + random.below(batch.len());
                    bytes[half..].fill(0);
                    is_torn = true;
                }
                _ => {}
            }
        }
        if random.chance(30) {
            // The length of the file was not written either.
            bytes.truncate(random.below(bytes.len() + 1));
        }
        self.recover(&bytes.into());
        is_torn
    }

    /// Takes the sound batches at the beginning of what is behind the durable end.
    fn recover(&mut self, bytes: &Bytes) {
        let mut sound = 0;
        let mut batches = Batches::new(bytes);
        let mut next = self.flushed as i64;
        while let Some(Ok(batch)) = batches.next() {
            if batch.verify().is_err() || batch.base_offset != Offset(next) {
                break;
            }
            next = batch.next_offset().0;
            sound = batches.position();
        }
        self.append_copy(&bytes.slice(..sound));
    }
}

fn entry_of(header: &Header) -> Entry {
    Entry {
        epoch: header.leader_epoch,
        value: header.base_timestamp.0,
        producer: header.producer_id,
        sequence: header.base_sequence,
    }
}

/// A log as the cores look at it.
pub(crate) struct Looked<'a> {
    pub(crate) log: &'a SimLog,
    pub(crate) durable: usize,
}

impl LogView for Looked<'_> {
    fn start(&self) -> Offset {
        Offset::ZERO
    }

    fn tail(&self) -> Offset {
        Offset(self.log.len() as i64)
    }

    fn durable(&self) -> Offset {
        Offset(self.durable as i64)
    }

    fn last_epoch(&self) -> LeaderEpoch {
        self.log.batches.last().map_or(LeaderEpoch::NONE, |(_, last)| last.epoch)
    }

    /// Nothing is cleaned here.
    fn baseline(&self) -> Baseline {
        Baseline::default()
    }

    fn end_of_epoch(&self, epoch: LeaderEpoch) -> Option<EpochEnd> {
        if epoch.0 < 0 || epoch > self.last_epoch() {
            return None;
        }
        let end = self.log.batches.partition_point(|(_, entry)| entry.epoch <= epoch);
        let epoch = if end == 0 { epoch } else { self.log.batches[end - 1].1.epoch };
        Some(EpochEnd { epoch, end: Offset(end as i64) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(synced: usize, tail: usize) -> SimLog {
        let mut log = SimLog::default();
        for value in 0..tail {
            log.append(Entry { epoch: LeaderEpoch(1), value: value as i64, producer: ProducerId::NONE, sequence: -1 });
            if value + 1 == synced {
                log.sync_now();
            }
        }
        log
    }

    #[test]
    fn a_loss_of_power_leaves_what_was_synced_and_a_beginning_of_the_rest() {
        let (mut lengths, whole) = (std::collections::BTreeSet::new(), log(2, 6));
        for seed in 0..200 {
            let mut log = whole.clone();
            log.crash(true, &mut Random::new(seed));
            assert!(log.entries().eq(whole.entries().take(log.len())));
            lengths.insert(log.len());
        }
        assert_eq!(lengths.into_iter().collect::<Vec<_>>(), [2, 3, 4, 5, 6]);
    }

    #[test]
    fn the_death_of_the_process_loses_nothing() {
        let mut log = log(2, 6);
        log.crash(false, &mut Random::new(1));
        assert_eq!((log.len(), log.flushed()), (6, 2));
    }

    #[test]
    fn a_sync_does_not_cover_what_was_appended_after_a_cut() {
        let mut log = log(2, 6);
        assert!(log.begin_sync());
        log.truncate(3);
        log.append(Entry { epoch: LeaderEpoch(2), value: 9, producer: ProducerId::NONE, sequence: -1 });
        log.end_sync();
        assert_eq!((log.len(), log.flushed()), (4, 3));
    }
}
