//! Gathers the fetches of many partitions into few requests to one broker of a source.
//!
//! ```text
//!   busy   records came last time     at once, answered soon         4 requests at the most
//!   idle   nothing came last time     gathered, held by the source   4 requests at the most
//! ```
//!
//! A busy partition never waits behind the long polls of idle ones. Where an idle one may have to wait for a poll of
//! others, that poll is a short one. When one partition ends a poll, the others in it are polled again without being
//! woken. A request makes room for the next when its records were dealt with, so that no more than that is in memory.

mod words;

use crate::ports::{CopyKey, FetchPartition, FetchRequest, Source, SyncTerms, SyncWord};
use mirror_core::window::{Answer, Body, Fetch};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use words::Words;

/// How many requests of a kind are under way to one source.
const REQUESTS_MAX: usize = 4;
/// How many partitions go into one request.
const PARTITIONS_MAX: usize = 1000;
/// How many bytes one request may bring. It is less after a request that was not answered in time.
const BYTES_MAX: u32 = 16 << 20;
const BYTES_MIN: u32 = 256 << 10;
/// How long a source holds a request for idle partitions.
const POLL: Duration = Duration::from_millis(500);
/// The same for the last poll there is room for: others may wait for its end.
const LAST_POLL: Duration = Duration::from_millis(50);
/// The same for busy partitions.
const BUSY_POLL: Duration = Duration::from_millis(20);
/// How long a partition may be left without an answer that says nothing new.
const QUIET_MAX: Duration = Duration::from_millis(400);
/// How long an idle partition waits for others to share a poll with.
const GATHER: Duration = Duration::from_millis(5);
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
}

/// The lane to one broker.
#[derive(Debug)]
pub(crate) struct Fetcher {
    wishes: mpsc::UnboundedSender<Wish>,
    words: Words,
    connected: watch::Receiver<bool>,
}

impl Fetcher {
    /// Starts fetching from `source` until the handle is dropped. `stale` is rung when it does not lead what it is asked for.
    pub(crate) fn start(source: Arc<dyn Source>, stale: Arc<Notify>) -> Self {
        // Bounded by the number of partitions: each has one fetch under way.
        let (wishes, wished) = mpsc::unbounded_channel();
        let (is_connected, connected) = watch::channel(true);
        let words = Words::start(source.clone());
        let dispatcher = Dispatcher {
            source,
            stale,
            wished,
            busy: Lane::default(),
            idle: Lane::default(),
            gathered_at: Instant::now(),
            bytes_max: BYTES_MAX,
            requests: JoinSet::new(),
        };
        tokio::spawn(dispatcher.run(is_connected));
        Self { wishes, words, connected }
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

    /// Whether the source answered last time.
    pub(crate) fn connected(&self) -> watch::Receiver<bool> {
        self.connected.clone()
    }
}

struct Dispatcher {
    source: Arc<dyn Source>,
    stale: Arc<Notify>,
    wished: mpsc::UnboundedReceiver<Wish>,
    busy: Lane,
    idle: Lane,
    /// When the idle partitions that wait have waited long enough.
    gathered_at: Instant,
    bytes_max: u32,
    /// Each gives back what is to be polled again; nothing when it was not answered.
    requests: JoinSet<Option<Vec<Wish>>>,
}

/// Partitions of a kind, first come first served.
struct Lane {
    waiting: VecDeque<Wish>,
    room: Arc<Semaphore>,
}

impl Default for Lane {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), room: Arc::new(Semaphore::new(REQUESTS_MAX)) }
    }
}

