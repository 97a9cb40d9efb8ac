//! Who follows partitions led here: one session per connection of each broker of the region.

use super::fence_of;
use crate::Broker;
use crate::replica::{News, Partition, Place, Replica};
use broker_core::follower::{Fence, Fetch};
use broker_core::metadata::BrokerEpoch;
use broker_core::partition::{Looked, ReplicaRefusal};
use env::BootInstant;
use model::{BrokerSlot, LeaderEpoch, Offset, PartitionId};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use wire::ErrorCode;
use wire::internal::{replica_fetch as fetch, replica_progress as progress};

/// The most connections that one broker follows another by.
const FETCHERS_MAX: i32 = 64;

/// Every session, by broker and connection.
#[derive(Default)]
pub(crate) struct Followers {
    sessions: Mutex<HashMap<(BrokerSlot, i32), Arc<Session>>>,
}

/// What one connection of a follower fetches.
pub(super) struct Session {
    follower: Replica,
    /// A later one has taken its place when it is greater.
    id: i64,
    state: Mutex<State>,
    /// Where there may be something to tell.
    pub(super) news: Arc<News>,
    /// Whether the fetch that waits has to be answered.
    hurry: AtomicBool,
    hurried: Notify,
    /// When it last asked, in nanoseconds since boot.
    heard_at: AtomicU64,
}

#[derive(Default)]
struct State {
    sequence: i32,
    followed: HashMap<Place, Followed>,
    /// What is to be told whatever the logs do.
    early: Vec<fetch::PartitionResponse>,
}

/// One partition of a session.
pub(super) struct Followed {
    pub(super) partition: Arc<Partition>,
    pub(super) fence: Fence,
    /// How often the log here was cut when that of the follower was looked at.
    pub(super) cuts: u64,
    /// Where to read; `None` once that was answered, until the follower says where to go on.
    pub(super) position: Option<Offset>,
    /// The high watermark and log start it was told.
    pub(super) told: Option<(Offset, Offset)>,
}

