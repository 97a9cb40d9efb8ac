//! The way to one source region: who leads what there, and a lane to each of its brokers.
//!
//! ```text
//!   follower --wish--> Way --routes--> lane of broker a (Fetcher) ----> a
//!                       |        '---> lane of broker b (Fetcher) ----> b
//!                       '-- follows the region's leaders at any of its brokers
//! ```
//!
//! A partition moves to another lane as soon as the region says that another broker leads it; its followers are rung, and
//! wait for nobody who led it before. A broker that is out of reach stalls its own lane only.

mod routes;

use crate::fetcher::{Fetcher, Wish};
use crate::ports::{Connector, CopyKey, FetchPartition, Source, SourceError};
use model::{FollowMetadata, Leaders, RegionAddress};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};

pub(crate) use routes::{Address, Routes};

/// How long a broker holds the question for other leaders.
const POLL: Duration = Duration::from_secs(1);
/// A broker that does not answer within that and this is left.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);
/// How long to wait before the next broker is asked.
const NEXT: Duration = Duration::from_millis(200);
/// How long a broker is believed at least: it tells of changes by itself.
const BELIEVED: Duration = Duration::from_secs(1);

/// The way to a source region. Dropping it ends what it began.
pub(crate) struct Way {
    shared: Arc<Shared>,
    leaders: AbortHandle,
}

struct Shared {
    region: RegionAddress,
    connector: Arc<dyn Connector>,
    routes: watch::Sender<Arc<Routes>>,
    lanes: Mutex<BTreeMap<Address, Lane>>,
    /// Whether any broker that was asked answers.
    connected: watch::Sender<bool>,
    /// Rings when what is known of leaders may be out of date.
    stale: Arc<Notify>,
}

/// One broker of the region.
struct Lane {
    source: Arc<dyn Source>,
    fetching: Option<Fetching>,
}

struct Fetching {
    fetcher: Fetcher,
    connected: watch::Receiver<bool>,
    watching: AbortHandle,
}

impl Drop for Fetching {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.leaders.abort();
        self.shared.lanes().clear();
    }
}

impl Way {
    /// The way to the region at `region`; its brokers are asked when somebody wishes something of them.
    pub(crate) fn to(region: RegionAddress, connector: Arc<dyn Connector>) -> Self {
        let first = bootstrap(&region).into_iter().next().unwrap_or_else(|| Address::from(""));
        let shared = Arc::new(Shared {
            region,
            connector,
            routes: watch::Sender::new(Arc::new(Routes::all_at(first))),
            lanes: Mutex::default(),
            connected: watch::Sender::new(true),
            stale: Arc::default(),
        });
        let leaders = tokio::spawn(shared.clone().follow_leaders()).abort_handle();
        Self { shared, leaders }
    }

    /// The region it leads to.
    pub(crate) fn region(&self) -> &RegionAddress {
        &self.shared.region
    }

    /// Asks the broker that leads the partition; the answer comes through `reply`, or `reply` is dropped.
    pub(crate) fn ask(&self, wish: Wish) {
        let address = self.shared.routes.borrow().of(&wish.key).clone();
        let mut lanes = self.shared.lanes();
        let lane = self.shared.lane(&mut lanes, &address);
        lane.fetching.get_or_insert_with(|| self.shared.fetching(lane.source.clone())).fetcher.ask(wish);
    }

    /// Says to the broker that leads the partition how far a copy is.
    pub(crate) fn tell(&self, word: FetchPartition) {
        let address = self.shared.routes.borrow().of(&word.key).clone();
        let mut lanes = self.shared.lanes();
        let lane = self.shared.lane(&mut lanes, &address);
        lane.fetching.get_or_insert_with(|| self.shared.fetching(lane.source.clone())).fetcher.tell(word);
    }

    /// What the line to the broker that leads the partition was like in the last seconds; `None` before anything was asked
    /// of it.
    pub(crate) fn line(&self, key: &CopyKey) -> Option<model::Line> {
        let address = self.address_of(key);
        Some(self.shared.lanes().get(&address)?.fetching.as_ref()?.fetcher.line())
    }

    /// Where the partition is read now.
    pub(crate) fn address_of(&self, key: &CopyKey) -> Address {
        self.shared.routes.borrow().of(key).clone()
    }

    /// The broker at `address`.
    pub(crate) fn source(&self, address: &Address) -> Arc<dyn Source> {
        let mut lanes = self.shared.lanes();
        self.shared.lane(&mut lanes, address).source.clone()
    }

    /// Who leads what, as it is heard.
    pub(crate) fn routes(&self) -> watch::Receiver<Arc<Routes>> {
        self.shared.routes.subscribe()
    }

