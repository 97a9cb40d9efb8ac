//! Fetch sessions (KIP-227): a reader names its partitions once, and then only what changed, in both directions.
//!
//! ```text
//!   epoch -1            no session; the one named is closed
//!   epoch  0            a new session with all partitions of the request
//!   epoch  n > 0        the n-th fetch of a session: the request changes it, the answer has what is new
//! ```

use super::read::{Found, Part};
use super::{TopicRef, Wanted};
use crate::api::Call;
use crate::api::access::FIRST_BY_ID;
use env::BootInstant;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use wire::ErrorCode;
use wire::api::fetch::{Request, Topic};

/// How many sessions there may be (Kafka's `max.incremental.fetch.session.cache.slots`).
const SESSIONS_MAX: usize = 1000;
/// How many partitions all of them may have.
const PARTITIONS_MAX: usize = 500_000;
/// A session that was used since is not given up for another one.
const IDLE_MIN: Duration = Duration::from_secs(120);

const NO_SESSION: i32 = 0;
const INITIAL: i32 = 0;

/// Every session of a broker.
#[derive(Default)]
pub(crate) struct Sessions {
    cache: Mutex<Cache>,
    next_id: AtomicI32,
}

#[derive(Default)]
struct Cache {
    sessions: HashMap<i32, Session>,
}

struct Session {
    epoch: i32,
    by_id: bool,
    used_at: BootInstant,
    partitions: Arc<Mutex<Vec<Cached>>>,
    len: usize,
}

/// One partition of a session.
#[derive(Clone, Debug)]
struct Cached {
    wanted: Wanted,
    /// What the reader was told last.
    told: Option<Told>,
}

/// What of a partition is worth an answer when it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Told {
    high_watermark: i64,
    log_start: i64,
}

/// A fetch within its session, or without one.
pub(super) struct Begun {
    /// What to read.
    pub(super) wanted: Vec<Wanted>,
    session: Option<(i32, Arc<Mutex<Vec<Cached>>>)>,
    /// Whether the answer leaves out what did not change.
    is_incremental: bool,
}

impl Sessions {
    /// Finds or makes the session of `request`, and changes it as the request says.
    ///
    /// # Errors
    /// The code that refuses the request as a whole; the reader starts over.
    pub(super) fn begin(&self, call: &Call, request: Request, now: BootInstant) -> Result<Begun, ErrorCode> {
        let by_id = call.header.api_version >= FIRST_BY_ID;
        let (id, epoch) = (request.session_id, request.session_epoch);
        if epoch > INITIAL {
            return self.go_on(request, by_id, now);
        }
        if id != NO_SESSION {
            self.cache().sessions.remove(&id);
        }
        let wanted = wanted(call.header.api_version, request.topics);
        let session = match epoch {
            INITIAL => self.open(&wanted, by_id, now),
            _ => None,
        };
        Ok(Begun { wanted, session, is_incremental: false })
    }

    fn open(&self, wanted: &[Wanted], by_id: bool, now: BootInstant) -> Option<(i32, Arc<Mutex<Vec<Cached>>>)> {
        let mut cache = self.cache();
        cache.make_room(wanted.len(), now).then_some(())?;
        let cached = wanted.iter().map(|wanted| Cached { wanted: wanted.clone(), told: None });
        let partitions = Arc::new(Mutex::new(cached.collect::<Vec<_>>()));
        let id = self.free_id(&cache);
        let session = Session { epoch: 1, by_id, used_at: now, partitions: partitions.clone(), len: wanted.len() };
        cache.sessions.insert(id, session);
        Some((id, partitions))
    }

    fn free_id(&self, cache: &Cache) -> i32 {
        loop {
            let id = self.next_id.fetch_add(1, Ordering::Relaxed) & i32::MAX;
            if id != NO_SESSION && !cache.sessions.contains_key(&id) {
                return id;
            }
        }
    }

    fn go_on(&self, request: Request, by_id: bool, now: BootInstant) -> Result<Begun, ErrorCode> {
        let mut cache = self.cache();
        let (id, version) = (request.session_id, if by_id { FIRST_BY_ID } else { FIRST_BY_ID - 1 });
        let session = cache.sessions.get_mut(&id).ok_or(ErrorCode::FETCH_SESSION_ID_NOT_FOUND)?;
        if session.epoch != request.session_epoch {
            return Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH);
        }
        if session.by_id != by_id {
            return Err(ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR);
        }
        session.epoch = session.epoch.checked_add(1).unwrap_or(1);
        session.used_at = now;
        let shared = session.partitions.clone();
        let mut partitions = lock(&shared);
        let forgotten = request.forgotten_topics_data.into_iter().flat_map(|topic| {
            let name = TopicRef::of(version, topic.topic, topic.topic_id);
            topic.partitions.into_iter().map(move |partition| (name.clone(), partition))
        });
        change(&mut partitions, wanted(version, request.topics), forgotten.collect());
        session.len = partitions.len();
        let wanted = partitions.iter().map(|cached| cached.wanted.clone()).collect();
        drop(partitions);
        Ok(Begun { wanted, session: Some((id, shared)), is_incremental: true })
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        lock(&self.cache)
    }
}

