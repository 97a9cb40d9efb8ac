//! Gathers the fetches of many partitions into few requests to one broker of a source.
//!
//! ```text
//!   busy   records came last time     at once, answered soon         4 requests at the most, 32 over a long line
//!   idle   nothing came last time     gathered, held by the source   4 requests at the most
//! ```
//!
//! Each request has a connection of its own: over a long line one is bound by its window. A busy partition never waits behind the long polls of idle ones. Where an idle one may have to wait for a poll of
//! others, that poll is a short one. When one partition ends a poll, the others in it are polled again without being
//! woken. A request makes room for the next when its records were dealt with, so that no more than that is in memory; where
//! records are not dealt with because their partition is stuck, others get room of their own after a while, within bounds.

mod line;
mod words;

use crate::ports::{CopyKey, FetchPartition, FetchRequest, Source, SyncTerms, SyncWord};
use line::Line;
use mirror_core::flow::{Arrived, DEPTH_MAX, Flow};
use mirror_core::window::{Answer, Body, Fetch};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use words::Words;

/// How many requests for idle partitions are under way to one source.
const IDLE_REQUESTS_MAX: usize = 4;
/// The same for busy ones over a short line; over a long one more than one partition may have, so that none stalls the
/// others.
const BUSY_REQUESTS_MIN: usize = 4;
const BUSY_REQUESTS_MAX: usize = 2 * DEPTH_MAX;
/// How many more there may be while some are stuck, and after which time.
const SPARE_REQUESTS_MAX: usize = 32;
const STUCK: Duration = Duration::from_secs(1);
/// How many partitions go into one request.
const PARTITIONS_MAX: usize = 1000;
/// How many bytes one request may bring. It is less after a request that was not answered in time, until they are quick.
const BYTES_MAX: u32 = 4 << 20;
const BYTES_MIN: u32 = 64 << 10;
const QUICK: Duration = Duration::from_secs(2);
/// How long a source holds a request for idle partitions. What is told of their lag is as old as that.
const POLL: Duration = Duration::from_millis(250);
/// The same for the last poll there is room for: others may wait for its end.
const LAST_POLL: Duration = Duration::from_millis(50);
/// The same for busy partitions, unless two round trips are longer: else hardly any of them would be there to wait.
const BUSY_POLL: Duration = Duration::from_millis(20);
/// How long a partition may be left without an answer that says nothing new.
const QUIET_MAX: Duration = Duration::from_millis(200);
/// How long an idle partition waits for others to share a poll with.
const GATHER: Duration = Duration::from_millis(5);
/// After how many requests in a row without an answer a source is left alone, however many more are under way.
const UNANSWERED_MAX: usize = 8;
/// How long to leave a source alone that did not answer.
const PROBE_PAUSE: Duration = Duration::from_millis(200);

/// One partition's fetch and where its answer goes; dropped when there is none.
pub(crate) struct Wish {
    /// Which partition.
    pub(crate) key: CopyKey,
    /// What.
    pub(crate) fetch: Fetch,
    /// Whether its last fetch brought records, or there was none yet: then it hears the answer in any case.
    pub(crate) is_busy: bool,
    /// Under what the copy speaks, where the source waits for it.
    pub(crate) sync: Option<SyncTerms>,
    /// When it was asked for.
    pub(crate) asked_at: Instant,
    /// The way back.
    pub(crate) reply: oneshot::Sender<Served>,
}

/// An answer, and the room it takes until it is dropped.
#[derive(Debug)]
pub(crate) struct Served {
    /// What the source said.
    pub(crate) answer: Answer,
    /// Shared with the other answers to the same request; none for an answer without records.
    pub(crate) room: Option<Arc<OwnedSemaphorePermit>>,
    /// How long the line takes there and back, where that is known.
    pub(crate) round_trip: Option<Duration>,
}

/// The lane to one broker.
#[derive(Debug)]
pub(crate) struct Fetcher {
    wishes: mpsc::UnboundedSender<Wish>,
    words: Words,
    line: Arc<Line>,
    connected: watch::Receiver<bool>,
}

