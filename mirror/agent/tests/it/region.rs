//! A region in memory: the owner of everything, or copies of everything; a source and a sink.

mod sink;
mod source;

pub(crate) use source::MemorySource;

use crate::logs::{MemoryLog, batch};
use bytes::Bytes;
use env::PortFuture;
use mirror::{CommitsRequest, CopyKey, FetchPartition, SinkError, SourceMarks, SyncTerms};
use mirror_core::gap::Gap;
use mirror_core::verify::{DigestOf, Interval, Kept, Soundness};
use mirror_core::window::{Answer, Body, Diverging, Stream};
use model::{
    Baseline, BrokerAddress, Commit, CommitCursor, CommitPage, CommitPart, Incarnation, LeaderEpoch, Leaders, Offset,
    OffsetRange, OwnershipEpoch, PartitionId, PartitionLeader, RegionName, Timestamp, TopicId, TopicLeaders, TopicName,
};
use record::Batches;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

pub(crate) struct Region {
    pub(crate) name: RegionName,
    state: Mutex<State>,
    bell: Notify,
    led_changes: watch::Sender<u64>,
    /// Under what its copies speak, where their source waits for them.
    pub(crate) sync_terms: Mutex<Option<SyncTerms>>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) logs: BTreeMap<CopyKey, Held>,
    pub(crate) is_owner: bool,
    pub(crate) epoch: OwnershipEpoch,
    leadership: u32,
    pub(crate) is_sealed: bool,
    /// Copies that another broker of the region leads.
    pub(crate) led_elsewhere: BTreeSet<CopyKey>,
    /// How many brokers it has as a source; one if nobody says otherwise.
    pub(crate) brokers: u16,
    /// Which of them leads a partition, if not the first.
    pub(crate) led_by: BTreeMap<CopyKey, u16>,
    /// Those that take questions and answer none.
    pub(crate) hung: BTreeSet<u16>,
    leaders_version: u64,
    /// Whether it answers nobody.
    pub(crate) is_down: bool,
    /// How long each answer travels.
    pub(crate) delay: Duration,
    pub(crate) log_failure: Option<String>,
    /// Copies whose disk takes writes and never finishes one.
    pub(crate) stuck: BTreeSet<CopyKey>,
    /// Every commit, in the order of the log.
    pub(crate) feed: Vec<Commit>,
    pub(crate) commits: BTreeMap<(String, TopicName, PartitionId), Commit>,
    pub(crate) reached: CommitCursor,
    pub(crate) archived: Vec<(CopyKey, OffsetRange, Vec<Bytes>)>,
    pub(crate) gaps: Vec<Gap>,
    /// What is hashed of each of its logs.
    pub(crate) hashed: Kept,
    /// Where its disk gives something else than was written to it.
    pub(crate) damaged: BTreeSet<Interval>,
    /// How many times an interval was to be read again.
    pub(crate) judged: usize,
    /// What its copies are to be digested for.
    pub(crate) wanted: Option<DigestOf>,
    pub(crate) marks: BTreeMap<CopyKey, (OwnershipEpoch, SourceMarks)>,
    /// One per fetch with partitions: how many, and how long it may wait.
    pub(crate) fetches: Vec<(usize, Duration)>,
    /// Fetches under way now, and the most there were.
    pub(crate) under_way: (usize, usize),
    /// So many fetches are broken off, each while others are under way.
    pub(crate) breaks: usize,
    pub(crate) opened: usize,
    /// How far runs of fetches were handed out.
    runs: BTreeMap<(CopyKey, RegionName), (Stream, LeaderEpoch, Offset)>,
    /// What copies said of themselves without asking for anything.
    pub(crate) words: Vec<FetchPartition>,
    values: u64,
}

/// One partition.
pub(crate) struct Held {
    pub(crate) log: MemoryLog,
    pub(crate) high_watermark: Offset,
    pub(crate) baseline: Baseline,
    flushed: watch::Sender<Offset>,
    /// When what was appended last came.
    pub(crate) appended_at: Instant,
}