impl Lane {
    /// Whoever waited longest and still wants an answer.
    fn next(&mut self) -> Vec<Wish> {
        let count = self.waiting.len().min(PARTITIONS_MAX);
        self.waiting.drain(..count).filter(|wish| !wish.reply.is_closed()).collect()
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

    /// Serves until a request is not answered; false when nobody asks any more.
    async fn serve(&mut self) -> bool {
        loop {
            tokio::select! {
                wish = self.wished.recv() => match wish {
                    Some(wish) => self.queue(wish),
                    None => return false,
                },
                Some(answered) = self.requests.join_next() => match answered {
                    Ok(Some(quiet)) => {
                        self.bytes_max = self.bytes_max.saturating_mul(2).min(BYTES_MAX);
                        quiet.into_iter().for_each(|wish| self.queue(wish));
                    }
                    Ok(None) | Err(_) => return true,
                },
                room = room(self.busy.room.clone()), if !self.busy.waiting.is_empty() => {
                    let wishes = self.busy.next();
                    self.send(wishes, BUSY_POLL, room);
                }
                room = gathered(self.gathered_at, self.idle.room.clone()), if !self.idle.waiting.is_empty() => {
                    let wait = if self.idle.room.available_permits() == 0 { LAST_POLL } else { POLL };
                    let wishes = self.idle.next();
                    self.send(wishes, wait, room);
                }
            }
        }
    }

    fn queue(&mut self, wish: Wish) {
        if wish.is_busy {
            return self.busy.waiting.push_back(wish);
        }
        if self.idle.waiting.is_empty() {
            self.gathered_at = Instant::now() + GATHER;
        }
        self.idle.waiting.push_back(wish);
    }

    fn send(&mut self, wishes: Vec<Wish>, max_wait: Duration, room: OwnedSemaphorePermit) {
        if !wishes.is_empty() {
            let (source, stale) = (self.source.clone(), self.stale.clone());
            self.requests.spawn(ask(source, stale, wishes, max_wait, self.bytes_max, room));
        }
    }

    /// Nobody who waits for this source gets an answer.
    fn give_up(&mut self) {
        // A slow way may have carried less in time than was asked for.
        self.bytes_max = (self.bytes_max / 4).max(BYTES_MIN);
        self.requests = JoinSet::new();
        self.busy.waiting.clear();
        self.idle.waiting.clear();
    }

    /// Looks every now and then whether the source answers again; false when nobody asks any more.
    async fn probe(&mut self) -> bool {
        let source = self.source.clone();
        let probing = async {
            loop {
                sleep(PROBE_PAUSE).await;
                let nothing = FetchRequest { partitions: Vec::new(), max_wait: Duration::ZERO, bytes_max: BYTES_MIN };
                match source.fetch(nothing).await {
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

/// Sends one request and hands out its answers. Gives back what is to be polled again, unless there was no answer.
async fn ask(
    source: Arc<dyn Source>,
    stale: Arc<Notify>,
    wishes: Vec<Wish>,
    max_wait: Duration,
    bytes_max: u32,
    room: OwnedSemaphorePermit,
) -> Option<Vec<Wish>> {
    let partitions = wishes.iter().map(FetchPartition::from).collect();
    let answers = match source.fetch(FetchRequest { partitions, max_wait, bytes_max }).await {
        Ok(answers) => answers,
        Err(error) => {
            tracing::debug!(%error, "fetch");
            return None;
        }
    };
    let room = Arc::new(room);
    let mut wishes: HashMap<CopyKey, Wish> = wishes.into_iter().map(|wish| (wish.key, wish)).collect();
    let mut quiet = Vec::new();
    for (key, answer) in answers {
        let Some(wish) = wishes.remove(&key) else { continue };
        if answer.body == Body::Unavailable {
            stale.notify_one();
        }
        let records = if let Body::Records(records) = &answer.body { Some(records.len()) } else { None };
        if records == Some(0) && !wish.is_busy && wish.asked_at.elapsed() < QUIET_MAX {
            quiet.push(wish);
            continue;
        }
        let room = records.is_some_and(|bytes| bytes > 0).then(|| room.clone());
        // A partition that is not followed any more does not listen.
        let _ = wish.reply.send(Served { answer, room });
    }
    Some(quiet)
}

impl From<&Wish> for FetchPartition {
    fn from(Wish { key, fetch, sync, .. }: &Wish) -> Self {
        Self::of(*key, *fetch, *sync)
    }
}

impl FetchPartition {
    /// What `fetch` asks of a partition, or only says where it asks for no bytes.
    pub(crate) fn of(key: CopyKey, fetch: Fetch, sync: Option<SyncTerms>) -> Self {
        let Fetch { from, last_epoch, durable, bytes_max, leader_epoch, .. } = fetch;
        Self { key, from, last_epoch, durable, bytes_max, sync: sync.map(|terms| SyncWord { terms, leader_epoch }) }
    }
}