impl Fetcher {
    /// Starts fetching from `source` until the handle is dropped. `stale` is rung when it does not lead what it is asked for.
    pub(crate) fn start(source: Arc<dyn Source>, stale: Arc<Notify>) -> Self {
        // Bounded by the number of partitions: each has one fetch under way.
        let (wishes, wished) = mpsc::unbounded_channel();
        let (is_connected, connected) = watch::channel(true);
        let line = Line::to(source);
        let words = Words::start(line.clone());
        let dispatcher = Dispatcher {
            stale,
            wished,
            busy: Lane::new(BUSY_REQUESTS_MIN),
            idle: Lane::new(IDLE_REQUESTS_MAX),
            line: line.clone(),
            gathered_at: Instant::now(),
            bytes_max: BYTES_MAX,
            requests: JoinSet::new(),
            unanswered: 0,
            enough: 1,
        };
        tokio::spawn(dispatcher.run(is_connected));
        Self { wishes, words, line, connected }
    }

    /// Asks; the answer comes through `reply`, or `reply` is dropped.
    pub(crate) fn ask(&self, wish: Wish) {
        // Nobody takes wishes any more only when the runtime is going down.
        let _ = self.wishes.send(wish);
    }

    /// Says how far a copy is, at once; a newer word replaces one that was not said yet.
    pub(crate) fn tell(&self, word: FetchPartition) {
        self.words.tell(word);
    }

    /// What the line to the source was like in the last seconds.
    pub(crate) fn line(&self) -> model::Line {
        self.line.lately()
    }

    /// Whether the source answered last time.
    pub(crate) fn connected(&self) -> watch::Receiver<bool> {
        self.connected.clone()
    }
}

struct Dispatcher {
    stale: Arc<Notify>,
    wished: mpsc::UnboundedReceiver<Wish>,
    busy: Lane,
    idle: Lane,
    /// When the idle partitions that wait have waited long enough.
    gathered_at: Instant,
    bytes_max: u32,
    line: Arc<Line>,
    requests: JoinSet<Option<Done>>,
    /// How many requests in a row were not answered, and how many are enough to take the source for lost.
    unanswered: usize,
    enough: usize,
}

/// What came of a request that was answered.
struct Done {
    /// What is to be polled again.
    quiet: Vec<Wish>,
    /// How long it was on its way, all in all.
    travelled: Duration,
}

impl Line {
    /// How many requests for busy partitions may be under way.
    fn busy_requests(&self) -> usize {
        let full = self.round_trip().map_or(0, |round_trip| 2 * Flow::over(round_trip, Arrived::ALL).depth);
        full.clamp(BUSY_REQUESTS_MIN, BUSY_REQUESTS_MAX)
    }

    /// How long a source holds a request for busy partitions.
    fn busy_poll(&self) -> Duration {
        self.round_trip().map_or(BUSY_POLL, |round_trip| (2 * round_trip).clamp(BUSY_POLL, POLL))
    }
}

/// Partitions of a kind, first come first served.
struct Lane {
    waiting: VecDeque<Wish>,
    room: Arc<Semaphore>,
    /// How many requests may be under way, how many more for now, and how many permits there are.
    rooms: usize,
    spare: usize,
    permits: usize,
    /// When a request went out, or somebody came where nobody waited.
    moved_at: Instant,
}

impl Lane {
    fn new(rooms: usize) -> Self {
        let room = Arc::new(Semaphore::new(rooms));
        Self { waiting: VecDeque::new(), room, rooms, spare: 0, permits: rooms, moved_at: Instant::now() }
    }

    fn queue(&mut self, wish: Wish) {
        if self.waiting.is_empty() {
            self.moved_at = Instant::now();
        }
        self.waiting.push_back(wish);
    }

    /// Whoever waited longest and still wants an answer; of each partition one.
    fn next(&mut self) -> Vec<Wish> {
        self.moved_at = Instant::now();
        let (mut keys, mut later, mut next) = (HashSet::new(), VecDeque::new(), Vec::new());
        for wish in self.waiting.drain(..).filter(|wish| !wish.reply.is_closed()) {
            if next.len() < PARTITIONS_MAX && keys.insert(wish.key) {
                next.push(wish);
            } else {
                later.push_back(wish);
            }
        }
        self.waiting = later;
        next
    }

