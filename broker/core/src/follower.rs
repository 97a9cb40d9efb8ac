//! One replica that follows its partition's leader inside a region: what to fetch, cut, append and show.
//!
//! ```text
//!   Fetching --answer--> commands for the log --> Changing --Done--> Fetching
//!       ^                                            '--Failed--> Fetching, after a pause of the shell's
//!       '-- nothing to do, or the answer does not count
//! ```
//!
//! - A divergence is looked at first; nothing else of that answer counts (KAFKA-14704).
//! - An answer counts only for the leadership and the offset that are fetched now (KAFKA-18991).
//! - The log is cut by leader epochs (KIP-101, KIP-279), never by a high watermark.
//! - A batch is taken only if it is whole, of no later epoch than the leadership, and lies at or behind the tail
//!   (KAFKA-18723). A gap is what compaction or a link left there; the leader's log has it too.
//! - The hole of a lineage is crossed by its first batch, at a tail that is the common end, in no other way.
//! - What the leader's log does not hold any more is known before what comes behind it is here. A leader's log that was made
//!   anew is copied anew.
//! - What is acknowledged is on disk. What is shown is on disk and below the leader's high watermark.
//!
//! It keeps nothing that the log knows: the log is looked at through [`LogView`].

mod answer;
mod check;

pub use answer::{Answer, EpochEnd, Event, Trouble};

use crate::metadata::{Lineage, Role};
use bytes::Bytes;
use model::{Baseline, BrokerSlot, CopyTerm, LeaderEpoch, Offset};
use std::fmt;

/// What tells one leadership of a partition from every other one in its region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fence {
    /// Of a copy.
    Term(CopyTerm),
    /// Of an owner.
    Epoch(LeaderEpoch),
}

impl From<Role> for Fence {
    fn from(role: Role) -> Self {
        match role {
            Role::Owner { leader_epoch } => Self::Epoch(leader_epoch),
            Role::Copy { term } => Self::Term(term),
        }
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Term(term) => write!(f, "copy term {term}"),
            Self::Epoch(epoch) => write!(f, "leader epoch {epoch}"),
        }
    }
}

/// Whom a replica follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leadership {
    /// The broker.
    pub broker: BrokerSlot,
    /// Its leadership.
    pub fence: Fence,
}

/// The replica's own log as it is now.
pub trait LogView {
    /// The first offset kept.
    fn start(&self) -> Offset;
    /// The next offset.
    fn tail(&self) -> Offset;
    /// Everything below may be acknowledged: it is on disk, or the topic leaves that to the operating system.
    fn durable(&self) -> Offset;
    /// The epoch of the last batch; [`LeaderEpoch::NONE`] without one.
    fn last_epoch(&self) -> LeaderEpoch;
    /// What it does not hold although nothing in it says so.
    fn baseline(&self) -> Baseline;
    /// The largest epoch that is not above `epoch`, and where it ends; `None` when the log has none such.
    fn end_of_epoch(&self, epoch: LeaderEpoch) -> Option<EpochEnd>;
}

/// What to ask the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// The leadership that is asked.
    pub fence: Fence,
    /// From where: the tail.
    pub from: Offset,
    /// The epoch of the last batch below it, for the divergence check (KIP-595).
    pub last_epoch: LeaderEpoch,
    /// Below it everything may be counted on.
    pub durable: Offset,
}

/// What the shell does, in order. Commands that change the log are answered with [`Event::Done`] after the last of
/// them, or [`Event::Failed`] at the first that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Cut off everything from this offset on, durably.
    Truncate {
        /// The new tail, or where the batch over it begins.
        to: Offset,
    },
    /// Drop everything and go on empty.
    Restart {
        /// From here.
        at: Offset,
    },
    /// Keep beside the log, durably, what it does not hold although nothing in it says so.
    Inherit(Baseline),
    /// Append these whole, checked batches as they are, and have them flushed.
    Append {
        /// The batches.
        batches: Bytes,
    },
    /// Follow the leader's log start.
    RaiseStart {
        /// To here.
        to: Offset,
    },
    /// The leader has committed everything below. It never asks for a log change.
    Commit {
        /// The leader's high watermark.
        upto: Offset,
    },
    /// Ask again after a while, or when the metadata says something else.
    Pause(Trouble),
}

