use super::{CommitKey, CommitPage, GroupCommit};
use model::CommitCursor;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// The target's side: what it holds, and how far it has heard.
#[derive(Clone, Debug, Default)]
pub struct CommitSink {
    cursor: CommitCursor,
    held: BTreeMap<CommitKey, GroupCommit>,
}

impl CommitSink {
    /// The sink of a region that holds `commits`; it has heard nothing yet.
    pub fn new(commits: impl IntoIterator<Item = GroupCommit>) -> Self {
        let held = commits.into_iter().map(|commit| (commit.key(), commit)).collect();
        Self { cursor: CommitCursor::default(), held }
    }

    /// From where to ask.
    pub const fn cursor(&self) -> CommitCursor {
        self.cursor
    }

    /// Asks from the beginning: another region owns the group now.
    pub fn restart(&mut self) {
        self.cursor = CommitCursor::default();
    }

    /// Whether everything up to the source's `cursor` is here.
    pub const fn has_reached(&self, cursor: CommitCursor) -> bool {
        self.cursor.session == cursor.session && self.cursor.version >= cursor.version
    }

    /// What is held, in the order of groups, topics and partitions.
    pub fn held(&self) -> impl Iterator<Item = &GroupCommit> {
        self.held.values()
    }

    /// Takes the answer to `asked` and says what has to be written. A page that was asked for from elsewhere than where
    /// this sink stands now came late and changes nothing.
    pub fn apply(&mut self, asked: CommitCursor, page: CommitPage) -> Vec<GroupCommit> {
        if asked != self.cursor {
            return Vec::new();
        }
        self.cursor = page.cursor;
        page.commits.into_iter().filter(|commit| self.hold(commit)).collect()
    }

    /// Whether `commit` differs from what was held.
    fn hold(&mut self, commit: &GroupCommit) -> bool {
        match self.held.entry(commit.key()) {
            Entry::Occupied(held) if held.get() == commit => false,
            Entry::Occupied(mut held) => {
                held.insert(commit.clone());
                true
            }
            Entry::Vacant(place) => {
                place.insert(commit.clone());
                true
            }
        }
    }
}
