//! Commits on their way to other regions, and from them.

use super::journal::Entry;
use super::{Reached, State};
use crate::Broker;
use crate::control::OFFSETS_TOPIC;
use crate::replica::{Partition, Standing};
use broker_core::group::offsets::Change;
use broker_core::group::record::{CommitKey, OffsetRecord};
use model::{
    Commit, CommitCursor, CommitMarks, CommitPage, CommitPart, CommitsSince, GroupId, Incarnation, LeaderEpoch, Offset,
    OwnershipEpoch, PartitionId, ProtectionGroup, SyncCommits, TopicPartition,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// The longest a follower may let a question wait.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// The most commits of one answer.
const PAGE_MAX: u32 = 10_000;

impl Broker {
    /// How far the commits go of the partitions of the topic that this broker leads and has read.
    pub(crate) fn commit_marks(&self) -> CommitMarks {
        let incarnation = self.incarnation();
        let state = self.0.groups.state();
        let led = state.loaded.keys().map(|number| PartitionId(*number as i32));
        led.map(|partition| (partition, CommitCursor { incarnation, position: state.offsets.newest(partition) }))
            .collect()
    }

    fn incarnation(&self) -> Incarnation {
        self.image().region().map_or(Incarnation(0), |region| region.incarnation)
    }

    /// How far this broker has copied the commits of a group's owner under `epoch`. What it carried before another broker
    /// did stays in the region.
    pub(crate) fn reached_commits(&self, group: &ProtectionGroup, epoch: OwnershipEpoch) -> CommitMarks {
        let reached = self.0.groups.reached.borrow();
        reached.get(group).filter(|(known, _)| *known == epoch).map(|(_, marks)| marks.clone()).unwrap_or_default()
    }

    /// The partitions of the topic that this broker leads, and how many it has. It takes the commits of another region
    /// that lie there in the partitions of these numbers.
    pub fn led_offsets_partitions(&self) -> (Vec<PartitionId>, usize) {
        let partitions = self.offsets_partitions();
        let is_led = |held: &Option<Arc<Partition>>| {
            held.as_ref().is_some_and(|held| matches!(held.standing(), Standing::Owner { .. }))
        };
        let led = partitions.iter().enumerate().filter(|(_, held)| is_led(held));
        (led.map(|(number, _)| PartitionId(number as i32)).collect(), partitions.len())
    }

    /// The commits of a protection group after what the asker has, of the partitions that are led here; waits for some if
    /// there are none.
    ///
    /// # Errors
    /// Why this broker cannot be asked.
    pub(crate) async fn sync_commits(&self, ask: SyncCommits) -> Result<CommitPage, String> {
        let mut changes = self.0.groups.changes.subscribe();
        let page = self.commit_page(&ask)?;
        let wait = Duration::from_millis(ask.max_wait_ms.into()).min(WAIT_MAX);
        if wait.is_zero() || is_news(&page, &ask) {
            return Ok(page);
        }
        // Without a change the answer says that there is none.
        let _ = timeout(wait, changes.changed()).await;
        self.commit_page(&ask)
    }

    fn commit_page(&self, ask: &SyncCommits) -> Result<CommitPage, String> {
        let (image, incarnation) = (self.image(), self.incarnation());
        let group = image.group(&ask.group).ok_or_else(|| format!("no protection group {}", ask.group))?;
        if !group.owned {
            return Err(format!("{} is owned by region {}; ask there", ask.group, group.grant.owner));
        }
        let partitions = self.offsets_partitions();
        let covers = |consumer_group: &GroupId| {
            image.coordinating_group(consumer_group).is_some_and(|known| known.grant.group == ask.group)
        };
        let state = self.0.groups.state();
        let mut left = ask.limit.clamp(1, PAGE_MAX) as usize;
        let mut parts = Vec::new();
        for since in ask.since.iter().take(partitions.len()) {
            if state.is_loaded_here(since.partition, &partitions) {
                let part = state.commit_part(incarnation, since, left, covers);
                left -= part.commits.len();
                parts.push(part);
            }
        }
        Ok(CommitPage { ownership_epoch: group.obeyed(), partitions: partitions.len() as i32, parts })
    }

    /// The commits of a protection group that lie in one partition of the topic, which is led here.
    ///
    /// # Errors
    /// While they are being read, or when another broker leads it.
    pub(crate) fn commits_in(&self, group: &ProtectionGroup, partition: PartitionId) -> Result<Vec<Commit>, String> {
        let (image, partitions) = (self.image(), self.offsets_partitions());
        let state = self.0.groups.state();
        if !state.is_loaded_here(partition, &partitions) {
            return Err(format!("the commits in partition {partition} are being read, or another broker keeps them"));
        }
        let covers = |consumer_group: &GroupId| {
            image.coordinating_group(consumer_group).is_some_and(|known| known.grant.group == *group)
        };
        let all = state.offsets.feed(partition, Offset::ZERO, usize::MAX, covers).changes;
        Ok(all.into_iter().filter(|change| change.committed.is_some()).map(commit).collect())
    }

    /// Writes commits that the owner took under `epoch` and keeps in its partition `partition` of the topic; then
    /// everything up to `reached` there is here.
    ///
    /// # Errors
    /// When they cannot be written, other brokers keep some of them, or a later grant is obeyed.
    pub async fn apply_commits(
        &self,
        group: &ProtectionGroup,
        epoch: OwnershipEpoch,
        partition: PartitionId,
        commits: Vec<Commit>,
        reached: CommitCursor,
    ) -> Result<(), String> {
        let is_allowed = || self.takes_commits(group, epoch);
        if !is_allowed() {
            return Err(format!("commits of ownership epoch {epoch} of {group} are out of date"));
        }
        let news = self.news_among(partition, commits, epoch)?;
        self.write_entries(news, &is_allowed).await.map_err(|error| error.to_string())?;
        self.0.groups.reached.send_modify(|known| {
            let (of, marks) = known.entry(group.clone()).or_default();
            if *of != epoch {
                (*of, *marks) = (epoch, CommitMarks::default());
            }
            marks.advance(partition, reached);
        });
        Ok(())
    }

    /// Whether another region owns the group under `epoch`, and its commits are still taken. With the gate of a grant of
    /// our own the first commit of a client may come at any moment; it must not be written over.
    fn takes_commits(&self, group: &ProtectionGroup, epoch: OwnershipEpoch) -> bool {
        let image = self.image();
        let takes = image.group(group).is_some_and(|known| known.obeyed() == epoch && known.takes_copies());
        takes && self.0.gates.of(group).is_none()
    }

    fn news_among(
        &self,
        partition: PartitionId,
        commits: Vec<Commit>,
        epoch: OwnershipEpoch,
    ) -> Result<Vec<Entry>, String> {
        let partitions = self.offsets_partitions();
        let state = self.0.groups.state();
        let number = PartitionId(partition.0 % i32::try_from(partitions.len()).unwrap_or(i32::MAX).max(1));
        if !state.is_loaded_here(number, &partitions) {
            return Err(format!("this broker does not coordinate the groups of partition {number}, or still reads it"));
        }
        let mut news = Vec::new();
        for commit in commits {
            let own = PartitionId(commit.consumer_group.offsets_partition(partitions.len()) as i32);
            if !state.is_loaded_here(own, &partitions) {
                return Err(elsewhere(&commit.consumer_group, partition, own, partitions.len()));
            }
            let (key, record) = entry(commit, epoch);
            if state.offsets.accepts_remote(&key, epoch, record.as_ref()) {
                news.push((key, record));
            }
        }
        Ok(news)
    }

    /// Waits until every commit of the owner up to `marks` is here, but for those that other brokers of the region carry.
    pub(crate) async fn commits_reached(&self, group: &ProtectionGroup, epoch: OwnershipEpoch, marks: &CommitMarks) {
        let count = self.offsets_partitions().len().max(1);
        let marks = &marks.only(|partition| !self.is_coordinated_elsewhere(partition.0 as usize % count));
        let mut reached = self.0.groups.reached.subscribe();
        let is_there = |known: &Reached| match known.get(group).filter(|(of, _)| *of == epoch) {
            Some((_, at)) => at.has_reached(marks),
            None => CommitMarks::default().has_reached(marks),
        };
        // The sender lives as long as the broker.
        let _ = reached.wait_for(is_there).await;
    }

    /// Writes commits of a backup into the groups this region owns.
    ///
    /// # Errors
    /// When they cannot be written, or another region owns a group.
    pub(crate) async fn restore_commits(&self, commits: Vec<Commit>) -> Result<u64, String> {
        let (mut entries, mut passes) = (Vec::with_capacity(commits.len()), Vec::new());
        let groups: BTreeSet<GroupId> = commits.iter().map(|commit| commit.consumer_group.clone()).collect();
        for group in &groups {
            passes.push(self.enter_group(group).map_err(|error| format!("{group}: {error}"))?);
        }
        for commit in commits {
            let epoch = self.epoch_of(&commit.consumer_group);
            entries.push(entry(commit, epoch));
        }
        let count = entries.len() as u64;
        self.write_entries(entries, &|| true).await.map_err(|error| error.to_string())?;
        drop(passes);
        Ok(count)
    }
}

/// Whether the asker learns something.
fn is_news(page: &CommitPage, ask: &SyncCommits) -> bool {
    let asked = ask.since.iter().map(|since| (since.partition, since.cursor));
    let said = page.parts.iter().map(|part| (part.partition, part.next));
    page.parts.iter().any(|part| !part.commits.is_empty()) || !asked.eq(said)
}

fn elsewhere(group: &GroupId, source: PartitionId, own: PartitionId, count: usize) -> String {
    format!(
        "commits of group {group} lie in partition {source} of {OFFSETS_TOPIC} at the source and belong into partition \
         {own} of {count} here, which another broker leads; regions of several brokers need as many partitions as the \
         regions they copy"
    )
}

impl State {
    /// Whether the partition is led here, and everything of it has been read.
    pub(super) fn is_loaded_here(&self, number: PartitionId, partitions: &[Option<Arc<Partition>>]) -> bool {
        let number = usize::try_from(number.0).unwrap_or(usize::MAX);
        let held = partitions.get(number).and_then(Option::as_ref);
        held.is_some_and(|held| self.is_loaded(number, held))
    }

    fn commit_part(
        &self,
        incarnation: Incarnation,
        since: &CommitsSince,
        limit: usize,
        covers: impl Fn(&GroupId) -> bool,
    ) -> CommitPart {
        let CommitsSince { partition, cursor, swept } = *since;
        // A place in another incarnation's log means nothing here: everything is sent again.
        let from = match cursor.incarnation == incarnation {
            true => self.offsets.resume(partition, cursor.position, swept),
            false => Offset::ZERO,
        };
        let feed = self.offsets.feed(partition, from, limit, covers);
        CommitPart {
            partition,
            next: CommitCursor { incarnation, position: feed.next },
            newest: CommitCursor { incarnation, position: self.offsets.newest(partition) },
            swept: self.offsets.swept(partition),
            commits: feed.changes.into_iter().map(commit).collect(),
        }
    }
}

pub(super) fn commit(change: Change) -> Commit {
    let Change { key, committed } = change;
    let TopicPartition { topic, partition } = key.partition;
    let consumer_group = key.group;
    match committed {
        Some(record) => Commit {
            consumer_group,
            topic,
            topic_id: record.topic_id,
            partition,
            offset: Some(record.offset),
            leader_epoch: record.leader_epoch,
            metadata: record.metadata,
            commit_time: record.commit_time,
            expire_time: None,
        },
        None => Commit {
            consumer_group,
            topic,
            topic_id: model::TopicId::ZERO,
            partition,
            offset: None,
            leader_epoch: LeaderEpoch::NONE,
            metadata: String::new(),
            commit_time: model::Timestamp::NONE,
            expire_time: None,
        },
    }
}

fn entry(commit: Commit, ownership_epoch: OwnershipEpoch) -> Entry {
    let partition = TopicPartition { topic: commit.topic, partition: commit.partition };
    let key = CommitKey { group: commit.consumer_group, partition };
    let record = commit.offset.map(|offset| OffsetRecord {
        offset,
        leader_epoch: commit.leader_epoch,
        metadata: commit.metadata,
        commit_time: commit.commit_time,
        topic_id: commit.topic_id,
        ownership_epoch,
    });
    (key, record)
}
