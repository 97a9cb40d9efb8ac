//! An idempotent producer's way to one partition: up to five batches in flight, tried again until they are acknowledged,
//! always in order. It never starts over: whatever happens, it goes on with the sequence numbers it has given.

use super::journal::Journal;
use chaos::history::Event;
use model::{Offset, ProducerId, RegionName};
use record::{BatchBuilder, sequence_after};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use wire::ErrorCode;
use wire::api::{init_producer_id, produce};
use wire::client::{ClientError, Cluster, Connection};
use wire::codec::{Message, Versions};

const IN_FLIGHT_MAX: usize = 5;
const BATCH_RECORDS_MAX: usize = 64;
const TICK: Duration = Duration::from_millis(4);
const RETRY_PAUSE: Duration = Duration::from_millis(50);
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long after the end of the load the last records may wait for their acknowledgements.
const PATIENCE: Duration = Duration::from_secs(30);
/// Later versions address topics by id; a gateway has none of them.
const NEWEST: i16 = 9;

/// Who an idempotent producer is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    id: ProducerId,
    epoch: i16,
}

impl Identity {
    /// A new one.
    ///
    /// # Errors
    /// When no broker gives one.
    pub(super) async fn of(cluster: &Cluster) -> Result<Self, ClientError> {
        let request = init_producer_id::Request { transaction_timeout_ms: i32::MAX, ..Default::default() };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let failed = match cluster.call_any(&request).await {
                Ok(found) if found.error_code.is_ok() => {
                    return Ok(Self { id: ProducerId(found.producer_id), epoch: found.producer_epoch });
                }
                Ok(found) => ClientError::Refused { api: "InitProducerId", code: found.error_code, message: None },
                Err(failed) => failed,
            };
            if Instant::now() > deadline || !failed.is_retryable() {
                return Err(failed);
            }
            sleep(RETRY_PAUSE).await;
        }
    }
}

/// What a lane writes, and where.
#[derive(Clone, Debug)]
pub(super) struct Route {
    /// The name of its producer in the history.
    pub(super) producer: String,
    /// Who the producer is.
    pub(super) identity: Identity,
    /// The partition.
    pub(super) partition: i32,
    /// The region, for a producer that talks to one directly.
    pub(super) region: Option<RegionName>,
    /// Records per second.
    pub(super) per_second: f64,
    /// Bytes of each value.
    pub(super) size: usize,
}

struct Batch {
    sequence: i32,
    values: Vec<u64>,
}

#[derive(Debug, PartialEq, Eq)]
enum Answer {
    /// And that is written down.
    Written,
    Again,
    OutOfOrder,
    Fatal(String),
}

/// The lane while it runs.
pub(super) struct Lane {
    route: Route,
    cluster: Arc<Cluster>,
    journal: Journal,
    values: Arc<AtomicU64>,
    sequence: i32,
    waiting: VecDeque<u64>,
    window: VecDeque<Batch>,
    connection: Option<(Connection, i16)>,
}

impl Lane {
    /// A lane that takes its values from `values`, so that no two lanes write the same one.
    pub(super) fn new(route: Route, cluster: Arc<Cluster>, journal: Journal, values: Arc<AtomicU64>) -> Self {
        let (waiting, window) = (VecDeque::new(), VecDeque::new());
        Self { route, cluster, journal, values, sequence: 0, waiting, window, connection: None }
    }

    /// Writes until `stop` says so and everything handed in is acknowledged.
    pub(super) async fn run(mut self, stop: watch::Receiver<bool>) {
        let (began, mut handed_in) = (Instant::now(), 0);
        let mut patience = None;
        loop {
            if *stop.borrow() {
                let end = *patience.get_or_insert_with(|| Instant::now() + PATIENCE);
                if (self.waiting.is_empty() && self.window.is_empty()) || Instant::now() > end {
                    break;
                }
            } else {
                let due = (began.elapsed().as_secs_f64() * self.route.per_second) as u64;
                (handed_in..due).for_each(|_| self.hand_in());
                handed_in = due;
            }
            self.fill_window();
            if self.window.is_empty() {
                sleep(TICK).await;
            } else if let Err(fatal) = self.round().await {
                self.end(&fatal);
                return;
            }
        }
        self.give_up("no answer until the end of the load");
    }

    fn hand_in(&mut self) {
        let value = self.values.fetch_add(1, Ordering::Relaxed);
        let partition = self.journal.place(self.route.partition);
        self.journal.tell(&self.route.producer, Event::Sent { value, partition, idempotent: true });
        self.waiting.push_back(value);
    }

