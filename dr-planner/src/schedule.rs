//! What happens by the clock: backups and drills on cron schedules.

use model::ProtectionGroup;
use serde::{Deserialize, Serialize};

/// A schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Its name.
    pub name: String,
    /// When: five or six fields of cron, in UTC (six begin with the second).
    pub cron: String,
    /// What.
    pub job: Job,
    /// What happens when the last one still runs.
    pub overlap: Overlap,
    /// What happens with fires that were missed while nobody was there.
    pub missed: Missed,
    /// Whether it fires at all.
    pub enabled: bool,
}

/// What a schedule starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "job")]
pub enum Job {
    /// A backup.
    Backup {
        /// Of this group.
        group: ProtectionGroup,
    },
    /// A drill.
    Drill {
        /// On this group.
        group: ProtectionGroup,
    },
}

/// What happens when the last one still runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// The new one is not started, and that is reported.
    #[default]
    Forbid,
}

/// What happens with missed fires.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// They are reported, and the next fire is waited for.
    Skip,
    /// They are reported, and one is made up for at once, however many were missed.
    #[default]
    RunOnce,
}
