//! One connection of a fetcher: what the leader was told, and what has to be told next.

use super::fetcher::{Failure, Fetcher, PATIENCE};
use super::serving::ASK_AGAIN;
use super::{fence_fields, fence_of};
use crate::Broker;
use crate::replica::{News, Next, Partition, Place};
use broker_core::follower::{Answer, Command, EpochEnd, Fence, Fetch, Trouble};
use broker_core::metadata::BrokerEpoch;
use bytes::Bytes;
use model::{LeaderEpoch, Offset, PartitionId};
use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use wire::client::Connection;
use wire::internal::replica_fetch::{Forgotten, Partition as Wish, PartitionResponse, Request, Response};
use wire::internal::replica_progress;
use wire::{ErrorCode, Records};

/// How long the leader may wait for news (Kafka's `replica.fetch.wait.max.ms`).
const WAIT_MAX: Duration = Duration::from_millis(500);
/// What one answer may bring, and of one partition (Kafka's `replica.fetch.response.max.bytes` and
/// `replica.fetch.max.bytes`).
const BYTES_MAX: i32 = 10 << 20;
const PARTITION_BYTES_MAX: i32 = 1 << 20;
/// How long a partition in trouble rests.
const TROUBLE_REST: Duration = Duration::from_millis(100);
/// How long it rests when this broker cannot write.
const DISK_REST: Duration = Duration::from_secs(1);

/// What the leader knows of a partition.
#[derive(Clone, Copy, Debug)]
struct Told {
    /// Where it reads; `None` once it has answered that.
    fetch: Option<Fetch>,
    durable: Offset,
}

/// A connection and what was said through it.
pub(super) struct Session<'a> {
    broker: &'a Broker,
    fetcher: Arc<Fetcher>,
    connection: Arc<Connection>,
    epoch: BrokerEpoch,
    id: i64,
    sequence: i32,
    told: HashMap<Place, Told>,
    /// Partitions whose wishes go with the next request.
    due: HashSet<Place>,
}

/// What is to be said beside a fetch that waits.
#[derive(Default)]
struct Aside {
    progress: Vec<replica_progress::Partition>,
    /// Something the waiting fetch does not ask for.
    has_wishes: bool,
}

impl<'a> Session<'a> {
    pub(super) fn new(broker: &'a Broker, fetcher: Arc<Fetcher>, connection: Connection, epoch: BrokerEpoch) -> Self {
        static NEXT: AtomicI64 = AtomicI64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let (told, due) = (HashMap::new(), HashSet::new());
        Self { broker, fetcher, connection: Arc::new(connection), epoch, id, sequence: 0, told, due }
    }

    /// Fetches until there is nothing left to fetch.
    ///
    /// # Errors
    /// The connection is of no use any more.
    pub(super) async fn run(mut self) -> Result<(), Failure> {
        loop {
            let aside = self.gather();
            if let Some(progress) = self.progress(aside.progress, false) {
                self.connection.send(&progress, 0).await?;
            }
            if self.fetcher.is_idle() {
                return Ok(());
            }
            self.check_session()?;
            let request = self.request();
            let response = self.exchange(request).await?;
            if !response.error.is_ok() {
                return Err(Failure::Refused(response.error));
            }
            response.partitions.into_iter().for_each(|answer| self.take(answer));
        }
    }

    /// Both this broker's session and where the leader is are as they were when this began.
    fn check_session(&self) -> Result<(), Failure> {
        let image = self.broker.image();
        let mine = image.broker(self.broker.config().slot).map(|broker| broker.session);
        let leader = image.broker(self.fetcher.leader).map(|leader| leader.addresses.internal.as_str());
        let is_same = mine == Some(self.epoch) && leader == Some(self.connection.peer());
        if is_same { Ok(()) } else { Err(Failure::Moved) }
    }

    /// Looks at what changed.
    fn gather(&mut self) -> Aside {
        let mut aside = Aside::default();
        for place in self.fetcher.news.take() {
            self.gather_one(place, &mut aside);
        }
        aside
    }

    fn gather_one(&mut self, place: Place, aside: &mut Aside) {
        let Some(partition) = self.fetcher.partition(place) else {
            aside.has_wishes |= self.told.contains_key(&place) && self.due.insert(place);
            return;
        };
        let Some(wanted) = partition.wanted_of(self.fetcher.leader) else { return };
        match self.told.get_mut(&place) {
            Some(told) if told.fetch.is_some_and(|fetch| is_same_place(&fetch, &wanted)) => {
                if wanted.durable > told.durable {
                    told.durable = wanted.durable;
                    aside.progress.push(progress(place, &wanted));
                }
            }
            _ => aside.has_wishes |= self.due.insert(place),
        }
    }