    /// Spreads what waits over the batches that may be in flight.
    fn fill_window(&mut self) {
        let free = IN_FLIGHT_MAX - self.window.len();
        let records = self.waiting.len().div_ceil(free.max(1)).min(BATCH_RECORDS_MAX);
        for _ in 0..free {
            let values: Vec<u64> = self.waiting.drain(..records.min(self.waiting.len())).collect();
            if values.is_empty() {
                return;
            }
            let sequence = self.sequence;
            self.sequence = sequence_after(sequence, values.len() as i32);
            self.window.push_back(Batch { sequence, values });
        }
    }

    /// Sends everything in the window, in order, and takes the answers. What failed stays in the window.
    async fn round(&mut self) -> Result<(), String> {
        let answers = match self.send_window().await {
            Ok(answers) => answers,
            Err(_) => vec![Answer::Again],
        };
        let mut unresolved = VecDeque::new();
        let mut failed = false;
        for (batch, answer) in std::mem::take(&mut self.window).into_iter().zip(answers.into_iter().chain(again())) {
            match answer {
                Answer::Written => {}
                // A batch cannot be in order behind one that has to be tried again.
                Answer::OutOfOrder if failed => unresolved.push_back(batch),
                Answer::OutOfOrder => return Err(format!("sequence number {} is out of order", batch.sequence)),
                Answer::Fatal(reason) => return Err(reason),
                Answer::Again => {
                    failed = true;
                    unresolved.push_back(batch);
                }
            }
        }
        self.window = unresolved;
        if failed {
            self.connection = None;
            sleep(RETRY_PAUSE).await;
        }
        Ok(())
    }

    async fn send_window(&mut self) -> Result<Vec<Answer>, ClientError> {
        if self.connection.is_none() {
            self.connection = Some(self.connect().await?);
        }
        let Some((connection, version)) = &self.connection else { return Ok(Vec::new()) };
        let requests: Vec<_> = self.window.iter().map(|batch| (batch, self.request(batch))).collect();
        let calls = requests.iter().map(|(batch, request)| self.noted(batch, connection.call(request, *version)));
        Ok(all_in_order(calls).await)
    }

    /// The answer for one batch. An acknowledgement is written down when it comes: those of the batches behind it may take
    /// as long as their region is silent.
    async fn noted(&self, batch: &Batch, call: impl Future<Output = Result<produce::Response, ClientError>>) -> Answer {
        match verdict(call.await) {
            Ok(base) => {
                self.acknowledge(batch, base);
                Answer::Written
            }
            Err(answer) => answer,
        }
    }

    async fn connect(&self) -> Result<(Connection, i16), ClientError> {
        let topic = self.journal.topic().as_str();
        let metadata = self.cluster.metadata(Some(&[topic])).await?;
        let partitions = metadata.topics.iter().flat_map(|topic| &topic.partitions);
        let leader =
            partitions.filter(|found| found.partition_index == self.route.partition).map(|found| found.leader_id);
        let leader = leader.last().and_then(|id| metadata.brokers.iter().find(|broker| broker.node_id == id));
        let nobody = || ClientError::NoLeader { topic: topic.to_owned(), partition: self.route.partition };
        let leader = leader.ok_or_else(nobody)?;
        let peer = format!("{}:{}", leader.host, leader.port);
        let connection = Connection::connect(&peer, "farshore-drill", CALL_TIMEOUT).await?;
        let theirs = connection.api_versions().await?.get(&produce::Request::KEY).copied();
        let ours = Versions::new(produce::Request::VERSIONS.min, NEWEST);
        let version = theirs.and_then(|theirs| ours.newest_common(theirs)).ok_or_else(nobody)?;
        Ok((connection, version))
    }

    fn request(&self, batch: &Batch) -> produce::Request {
        let mut builder =
            BatchBuilder::new().producer(self.route.identity.id, self.route.identity.epoch, batch.sequence);
        for value in &batch.values {
            let mut bytes = value.to_be_bytes().to_vec();
            bytes.resize(self.route.size.max(8), b'.');
            builder.push(crate::cli::now(), None, Some(&bytes), &[]);
        }
        let records = Some(builder.build().into());
        let data = produce::Partition { index: self.route.partition, records, ..Default::default() };
        let name = self.journal.topic().to_string();
        let topic = produce::Topic { name, partition_data: vec![data], ..Default::default() };
        let timeout_ms = CALL_TIMEOUT.as_millis() as i32;
        produce::Request { acks: -1, timeout_ms, topic_data: vec![topic], ..Default::default() }
    }