impl Region {
    pub(crate) fn new(name: &str) -> Arc<Self> {
        let (name, led_changes) = (RegionName::new(name).unwrap(), watch::Sender::new(0));
        Arc::new(Self { name, state: Mutex::default(), bell: Notify::new(), led_changes, sync_terms: Mutex::default() })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Holds these partitions from now on; those it has stay.
    pub(crate) fn carry(&self, topic: TopicId, partitions: i32) {
        let mut state = self.state();
        for partition in 0..partitions {
            let held = || Held {
                log: MemoryLog::default(),
                high_watermark: Offset(0),
                baseline: Baseline::default(),
                flushed: watch::Sender::new(Offset(0)),
                appended_at: Instant::now(),
            };
            state.logs.entry((topic, PartitionId(partition))).or_insert_with(held);
        }
    }

    pub(crate) fn drop_topic(&self, topic: TopicId) {
        self.state().logs.retain(|(held, _), _| *held != topic);
        self.bell.notify_waiters();
    }

    pub(crate) fn log(&self, key: CopyKey) -> MemoryLog {
        self.state().logs[&key].log.clone()
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.bell.notify_waiters();
    }

    /// Has as many brokers from now on, which lead partitions as `led_by` says.
    pub(crate) fn spread(&self, brokers: u16, led_by: &[(CopyKey, u16)]) {
        self.change(|state| {
            (state.brokers, state.led_by) = (brokers, led_by.iter().copied().collect());
            state.leaders_version += 1;
        });
    }

    /// Another broker of the region leads these copies.
    pub(crate) fn lead_all_but(&self, keys: &[CopyKey]) {
        self.change(|state| state.led_elsewhere = keys.iter().copied().collect());
        self.led_changes.send_modify(|count| *count += 1);
    }

    /// Serves everything under `epoch`. What lies in `holes` was given out by an owner before.
    pub(crate) fn own(&self, epoch: u32, holes: &BTreeMap<CopyKey, OffsetRange>) {
        self.change(|state| {
            (state.is_owner, state.is_sealed, state.epoch, state.leadership) = (true, false, OwnershipEpoch(epoch), 0);
            let leader_epoch = state.leader_epoch();
            for (key, held) in &mut state.logs {
                // It is a copy no more: whoever watched it learns that.
                held.flushed = watch::Sender::new(held.log.tail());
                if let Some(hole) = holes.get(key) {
                    assert_eq!(held.log.tail(), hole.start);
                    held.log.append(&record::leader_change(hole.end, leader_epoch, 1, Timestamp(5)).into());
                }
            }
        });
    }

    /// Keeps copies, and obeys `epoch`.
    pub(crate) fn stand_by(&self, epoch: u32) {
        self.change(|state| {
            (state.is_owner, state.is_sealed, state.epoch) = (false, false, OwnershipEpoch(epoch));
            state.logs.values().for_each(|held| _ = held.flushed.send_replace(held.log.tail()));
        });
    }

    /// The broker starts again: another leader epoch, and the commits it reads from its log.
    pub(crate) fn restart(&self) {
        self.change(|state| {
            state.leadership += 1;
        });
    }

    pub(crate) fn produce(&self, key: CopyKey, records: i64) {
        self.change(|state| {
            state.values += 1;
            let (epoch, seed) = (state.leader_epoch(), state.values);
            let held = state.logs.get_mut(&key).unwrap();
            held.log.append(&batch(held.log.tail().0, records, epoch.0, seed));
            held.appended_at = Instant::now();
        });
    }

    pub(crate) fn commit(&self, commit: Commit) {
        self.change(|state| {
            state.keep(commit);
        });
    }
}

impl State {
    /// Reads an interval again, unless it was.
    fn judge(&mut self, interval: Interval) {
        let judged = &mut self.hashed.judged;
        judged.want(interval);
        self.judged += usize::from(judged.unread().is_some());
        let damaged = self.damaged.contains(&interval).then_some(interval.range().start);
        judged.settle(interval, Soundness::read(damaged));
    }

    pub(crate) fn leader_epoch(&self) -> LeaderEpoch {
        LeaderEpoch::of(self.epoch, self.leadership).unwrap()
    }

    fn keep(&mut self, commit: Commit) {
        self.feed.push(commit.clone());
        let key = (commit.consumer_group.as_str().to_owned(), commit.topic.clone(), commit.partition);
        if commit.offset.is_some() {
            self.commits.insert(key, commit);
        } else {
            self.commits.remove(&key);
        }
    }

    /// Where the newest commit lies.
    pub(crate) fn newest_commit(&self) -> CommitCursor {
        CommitCursor { incarnation: Incarnation(1), position: Offset(self.feed.len() as i64) }
    }

    fn commit_page(&self, request: &CommitsRequest) -> CommitPage {
        let since = request.since[0];
        let commits: Vec<_> = self.feed.iter().skip(since.cursor.position.0 as usize).cloned().collect();
        let (limit, newest) = (request.limit as usize, self.newest_commit());
        let next = CommitCursor { position: since.cursor.position.plus(commits.len().min(limit) as i64), ..newest };
        let commits = commits.into_iter().take(limit).collect();
        let part = CommitPart { partition: PartitionId(0), next, newest, swept: Offset(0), commits };
        CommitPage { ownership_epoch: self.epoch, partitions: 1, parts: vec![part] }
    }