    /// What tells the leader what is on disk here by now; `None` when there is nothing to say.
    fn progress(
        &self,
        partitions: Vec<replica_progress::Partition>,
        ends_wait: bool,
    ) -> Option<replica_progress::Request> {
        if partitions.is_empty() && !ends_wait {
            return None;
        }
        Some(replica_progress::Request {
            replica: i32::from(self.broker.config().slot.0),
            broker_epoch: self.epoch.0 as i64,
            fetcher: self.fetcher.number as i32,
            session: self.id,
            ends_wait,
            partitions,
            ..Default::default()
        })
    }

    /// The next fetch, with everything that is due.
    fn request(&mut self) -> Request {
        let (mut partitions, mut forgotten) = (Vec::new(), Vec::new());
        for place in std::mem::take(&mut self.due) {
            let partition = self.fetcher.partition(place);
            let wanted = partition.as_ref().and_then(|partition| partition.wanted_of(self.fetcher.leader));
            match wanted {
                Some(wanted) => {
                    let told = Told { fetch: Some(wanted), durable: wanted.durable };
                    self.told.insert(place, told);
                    partitions.push(wish(place, &wanted));
                }
                // It comes again when its log was changed.
                None if partition.is_some() => {}
                None => {
                    self.told.remove(&place);
                    forgotten.push(Forgotten { topic_id: place.0, partition: place.1.0, ..Default::default() });
                }
            }
        }
        let sequence = self.sequence;
        self.sequence = self.sequence.wrapping_add(1).max(1);
        Request {
            replica: i32::from(self.broker.config().slot.0),
            broker_epoch: self.epoch.0 as i64,
            fetcher: self.fetcher.number as i32,
            session: self.id,
            sequence,
            max_wait_ms: WAIT_MAX.as_millis() as i32,
            max_bytes: BYTES_MAX,
            partition_max_bytes: PARTITION_BYTES_MAX,
            partitions,
            forgotten,
            ..Default::default()
        }
    }

    /// Waits for the answer, and meanwhile tells the leader what became durable.
    async fn exchange(&mut self, request: Request) -> Result<Response, Failure> {
        let (connection, fetcher) = (self.connection.clone(), self.fetcher.clone());
        let mut hurried = false;
        let aside = || {
            let aside = self.gather();
            let hurries = aside.has_wishes && !hurried;
            hurried |= hurries;
            self.progress(aside.progress, hurries)
        };
        ask(&connection, &request, &fetcher.news, aside).await
    }

    /// Takes what the leader said about one partition.
    fn take(&mut self, response: PartitionResponse) {
        let place = (response.topic_id, PartitionId(response.partition));
        let is_watermark = response.error.is_ok() && response.diverging.is_none() && response.records.is_empty();
        if let Some(told) = self.told.get_mut(&place).filter(|_| !is_watermark) {
            told.fetch = None;
        }
        let Some(partition) = self.fetcher.partition(place) else { return };
        let Some(answer) = answer(response) else { return };
        let fence = answer.fence;
        let next = partition.take_answer(answer);
        self.go_on(partition, fence, next, is_watermark);
    }

    fn go_on(&self, partition: Arc<Partition>, fence: Fence, next: Next, is_watermark: bool) {
        let (place, news) = (partition.place(), self.fetcher.news.clone());
        match next {
            Next::Fetch if is_watermark => {}
            Next::Fetch => _ = news.mark(place),
            Next::Change(commands) => self.change(partition, fence, commands),
            Next::Pause(trouble) => {
                report(&partition, &trouble);
                self.mark_after(place, rest(&trouble));
            }
        }
    }

    /// Changes the log of one partition where it may block; the others go on.
    fn change(&self, partition: Arc<Partition>, fence: Fence, commands: Vec<Command>) {
        let news = self.fetcher.news.clone();
        tokio::spawn(async move {
            let place = partition.place();
            let changing = tokio::task::spawn_blocking({
                let partition = partition.clone();
                move || partition.change(fence, commands)
            });
            if let Ok(Next::Pause(trouble)) = changing.await {
                report(&partition, &trouble);
                tokio::time::sleep(rest(&trouble)).await;
            }
            news.mark(place);
        });
    }

    fn mark_after(&self, place: Place, rest: Duration) {
        let news = self.fetcher.news.clone();
        tokio::spawn(async move {
            tokio::time::sleep(rest).await;
            news.mark(place);
        });
    }
}

/// Sends `request` and waits for the answer. Whenever there is `news` meanwhile, what `aside` has to say goes out as well:
/// always behind the request, which says how far this replica was when it was made. The leader believes what it hears
/// last, and what it heard once it is not told again.
async fn ask(
    connection: &Connection,
    request: &Request,
    news: &News,
    mut aside: impl FnMut() -> Option<replica_progress::Request>,
) -> Result<Response, Failure> {
    let mut call = pin!(connection.call_within(WAIT_MAX + PATIENCE, request, 0));
    loop {
        tokio::select! {
            // The first look at the call has it queued.
            biased;
            answer = &mut call => return Ok(answer?),
            () = news.heard() => {
                if let Some(progress) = aside() {
                    connection.send(&progress, 0).await?;
                }
            }
        }
    }
}

