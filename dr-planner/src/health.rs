//! Whether a region is there, and how well it does.
//!
//! Two questions that are kept apart. *Silence*: a quorum of observers outside the region and the mirrors that copy from
//! it have had no answer for 3 s. *Bad answers*: the score of what it says and does stays below 30 for 15 s. Either way
//! somebody who stalled himself has no say, and nothing is automatic twice without a pause.

mod automatic;
mod detect;
mod observer;
mod score;
mod tracker;

pub use automatic::{Automatic, AutomaticAction, Blocked};
pub use detect::{Detection, detect};
pub use observer::Observer;
pub use score::{CONFIDENCE_MIN, Part, Readings, Score, Signal, score};
pub use tracker::{Condition, Tracker};

use model::{RegionName, Timestamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Silence of this length to a quorum of observers and to the mirror is loss.
pub const SILENCE_MAX: Duration = Duration::from_secs(3);
/// An observer whose own tick comes this much late abstains.
pub const TICK_LATE_MAX: Duration = Duration::from_secs(1);
/// How often observers probe each region.
pub const PROBE_INTERVAL: Duration = Duration::from_millis(250);
/// How long a region that this observer has never heard may take to give its first answer.
pub const FIRST_ANSWER_MAX: Duration = Duration::from_secs(10);

/// What one observer sees of one region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// Who observes: a council member.
    pub observer: RegionName,
    /// Whom.
    pub target: RegionName,
    /// When this was said, on the clock of whoever asked.
    pub observed_at: Timestamp,
    /// What is seen.
    pub seen: Seen,
}

/// What an observer sees of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "seen")]
pub enum Seen {
    /// It last answered so long ago.
    Silent {
        /// Milliseconds.
        for_ms: u64,
    },
    /// The observer cannot say: it stalled, or has not watched for long enough.
    Abstains,
}

impl Seen {
    /// Whether this is a vote that the region is lost.
    pub fn is_silence(self) -> bool {
        matches!(self, Self::Silent { for_ms } if u128::from(for_ms) >= SILENCE_MAX.as_millis())
    }

    /// Whether this is a vote that the region answers.
    pub fn is_answer(self) -> bool {
        matches!(self, Self::Silent { for_ms } if u128::from(for_ms) < SILENCE_MAX.as_millis())
    }
}
