//! Fetchers: each a connection to one broker that leads partitions held here, and those of them that are fetched by it.

use super::session::Session;
use crate::Broker;
use crate::replica::{News, Partition, Place};
use broker_core::metadata::Image;
use model::BrokerSlot;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::sleep;
use wire::client::{ClientError, Connection};

/// How long a fetcher rests after its connection failed: so long at first, and at most.
const REST: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));
/// How long connecting, and each call beyond its wait, may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// A broker that leads, and which connection to it.
type Lane = (BrokerSlot, usize);

/// Everything that this broker fetches from others of its region.
#[derive(Default)]
pub(crate) struct Fetchers {
    lanes: Mutex<Lanes>,
}

#[derive(Default)]
struct Lanes {
    fetchers: HashMap<Lane, Arc<Fetcher>>,
    of: HashMap<Place, Lane>,
}

/// What goes through one connection.
pub(super) struct Fetcher {
    pub(super) leader: BrokerSlot,
    /// Which connection to it.
    pub(super) number: usize,
    partitions: Mutex<HashMap<Place, Arc<Partition>>>,
    /// Partitions that changed.
    pub(super) news: Arc<News>,
}

impl Fetchers {
    /// Has `partition` fetched from the broker it follows, or not any more.
    pub(crate) fn assign(&self, broker: &Broker, partition: &Arc<Partition>) {
        let place = partition.place();
        let lane = partition.followed().map(|leader| (leader, lane_of(place, broker.config().replica_fetchers)));
        let mut lanes = self.lanes();
        let before = match lane {
            Some(lane) => lanes.of.insert(place, lane),
            None => lanes.of.remove(&place),
        };
        if let Some(fetcher) = before.filter(|before| Some(*before) != lane).and_then(|lane| lanes.fetchers.get(&lane))
        {
            fetcher.let_go(partition);
        }
        if let Some(lane) = lane {
            let fetcher = lanes.fetchers.entry(lane).or_insert_with(|| Fetcher::start(broker, lane));
            fetcher.take(partition);
        }
    }

    /// A partition is on this broker no more.
    pub(crate) fn forget(&self, partition: &Arc<Partition>) {
        let mut lanes = self.lanes();
        let lane = lanes.of.remove(&partition.place());
        if let Some(fetcher) = lane.and_then(|lane| lanes.fetchers.get(&lane)) {
            fetcher.let_go(partition);
        }
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which of so many connections a partition is fetched by.
fn lane_of(place: Place, fetchers: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    place.hash(&mut hasher);
    (hasher.finish() % fetchers.max(1) as u64) as usize
}

impl Fetcher {
    fn start(broker: &Broker, (leader, number): Lane) -> Arc<Self> {
        let fetcher = Arc::new(Self { leader, number, partitions: Mutex::default(), news: Arc::default() });
        broker.spawn_on_data_plane(run(broker.clone(), fetcher.clone()));
        fetcher
    }

    fn take(&self, partition: &Arc<Partition>) {
        partition.subscribe(&self.news);
        self.partitions().insert(partition.place(), partition.clone());
        self.news.mark(partition.place());
    }

    fn let_go(&self, partition: &Arc<Partition>) {
        partition.unsubscribe(&self.news);
        self.partitions().remove(&partition.place());
        self.news.mark(partition.place());
    }

    /// One of its partitions.
    pub(super) fn partition(&self, place: Place) -> Option<Arc<Partition>> {
        self.partitions().get(&place).cloned()
    }

    /// Whether it has any.
    pub(super) fn is_idle(&self) -> bool {
        self.partitions().is_empty()
    }

    fn mark_all(&self) {
        let places: Vec<_> = self.partitions().keys().copied().collect();
        places.into_iter().for_each(|place| _ = self.news.mark(place));
    }

    fn partitions(&self) -> MutexGuard<'_, HashMap<Place, Arc<Partition>>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Fetches until the broker stops.
async fn run(broker: Broker, fetcher: Arc<Fetcher>) {
    let mut stop = broker.0.stop.subscribe();
    tokio::select! {
        () = crate::listener::stopped(&mut stop) => {}
        () = fetch(&broker, &fetcher) => {}
    }
}

async fn fetch(broker: &Broker, fetcher: &Arc<Fetcher>) {
    let mut rest = REST.0;
    loop {
        while fetcher.is_idle() {
            fetcher.news.take();
            fetcher.news.heard().await;
        }
        match fetch_once(broker, fetcher).await {
            Ok(()) => rest = REST.0,
            Err(error) => {
                tracing::debug!(leader = fetcher.leader.0, %error, "replicas are not fetched; trying again");
                sleep(jitter(broker, rest)).await;
                rest = (rest * 2).min(REST.1);
            }
        }
    }
}

/// Half of it to all of it, so that brokers do not come back all at once.
fn jitter(broker: &Broker, rest: Duration) -> Duration {
    let part = broker.0.entropy.next_u64() % 512;
    rest / 2 + rest * (part as u32) / 1024
}

/// Fetches through one connection, until there is nothing to fetch any more or it fails.
async fn fetch_once(broker: &Broker, fetcher: &Arc<Fetcher>) -> Result<(), Failure> {
    let image = broker.image();
    let connection = connect(&image, fetcher.leader).await?;
    let session = image.broker(broker.config().slot).ok_or(Failure::NotRegistered)?.session;
    fetcher.mark_all();
    Session::new(broker, fetcher.clone(), connection, session).run().await
}

async fn connect(image: &Image, leader: BrokerSlot) -> Result<Connection, Failure> {
    let address = image.broker(leader).ok_or(Failure::UnknownLeader)?.addresses.internal.clone();
    Ok(Connection::connect(&address, "replica", PATIENCE).await?)
}

/// Why a connection is of no use.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The metadata does not know the leader.
    #[error("the metadata does not say where the leader is")]
    UnknownLeader,
    /// This broker has no session yet.
    #[error("this broker is not registered yet")]
    NotRegistered,
    /// The metadata says something else by now.
    #[error("this broker has begun another session, or the leader is elsewhere")]
    Moved,
    /// The leader refuses the session.
    #[error("the leader refuses the fetch: {0}")]
    Refused(wire::ErrorCode),
    /// The connection failed.
    #[error(transparent)]
    Client(#[from] ClientError),
}