    fn acknowledge(&self, batch: &Batch, base: i64) {
        for (offset, value) in (base..).zip(&batch.values) {
            let (value, region) = (*value, self.route.region.clone());
            let event = match base {
                0.. => Event::Acked { value, offset: Offset(offset), region },
                _ => Event::Unclear { value, reason: "written before, nobody knows where".to_owned() },
            };
            self.journal.acked(&self.route.producer, self.route.partition, event);
        }
    }

    /// Ends with an error that a client cannot get over. To a direct client it happens when its region loses the topic.
    fn end(&mut self, reason: &str) {
        if self.route.region.is_none() {
            self.journal.fatal(format!("{} in partition {}: {reason}", self.route.producer, self.route.partition));
        }
        self.give_up(reason);
    }

    fn give_up(&mut self, reason: &str) {
        let left = self.window.drain(..).flat_map(|batch| batch.values).chain(self.waiting.drain(..));
        for value in left {
            self.journal.tell(&self.route.producer, Event::Unclear { value, reason: reason.to_owned() });
        }
    }
}

fn again() -> impl Iterator<Item = Answer> {
    std::iter::repeat_with(|| Answer::Again)
}

/// Where the batch begins, below zero if nobody knows; or what else became of it.
fn verdict(response: Result<produce::Response, ClientError>) -> Result<i64, Answer> {
    let found = match response {
        Ok(response) => response.responses.into_iter().flat_map(|topic| topic.partition_responses).next(),
        Err(error) if error.is_retryable() => return Err(Answer::Again),
        Err(error) => return Err(Answer::Fatal(error.to_string())),
    };
    let found = found.ok_or_else(|| Answer::Fatal("the answer names no partition".to_owned()))?;
    match found.error_code {
        ErrorCode::NONE => Ok(found.base_offset),
        ErrorCode::DUPLICATE_SEQUENCE_NUMBER => Ok(-1),
        ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER => Err(Answer::OutOfOrder),
        code if code.is_retriable() => Err(Answer::Again),
        code => Err(Answer::Fatal(format!("{code} {}", found.error_message.unwrap_or_default()))),
    }
}

/// Begins all `futures` in their order and waits for the last one.
async fn all_in_order<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut pending: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        for (future, output) in pending.iter_mut().filter(|(_, output)| output.is_none()) {
            if let Poll::Ready(ready) = future.as_mut().poll(context) {
                *output = Some(ready);
            }
        }
        if pending.iter().all(|(_, output)| output.is_some()) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    pending.into_iter().filter_map(|(_, output)| output).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::TopicName;
    use std::future::{pending, ready};
    use std::pin::pin;
    use std::task::{Context, Waker};

    fn poll_once<F: Future>(future: F) -> Poll<F::Output> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    fn lane(journal: &Journal) -> Lane {
        let route = Route {
            producer: "direct".to_owned(),
            identity: Identity { id: ProducerId(1), epoch: 0 },
            partition: 0,
            region: Some(RegionName::new("r1").unwrap()),
            per_second: 50.0,
            size: 8,
        };
        let cluster = crate::drill::reader::client("127.0.0.1:1");
        Lane::new(route, cluster, journal.clone(), Arc::default())
    }

    fn written_at(base_offset: i64) -> Result<produce::Response, ClientError> {
        let partition = produce::PartitionResponse { base_offset, ..Default::default() };
        let topic = produce::TopicResponse { partition_responses: vec![partition], ..Default::default() };
        Ok(produce::Response { responses: vec![topic], ..Default::default() })
    }

    #[test]
    fn an_acknowledgement_is_written_down_when_it_comes_whatever_becomes_of_those_behind_it() {
        let journal = Journal::new(TopicName::new("t").unwrap());
        let lane = lane(&journal);
        let [first, second] = [0, 1].map(|sequence| Batch { sequence, values: vec![sequence as u64] });
        let both = async {
            let answered = lane.noted(&first, ready(written_at(7)));
            let silent = lane.noted(&second, pending());
            tokio::join!(answered, silent)
        };
        assert!(poll_once(both).is_pending());
        assert_eq!(journal.acked_count(), 1);
        let entries = journal.entries();
        assert!(matches!(entries[0].event, Event::Acked { value: 0, offset: Offset(7), .. }), "{entries:?}");
    }
}