impl Followers {
    /// The session of `request`, which it begins or goes on with.
    ///
    /// # Errors
    /// The code that refuses the request; the follower begins another session.
    pub(super) fn open(&self, request: &fetch::Request) -> Result<Arc<Session>, ErrorCode> {
        let (slot, follower) = follower(request.replica, request.broker_epoch).ok_or(ErrorCode::INVALID_REQUEST)?;
        if !(0..FETCHERS_MAX).contains(&request.fetcher) {
            return Err(ErrorCode::INVALID_REQUEST);
        }
        let mut sessions = self.sessions();
        let known = sessions.get(&(slot, request.fetcher));
        if request.sequence == 0 {
            let is_newer = |known: &Session| (known.follower.session, known.id) > (follower.session, request.session);
            if known.is_some_and(|known| is_newer(known)) {
                return Err(ErrorCode::STALE_BROKER_EPOCH);
            }
            let session = Arc::new(Session::new(follower, request.session));
            let before = sessions.insert((slot, request.fetcher), session.clone());
            drop(sessions);
            before.inspect(|before| before.end());
            return Ok(session);
        }
        let known = known.filter(|known| known.id == request.session).ok_or(ErrorCode::FETCH_SESSION_ID_NOT_FOUND)?;
        let mut state = known.state();
        if state.sequence + 1 != request.sequence {
            return Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH);
        }
        state.sequence = request.sequence;
        drop(state);
        Ok(known.clone())
    }

    /// The session that `request` belongs to, if it is still there.
    pub(super) fn of_progress(&self, request: &progress::Request) -> Option<Arc<Session>> {
        let (slot, _) = follower(request.replica, request.broker_epoch)?;
        let session = self.sessions().get(&(slot, request.fetcher)).cloned();
        session.filter(|session| session.id == request.session)
    }

    /// When a connection of the broker in `slot`, in that session, last asked for anything.
    pub(super) fn heard(&self, slot: BrokerSlot, session: BrokerEpoch) -> Option<Duration> {
        let sessions = self.sessions();
        let of_broker = sessions.values().filter(|known| known.follower == Replica { slot, session });
        of_broker.map(|known| Duration::from_nanos(known.heard_at.load(Ordering::Relaxed))).max()
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<(BrokerSlot, i32), Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn follower(replica: i32, broker_epoch: i64) -> Option<(BrokerSlot, Replica)> {
    let slot = BrokerSlot(replica.try_into().ok()?);
    let session = BrokerEpoch(u64::try_from(broker_epoch).ok()?);
    Some((slot, Replica { slot, session }))
}

impl Session {
    fn new(follower: Replica, id: i64) -> Self {
        Self {
            follower,
            id,
            state: Mutex::default(),
            news: Arc::default(),
            hurry: AtomicBool::new(false),
            hurried: Notify::new(),
            heard_at: AtomicU64::new(0),
        }
    }

    /// Another one took its place.
    fn end(&self) {
        let mut state = self.state();
        for (_, followed) in state.followed.drain() {
            followed.partition.unsubscribe(&self.news);
        }
        drop(state);
        self.hurry();
    }

    /// It asked at `now`.
    pub(super) fn hear(&self, now: BootInstant) {
        let nanos = u64::try_from(now.since_boot().as_nanos()).unwrap_or(u64::MAX);
        self.heard_at.fetch_max(nanos, Ordering::Relaxed);
    }

    /// The fetch that waits is to be answered with what there is.
    pub(super) fn hurry(&self) {
        self.hurry.store(true, Ordering::SeqCst);
        self.hurried.notify_one();
    }

    /// Whether the fetch is to be answered now; asked once per fetch that says so.
    pub(super) fn takes_hurry(&self) -> bool {
        self.hurry.swap(false, Ordering::SeqCst)
    }

    /// Waits until there is something to look at.
    pub(super) async fn stirred(&self) {
        tokio::select! {
            () = self.news.heard() => {}
            () = self.hurried.notified() => {}
        }
    }

    /// Follows the wishes of a request.
    pub(super) fn change(&self, broker: &Broker, request: fetch::Request) {
        let held = broker.0.partitions.held();
        let mut state = self.state();
        for gone in request.forgotten {
            if let Some(followed) = state.followed.remove(&(gone.topic_id, PartitionId(gone.partition))) {
                followed.partition.unsubscribe(&self.news);
            }
        }
        for wish in request.partitions {
            let partition = held.partition(wish.topic_id, PartitionId(wish.partition));
            match partition.ok_or(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION).and_then(|found| self.look(found, &wish)) {
                Ok(Ok(followed)) => self.add(&mut state, followed),
                Ok(Err(told)) => state.early.push(told),
                Err(error) => state.early.push(fetch::PartitionResponse { error, ..nothing(&wish) }),
            }
        }
    }

    fn add(&self, state: &mut State, followed: Followed) {
        let place = followed.partition.place();
        followed.partition.subscribe(&self.news);
        let told =
            state.followed.get(&place).filter(|known| known.fence == followed.fence).and_then(|known| known.told);
        state.followed.insert(place, Followed { told, ..followed });
        self.news.mark(place);
    }

    /// Looks at one partition of the follower: where to read, or what to tell it instead.
    fn look(
        &self,
        partition: &Arc<Partition>,
        wish: &fetch::Partition,
    ) -> Result<Result<Followed, fetch::PartitionResponse>, ErrorCode> {
        let fence = fence_of((wish.is_copy, wish.fence)).ok_or(ErrorCode::INVALID_REQUEST)?;
        let (from, durable) = (Offset(wish.fetch_offset), Offset(wish.durable_offset));
        let asked = Fetch { fence, from, last_epoch: LeaderEpoch(wish.last_epoch), durable };
        let looked = partition.look_at_follower(self.follower, &asked);
        let (looked, cuts) = looked.map_err(|refusal| code(&refusal))?;
        let marks = partition.marks();
        let told = fetch::PartitionResponse {
            high_watermark: marks.high_watermark.0,
            log_start: marks.start.0,
            baseline: partition.reader.baseline().into(),
            ..nothing(wish)
        };
        Ok(match looked {
            Looked::Agrees => {
                Ok(Followed { partition: partition.clone(), fence, cuts, position: Some(from), told: None })
            }
            Looked::Diverged(end) => {
                let diverging = fetch::Diverging { epoch: end.epoch.0, end_offset: end.end.0, ..Default::default() };
                Err(fetch::PartitionResponse { diverging: Some(diverging), ..told })
            }
            Looked::OutOfRange => Err(fetch::PartitionResponse { error: ErrorCode::OFFSET_OUT_OF_RANGE, ..told }),
        })
    }

    /// Takes note of what the follower has on disk by now.
    pub(super) fn note_progress(&self, progress: &progress::Partition) {
        let place = (progress.topic_id, PartitionId(progress.partition));
        let partition = self.state().followed.get(&place).map(|followed| followed.partition.clone());
        if let (Some(partition), Some(fence)) = (partition, fence_of((progress.is_copy, progress.fence))) {
            partition.note_progress(self.follower, fence, Offset(progress.durable_offset));
        }
    }

    /// What is to be told whatever the logs do.
    pub(super) fn take_early(&self) -> Vec<fetch::PartitionResponse> {
        std::mem::take(&mut self.state().early)
    }

    /// Looks at one partition that is followed; `None` when it is not.
    pub(super) fn with<T>(&self, place: Place, look: impl FnOnce(&mut Followed) -> T) -> Option<T> {
        self.state().followed.get_mut(&place).map(look)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An answer about the partition of `wish` with nothing in it.
fn nothing(wish: &fetch::Partition) -> fetch::PartitionResponse {
    fetch::PartitionResponse {
        topic_id: wish.topic_id,
        partition: wish.partition,
        is_copy: wish.is_copy,
        fence: wish.fence,
        fetch_offset: wish.fetch_offset,
        ..Default::default()
    }
}

/// How a refusal is told.
pub(super) fn code(refusal: &ReplicaRefusal) -> ErrorCode {
    match refusal {
        ReplicaRefusal::NotLeader => ErrorCode::NOT_LEADER_OR_FOLLOWER,
        ReplicaRefusal::Fenced { .. } => ErrorCode::FENCED_LEADER_EPOCH,
        ReplicaRefusal::NotYet { .. } => ErrorCode::UNKNOWN_LEADER_EPOCH,
        ReplicaRefusal::Stranger(_) => ErrorCode::REPLICA_NOT_AVAILABLE,
        ReplicaRefusal::OldSession { .. } => ErrorCode::STALE_BROKER_EPOCH,
    }
}
