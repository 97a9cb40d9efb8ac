//! A member of a consumer group, by the classic protocol: join, sync, read, heartbeat, commit, and again when the group
//! changes or its coordinator moves.

use super::journal::Journal;
use super::reader::{client, polled, pump};
use super::subscription::{assigned, assignment, subscription};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};
use wire::ErrorCode;
use wire::api::{find_coordinator, heartbeat, join_group, leave_group, offset_commit, offset_fetch, sync_group};
use wire::client::{ClientError, Cluster, Start};
use wire::codec::Request;

const SESSION_TIMEOUT_MS: i32 = 6_000;
const HEARTBEAT: Duration = Duration::from_millis(500);
const COMMIT: Duration = Duration::from_millis(250);
const RETRY_PAUSE: Duration = Duration::from_millis(100);
const QUEUE: usize = 16;
const PROTOCOL: &str = "range";

/// One member.
pub(super) struct Member {
    cluster: Arc<Cluster>,
    bootstrap: String,
    group: String,
    partitions: i32,
    journal: Journal,
    member_id: String,
    coordinator: Option<String>,
}

/// A membership of one generation.
struct Seat {
    generation: i32,
    partitions: Vec<i32>,
}

impl Member {
    /// A member of `group` that reads its share of `partitions` partitions of the load's topic.
    pub(super) fn new(bootstrap: &str, group: &str, partitions: i32, journal: Journal) -> Self {
        Self {
            cluster: client(bootstrap),
            bootstrap: bootstrap.to_owned(),
            group: group.to_owned(),
            partitions,
            journal,
            member_id: String::new(),
            coordinator: None,
        }
    }

