//! The logs of a whole region, each read and written at its leader, wherever in the region that is.
//!
//! ```text
//!   backup, restore --> RegionShelf --led here--> this broker
//!                                   '--led there--> internal listener of that broker
//! ```

use super::ShelfError;
use super::call::{Answer, Ask, Question, Said};
use crate::Broker;
use crate::control::OFFSETS_TOPIC;
use broker_core::metadata::{Leader, Role};
use bytes::Bytes;
use model::{BrokerSlot, ByteCount, Commit, CopyTerm, Offset, OffsetRange, PartitionId, ProtectionGroup, TopicId};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use wire::ErrorCode;
use wire::client::Connection;
use wire::internal::shelf::{Request, Response};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A leader may wait for its disk and for the in-sync set.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How many commits are written with one call.
const COMMITS_MAX: usize = 2000;

/// The logs of this broker's region.
pub struct RegionShelf {
    broker: Broker,
    /// Connections nobody uses now, by address.
    idle: Mutex<BTreeMap<String, Vec<Connection>>>,
}

impl Broker {
    /// The logs of the whole region, for backups and restores. It is asked for by the broker that speaks for the region,
    /// whether it holds any of them or not.
    pub fn region_shelf(&self) -> RegionShelf {
        RegionShelf { broker: self.clone(), idle: Mutex::default() }
    }
}

fn not_ready(reason: impl ToString) -> ShelfError {
    ShelfError::NotReady(reason.to_string())
}

impl RegionShelf {
    /// The partitions of a topic: from the log start to the high watermark, and their bytes.
    ///
    /// # Errors
    /// [`ShelfError::NotReady`] when there is no such topic, or a leader does not answer.
    pub async fn extents(&self, topic: TopicId) -> Result<Vec<(PartitionId, OffsetRange, ByteCount)>, ShelfError> {
        let image = self.broker.image();
        let known = image.topic(topic).ok_or_else(|| not_ready(format!("no topic {topic} here")))?;
        let mut extents = Vec::new();
        for (partition, _) in known.partitions() {
            match self.ask(topic, partition, Ask::Extent).await? {
                Said::Extent { range, bytes } => extents.push((partition, range, bytes)),
                other => return Err(unexpected(&other)),
            }
        }
        Ok(extents)
    }

    /// About `max` bytes of whole batches from the one that holds `from` on, at least one; none at the end. Of an owner
    /// what is committed, of a copy all that is on disk.
    ///
    /// # Errors
    /// [`ShelfError`] says why not.
    pub async fn read(
        &self,
        topic: TopicId,
        partition: PartitionId,
        from: Offset,
        max: ByteCount,
        committed: bool,
    ) -> Result<Bytes, ShelfError> {
        let ask = Ask::Read { from, max, committed };
        let leader = self.leader(topic, partition)?;
        let (_, batches) = self.call(leader.broker, Question { topic, partition, ask }, Bytes::new()).await?;
        Ok(batches)
    }

    /// Where the log of a copy starts, and up to where it is on the disks of its whole in-sync set.
    ///
    /// # Errors
    /// [`ShelfError`] says why not.
    pub async fn span(&self, topic: TopicId, partition: PartitionId) -> Result<OffsetRange, ShelfError> {
        match self.ask(topic, partition, Ask::Span).await? {
            Said::Span { start, tail } => Ok(OffsetRange::new(start, tail)),
            other => Err(unexpected(&other)),
        }
    }

    /// Has the log of a copy, which is empty, begin at `at`.
    ///
    /// # Errors
    /// [`ShelfError`] says whether it may be tried again.
    pub async fn begin(&self, topic: TopicId, partition: PartitionId, at: Offset) -> Result<(), ShelfError> {
        self.write(topic, partition, Bytes::new(), |term| Ask::Begin { at, term }).await
    }

    /// Appends whole batches to a copy that ends at `at`, and makes them durable. Doing it again changes nothing.
    ///
    /// # Errors
    /// [`ShelfError`] says whether it may be tried again.
    pub async fn append(
        &self,
        topic: TopicId,
        partition: PartitionId,
        at: Offset,
        batches: Bytes,
    ) -> Result<(), ShelfError> {
        self.write(topic, partition, batches, |term| Ask::Append { at, term }).await
    }

    /// Has the log of a copy start at `start`.
    ///
    /// # Errors
    /// [`ShelfError`] says whether it may be tried again.
    pub async fn finish(&self, topic: TopicId, partition: PartitionId, start: Offset) -> Result<(), ShelfError> {
        self.write(topic, partition, Bytes::new(), |term| Ask::Finish { start, term }).await
    }

