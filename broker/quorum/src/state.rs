use crate::member::{Membership, NodeId};
use serde::{Serialize, de::DeserializeOwned};
use std::path::Path;

/// A place in the quorum's log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct Position {
    /// The leader's term.
    pub term: u64,
    /// The leader.
    pub leader: NodeId,
    /// The number of the log entry, from 0.
    pub index: u64,
}

/// How far a state machine has come. It is stored with the state, in the same transaction, and handed back by
/// [`StateMachine::applied`]; nobody but the quorum looks inside.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Applied {
    pub(crate) position: Option<Position>,
    pub(crate) membership_position: Option<Position>,
    pub(crate) membership: Membership,
}

impl Applied {
    /// The last log entry in the state; `None` before the first.
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    /// The quorum's nodes as of that entry.
    pub fn membership(&self) -> &Membership {
        &self.membership
    }
}

/// A command and where the log has it. Commands that were proposed together share a log entry, and so a position.
#[derive(Clone, Debug)]
pub struct Entry<C> {
    /// Where.
    pub position: Position,
    /// What.
    pub command: C,
}

/// What a state machine takes in at once: all of it or nothing.
#[derive(Clone, Debug)]
pub struct Batch<C> {
    /// Committed commands, in the order of the log. May be empty: the log also has entries of the quorum's own.
    pub entries: Vec<Entry<C>>,
    /// What to store together with their effects.
    pub applied: Applied,
}

/// A state machine has failed. The quorum stops on this node for good: a state that missed one command is not the
/// state of the others.
#[derive(Debug, thiserror::Error)]
#[error("{context}")]
pub struct StateError {
    context: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl StateError {
    /// What was being done when `source` happened.
    pub fn new(context: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { context: context.into(), source: Some(source.into()) }
    }

    /// A failure without a deeper one.
    pub fn because(context: impl Into<String>) -> Self {
        Self { context: context.into(), source: None }
    }

    pub(crate) fn chain(&self) -> String {
        match &self.source {
            Some(source) => format!("{}: {source}", self.context),
            None => self.context.clone(),
        }
    }
}

/// What a quorum agrees on.
///
/// ```text
///   commands, in the order of the log
///        |
///      apply ---> state + applied ----snapshot---> image file ----install---> state + applied (here or on another node)
///        |
///     answers
/// ```
///
/// - `apply` MUST be deterministic: time, identifiers and randomness are in the command;
/// - `apply` MUST take in a whole [`Batch`], with `batch.applied`, or nothing of it: one transaction. A durable state
///   machine returns when that transaction is durable. One in memory may forget everything at a restart: it returns
///   `Applied::default()` from `applied` and is brought back by `install` and `apply`;
/// - a command that is refused is an answer, never an error: an error stops the node;
/// - the methods are called one at a time, and MUST NOT block the thread: a leader whose threads are busy for longer than
///   an election timeout loses its office. Long work goes through `spawn_blocking`.
pub trait StateMachine: Send + 'static {
    /// What is proposed.
    type Command: Serialize + DeserializeOwned + Send + 'static;
    /// What the proposer gets back.
    type Answer: Serialize + DeserializeOwned + Send + 'static;

    /// The last `applied` that was stored with the state; the default one for an empty state.
    fn applied(&mut self) -> impl Future<Output = Result<Applied, StateError>> + Send;

    /// Takes in `batch`; one answer per entry, in their order.
    fn apply(
        &mut self,
        batch: Batch<Self::Command>,
    ) -> impl Future<Output = Result<Vec<Self::Answer>, StateError>> + Send;

    /// Writes the whole state to the new file `image`, which does not exist yet. The caller makes it durable.
    fn snapshot(&mut self, image: &Path) -> impl Future<Output = Result<(), StateError>> + Send;

    /// Replaces the whole state by the one in `image`, a file that another node's or this node's `snapshot` wrote, and
    /// stores `applied` with it. The file is the caller's: copy it, don't keep it.
    fn install(&mut self, image: &Path, applied: Applied) -> impl Future<Output = Result<(), StateError>> + Send;
}
