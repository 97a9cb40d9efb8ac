//! What happens by the clock: backups and drills on cron schedules.

mod cron;

pub use cron::{BadCron, check_cron};

use model::{ProtectionGroup, Timestamp};
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

/// Why a schedule cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// A name that cannot be one.
    #[error("a schedule cannot be called {name:?}: {reason}")]
    Name {
        /// What was asked for.
        name: String,
        /// What is wrong with it.
        reason: model::BadName,
    },
    /// A time that cannot be read.
    #[error("schedule {schedule}: {reason}")]
    Cron {
        /// The schedule.
        schedule: String,
        /// What is wrong with it.
        reason: BadCron,
    },
}

/// What to do about one or more fires of a schedule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// Whether to start the job now.
    pub start: bool,
    /// How many fires were missed and have to be reported, whether one of them is made up for or not.
    pub missed: usize,
    /// Whether a fire came while the last job still ran, so that it was not started; to be reported.
    pub overlapped: bool,
}

/// A fire that is looked at this much later is a missed one.
pub const FIRE_LATE_MAX: std::time::Duration = std::time::Duration::from_secs(60);

impl Schedule {
    /// Whether the schedule can be kept.
    ///
    /// # Errors
    /// [`Invalid`] names what is wrong and what would be right.
    pub fn validate(&self) -> Result<(), Invalid> {
        let name = ProtectionGroup::new(&self.name);
        name.map_err(|reason| Invalid::Name { name: self.name.clone(), reason })?;
        check_cron(&self.cron).map_err(|reason| Invalid::Cron { schedule: self.name.clone(), reason })
    }

    /// The cron text with six fields, the first the second.
    pub fn cron_with_seconds(&self) -> String {
        let fields: Vec<_> = self.cron.split_whitespace().collect();
        if fields.len() == 5 { format!("0 {}", fields.join(" ")) } else { fields.join(" ") }
    }

    /// What to do at `now` about `fires`: the times, oldest first, at which the schedule fired since it was last looked at.
    pub fn due(&self, fires: &[Timestamp], still_running: bool, now: Timestamp) -> Due {
        let past: Vec<_> = fires.iter().filter(|fire| **fire <= now).collect();
        if !self.enabled || past.is_empty() {
            return Due::default();
        }
        let missed = past.iter().filter(|fire| now.since(***fire) > FIRE_LATE_MAX).count();
        let wanted = missed < past.len() || self.missed == Missed::RunOnce;
        Due { start: wanted && !still_running, missed, overlapped: wanted && still_running }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(cron: &str, missed: Missed) -> Schedule {
        let job = Job::Backup { group: ProtectionGroup::new("default").unwrap() };
        let (name, cron) = ("nightly".to_owned(), cron.to_owned());
        Schedule { name, cron, job, overlap: Overlap::Forbid, missed, enabled: true }
    }

    fn due(missed: Missed, fires: &[i64], running: bool) -> Due {
        let fires: Vec<_> = fires.iter().map(|second| Timestamp(second * 1000)).collect();
        schedule("0 3 * * *", missed).due(&fires, running, Timestamp(1_000_000))
    }

    #[test]
    fn a_schedule_is_refused_with_the_field_that_is_wrong() {
        assert_eq!(schedule("0 3 * * *", Missed::Skip).validate(), Ok(()));
        let refused = schedule("0 25 * * *", Missed::Skip).validate().unwrap_err();
        assert_eq!(refused.to_string(), "schedule nightly: the hour \"25\" is not within 0-23");
        let nameless = Schedule { name: String::new(), ..schedule("0 3 * * *", Missed::Skip) };
        assert!(matches!(nameless.validate(), Err(Invalid::Name { .. })));
    }

    #[test]
    fn five_fields_fire_at_second_zero() {
        assert_eq!(schedule("0 3  * * *", Missed::Skip).cron_with_seconds(), "0 0 3 * * *");
        assert_eq!(schedule("*/5 0 3 * * *", Missed::Skip).cron_with_seconds(), "*/5 0 3 * * *");
    }

    #[test]
    fn a_fire_in_time_starts_the_job() {
        assert_eq!(due(Missed::Skip, &[990], false), Due { start: true, missed: 0, overlapped: false });
        assert_eq!(due(Missed::Skip, &[1001], false), Due::default(), "it lies ahead");
    }

    #[test]
    fn missed_fires_are_reported_and_one_is_made_up_for_if_so_wanted() {
        assert_eq!(due(Missed::Skip, &[100, 200, 300], false), Due { start: false, missed: 3, overlapped: false });
        assert_eq!(due(Missed::RunOnce, &[100, 200, 300], false), Due { start: true, missed: 3, overlapped: false });
    }

    #[test]
    fn a_job_does_not_overlap_itself() {
        assert_eq!(due(Missed::RunOnce, &[990], true), Due { start: false, missed: 0, overlapped: true });
    }
}
