//! Reads one partition of the source ahead of what is dealt with, as [`Ahead`] says.

use super::Side;
use mirror_core::attached::ahead::{Ahead, Ask, Sizes};
use model::Offset;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use wire::client::{ClientError, Cluster, FetchLimits, Fetched};

/// How many fetches of one partition are under way or wait for their turn.
const WIDTH_MAX: usize = 6;

/// Answers in order. Each fetch has a connection of its own: over a long line one is bound by its window.
pub(super) struct Reader {
    side: Side,
    topic: String,
    partition: i32,
    ahead: Ahead<Came>,
    asked: JoinSet<Asked>,
    /// One that nobody else holds is free.
    lanes: Vec<Arc<Cluster>>,
    room: Arc<Semaphore>,
}

/// An answer, and the room it takes; the first in turn needs none.
struct Came {
    fetched: Fetched,
    _room: Option<OwnedSemaphorePermit>,
}

/// What became of a fetch from an offset on.
type Asked = (Offset, Result<Came, ClientError>);

impl Reader {
    /// A reader that has asked for nothing. Of `room` it takes what fetches ahead of the first one need.
    pub(super) fn new(side: &Side, topic: &str, partition: i32, room: Arc<Semaphore>) -> Self {
        Self {
            side: side.clone(),
            topic: topic.to_owned(),
            partition,
            ahead: Ahead::new(Offset::ZERO, WIDTH_MAX),
            asked: JoinSet::new(),
            lanes: Vec::new(),
            room,
        }
    }

    /// What is committed from `from` on; the first batch may begin before it.
    ///
    /// # Errors
    /// As [`Cluster::fetch`] from there.
    pub(super) async fn next(&mut self, from: Offset) -> Result<Fetched, ClientError> {
        if self.ahead.next() != from {
            self.restart(from);
        }
        loop {
            let due = self.ahead.due();
            self.ask();
            if let Some(came) = due {
                return Ok(came.fetched);
            }
            match self.asked.join_next().await {
                Some(Ok((at, Ok(came)))) => self.answered(at, came),
                Some(Ok((at, Err(error)))) if at == from => {
                    self.restart(from);
                    return Err(error);
                }
                // One that was ahead of its turn is asked again when it comes.
                Some(Ok((_, Err(_))) | Err(_)) | None => self.restart(from),
            }
        }
    }

    fn restart(&mut self, from: Offset) {
        self.ahead.restart(from);
        self.asked = JoinSet::new();
    }

    fn answered(&mut self, at: Offset, came: Came) {
        let sizes = Sizes::of(&came.fetched.records, at, Offset(came.fetched.last_stable_offset));
        self.ahead.answered(at, sizes, came);
    }

    fn ask(&mut self) {
        loop {
            let is_first = self.ahead.held() == 0;
            let room = if is_first { None } else { self.room.clone().try_acquire_owned().ok() };
            if !is_first && room.is_none() {
                return;
            }
            let Some(ask) = self.ahead.ask() else { return };
            let (lane, topic, partition) = (self.lane(), self.topic.clone(), self.partition);
            self.asked.spawn(async move {
                let fetched = lane.fetch(&topic, partition, ask.from.0, limits(ask)).await;
                (ask.from, fetched.map(|fetched| Came { fetched, _room: room }))
            });
        }
    }

    fn lane(&mut self) -> Arc<Cluster> {
        if let Some(free) = self.lanes.iter().find(|lane| Arc::strong_count(lane) == 1) {
            return free.clone();
        }
        let lane = Arc::new(self.side.cluster());
        self.lanes.push(lane.clone());
        lane
    }
}

/// What is committed, waiting a little for more.
fn limits(Ask { bytes_max, .. }: Ask) -> FetchLimits {
    let bytes_max = i32::try_from(bytes_max).unwrap_or(i32::MAX);
    FetchLimits { wait_max: Duration::from_millis(500), bytes_min: 1, bytes_max, committed_only: true }
}