impl Cache {
    /// Whether another session with so many partitions fits, if need be in the place of one that was not used lately.
    fn make_room(&mut self, partitions: usize, now: BootInstant) -> bool {
        loop {
            let held: usize = self.sessions.values().map(|session| session.len).sum();
            if self.sessions.len() < SESSIONS_MAX && held + partitions <= PARTITIONS_MAX {
                return true;
            }
            let oldest = self.sessions.iter().min_by_key(|(_, session)| session.used_at);
            let idle = oldest.filter(|(_, session)| now.since(session.used_at) >= IDLE_MIN).map(|(id, _)| *id);
            let Some(id) = idle else { return false };
            self.sessions.remove(&id);
        }
    }
}

impl Begun {
    /// The session as the answer names it.
    pub(super) fn session_id(&self) -> i32 {
        self.session.as_ref().map_or(NO_SESSION, |(id, _)| *id)
    }

    /// What of `found` belongs into the answer; the session remembers it. Partitions that had records go to the end, so
    /// that the others get their turn.
    pub(super) fn finish(&self, found: Found) -> Vec<(Wanted, Part)> {
        let Some((_, partitions)) = &self.session else { return found.parts };
        let mut partitions = lock(partitions);
        let places: HashMap<_, _> = partitions.iter().enumerate().map(|(at, c)| (key(&c.wanted), at)).collect();
        let mut had_records = HashSet::new();
        let mut parts = found.parts;
        parts.retain(|(wanted, part)| {
            let Some(cached) = places.get(&key(wanted)).map(|at| &mut partitions[*at]) else { return true };
            if matches!(part, Part::Read(readable) if readable.slice.is_some()) {
                had_records.insert(key(wanted));
            }
            let told = told(part);
            let is_news = told.is_none() || cached.told != told || had_records.contains(&key(wanted));
            cached.told = told;
            is_news || !self.is_incremental
        });
        let (served, waiting): (Vec<_>, Vec<_>) =
            partitions.drain(..).partition(|cached| had_records.contains(&key(&cached.wanted)));
        *partitions = waiting.into_iter().chain(served).collect();
        parts
    }
}

/// What an answer tells of a partition, records aside; `None` for what is to be repeated every time.
fn told(part: &Part) -> Option<Told> {
    match part {
        Part::Read(readable) => {
            Some(Told { high_watermark: readable.marks.high_watermark.0, log_start: readable.marks.start.0 })
        }
        Part::Diverged(..) | Part::Nearer(..) | Part::Refused(_) => None,
    }
}

type Key = (TopicRef, i32);

fn key(wanted: &Wanted) -> Key {
    (wanted.topic.clone(), wanted.partition)
}

fn change(partitions: &mut Vec<Cached>, changed: Vec<Wanted>, forgotten: HashSet<Key>) {
    if !forgotten.is_empty() {
        partitions.retain(|cached| !forgotten.contains(&key(&cached.wanted)));
    }
    if changed.is_empty() {
        return;
    }
    let mut places: HashMap<_, _> = partitions.iter().enumerate().map(|(at, c)| (key(&c.wanted), at)).collect();
    for wanted in changed {
        match places.get(&key(&wanted)) {
            Some(at) => partitions[*at].wanted = wanted,
            None => {
                places.insert(key(&wanted), partitions.len());
                partitions.push(Cached { wanted, told: None });
            }
        }
    }
}

fn wanted(version: i16, topics: Vec<Topic>) -> Vec<Wanted> {
    let of = |topic: Topic| {
        let name = TopicRef::of(version, topic.topic, topic.topic_id);
        topic.partitions.into_iter().map(move |partition| Wanted {
            topic: name.clone(),
            partition: partition.partition,
            current_leader_epoch: partition.current_leader_epoch,
            fetch_offset: partition.fetch_offset,
            last_fetched_epoch: partition.last_fetched_epoch,
            bytes_max: partition.partition_max_bytes,
        })
    };
    topics.into_iter().flat_map(of).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