    /// Whether somebody waits for room that only partitions hold that may be stuck.
    fn may_be_stuck(&self) -> bool {
        !self.waiting.is_empty() && self.room.available_permits() == 0 && self.spare < SPARE_REQUESTS_MAX
    }

    fn add_spare(&mut self) {
        self.moved_at = Instant::now();
        self.spare += 1;
        self.settle();
    }

    /// Has so many requests at a time from now on; what was added to them goes once it is not needed.
    fn fit(&mut self, rooms: usize) {
        self.rooms = rooms;
        self.spare = self.spare.saturating_sub(self.room.available_permits());
        self.settle();
    }

    fn settle(&mut self) {
        let wanted = self.rooms + self.spare;
        if wanted > self.permits {
            self.room.add_permits(wanted - self.permits);
            self.permits = wanted;
        } else {
            self.permits -= self.room.forget_permits(self.permits - wanted);
        }
    }
}

/// Room for one more request.
async fn room(room: Arc<Semaphore>) -> OwnedSemaphorePermit {
    room.acquire_owned().await.expect("it is never closed")
}

impl Dispatcher {
    async fn run(mut self, is_connected: watch::Sender<bool>) {
        while self.serve().await {
            is_connected.send_replace(false);
            self.give_up();
            if !self.probe().await {
                return;
            }
            is_connected.send_replace(true);
        }
    }

    /// Serves until the source does not answer; false when nobody asks any more.
    async fn serve(&mut self) -> bool {
        loop {
            tokio::select! {
                wish = self.wished.recv() => match wish {
                    Some(wish) => self.queue(wish),
                    None => return false,
                },
                Some(answered) = self.requests.join_next() => match answered {
                    Ok(Some(done)) => self.done(done),
                    Ok(None) | Err(_) if self.is_lost() => return true,
                    Ok(None) | Err(_) => {}
                },
                room = room(self.busy.room.clone()), if !self.busy.waiting.is_empty() => {
                    let wishes = self.busy.next();
                    self.send(wishes, self.line.busy_poll(), room);
                }
                room = gathered(self.gathered_at, self.idle.room.clone()), if !self.idle.waiting.is_empty() => {
                    let wait = if self.idle.room.available_permits() == 0 { LAST_POLL } else { POLL };
                    let wishes = self.idle.next();
                    self.send(wishes, wait, room);
                }
                () = sleep_until(self.busy.moved_at + STUCK), if self.busy.may_be_stuck() => self.busy.add_spare(),
                () = sleep_until(self.idle.moved_at + STUCK), if self.idle.may_be_stuck() => self.idle.add_spare(),
            }
        }
    }

    /// Whether the source is lost, now that one more request has no answer: that costs only those who waited for it, unless
    /// all that were under way with the first such go the same way.
    fn is_lost(&mut self) -> bool {
        if self.unanswered == 0 {
            self.enough = (self.requests.len() + 1).min(UNANSWERED_MAX);
        }
        self.unanswered += 1;
        self.unanswered >= self.enough
    }

    fn done(&mut self, Done { quiet, travelled }: Done) {
        self.unanswered = 0;
        if travelled < QUICK {
            self.bytes_max = self.bytes_max.saturating_mul(2).min(BYTES_MAX);
        }
        self.busy.fit(self.line.busy_requests());
        self.idle.fit(IDLE_REQUESTS_MAX);
        quiet.into_iter().for_each(|wish| self.queue(wish));
    }

    fn queue(&mut self, wish: Wish) {
        if wish.is_busy {
            return self.busy.queue(wish);
        }
        if self.idle.waiting.is_empty() {
            self.gathered_at = Instant::now() + GATHER;
        }
        self.idle.queue(wish);
    }

