use super::{CommitKey, GroupCommit};
use model::CommitCursor;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Bound;

/// The source's side: the newest commit per group and partition, in the order they were taken.
#[derive(Clone, Debug, Default)]
pub struct CommitFeed {
    cursor: CommitCursor,
    versions: BTreeMap<CommitKey, u64>,
    commits: BTreeMap<u64, GroupCommit>,
}

/// Commits that came after a cursor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitPage {
    /// Where to go on from.
    pub cursor: CommitCursor,
    /// Whether the asked cursor was of another session: then the source begins again with everything it holds.
    pub session_changed: bool,
    /// Whether there are more already.
    pub more: bool,
    /// The commits, oldest first.
    pub commits: Vec<GroupCommit>,
}

impl CommitFeed {
    /// The feed of one start of a coordinator; no two starts use the same `session`.
    pub fn new(session: u64) -> Self {
        Self { cursor: CommitCursor { session, version: 0 }, ..Self::default() }
    }

    /// Where the newest commit stands.
    pub const fn cursor(&self) -> CommitCursor {
        self.cursor
    }

    /// Takes a commit that is durable at the source, and says where it stands.
    pub fn record(&mut self, commit: GroupCommit) -> CommitCursor {
        self.cursor.version += 1;
        if let Some(older) = self.versions.insert(commit.key(), self.cursor.version) {
            self.commits.remove(&older);
        }
        self.commits.insert(self.cursor.version, commit);
        self.cursor
    }

    /// At most `limit` commits, but one if there is any, after `cursor` that `wanted` takes.
    pub fn since(&self, cursor: CommitCursor, limit: usize, wanted: impl Fn(&GroupCommit) -> bool) -> CommitPage {
        let session_changed = cursor.session != self.cursor.session;
        let after = if session_changed { 0 } else { cursor.version };
        let mut page = CommitPage { cursor: self.cursor, session_changed, more: false, commits: Vec::new() };
        for (version, commit) in
            self.commits.range((Bound::Excluded(after), Bound::Unbounded)).filter(|(_, commit)| wanted(commit))
        {
            if page.commits.len() == limit.max(1) {
                page.more = true;
                page.cursor.version = version - 1;
                break;
            }
            page.commits.push(commit.clone());
        }
        page
    }
}
