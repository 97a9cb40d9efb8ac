//! Hashing what is led here, in the background, so that regions can compare what they store.
//!
//! A pass now and then, in a thread that may block. It reads a bounded part of what is new since the last one, partition
//! after partition, and first what is to be judged because it differs between regions; a pass that finds nothing new reads a
//! small part of the old again. Beside that it reads some of a compacted log for a digest by its keys, of one log at a time:
//! what that holds in memory is bounded.

use crate::Broker;
use crate::replica::{DigestJob, DigestStep, Partition, Place, Standing};
use log::ReadError;
use mirror_core::verify::{AskCheckpoints, CheckpointsPage, DigestOf, Interval, Kept};
use model::{ByteCount, PartitionId, TopicId};
use std::sync::Arc;
use tokio::time::{MissedTickBehavior, interval};

/// How much is hashed of one partition before it is another's turn.
const STEP_BYTES: ByteCount = ByteCount::mib(1);
/// How many such steps one pass takes at most.
const STEPS_MAX: usize = 32;
/// How much one pass reads for digests.
const DIGEST_BYTES: ByteCount = ByteCount::mib(4);
/// How many digests one pass begins at most, however small they are.
const DIGESTS_MAX: usize = 64;

/// Where passes stand.
#[derive(Default)]
struct Turn {
    last: Option<Place>,
    digest: Option<(Arc<Partition>, DigestJob)>,
}

impl Broker {
    /// Hashes what is led here until the broker stops.
    pub(crate) async fn keep_proofs(self) {
        let mut stop = self.0.stop.subscribe();
        let mut looks = interval(self.0.config.verify_every);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut turn = Turn::default();
        loop {
            tokio::select! {
                _ = looks.tick() => {}
                () = crate::listener::stopped(&mut stop) => return,
            }
            let broker = self.clone();
            let passed = tokio::task::spawn_blocking(move || broker.look_on(turn)).await;
            turn = passed.inspect_err(|error| tracing::error!(%error, "hashing ended early")).unwrap_or_default();
        }
    }

    /// One pass, from the partition behind the last on.
    fn look_on(&self, mut turn: Turn) -> Turn {
        let held = self.0.partitions.held();
        // What belongs to no group is the region's own, and compared with nothing.
        let shared = held.topics().filter(|topic| topic.group.is_some());
        let mut partitions: Vec<_> = shared.flat_map(|topic| topic.held()).collect();
        partitions.sort_unstable_by_key(|partition| partition.place());
        let first = partitions.partition_point(|partition| Some(partition.place()) <= turn.last);
        partitions.rotate_left(first);
        turn.last = self.hash_some(&partitions, turn.last);
        turn.digest = self.digest_some(&partitions, turn.digest);
        turn
    }

    /// Hashes; gives the partition it ended with.
    fn hash_some(&self, partitions: &[&Arc<Partition>], last: Option<Place>) -> Option<Place> {
        let (mut left, mut ended) = (STEPS_MAX, last);
        for partition in partitions {
            if left == 0 || *self.0.stop.borrow() {
                return ended;
            }
            left -= hash_new(partition, left);
            ended = Some(partition.place());
        }
        let is_idle = left == STEPS_MAX;
        if is_idle { self.reread_some(partitions) } else { ended }
    }

    /// Goes on with digests; gives one that is to be gone on with.
    fn digest_some(
        &self,
        partitions: &[&Arc<Partition>],
        mut under_way: Option<(Arc<Partition>, DigestJob)>,
    ) -> Option<(Arc<Partition>, DigestJob)> {
        let (mut left, every) = (DIGEST_BYTES, self.0.config.digest_every);
        for _ in 0..DIGESTS_MAX {
            let due = |partition: &&Arc<Partition>| Some(((*partition).clone(), partition.due_digest(every)?));
            let (partition, mut job) = under_way.take().or_else(|| partitions.iter().find_map(due))?;
            let mut step = DigestStep::More;
            while step == DigestStep::More {
                if left.0 == 0 || *self.0.stop.borrow() {
                    return Some((partition, job));
                }
                let read;
                (step, read) = digest(&partition, &mut job, left);
                left = ByteCount(left.0.saturating_sub(read.0));
            }
        }
        None
    }

    /// Reads a part of one partition again; gives that partition.
    fn reread_some(&self, partitions: &[&Arc<Partition>]) -> Option<Place> {
        let bytes = self.0.config.reread;
        let rereads = |partition: &&&Arc<Partition>| bytes.0 > 0 && hash(partition, bytes, true);
        partitions.iter().find(rereads).map(|partition| partition.place())
    }

    /// What this broker has hashed of what it owns, for another region.
    pub(crate) fn checkpoints_asked(&self, ask: &AskCheckpoints) -> Vec<CheckpointsPage> {
        ask.answer(|asked| {
            let led = self.0.partitions.held().partition(asked.topic, asked.partition).cloned()?;
            matches!(led.standing(), Standing::Owner { .. }).then(|| {
                led.note_digest_asked();
                asked.judge.iter().for_each(|interval| led.want_judgement(*interval));
                led.checkpoints()
            })
        })
    }

    /// Has a copy that this broker leads digested.
    pub fn want_copy_digest(&self, topic: TopicId, partition: PartitionId, of: DigestOf) {
        let led = self.0.partitions.held().partition(topic, partition).cloned();
        led.iter().for_each(|led| led.want_digest(of));
    }

    /// Has an interval of a copy that this broker leads read again, unless it was.
    pub fn want_copy_judgement(&self, topic: TopicId, partition: PartitionId, interval: Interval) {
        let led = self.0.partitions.held().partition(topic, partition).cloned();
        led.iter().for_each(|led| led.want_judgement(interval));
    }

    /// What this broker has hashed of a copy that it leads; `None` when it does not.
    pub fn copy_checkpoints(&self, topic: TopicId, partition: PartitionId) -> Option<Kept> {
        let led = self.0.partitions.held().partition(topic, partition).cloned()?;
        matches!(led.standing(), Standing::Copy { .. }).then(|| led.checkpoints())
    }
}

/// Hashes what is new of a partition in at most `steps`; gives how many it took.
fn hash_new(partition: &Partition, steps: usize) -> usize {
    (0..steps).take_while(|_| hash(partition, STEP_BYTES, false)).count()
}

fn hash(partition: &Partition, max: ByteCount, rereads: bool) -> bool {
    match partition.hash_on(max, rereads) {
        Ok(had_work) => had_work,
        Err(ReadError::Truncated) => false,
        Err(error) => {
            tracing::warn!(partition = %partition.name, %error, "the log is not hashed");
            false
        }
    }
}

fn digest(partition: &Partition, job: &mut DigestJob, max: ByteCount) -> (DigestStep, ByteCount) {
    partition.digest_on(job, max).unwrap_or_else(|error| {
        if !matches!(error, ReadError::Truncated) {
            tracing::warn!(partition = %partition.name, %error, "the log is not digested");
        }
        (DigestStep::Done, max)
    })
}