impl Command {
    /// Whether it changes the log.
    pub fn changes_log(&self) -> bool {
        match self {
            Self::Truncate { .. }
            | Self::Restart { .. }
            | Self::Inherit(_)
            | Self::Append { .. }
            | Self::RaiseStart { .. } => true,
            Self::Commit { .. } | Self::Pause(_) => false,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Fetching,
    Changing,
}

/// A replica that follows.
#[derive(Clone, Debug)]
pub struct Follower {
    leadership: Leadership,
    /// The holes that may be in the way.
    lineages: Vec<Lineage>,
    phase: Phase,
}

impl Follower {
    /// Begins to follow. `lineages` are those the region's metadata knows of the partition.
    pub fn new(leadership: Leadership, lineages: Vec<Lineage>) -> Self {
        Self { leadership, lineages, phase: Phase::Fetching }
    }

    /// Whom it follows.
    pub fn leadership(&self) -> Leadership {
        self.leadership
    }

    /// The metadata says this now. A leadership it follows already goes on where it is; an older one of the same kind
    /// changes nothing. Whether anything begins anew.
    pub fn assign(&mut self, leadership: Leadership, lineages: Vec<Lineage>) -> bool {
        self.lineages = lineages;
        if leadership == self.leadership {
            return false;
        }
        self.leadership = leadership;
        true
    }

    /// What to ask for; `None` while the log is being changed.
    pub fn fetch(&self, log: &impl LogView) -> Option<Fetch> {
        let (fence, from, last_epoch) = (self.leadership.fence, log.tail(), log.last_epoch());
        let fetch = Fetch { fence, from, last_epoch, durable: log.durable().min(from) };
        (self.phase == Phase::Fetching).then_some(fetch)
    }

    /// Takes note of `event` and says what to do next. An event that does not belong to the current phase changes
    /// nothing.
    pub fn on_event(&mut self, event: Event, log: &impl LogView) -> Vec<Command> {
        match (self.phase, event) {
            (Phase::Fetching, Event::Answered(answer)) => {
                let commands = self.on_answer(*answer, log);
                if commands.iter().any(Command::changes_log) {
                    self.phase = Phase::Changing;
                }
                commands
            }
            (Phase::Changing, Event::Done | Event::Failed) => {
                self.phase = Phase::Fetching;
                vec![]
            }
            (Phase::Changing, Event::Answered(_)) | (Phase::Fetching, Event::Done | Event::Failed) => vec![],
        }
    }

    fn on_answer(&self, answer: Answer, log: &impl LogView) -> Vec<Command> {
        if answer.fence != self.leadership.fence || answer.from != log.tail() {
            return vec![];
        }
        if self.was_remade(&answer, log) {
            return vec![Command::Restart { at: answer.log_start }];
        }
        match (answer.diverging, answer.trouble.clone()) {
            (None, Some(Trouble::OutOfRange)) => vec![Command::Restart { at: answer.log_start }],
            (None, Some(trouble)) => vec![Command::Pause(trouble)],
            (Some(end), _) => vec![cut(end, answer.log_start, log)],
            (None, None) => self.on_records(answer, log),
        }
    }

    /// Whether the leader's log was made anew since this one was copied from it: then the same offsets under the same
    /// epochs need not be the same records.
    fn was_remade(&self, answer: &Answer, log: &impl LogView) -> bool {
        let holds_something = log.start() < log.tail();
        let is_compared = answer.trouble.is_none() || answer.diverging.is_some();
        is_compared && holds_something && answer.baseline.remade != log.baseline().remade
    }

    /// What this log has to say of itself once it goes on with what the leader holds. A copy's replicas say what their
    /// leader says; those of an owner are cleaned each by itself.
    fn inherited(&self, answer: &Answer, log: &impl LogView) -> Baseline {
        let (own, leader) = (log.baseline(), answer.baseline);
        if matches!(answer.fence, Fence::Term(_)) || log.start() == log.tail() {
            return leader;
        }
        let mut next = Baseline { thinned: own.thinned.max(leader.thinned), ..own };
        if leader.forgotten > own.forgotten {
            (next.forgotten, next.forgotten_at) = (leader.forgotten, leader.forgotten_at);
        }
        next
    }

    fn on_records(&self, answer: Answer, log: &impl LogView) -> Vec<Command> {
        let taken = match self.take(&answer, log) {
            Ok(commands) => commands,
            Err(trouble) => return vec![Command::Pause(trouble)],
        };
        let inherited = self.inherited(&answer, log);
        let inherits = (inherited != log.baseline()).then_some(Command::Inherit(inherited));
        let mut commands: Vec<_> = inherits.into_iter().chain(taken).collect();
        let start = answer.log_start.min(log.tail());
        if commands.is_empty() && start > log.start() {
            commands.push(Command::RaiseStart { to: start });
        }
        commands.push(Command::Commit { upto: answer.high_watermark });
        commands
    }

    /// How the records get into the log.
    fn take(&self, answer: &Answer, log: &impl LogView) -> Result<Vec<Command>, Trouble> {
        let taken = self.check(answer, log)?;
        if taken.batches.is_empty() {
            return Ok(vec![]);
        }
        let append = Command::Append { batches: taken.batches };
        // The leader's log start lies within a batch: all of it comes, and the log starts where the leader's does
        // (KAFKA-6975).
        Ok(match taken.first {
            first if first < log.tail() => {
                vec![Command::Restart { at: first }, append, Command::RaiseStart { to: answer.log_start }]
            }
            _ => vec![append],
        })
    }
}

/// Where a log has left its leader's, as the leader sees it: the largest epoch not above the follower's last, and where
/// it ends here; `None` while they agree. A follower that knows a later epoch than its leader has to give it up: inside
/// a region the leader's log is what counts.
pub fn divergence(leader: &impl LogView, from: Offset, last_epoch: LeaderEpoch) -> Option<EpochEnd> {
    if last_epoch.0 < 0 || from < leader.start() {
        return None;
    }
    match leader.end_of_epoch(last_epoch) {
        None => Some(EpochEnd { epoch: leader.last_epoch(), end: leader.tail() }),
        Some(end) if end.epoch < last_epoch || end.end < from => Some(end),
        Some(_) => None,
    }
}

/// Cuts a log that has left its leader's at the end of the largest epoch both may share (KIP-279). When this log lacks
/// that epoch, the end of the next smaller one is asked about next. What would be cut below its start begins anew.
fn cut(leader: EpochEnd, leader_start: Offset, log: &impl LogView) -> Command {
    let to = match log.end_of_epoch(leader.epoch) {
        Some(own) if own.epoch == leader.epoch => own.end.min(leader.end),
        Some(own) => own.end,
        None => leader.end,
    };
    if to < log.start() { Command::Restart { at: leader_start } } else { Command::Truncate { to: to.min(log.tail()) } }
}

#[cfg(test)]
mod tests;
