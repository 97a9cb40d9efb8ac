//! Commits on their way to other regions, and from them.

use super::journal::Entry;
use crate::Broker;
use broker_core::group::offsets::Change;
use broker_core::group::record::{CommitKey, OffsetRecord};
use model::{
    Commit, CommitCursor, CommitPage, GroupId, LeaderEpoch, OwnershipEpoch, ProtectionGroup, SyncCommits,
    TopicPartition,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::timeout;

/// The longest a follower may let a question wait.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// The most commits of one answer.
const PAGE_MAX: u32 = 10_000;
/// A page that left out what other brokers keep would be taken for all there is.
const NOT_ALL: &str = "the commits are being read, or other brokers of the region keep some of them";

impl Broker {
    /// Where the commits of this start of the broker stand.
    pub(crate) fn commit_cursor(&self) -> CommitCursor {
        let state = self.0.groups.state();
        CommitCursor { session: state.session, version: state.offsets.version() }
    }

    /// How far the commits of a group's owner under `epoch` have been copied here.
    pub(crate) fn reached_commits(&self, group: &ProtectionGroup, epoch: OwnershipEpoch) -> CommitCursor {
        let reached = self.0.groups.reached.borrow();
        reached.get(group).filter(|(known, _)| *known == epoch).map(|(_, cursor)| *cursor).unwrap_or_default()
    }

    /// The commits of a protection group after a cursor; waits for some if there are none.
    ///
    /// # Errors
    /// Why this region cannot be asked.
    pub(crate) async fn sync_commits(&self, ask: SyncCommits) -> Result<CommitPage, String> {
        let mut changes = self.0.groups.changes.subscribe();
        let page = self.commit_page(&ask)?;
        if !page.commits.is_empty() || page.next != ask.since {
            return Ok(page);
        }
        let wait = Duration::from_millis(ask.max_wait_ms.into()).min(WAIT_MAX);
        // Without a change the answer says that there is none.
        let _ = timeout(wait, changes.changed()).await;
        self.commit_page(&ask)
    }

    fn commit_page(&self, ask: &SyncCommits) -> Result<CommitPage, String> {
        let image = self.image();
        let group = image.group(&ask.group).ok_or_else(|| format!("no protection group {}", ask.group))?;
        if !group.owned {
            return Err(format!("{} is owned by region {}; ask there", ask.group, group.grant.owner));
        }
        let state = self.0.groups.state();
        if !self.coordinates_all(&state) {
            return Err(NOT_ALL.to_owned());
        }
        let newest = CommitCursor { session: state.session, version: state.offsets.version() };
        // The cursor of another start means nothing here: everything is sent again.
        let since = if ask.since.session == state.session { ask.since.version } else { 0 };
        let covers = |consumer_group: &GroupId| {
            image.coordinating_group(consumer_group).is_some_and(|known| known.grant.group == ask.group)
        };
        let feed = state.offsets.feed(since, ask.limit.clamp(1, PAGE_MAX) as usize, covers);
        Ok(CommitPage {
            ownership_epoch: group.obeyed(),
            next: CommitCursor { session: state.session, version: feed.version },
            newest,
            commits: feed.changes.into_iter().map(commit).collect(),
        })
    }

    /// The commits this region holds for a protection group.
    ///
    /// # Errors
    /// While they are being read.
    pub fn held_commits(&self, group: &ProtectionGroup) -> Result<Vec<Commit>, String> {
        let image = self.image();
        let state = self.0.groups.state();
        if !self.coordinates_all(&state) {
            return Err(NOT_ALL.to_owned());
        }
        let is_covered = |consumer_group: &&GroupId| {
            image.coordinating_group(consumer_group).is_some_and(|known| known.grant.group == *group)
        };
        let groups: Vec<GroupId> = state.offsets.groups().filter(is_covered).cloned().collect();
        let of = |group: &GroupId| {
            let committed = state.offsets.of_group(group);
            let changes: Vec<Change> = committed
                .map(|(partition, record)| Change {
                    key: CommitKey { group: group.clone(), partition: partition.clone() },
                    committed: Some(record.clone()),
                })
                .collect();
            changes
        };
        Ok(groups.iter().flat_map(of).map(commit).collect())
    }

    /// Writes commits that the owner took under `epoch`; then everything up to `reached` is here.
    ///
    /// # Errors
    /// When they cannot be written, or a later grant is obeyed.
    pub async fn apply_commits(
        &self,
        group: &ProtectionGroup,
        epoch: OwnershipEpoch,
        commits: Vec<Commit>,
        reached: CommitCursor,
    ) -> Result<(), String> {
        let is_allowed = || self.takes_commits(group, epoch);
        if !is_allowed() {
            return Err(format!("commits of ownership epoch {epoch} of {group} are out of date"));
        }
        let news = self.news_among(commits, epoch)?;
        self.write_entries(news, &is_allowed).await.map_err(|error| error.to_string())?;
        self.0.groups.reached.send_modify(|known| {
            known.insert(group.clone(), (epoch, reached));
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

    fn news_among(&self, commits: Vec<Commit>, epoch: OwnershipEpoch) -> Result<Vec<Entry>, String> {
        let state = self.0.groups.state();
        if !self.coordinates_all(&state) {
            return Err(NOT_ALL.to_owned());
        }
        let entries = commits.into_iter().map(|commit| entry(commit, epoch));
        Ok(entries.filter(|(key, record)| state.offsets.accepts_remote(key, epoch, record.as_ref())).collect())
    }

    /// Waits until every commit of the owner up to `cursor` is here.
    pub(crate) async fn commits_reached(&self, group: &ProtectionGroup, cursor: CommitCursor) {
        let mut reached = self.0.groups.reached.subscribe();
        let is_there = |known: &BTreeMap<ProtectionGroup, (OwnershipEpoch, CommitCursor)>| {
            known.get(group).is_some_and(|(_, at)| at.session == cursor.session && at.version >= cursor.version)
        };
        // The sender lives as long as the broker.
        let _ = reached.wait_for(is_there).await;
    }

    /// Writes commits of a backup into the groups this region owns.
    ///
    /// # Errors
    /// When they cannot be written, or another region owns a group.
    pub async fn restore_commits(&self, commits: Vec<Commit>) -> Result<u64, String> {
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
