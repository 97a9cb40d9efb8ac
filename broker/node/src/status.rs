//! What the region says of itself.

use crate::Broker;
use crate::partitions::HeldTopic;
use crate::replica::{Partition, Standing};
use broker_core::metadata::Group;
use broker_core::partition::ReplicaView;
use model::{BrokerSlot, CopyTerm, Holding, Incarnation, OffsetRange, PartitionStatus, RegionStatus, TopicPartition};
use std::sync::Arc;
use std::time::Duration;

/// The region could not say how it is, or what it was told is not kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the region does not answer: {0}")]
pub struct StatusError(String);

impl StatusError {
    pub(crate) fn of(reason: &(impl ToString + ?Sized)) -> Self {
        Self(reason.to_string())
    }
}

/// How far a replica is behind a leader on this broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaLag {
    /// The partition.
    pub partition: TopicPartition,
    /// The replica's broker.
    pub broker: BrokerSlot,
    /// Whether it is in the in-sync set.
    pub in_sync: bool,
    /// How many offsets that can have a record it lacks of what the leader holds.
    pub behind: u64,
    /// How long ago it last lacked nothing; `None` when it never did under this leader.
    pub lagging_for: Option<Duration>,
}

impl Broker {
    /// How far the replicas of every partition led here are behind.
    pub fn replica_lags(&self) -> Vec<ReplicaLag> {
        let held = self.0.partitions.held();
        let led = held.partitions().filter(|partition| partition.is_led_here());
        led.flat_map(|partition| self.lags_of(partition)).collect()
    }

    fn lags_of(&self, partition: &Arc<Partition>) -> Vec<ReplicaLag> {
        let (now, upto) = (self.0.clock.boot().since_boot(), partition.marks().durable);
        let lag = |replica: ReplicaView| {
            let behind = partition.reader.count_without_holes(replica.durable, upto);
            let since = if behind == 0 { Some(now) } else { replica.caught_up_at };
            ReplicaLag {
                partition: partition.name.clone(),
                broker: replica.slot,
                in_sync: replica.in_sync,
                behind,
                lagging_for: since.map(|since| now.saturating_sub(since)),
            }
        };
        partition.replicas().into_iter().map(lag).collect()
    }

    /// How the region stands towards every protection group.
    pub fn holdings(&self) -> Vec<Holding> {
        self.image().groups().map(|group| self.holding(group)).collect()
    }

    fn holding(&self, group: &Group) -> Holding {
        let name = &group.grant.group;
        let now = self.0.clock.boot();
        Holding {
            group: name.clone(),
            obeyed: group.obeyed(),
            owner: group.owned,
            leased: self.0.gates.of(name).is_some_and(|gate| gate.is_leased(now)),
            open: group.owned && group.opened,
            stopped: group.stopped,
            sealed: group.sealed,
            commits: if group.owned { self.commit_marks() } else { self.reached_commits(name, group.obeyed()) },
        }
    }

    /// What this broker knows of itself alone: of the partitions it holds, whoever leads them. With hashes as
    /// [`status`](Self::status).
    ///
    /// # Errors
    /// [`StatusError`] when the broker is stopping.
    pub async fn own_status(&self, with_hashes: bool) -> Result<RegionStatus, StatusError> {
        let broker = self.clone();
        if !with_hashes {
            return Ok(broker.look(false));
        }
        let looked = tokio::task::spawn_blocking(move || broker.look(true)).await;
        looked.map_err(|error| StatusError::of(&error))
    }

    fn look(&self, with_hashes: bool) -> RegionStatus {
        let (image, held) = (self.image(), self.0.partitions.held());
        let of_topic = |topic: &Arc<HeldTopic>| {
            let statuses = topic.held().map(|partition| self.partition_status(topic, partition, with_hashes));
            statuses.collect::<Vec<_>>()
        };
        let mut partitions: Vec<_> = held.topics().flat_map(of_topic).collect();
        partitions.sort_unstable_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        let (diverged, gaps) = self.0.facts.pending();
        let orders = image.journal().orders();
        RegionStatus {
            region: self.0.config.region.clone(),
            incarnation: image.region().map_or(Incarnation(0), |region| region.incarnation),
            time: self.0.clock.now(),
            council_index: image.council_index(),
            holdings: self.holdings(),
            partitions,
            disks: self.0.storage.dirs.status(),
            diverged,
            gaps,
            orders: orders.map(|(run, step, order)| (run.clone(), step.clone(), order.at)).collect(),
        }
    }

    fn partition_status(&self, topic: &HeldTopic, partition: &Partition, with_hash: bool) -> PartitionStatus {
        // Before the marks: what was shown by the time the copy held so much is in them.
        let sync = partition.sync_status();
        let (standing, marks) = (partition.standing(), partition.marks());
        let failed = partition.failed().map(|reason| reason.to_string());
        let (takes_writes, copy_term) = match &standing {
            Standing::Owner { gate, .. } => (gate.is_open(self.0.clock.boot()), CopyTerm(0)),
            Standing::Copy { term, .. } => (false, *term),
            Standing::Idle | Standing::Replica { .. } => (false, CopyTerm(0)),
        };
        PartitionStatus {
            topic_id: topic.id,
            topic: topic.name.clone(),
            partition: partition.number(),
            group: topic.group.clone(),
            writable: takes_writes && failed.is_none(),
            leader_epoch: partition.epoch(),
            copy_term,
            start: marks.start,
            tail: marks.tail,
            flushed: marks.flushed,
            high_watermark: marks.high_watermark,
            size: partition.size(),
            hash: if with_hash { hash(partition, OffsetRange::new(marks.start, marks.high_watermark)) } else { None },
            failed,
            sync,
        }
    }
}

/// `None` when the log was cut meanwhile, or cannot be read.
fn hash(partition: &Partition, range: OffsetRange) -> Option<String> {
    let hash = partition.reader.content_hash(range);
    hash.inspect_err(|error| tracing::warn!(partition = %partition.name, %error, "no hash"))
        .ok()
        .map(|hash| hash.to_string())
}