    fn copy(&mut self, key: CopyKey) -> Result<&mut Held, SinkError> {
        if self.is_owner {
            return Err(SinkError::NotReady("owned here".into()));
        }
        if let Some(reason) = self.log_failure.clone() {
            return Err(SinkError::Failed(reason));
        }
        self.logs.get_mut(&key).ok_or_else(|| SinkError::NotReady("no such copy".into()))
    }

    fn writable(&mut self, key: CopyKey) -> Result<&mut Held, SinkError> {
        if self.is_sealed { Err(SinkError::Sealed) } else { self.copy(key) }
    }

    fn leader(&self, key: CopyKey) -> u16 {
        self.led_by.get(&key).copied().unwrap_or(0)
    }

    fn leaders(&self, region: &RegionName) -> Leaders {
        let led = |key: &CopyKey| PartitionLeader {
            partition: key.1,
            leader: self.leader(*key),
            leader_epoch: self.leader_epoch(),
            ownership_epoch: self.epoch,
            isr: vec![],
            writable: self.is_owner,
        };
        let topic = |key: &CopyKey| TopicLeaders {
            id: key.0,
            name: TopicName::new("orders").unwrap(),
            partitions: vec![led(key)],
        };
        let broker = |slot| BrokerAddress { slot, internal: format!("{region}/{slot}") };
        Leaders {
            region: region.clone(),
            version: self.leaders_version,
            topics: self.logs.keys().map(topic).collect(),
            coordinators: vec![Some(0)],
            brokers: (0..self.brokers).map(broker).collect(),
            fenced: vec![],
        }
    }

    fn answer(&mut self, asker: &RegionName, asked: &FetchPartition, bytes_left: usize) -> Answer {
        let Some(held) = self.logs.get(&asked.key) else { return nothing() };
        let (log, epochs) = (&held.log, held.log.epochs());
        let leader_epoch = if self.is_owner { self.leader_epoch() } else { epochs.last_epoch() };
        let known = self.runs.get(&(asked.key, asker.clone()));
        let known = known.filter(|(stream, led, _)| asked.stream == Some(*stream) && *led == leader_epoch);
        let from = known.map_or(asked.from, |(_, _, next)| *next);
        let body = if asked.last_epoch > leader_epoch {
            Body::Behind
        } else if let Some(diverging) = diverging(log, asked) {
            Body::Diverging(diverging)
        } else if from < log.start || from > log.tail() {
            Body::OutOfRange
        } else {
            Body::Records(log.read(from, log.tail(), bytes_left.min(asked.bytes_max as usize)))
        };
        let mut end = from;
        if let Body::Records(records) = &body {
            end = Batches::new(records)
                .map(|batch| batch.unwrap().next_offset())
                .last()
                .map_or(from, |last| last.max(from));
        }
        let answer = Answer {
            source_tail: log.tail(),
            high_watermark: log.tail(),
            log_start: log.start,
            leader_epoch,
            ownership_epoch: self.epoch,
            served: asked.stream.map(|_| OffsetRange::new(from, end)),
            baseline: held.baseline,
            body,
            ..nothing()
        };
        if let (Some(stream), Body::Records(_)) = (asked.stream, &answer.body) {
            self.runs.insert((asked.key, asker.clone()), (stream, leader_epoch, end));
        }
        answer
    }
}

/// What a broker says that does not lead the partition.
fn nothing() -> Answer {
    Answer {
        source_time: Timestamp(1_000_000),
        source_tail: Offset(-1),
        high_watermark: Offset(-1),
        log_start: Offset(-1),
        leader_epoch: LeaderEpoch::NONE,
        ownership_epoch: OwnershipEpoch(0),
        oldest_unread: Timestamp::NONE,
        served: None,
        baseline: Baseline::default(),
        body: Body::Unavailable,
    }
}

fn diverging(log: &MemoryLog, asked: &FetchPartition) -> Option<Diverging> {
    if asked.last_epoch == LeaderEpoch::NONE || asked.from < log.start {
        return None;
    }
    let (epoch, end) = log.epochs().end_of(asked.last_epoch, log.tail()).unwrap_or((LeaderEpoch::NONE, log.start));
    (epoch < asked.last_epoch || end < asked.from).then_some(Diverging { epoch, end })
}

fn done<'a, T: Send + 'a>(result: T) -> PortFuture<'a, T> {
    Box::pin(std::future::ready(result))
}
