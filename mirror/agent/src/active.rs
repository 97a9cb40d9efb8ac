//! Links between regions that all take writes for the same topics.
//!
//! ```text
//!   region A <--ask: what I have, whose records I take over this link-- region B
//!            ---portions, what A has received, what A knows of others-->  Sink::take
//! ```
//!
//! One task per source region asks for all partitions in one request, so that a quiet link costs one request per wait. Who
//! of the sources brings whose records is [`mirror_core::active::assign`]'s to say, anew before each request. Nothing is
//! kept here but what the sources said last: a link that begins anew asks from what its region's logs hold.

mod source;
mod way;

use crate::ports::CopyKey;
use env::PortFuture;
use mirror_core::active::{Carried, Row, Vector};
use model::{Assignment, Incarnation, RegionName};
use source::Answer;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use way::Ways;

/// How long a source may wait for something to send.
const WAIT: Duration = Duration::from_millis(500);
/// How long to wait before a source is asked again that did not answer, or whose answer was of no use.
const RETRY: Duration = Duration::from_millis(100);
/// How long a link waits for the partitions of a region that leads none.
const IDLE: Duration = Duration::from_millis(500);
/// How many bytes are asked for at once.
const ANSWER_BYTES: u32 = 4 << 20;

/// Why what was brought is not here, or not all of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotTaken(pub String);

/// How far the records that another region wrote have come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behind {
    /// That region.
    pub origin: Incarnation,
    /// The most records that are known of and not here: its offsets in between, where others' records lie, too.
    pub records_max: u64,
    /// How long ago everything that it had written was here last. It grows while the region does not answer: nobody knows
    /// what it writes.
    pub time: Duration,
}

/// Shows how far links are behind, also once they are [followed](follow).
#[derive(Clone, Debug, Default)]
pub struct Lag(Arc<Mutex<Ways>>);

impl Lag {
    /// How far the records of each region that is linked have come, of a partition that has received `have`.
    pub fn behind(&self, key: CopyKey, have: &Vector) -> Vec<Behind> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).behind(key, have, Instant::now())
    }
}

/// The region that the links lead into.
pub trait ActiveSink: Send + Sync + 'static {
    /// The partitions that it takes writes for, as every other region does, each with what it has received.
    fn partitions(&self) -> Vec<(CopyKey, Vector)>;

    /// Takes what a link has brought, in order, and what its source knows. What it has already is passed over.
    fn take(&self, key: CopyKey, brought: Vec<Carried>, rows: Vec<Row>) -> PortFuture<'_, Result<(), NotTaken>>;
}

/// The links into one region.
pub struct ActiveLinks {
    sink: Arc<dyn ActiveSink>,
    region: RegionName,
    ways: Arc<Mutex<Ways>>,
    /// By source: where it is asked, and who asks.
    links: Mutex<BTreeMap<RegionName, (Source, JoinHandle<()>)>>,
}

/// A region to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Source {
    own: Incarnation,
    incarnation: Incarnation,
    address: String,
}

impl ActiveLinks {
    /// No links yet.
    pub fn new(region: RegionName, sink: Arc<dyn ActiveSink>) -> Self {
        Self { sink, region, ways: Arc::default(), links: Mutex::default() }
    }

    /// Shows how far they are behind.
    pub fn lag(&self) -> Lag {
        Lag(self.ways.clone())
    }