    /// Whether any broker that was asked answered last time.
    pub(crate) fn connected(&self) -> watch::Receiver<bool> {
        self.shared.connected.subscribe()
    }

    /// Somebody was not who he was taken for.
    pub(crate) fn note_stale(&self) {
        self.shared.stale.notify_one();
    }
}

/// Where the region's brokers are asked first.
fn bootstrap(region: &RegionAddress) -> Vec<Address> {
    region.internal.split(',').map(str::trim).filter(|address| !address.is_empty()).map(Address::from).collect()
}

impl Shared {
    fn lanes(&self) -> MutexGuard<'_, BTreeMap<Address, Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lane<'a>(&self, lanes: &'a mut BTreeMap<Address, Lane>, address: &Address) -> &'a mut Lane {
        let open = || Lane { source: self.connector.source(&self.region, address), fetching: None };
        lanes.entry(address.clone()).or_insert_with(open)
    }

    fn fetching(self: &Arc<Self>, source: Arc<dyn Source>) -> Fetching {
        let fetcher = Fetcher::start(source, self.stale.clone());
        let connected = fetcher.connected();
        let watching = tokio::spawn(watch_lane(Arc::downgrade(self), connected.clone())).abort_handle();
        Fetching { fetcher, connected, watching }
    }

    /// Says whether anybody answers.
    fn tell_connected(&self) {
        let is_connected = {
            let lanes = self.lanes();
            let mut asked = lanes.values().filter_map(|lane| lane.fetching.as_ref()).peekable();
            asked.peek().is_none() || asked.any(|fetching| *fetching.connected.borrow())
        };
        self.connected.send_if_modified(|known| std::mem::replace(known, is_connected) != is_connected);
    }

    /// Follows who leads what, at one broker after the other, for ever.
    async fn follow_leaders(self: Arc<Self>) {
        let mut last: Option<Address> = None;
        loop {
            let candidates = self.candidates();
            let at = last.as_ref().and_then(|last| candidates.iter().position(|known| known == last));
            let Some(next) = candidates.get(at.map_or(0, |at| (at + 1) % candidates.len())).cloned() else { return };
            if let Err(error) = self.follow_at(&next, candidates.len() > 1).await {
                tracing::debug!(region = %self.region.region, address = %next, %error, "its leaders are asked elsewhere");
            }
            last = Some(next);
            sleep(NEXT).await;
        }
    }

    /// Every broker that can be asked: those that are known, and those that were named.
    fn candidates(&self) -> Vec<Address> {
        let mut candidates = bootstrap(&self.region);
        candidates.extend(self.routes.borrow().brokers().iter().cloned());
        candidates.sort_unstable();
        candidates.dedup();
        candidates
    }

    /// Follows who leads what at one broker; ends when it does not answer or, if `others` may know more, when it may be
    /// wrong.
    async fn follow_at(&self, address: &Address, others: bool) -> Result<(), SourceError> {
        let source = {
            let mut lanes = self.lanes();
            self.lane(&mut lanes, address).source.clone()
        };
        let (mut since, begun) = (0, Instant::now());
        let doubted = async || {
            sleep_until(begun + BELIEVED).await;
            self.stale.notified().await;
        };
        loop {
            let ask = FollowMetadata { since, max_wait_ms: POLL.as_millis() as u32, brief: true };
            let answer = tokio::select! {
                answer = timeout(POLL + ANSWER_WITHIN, source.leaders(ask)) => answer,
                () = doubted(), if others => return Ok(()),
            };
            let leaders = answer.map_err(|_| SourceError("it is silent".to_owned()))??;
            if leaders.version != since {
                since = leaders.version;
                self.learn(address, &leaders);
            }
        }
    }

    fn learn(&self, address: &Address, leaders: &Leaders) {
        let routes = Arc::new(Routes::said_by(address.clone(), leaders));
        let is_news = self.routes.send_if_modified(|known| {
            let is_news = *known != routes;
            if is_news {
                known.clone_from(&routes);
            }
            is_news
        });
        if is_news {
            // Who leads nothing any more says nothing of whether the region answers.
            self.lanes().retain(|known, _| routes.lead_to(known));
            self.tell_connected();
        }
    }
}

async fn watch_lane(shared: std::sync::Weak<Shared>, mut connected: watch::Receiver<bool>) {
    while connected.changed().await.is_ok() {
        let Some(shared) = shared.upgrade() else { return };
        if !*connected.borrow_and_update() {
            shared.stale.notify_one();
        }
        shared.tell_connected();
    }
}
