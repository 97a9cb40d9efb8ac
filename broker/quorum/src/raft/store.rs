//! The journal as openraft's log store.

use super::{LogId, RaftEntry, StorageError, Types, Vote, codec};
use crate::Position;
use crate::journal::{Entry, Lookup, View, Writer};
use openraft::storage::{LogFlushed, RaftLogStorage};
use openraft::{ErrorSubject, ErrorVerb, LogState, OptionalSend, RaftLogReader};
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many bytes of entries are read or sent at once; a single entry may be larger.
const READ_BYTES_MAX: usize = 1 << 20;

/// Reads entries.
#[derive(Clone)]
pub(crate) struct Reader {
    view: Arc<Mutex<View>>,
}

/// The durable log of one node.
pub(crate) struct Store {
    writer: Writer,
    reader: Reader,
}

fn failed(verb: ErrorVerb, error: io::Error) -> StorageError {
    StorageError::from_io_error(ErrorSubject::Logs, verb, error)
}

impl Store {
    pub(crate) fn new(writer: Writer) -> Self {
        let reader = Reader { view: writer.view() };
        Self { writer, reader }
    }

    /// The vote that was saved last.
    pub(crate) fn vote(&self) -> io::Result<Option<Vote>> {
        Ok(self.writer.vote().map(|vote| serde_json::from_slice(&vote)).transpose()?)
    }
}

impl Reader {
    fn lock(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The entries in `indexes`: at least one if there is any, and no more than `bytes_max` in all beyond that.
    async fn read(&self, indexes: Range<u64>, bytes_max: usize) -> io::Result<Vec<RaftEntry>> {
        let mut found = self.lock().lookup(indexes);
        let mut bytes = 0;
        let enough = found.iter().position(|entry| {
            bytes += entry.len();
            bytes > bytes_max
        });
        found.truncate(enough.map_or(found.len(), |count| count.max(1)));
        let in_memory = found.iter().all(Lookup::is_cached);
        let decode = move || found.into_iter().map(|entry| codec::decode(entry.read()?)).collect();
        if in_memory { decode() } else { tokio::task::spawn_blocking(decode).await? }
    }
}

fn bounds(range: &impl RangeBounds<u64>) -> Range<u64> {
    let start = match range.start_bound() {
        Bound::Included(start) => *start,
        Bound::Excluded(start) => start + 1,
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(end) => end + 1,
        Bound::Excluded(end) => *end,
        Bound::Unbounded => u64::MAX,
    };
    start..end
}

impl RaftLogReader<Types> for Reader {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<RaftEntry>, StorageError> {
        self.read(bounds(&range), usize::MAX).await.map_err(|error| failed(ErrorVerb::Read, error))
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<RaftEntry>, StorageError> {
        self.read(start..end, READ_BYTES_MAX).await.map_err(|error| failed(ErrorVerb::Read, error))
    }
}

impl RaftLogReader<Types> for Store {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<RaftEntry>, StorageError> {
        self.reader.try_get_log_entries(range).await
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<RaftEntry>, StorageError> {
        self.reader.limited_get_log_entries(start, end).await
    }
}

impl RaftLogStorage<Types> for Store {
    type LogReader = Reader;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, StorageError> {
        let view = self.reader.lock();
        Ok(LogState { last_purged_log_id: view.purged().map(LogId::from), last_log_id: view.last().map(LogId::from) })
    }

    async fn get_log_reader(&mut self) -> Reader {
        self.reader.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), StorageError> {
        let save = async || self.writer.save_vote(serde_json::to_vec(vote)?.into()).await;
        save().await.map_err(|error| StorageError::from_io_error(ErrorSubject::Vote, ErrorVerb::Write, error))
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, StorageError> {
        self.vote().map_err(|error| StorageError::from_io_error(ErrorSubject::Vote, ErrorVerb::Read, error))
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), StorageError> {
        self.reader.lock().commit(committed.map(Position::from));
        Ok(())
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, StorageError> {
        Ok(self.reader.lock().committed().map(LogId::from))
    }

    async fn append<I>(&mut self, entries: I, callback: LogFlushed<Types>) -> Result<(), StorageError>
    where
        I: IntoIterator<Item = RaftEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries: io::Result<Vec<Entry>> = entries.into_iter().map(|entry| codec::encode(&entry)).collect();
        let entries = entries.map_err(|error| failed(ErrorVerb::Write, error))?;
        self.writer.append(entries, |result| callback.log_io_completed(result));
        Ok(())
    }

    async fn truncate(&mut self, since: LogId) -> Result<(), StorageError> {
        self.writer.truncate(since.index).await.map_err(|error| failed(ErrorVerb::Delete, error))
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), StorageError> {
        self.writer.purge(upto.into()).await.map_err(|error| failed(ErrorVerb::Delete, error))
    }
}