fn report(partition: &Partition, trouble: &Trouble) {
    match trouble {
        Trouble::Fenced | Trouble::NotLeader | Trouble::AskAgain => {
            tracing::debug!(partition = %partition.name, %trouble, "replica waits");
        }
        trouble => tracing::warn!(partition = %partition.name, %trouble, "replica cannot follow; it tries again"),
    }
}

fn rest(trouble: &Trouble) -> Duration {
    match trouble {
        Trouble::AskAgain => Duration::ZERO,
        Trouble::Unwritable | Trouble::NoRoom | Trouble::Storage => DISK_REST,
        Trouble::Fenced
        | Trouble::NotLeader
        | Trouble::OutOfRange
        | Trouble::Damaged { .. }
        | Trouble::OutOfOrder { .. }
        | Trouble::WrongEpoch { .. }
        | Trouble::WrongHole { .. } => TROUBLE_REST,
    }
}

/// Whether a leader that was told `told` reads where it should.
fn is_same_place(told: &Fetch, wanted: &Fetch) -> bool {
    (told.fence, told.from, told.last_epoch) == (wanted.fence, wanted.from, wanted.last_epoch)
}

fn wish((topic_id, partition): Place, wanted: &Fetch) -> Wish {
    let (is_copy, fence) = fence_fields(wanted.fence);
    Wish {
        topic_id,
        partition: partition.0,
        is_copy,
        fence,
        fetch_offset: wanted.from.0,
        last_epoch: wanted.last_epoch.0,
        durable_offset: wanted.durable.0,
        ..Default::default()
    }
}

fn progress((topic_id, partition): Place, wanted: &Fetch) -> replica_progress::Partition {
    let (is_copy, fence) = fence_fields(wanted.fence);
    let durable_offset = wanted.durable.0;
    replica_progress::Partition {
        topic_id,
        partition: partition.0,
        is_copy,
        fence,
        durable_offset,
        ..Default::default()
    }
}

/// What the core hears of `response`; `None` when it names no leadership.
fn answer(response: PartitionResponse) -> Option<Answer> {
    let end = |end: &wire::internal::replica_fetch::Diverging| EpochEnd {
        epoch: LeaderEpoch(end.epoch),
        end: Offset(end.end_offset),
    };
    Some(Answer {
        fence: fence_of((response.is_copy, response.fence))?,
        from: Offset(response.fetch_offset),
        diverging: response.diverging.as_ref().map(end),
        trouble: trouble(response.error),
        high_watermark: Offset(response.high_watermark),
        log_start: Offset(response.log_start),
        baseline: (&response.baseline).into(),
        first_offset: Offset(response.first_offset),
        batches: match response.records {
            Records::Bytes(bytes) => bytes,
            Records::Placeholder(_) => Bytes::new(),
        },
    })
}

fn trouble(code: ErrorCode) -> Option<Trouble> {
    match code {
        ErrorCode::NONE => None,
        ErrorCode::FENCED_LEADER_EPOCH => Some(Trouble::Fenced),
        ErrorCode::OFFSET_OUT_OF_RANGE => Some(Trouble::OutOfRange),
        ErrorCode::KAFKA_STORAGE_ERROR => Some(Trouble::Storage),
        ASK_AGAIN => Some(Trouble::AskAgain),
        _ => Some(Trouble::NotLeader),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::TopicId;
    use tokio::io::{AsyncReadExt, DuplexStream};
    use wire::Message as _;

    /// The API key of the next request.
    async fn next_key(stream: &mut DuplexStream) -> i16 {
        let mut frame = vec![0; stream.read_u32().await.unwrap() as usize];
        stream.read_exact(&mut frame).await.unwrap();
        i16::from_be_bytes([frame[0], frame[1]])
    }

    #[tokio::test]
    async fn what_became_durable_is_never_told_before_the_fetch_that_does_not_know_of_it() {
        // Which of two things that are ready comes first may be left to chance: once would prove nothing.
        for _ in 0..64 {
            let (here, mut there) = tokio::io::duplex(64 * 1024);
            let (read, write) = tokio::io::split(here);
            let connection = Connection::over(read, write, "the leader", "replica", PATIENCE);
            let news = News::default();
            news.mark((TopicId::ZERO, PartitionId(0)));
            let request = Request::default();
            let aside = || {
                news.take();
                Some(replica_progress::Request::default())
            };
            let asking = ask(&connection, &request, &news, aside);
            let keys = async { [next_key(&mut there).await, next_key(&mut there).await] };
            let keys = tokio::select! {
                keys = keys => keys,
                answer = asking => panic!("nobody has answered: {answer:?}"),
            };
            assert_eq!(keys, [Request::KEY, replica_progress::Request::KEY]);
        }
    }
}