    fn send(&mut self, wishes: Vec<Wish>, max_wait: Duration, room: OwnedSemaphorePermit) {
        if wishes.is_empty() {
            return;
        }
        let bytes = wishes.iter().fold(0_u32, |sum, wish| sum.saturating_add(wish.fetch.bytes_max));
        let partitions = wishes.iter().map(FetchPartition::from).collect();
        let request = FetchRequest { partitions, max_wait, bytes_max: bytes.min(self.bytes_max) };
        let asking = Asking { stale: self.stale.clone(), line: self.line.clone() };
        self.requests.spawn(asking.ask(wishes, request, room));
    }

    /// Nobody who waits for this source gets an answer.
    fn give_up(&mut self) {
        // A slow way may have carried less in time than was asked for.
        self.bytes_max = (self.bytes_max / 4).max(BYTES_MIN);
        self.requests = JoinSet::new();
        self.unanswered = 0;
        self.busy.waiting.clear();
        self.idle.waiting.clear();
    }

    /// Looks every now and then whether the source answers again; false when nobody asks any more.
    async fn probe(&mut self) -> bool {
        let line = self.line.clone();
        let probing = async {
            loop {
                sleep(PROBE_PAUSE).await;
                let nothing = FetchRequest { partitions: Vec::new(), max_wait: Duration::ZERO, bytes_max: BYTES_MIN };
                match line.fetch(nothing).await {
                    Ok(_) => return,
                    Err(error) => tracing::debug!(%error, "probe"),
                }
            }
        };
        let refusing = async { while self.wished.recv().await.is_some() {} };
        tokio::select! {
            () = probing => true,
            () = refusing => false,
        }
    }
}

async fn gathered(at: Instant, semaphore: Arc<Semaphore>) -> OwnedSemaphorePermit {
    sleep_until(at).await;
    room(semaphore).await
}

/// One request.
struct Asking {
    stale: Arc<Notify>,
    line: Arc<Line>,
}

impl Asking {
    /// Sends it and hands out its answers; `None` if there was no answer.
    async fn ask(self, wishes: Vec<Wish>, request: FetchRequest, room: OwnedSemaphorePermit) -> Option<Done> {
        let (answer, travelled) = match self.line.fetch(request).await {
            Ok(answered) => answered,
            Err(error) => {
                tracing::debug!(%error, "fetch");
                return None;
            }
        };
        let quiet = self.hand_out(wishes, answer.partitions, &Arc::new(room));
        Some(Done { quiet, travelled })
    }

    /// Gives back what is to be polled again.
    fn hand_out(
        &self,
        wishes: Vec<Wish>,
        answers: Vec<(CopyKey, Answer)>,
        room: &Arc<OwnedSemaphorePermit>,
    ) -> Vec<Wish> {
        let round_trip = self.line.round_trip();
        let mut wishes: HashMap<CopyKey, Wish> = wishes.into_iter().map(|wish| (wish.key, wish)).collect();
        let mut quiet = Vec::new();
        for (key, answer) in answers {
            let Some(wish) = wishes.remove(&key) else { continue };
            if answer.body == Body::Unavailable {
                self.stale.notify_one();
            }
            let records = if let Body::Records(records) = &answer.body { Some(records.len()) } else { None };
            if records == Some(0) && !wish.is_busy && wish.asked_at.elapsed() < QUIET_MAX {
                quiet.push(wish);
                continue;
            }
            let room = records.is_some_and(|bytes| bytes > 0).then(|| room.clone());
            // A partition that is not followed any more does not listen.
            let _ = wish.reply.send(Served { answer, room, round_trip });
        }
        quiet
    }
}

impl From<&Wish> for FetchPartition {
    fn from(Wish { key, fetch, sync, .. }: &Wish) -> Self {
        Self::of(*key, *fetch, *sync)
    }
}

impl FetchPartition {
    /// What `fetch` asks of a partition, or only says where it asks for no bytes.
    pub(crate) fn of(key: CopyKey, fetch: Fetch, sync: Option<SyncTerms>) -> Self {
        let Fetch { from, last_epoch, durable, bytes_max, leader_epoch, stream, spacing, .. } = fetch;
        Self {
            key,
            from,
            last_epoch,
            durable,
            bytes_max,
            stream,
            spacing,
            sync: sync.map(|terms| SyncWord { terms, leader_epoch }),
        }
    }
}