    /// Reads until told to stop. The history knows the whole group as one reader, `reader`.
    pub(super) async fn run(mut self, reader: &'static str, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let ended = match self.join().await {
                Ok(seat) => self.read(seat, reader, &mut stop).await,
                Err(error) => Err(error),
            };
            if let Err(error) = ended {
                self.learn_from(&error);
                sleep(RETRY_PAUSE).await;
            }
        }
        self.leave().await;
    }

    /// Kafka's consumers forget their member id when the group does not know it, and their coordinator when it is not one.
    fn learn_from(&mut self, error: &ClientError) {
        match error.code() {
            Some(ErrorCode::REBALANCE_IN_PROGRESS) => {}
            Some(ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::ILLEGAL_GENERATION) => self.member_id.clear(),
            _ => self.coordinator = None,
        }
    }

    async fn call<R: Request>(&mut self, request: &R) -> Result<R::Response, ClientError> {
        let coordinator = match &self.coordinator {
            Some(known) => known.clone(),
            None => self.find_coordinator().await?,
        };
        self.coordinator = Some(coordinator.clone());
        self.cluster.call(&coordinator, request).await
    }

    async fn find_coordinator(&self) -> Result<String, ClientError> {
        let request = find_coordinator::Request {
            key: self.group.clone(),
            key_type: find_coordinator::GROUP,
            coordinator_keys: vec![self.group.clone()],
            ..Default::default()
        };
        let found = self.cluster.call_any(&request).await?;
        allowed("FindCoordinator", found.error_code)?;
        match found.coordinators.into_iter().next() {
            Some(found) => {
                allowed("FindCoordinator", found.error_code)?;
                Ok(format!("{}:{}", found.host, found.port))
            }
            None => Ok(format!("{}:{}", found.host, found.port)),
        }
    }

    async fn join(&mut self) -> Result<Seat, ClientError> {
        let topic = self.journal.topic().to_string();
        let protocol =
            join_group::Protocol { name: PROTOCOL.to_owned(), metadata: subscription(&topic), ..Default::default() };
        let request = join_group::Request {
            group_id: self.group.clone(),
            session_timeout_ms: SESSION_TIMEOUT_MS,
            rebalance_timeout_ms: SESSION_TIMEOUT_MS,
            member_id: self.member_id.clone(),
            protocol_type: "consumer".to_owned(),
            protocols: vec![protocol],
            ..Default::default()
        };
        let joined = self.call(&request).await?;
        if joined.error_code == ErrorCode::MEMBER_ID_REQUIRED {
            self.member_id = joined.member_id;
            return Box::pin(self.join()).await;
        }
        allowed("JoinGroup", joined.error_code)?;
        self.member_id.clone_from(&joined.member_id);
        let assignments = if joined.leader == joined.member_id { self.shares(&joined.members, &topic) } else { vec![] };
        let request = sync_group::Request {
            group_id: self.group.clone(),
            generation_id: joined.generation_id,
            member_id: self.member_id.clone(),
            protocol_type: Some("consumer".to_owned()),
            protocol_name: Some(PROTOCOL.to_owned()),
            assignments,
            ..Default::default()
        };
        let synced = self.call(&request).await?;
        allowed("SyncGroup", synced.error_code)?;
        let partitions = assigned(synced.assignment, &topic).ok_or(ClientError::Missing("SyncGroup"))?;
        Ok(Seat { generation: joined.generation_id, partitions })
    }

    /// The partitions, dealt out to the members in turn.
    fn shares(&self, members: &[join_group::Member], topic: &str) -> Vec<sync_group::Assignment> {
        let share = |at: usize| (0..self.partitions).filter(|p| *p as usize % members.len() == at).collect::<Vec<_>>();
        let assigned = |(at, member): (usize, &join_group::Member)| sync_group::Assignment {
            member_id: member.member_id.clone(),
            assignment: assignment(topic, &share(at)),
            ..Default::default()
        };
        members.iter().enumerate().map(assigned).collect()
    }

    async fn read(&mut self, seat: Seat, reader: &str, stop: &mut watch::Receiver<bool>) -> Result<(), ClientError> {
        let committed = self.committed(&seat).await?;
        let (out, mut heard) = mpsc::channel(QUEUE);
        let mut pumps = JoinSet::new();
        for partition in &seat.partitions {
            let start = committed.get(partition).map_or(Start::Earliest, |offset| Start::Offset(*offset));
            let topic = self.journal.topic().to_string();
            pumps.spawn(pump(self.bootstrap.clone(), topic, *partition, start, out.clone()));
        }
        let (mut beat, mut commit) = (interval(HEARTBEAT), interval(COMMIT));
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        commit.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut positions = BTreeMap::new();
        loop {
            tokio::select! {
                Some((partition, records, position)) = heard.recv() => {
                    records.iter().for_each(|record| polled(&self.journal, reader, partition, record));
                    positions.insert(partition, position);
                }
                _ = beat.tick() => if let Err(error) = self.heartbeat(&seat).await {
                    // What was read is committed while the old generation may still do so.
                    let _ = self.commit(&seat, &mut positions).await;
                    return Err(error);
                },
                _ = commit.tick() => self.commit(&seat, &mut positions).await?,
                _ = stop.changed() => return self.commit(&seat, &mut positions).await,
            }
        }
    }

    async fn committed(&mut self, seat: &Seat) -> Result<BTreeMap<i32, i64>, ClientError> {
        let topic = offset_fetch::Topic {
            name: self.journal.topic().to_string(),
            partition_indexes: seat.partitions.clone(),
            ..Default::default()
        };
        let group = offset_fetch::Group {
            group_id: self.group.clone(),
            topics: Some(vec![topic.clone()]),
            ..Default::default()
        };
        let request = offset_fetch::Request {
            group_id: self.group.clone(),
            topics: Some(vec![topic]),
            groups: vec![group],
            ..Default::default()
        };
        let found = self.call(&request).await?;
        allowed("OffsetFetch", found.error_code)?;
        let mut topics = found.topics;
        for group in found.groups {
            allowed("OffsetFetch", group.error_code)?;
            topics.extend(group.topics);
        }
        let partitions = topics.into_iter().flat_map(|topic| topic.partitions);
        let known = partitions.filter(|found| found.error_code.is_ok() && found.committed_offset >= 0);
        Ok(known.map(|found| (found.partition_index, found.committed_offset)).collect())
    }

    async fn heartbeat(&mut self, seat: &Seat) -> Result<(), ClientError> {
        let request = heartbeat::Request {
            group_id: self.group.clone(),
            generation_id: seat.generation,
            member_id: self.member_id.clone(),
            ..Default::default()
        };
        let answer = self.call(&request).await?;
        allowed("Heartbeat", answer.error_code)
    }

    async fn commit(&mut self, seat: &Seat, positions: &mut BTreeMap<i32, i64>) -> Result<(), ClientError> {
        if positions.is_empty() {
            return Ok(());
        }
        let partition = |(partition, offset): (i32, i64)| offset_commit::Partition {
            partition_index: partition,
            committed_offset: offset,
            ..Default::default()
        };
        let topic = offset_commit::Topic {
            name: self.journal.topic().to_string(),
            partitions: std::mem::take(positions).into_iter().map(partition).collect(),
            ..Default::default()
        };
        let request = offset_commit::Request {
            group_id: self.group.clone(),
            generation_id_or_member_epoch: seat.generation,
            member_id: self.member_id.clone(),
            topics: vec![topic],
            ..Default::default()
        };
        let answer = self.call(&request).await?;
        let mut found = answer.topics.into_iter().flat_map(|topic| topic.partitions);
        found.try_for_each(|found| allowed("OffsetCommit", found.error_code))
    }

    /// Whoever leaves without a word is missed only after the session timeout.
    async fn leave(&mut self) {
        let member = leave_group::Member { member_id: self.member_id.clone(), ..Default::default() };
        let request = leave_group::Request {
            group_id: self.group.clone(),
            member_id: self.member_id.clone(),
            members: vec![member],
            ..Default::default()
        };
        let _ = self.call(&request).await;
    }
}

fn allowed(api: &'static str, code: ErrorCode) -> Result<(), ClientError> {
    code.ok().map_err(|code| ClientError::Refused { api, code, message: None })
}
