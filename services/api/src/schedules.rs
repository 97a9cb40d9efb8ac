//! `/v1/schedules`

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Something that happens by the clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Schedule {
    /// Its name.
    #[schema(example = "nightly")]
    pub name: String,
    /// What and when.
    #[serde(flatten)]
    pub spec: ScheduleSpec,
    /// Which version of it this is, for `If-Match`.
    pub revision: u64,
    /// When it fires next; absent when it is switched off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub next_at: Option<String>,
    /// The last times it was due, the newest first.
    #[serde(default)]
    pub firings: Vec<Firing>,
}

/// What happens by the clock, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScheduleSpec {
    /// Five or six fields of cron, in UTC; six begin with the second.
    #[schema(example = "0 0 3 * * *")]
    pub cron: String,
    /// What.
    #[serde(flatten)]
    pub job: Job,
    /// What happens when the last one still runs.
    #[serde(default)]
    pub overlap: Overlap,
    /// What happens with fires that were missed while nobody was there.
    #[serde(default)]
    pub missed: Missed,
    /// Whether it fires at all.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub enabled: bool,
}

/// What a schedule starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "job")]
pub enum Job {
    /// A backup.
    Backup {
        /// Of this group.
        group: String,
    },
    /// A drill.
    Drill {
        /// On this group.
        group: String,
    },
}

/// What happens when the last one still runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// The new one is not started, and that is reported.
    #[default]
    Forbid,
}

/// What happens with missed fires.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// They are reported, and the next one is waited for.
    Skip,
    /// They are reported, and one is made up for at once.
    #[default]
    RunOnce,
}

/// One time a schedule was due.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Firing {
    /// When it was due.
    #[schema(format = DateTime)]
    pub due_at: String,
    /// What came of it.
    pub state: FiringState,
    /// Who worked on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimant: Option<String>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    pub ended_at: Option<String>,
    /// The backup or drill it started, or why it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// What came of a firing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FiringState {
    /// Somebody works on it.
    Claimed,
    /// It did what it was for.
    Succeeded,
    /// It did not.
    Failed,
    /// It was not done.
    Missed,
    /// Whoever worked on it was not heard of in time.
    Abandoned,
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_can_be_written_in_a_few_words() {
        let text = r#"{"cron":"0 3 * * *","job":"backup","group":"default"}"#;
        let spec: ScheduleSpec = serde_json::from_str(text).unwrap();
        assert_eq!(spec.job, Job::Backup { group: "default".into() });
        assert!(spec.enabled && spec.missed == Missed::RunOnce);
    }
}
