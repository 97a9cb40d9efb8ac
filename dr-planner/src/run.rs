//! One execution of a plan: events in, commands out.
//!
//! ```text
//!             +-> paused <-+
//!             |            |                 pivot done
//!  created -> running (before the pivot) -------------> running (forward only) -> succeeded
//!             |                                          |
//!             | a critical step fails, or cancel         | cancel: the pivot stands
//!             v                                          v
//!            unwinding -> rolled_back                   failed
//!             |
//!             | an undo fails
//!             v
//!            stuck
//! ```
//!
//! The executor persists [`Command::started`] before it carries out a command, and what came of it afterwards; whoever
//! rebuilds a [`Machine`] from the persisted events goes on where the last one stopped. A step that was started and
//! whose result nobody wrote down is done again: every effect is idempotent by (run, token).

mod command;
mod effects;
mod event;
mod machine;
mod openings;
mod progress;
mod transition;

pub use command::{Command, CouncilAction, Direction, Effect};
pub use event::{Cancel, Entry, Event, Happened, Outcome, Output};
pub use machine::Machine;
pub use openings::openings;
pub use transition::{IllegalTransition, Refusal};

use crate::plan::Plan;
use model::RunId;
use serde::{Deserialize, Serialize};

/// A run as it is stored: its plan, frozen, and everything that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Its name.
    pub id: RunId,
    /// The plan it executes.
    pub plan: Plan,
    /// What happened, in order. The first is [`Event::Created`].
    pub entries: Vec<Entry>,
}

/// Where a run stands, for people and for whoever wants to start another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Steps are being done.
    Running,
    /// Nothing new is started until it is resumed.
    Paused,
    /// What was done is being undone.
    Unwinding,
    /// Done, and the group is at the target.
    Succeeded,
    /// Undone, and the group is where it was.
    RolledBack,
    /// An undo failed; a person has to look.
    Stuck,
    /// Given up; behind the pivot that means: the pivot stands, the rest was not done.
    Failed,
}

impl State {
    /// Whether nothing more happens.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Succeeded | Self::RolledBack | Self::Stuck | Self::Failed)
    }
}

impl From<Outcome> for State {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Succeeded => Self::Succeeded,
            Outcome::RolledBack => Self::RolledBack,
            Outcome::Stuck => Self::Stuck,
            Outcome::Failed => Self::Failed,
        }
    }
}