    /// Asks the regions that `assignment` names: all of them, while any group is active-active.
    pub fn assign(&self, assignment: &Assignment) {
        let is_used = assignment.groups.iter().any(|grant| grant.active.is_some());
        let others = assignment.regions.iter().filter(|known| is_used && known.region != self.region);
        let wanted: BTreeMap<_, _> = others
            .map(|known| {
                let (incarnation, own) = (known.incarnation, assignment.incarnation);
                (known.region.clone(), Source { own, incarnation, address: known.internal.clone() })
            })
            .collect();
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|region, (source, task)| {
            let stays = wanted.get(region) == Some(source);
            if !stays {
                task.abort();
                self.ways().forget(source.incarnation);
            }
            stays
        });
        for (region, source) in wanted {
            links.entry(region).or_insert_with(|| {
                let (sink, ways, stuck) = (self.sink.clone(), self.ways.clone(), BTreeMap::new());
                let link = Link { sink, ways, source: source.clone(), stuck };
                link.ways().know(source.incarnation, Instant::now());
                let wire = source::Wire::to(&source.address, &self.region, source.own);
                (source, tokio::spawn(link.run(wire)))
            });
        }
    }

    fn ways(&self) -> std::sync::MutexGuard<'_, Ways> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ActiveLinks {
    fn drop(&mut self) {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *links).into_values().for_each(|(_, task)| task.abort());
    }
}

/// One link.
struct Link {
    sink: Arc<dyn ActiveSink>,
    ways: Arc<Mutex<Ways>>,
    source: Source,
    /// What was said last of partitions that go on no more.
    stuck: BTreeMap<CopyKey, NotTaken>,
}

impl Link {
    fn ways(&self) -> std::sync::MutexGuard<'_, Ways> {
        self.ways.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn run(mut self, mut wire: source::Wire) {
        loop {
            let asks = self.asks();
            if asks.is_empty() {
                sleep(IDLE).await;
                continue;
            }
            let asked = Instant::now();
            match wire.ask(asks, WAIT, ANSWER_BYTES).await {
                Ok(answers) => {
                    let mut all_taken = true;
                    for answer in answers {
                        all_taken &= self.take(answer, asked).await;
                    }
                    if !all_taken {
                        sleep(RETRY).await;
                    }
                }
                Err(error) => {
                    tracing::debug!(source = %self.source.address, %error, "another region does not answer");
                    self.ways().lost(self.source.incarnation);
                    sleep(RETRY).await;
                }
            }
        }
    }

    fn asks(&self) -> Vec<source::Ask> {
        let partitions = self.sink.partitions();
        let mut ways = self.ways();
        let ask = |(key, have): (CopyKey, Vector)| {
            let wanted = ways.wanted(key, self.source.own, self.source.incarnation, &have);
            source::Ask { key, have, wanted }
        };
        partitions.into_iter().map(ask).collect()
    }

    /// Whether all that came was taken.
    async fn take(&mut self, answer: Answer, asked: Instant) -> bool {
        let Answer { key, outcome } = answer;
        let (brought, rows, received) = match outcome {
            Ok(found) => found,
            Err(error) => {
                tracing::debug!(source = %self.source.address, ?key, %error, "a partition is not served");
                self.ways().lost_partition(key, self.source.incarnation);
                return false;
            }
        };
        self.ways().heard(key, self.source.incarnation, received, asked);
        if brought.is_empty() && rows.is_empty() {
            return true;
        }
        let taken = self.sink.take(key, brought, rows).await;
        match taken {
            Ok(()) => _ = self.stuck.remove(&key),
            Err(error) => self.tell(key, error),
        }
        !self.stuck.contains_key(&key)
    }
}

impl Link {
    /// Now and then two links bring the same, and the next ask is a better one; what stays so is worth a warning.
    fn tell(&mut self, key: CopyKey, error: NotTaken) {
        let source = &self.source.address;
        if self.stuck.get(&key) == Some(&error) {
            tracing::debug!(%source, ?key, %error, "again, not all of an answer was taken");
        } else {
            tracing::warn!(%source, ?key, %error, "not all of an answer was taken; it is asked for again");
            self.stuck.insert(key, error);
        }
    }
}

/// Keeps `links` doing what `assignments` says, until those end.
pub async fn follow(links: ActiveLinks, mut assignments: watch::Receiver<Option<Arc<Assignment>>>) {
    loop {
        let newest = assignments.borrow_and_update().clone();
        if let Some(assignment) = newest {
            links.assign(&assignment);
        }
        if assignments.changed().await.is_err() {
            return;
        }
    }
}