    /// Every commit the region holds for a protection group.
    ///
    /// # Errors
    /// [`ShelfError::NotReady`] while some of them are being read, or a coordinator does not answer.
    pub async fn commits(&self, group: &ProtectionGroup) -> Result<Vec<Commit>, ShelfError> {
        let (topic, count) = self.offsets_topic()?;
        let mut commits = Vec::new();
        for partition in (0..count).map(PartitionId) {
            match self.ask(topic, partition, Ask::HeldCommits { group: group.clone() }).await? {
                Said::Commits(held) => commits.extend(held),
                other => return Err(unexpected(&other)),
            }
        }
        Ok(commits)
    }

    /// Writes commits of a backup into the groups this region owns, at their coordinators; says how many.
    ///
    /// # Errors
    /// [`ShelfError::NotReady`] when they cannot be written now, or another region owns a group; some may be written.
    pub async fn restore_commits(&self, commits: Vec<Commit>) -> Result<u64, ShelfError> {
        let (topic, count) = self.offsets_topic()?;
        let mut by_partition: BTreeMap<usize, Vec<Commit>> = BTreeMap::new();
        for commit in commits {
            by_partition.entry(commit.consumer_group.offsets_partition(count as usize)).or_default().push(commit);
        }
        let mut restored = 0;
        for (number, commits) in by_partition {
            for commits in commits.chunks(COMMITS_MAX) {
                let ask = Ask::RestoreCommits { commits: commits.to_vec() };
                match self.ask(topic, PartitionId(number as i32), ask).await? {
                    Said::Restored(written) => restored += written,
                    other => return Err(unexpected(&other)),
                }
            }
        }
        Ok(restored)
    }

    fn offsets_topic(&self) -> Result<(TopicId, i32), ShelfError> {
        let image = self.broker.image();
        let topic = image.topic_named(OFFSETS_TOPIC).ok_or_else(|| not_ready("the region is starting"))?;
        Ok((topic.id, topic.partition_count()))
    }

    fn leader(&self, topic: TopicId, partition: PartitionId) -> Result<Leader, ShelfError> {
        let image = self.broker.image();
        let leader = image.partition(topic, partition).and_then(|placed| placed.leader);
        let leader = leader.filter(|leader| image.is_live(leader));
        leader.ok_or_else(|| not_ready(format!("nobody leads partition {partition} of topic {topic}")))
    }

    async fn ask(&self, topic: TopicId, partition: PartitionId, ask: Ask) -> Result<Said, ShelfError> {
        let leader = self.leader(topic, partition)?;
        let (Answer(said), _) = self.call(leader.broker, Question { topic, partition, ask }, Bytes::new()).await?;
        Ok(said)
    }

    /// Has the leader of a copy do something, under the term it is known to lead under.
    async fn write(
        &self,
        topic: TopicId,
        partition: PartitionId,
        batches: Bytes,
        ask: impl FnOnce(CopyTerm) -> Ask,
    ) -> Result<(), ShelfError> {
        let leader = self.leader(topic, partition)?;
        let Role::Copy { term } = leader.role else {
            return Err(not_ready(format!("partition {partition} of topic {topic} is no copy")));
        };
        let question = Question { topic, partition, ask: ask(term) };
        self.call(leader.broker, question, batches).await.map(drop)
    }

    async fn call(
        &self,
        broker: BrokerSlot,
        question: Question,
        batches: Bytes,
    ) -> Result<(Answer, Bytes), ShelfError> {
        if broker == self.broker.config().slot {
            return self.broker.answer_shelf(question, batches).await;
        }
        let image = self.broker.image();
        let known = image.broker(broker).ok_or_else(|| not_ready(format!("no broker {}", broker.0)))?;
        let address = known.addresses.internal.clone();
        let question = serde_json::to_vec(&question).map_err(not_ready)?.into();
        let response = self.exchange(&address, &Request { question, batches, ..Default::default() }).await?;
        if response.error != ErrorCode::NONE {
            return Err(serde_json::from_slice(&response.answer).unwrap_or_else(not_ready));
        }
        Ok((serde_json::from_slice(&response.answer).map_err(not_ready)?, response.batches))
    }

    /// Asks over a connection that nobody else uses; one that failed is not used again.
    async fn exchange(&self, address: &str, request: &Request) -> Result<Response, ShelfError> {
        let connection = match self.idle_connection(address) {
            Some(connection) => connection,
            None => Connection::connect(address, "shelf", CONNECT_TIMEOUT).await.map_err(not_ready)?,
        };
        let response = connection.call_within(ANSWER_TIMEOUT, request, 0).await.map_err(not_ready)?;
        self.idle().entry(address.to_owned()).or_default().push(connection);
        Ok(response)
    }

    fn idle_connection(&self, address: &str) -> Option<Connection> {
        let mut idle = self.idle();
        let idle = idle.get_mut(address)?;
        idle.retain(|connection| !connection.is_closed());
        idle.pop()
    }

    fn idle(&self) -> MutexGuard<'_, BTreeMap<String, Vec<Connection>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unexpected(said: &Said) -> ShelfError {
    ShelfError::Failed(format!("a leader answered {said:?}, which is no answer to the question"))
}
