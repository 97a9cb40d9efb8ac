//! A region's data plane as the archive sees it, and object stores with faults.

use crate::logs::MemoryLog;
use bytes::Bytes;
use env::sim::MemoryObjects;
use env::{ObjectError, ObjectInfo, ObjectStore, PortFuture};
use mirror::CopyKey;
use mirror::archive::{BackupSource, Extent, LogRead, LogSpan, RegionError, RestoreTarget};
use model::{Commit, Offset, OffsetRange, OwnershipEpoch, ProtectionGroup, TopicId};
use std::collections::{BTreeMap, BTreeSet};
use std::future::ready;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::Barrier;

#[derive(Default)]
pub(crate) struct Shelf {
    pub(crate) state: Mutex<State>,
    /// How many bytes a read gives at the most; 0 for what it is asked for.
    pub(crate) read_bytes: usize,
    /// Appends wait here for each other.
    pub(crate) meeting: Option<Barrier>,
    /// How many more appends succeed; negative for all.
    pub(crate) appends_left: AtomicI64,
    pub(crate) appended_bytes: AtomicUsize,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) logs: BTreeMap<CopyKey, MemoryLog>,
    pub(crate) commits: Vec<Commit>,
    pub(crate) finished: BTreeSet<CopyKey>,
    pub(crate) ownership: OwnershipEpoch,
    /// What the log starts become with the next reads.
    pub(crate) retention: BTreeMap<CopyKey, Offset>,
    /// What is asked for, in order.
    pub(crate) calls: Vec<&'static str>,
    /// How many calls are still answered with "not yet".
    pub(crate) not_ready: usize,
}

impl Shelf {
    pub(crate) fn new(logs: impl IntoIterator<Item = (CopyKey, MemoryLog)>) -> Self {
        let state = State { logs: logs.into_iter().collect(), ownership: OwnershipEpoch(1), ..State::default() };
        Self { state: Mutex::new(state), appends_left: AtomicI64::new(-1), ..Self::default() }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn log(&self, key: CopyKey) -> MemoryLog {
        self.state().logs.get(&key).cloned().unwrap_or_default()
    }

    fn call(&self, what: &'static str) -> Result<MutexGuard<'_, State>, RegionError> {
        let mut state = self.state();
        state.calls.push(what);
        if state.not_ready > 0 {
            state.not_ready -= 1;
            return Err(RegionError::NotReady("the partition is being opened".into()));
        }
        Ok(state)
    }
}

fn done<'a, T: Send + 'a>(result: T) -> PortFuture<'a, T> {
    Box::pin(ready(result))
}

impl BackupSource for Shelf {
    fn ownership<'a>(&'a self, _: &'a ProtectionGroup) -> PortFuture<'a, Result<OwnershipEpoch, RegionError>> {
        done(self.call("ownership").map(|state| state.ownership))
    }

    fn commits<'a>(&'a self, _: &'a ProtectionGroup) -> PortFuture<'a, Result<Vec<Commit>, RegionError>> {
        done(self.call("commits").map(|state| state.commits.clone()))
    }

    fn extents(&self, topic: TopicId) -> PortFuture<'_, Result<Vec<Extent>, RegionError>> {
        let extent = |(key, log): (&CopyKey, &MemoryLog)| Extent {
            partition: key.1,
            range: OffsetRange::new(log.start, log.tail()),
            bytes: log.bytes().len() as u64,
        };
        let own = |state: &State| state.logs.iter().filter(|(key, _)| key.0 == topic).map(extent).collect();
        done(self.call("extents").map(|state| own(&state)))
    }

    fn read(&self, key: CopyKey, from: Offset, bytes_max: u32) -> PortFuture<'_, Result<LogRead, RegionError>> {
        let read = |mut state: MutexGuard<'_, State>| {
            if let Some(start) = state.retention.get(&key).copied().filter(|_| from > Offset(0)) {
                state.logs.get_mut(&key).unwrap().raise_start(start);
            }
            let log = &state.logs[&key];
            let bytes = if self.read_bytes > 0 { self.read_bytes } else { bytes_max as usize };
            if from < log.start {
                return LogRead::Dropped { log_start: log.start };
            }
            LogRead::Batches(log.read(from, log.tail(), bytes))
        };
        done(self.call("read").map(read))
    }
}

impl RestoreTarget for Shelf {
    fn span(&self, key: CopyKey) -> PortFuture<'_, Result<LogSpan, RegionError>> {
        let span = |mut state: MutexGuard<'_, State>| {
            let log = state.logs.entry(key).or_default();
            LogSpan { start: log.start, tail: log.tail() }
        };
        done(self.call("span").map(span))
    }

    fn begin(&self, key: CopyKey, at: Offset) -> PortFuture<'_, Result<(), RegionError>> {
        let begin = |mut state: MutexGuard<'_, State>| {
            assert!(state.logs[&key].batches.is_empty(), "only an empty log begins elsewhere");
            state.logs.get_mut(&key).unwrap().restart(at);
        };
        done(self.call("begin").map(begin))
    }

    fn append(&self, key: CopyKey, at: Offset, batches: Bytes) -> PortFuture<'_, Result<(), RegionError>> {
        Box::pin(async move {
            if let Some(meeting) = &self.meeting {
                meeting.wait().await;
            }
            if self.appends_left.fetch_sub(1, Ordering::SeqCst) == 0 {
                return Err(RegionError::Refused("the disk is full".into()));
            }
            let mut state = self.call("append")?;
            assert!(!state.finished.contains(&key));
            let log = state.logs.get_mut(&key).unwrap();
            assert_eq!(log.tail(), at);
            log.append(&batches);
            self.appended_bytes.fetch_add(batches.len(), Ordering::SeqCst);
            Ok(())
        })
    }

    fn read(&self, key: CopyKey, from: Offset, bytes_max: u32) -> PortFuture<'_, Result<Bytes, RegionError>> {
        let read = |state: MutexGuard<'_, State>| {
            let log = &state.logs[&key];
            log.read(from, log.tail(), bytes_max as usize)
        };
        done(self.call("read back").map(read))
    }

    fn finish(&self, key: CopyKey, range: OffsetRange) -> PortFuture<'_, Result<(), RegionError>> {
        let finish = |mut state: MutexGuard<'_, State>| {
            let log = state.logs.get_mut(&key).unwrap();
            assert!(range.end >= log.tail());
            log.raise_start(range.start);
            state.finished.insert(key);
        };
        done(self.call("finish").map(finish))
    }

    fn apply_commits<'a>(
        &'a self,
        _: &'a ProtectionGroup,
        commits: Vec<Commit>,
    ) -> PortFuture<'a, Result<(), RegionError>> {
        done(self.call("apply commits").map(|mut state| state.commits = commits))
    }
}

/// A store that fails now and then, and counts.
#[derive(Default)]
pub(crate) struct Faulty {
    pub(crate) objects: Arc<MemoryObjects>,
    /// Every so many calls fails for a while; 0 for none.
    pub(crate) every: usize,
    /// Whether a failed write took effect.
    pub(crate) lost_answers: bool,
    pub(crate) calls: AtomicUsize,
    pub(crate) puts: AtomicUsize,
    pub(crate) reads: Mutex<Vec<String>>,
}

impl Faulty {
    fn fails(&self) -> bool {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        self.every > 0 && call.is_multiple_of(self.every)
    }

    fn failed<T>(what: &'static str, key: &str) -> Result<T, ObjectError> {
        Err(ObjectError::Failed { what, key: key.to_owned(), reason: "connection reset".into() })
    }
}

impl ObjectStore for Faulty {
    fn put_new<'a>(&'a self, key: &'a str, body: Bytes) -> PortFuture<'a, Result<(), ObjectError>> {
        Box::pin(async move {
            self.puts.fetch_add(1, Ordering::SeqCst);
            match self.fails() {
                true if self.lost_answers => {
                    self.objects.put_new(key, body).await?;
                    Self::failed("write", key)
                }
                true => Self::failed("write", key),
                false => self.objects.put_new(key, body).await,
            }
        })
    }

    fn read<'a>(&'a self, key: &'a str) -> PortFuture<'a, Result<Bytes, ObjectError>> {
        self.reads.lock().unwrap().push(key.to_owned());
        if self.fails() { done(Self::failed("read", key)) } else { self.objects.read(key) }
    }

    fn read_range<'a>(&'a self, key: &'a str, start: u64, len: u64) -> PortFuture<'a, Result<Bytes, ObjectError>> {
        self.objects.read_range(key, start, len)
    }

    fn head<'a>(&'a self, key: &'a str) -> PortFuture<'a, Result<ObjectInfo, ObjectError>> {
        if self.fails() { done(Self::failed("look for", key)) } else { self.objects.head(key) }
    }

    fn list<'a>(&'a self, prefix: &'a str) -> PortFuture<'a, Result<Vec<ObjectInfo>, ObjectError>> {
        if self.fails() { done(Self::failed("list", prefix)) } else { self.objects.list(prefix) }
    }

    fn delete<'a>(&'a self, key: &'a str) -> PortFuture<'a, Result<(), ObjectError>> {
        self.objects.delete(key)
    }
}
