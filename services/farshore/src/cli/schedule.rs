//! `farshore schedule`

use super::place::{Place, escaped, list};
use crate::output::say;
use crate::table::{self, Table, or_dash};
use anyhow::Result;
use api::schedules::{Job, Missed, Overlap, Schedule, ScheduleSpec};

/// Backs up and rehearses by the clock.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Shows every schedule, when it fires next, and what came of the last time.
    List,
    /// Makes a schedule, or changes the one of that name.
    Create {
        /// Its name.
        name: String,
        /// Five or six fields of cron, in UTC; six begin with the second. For example "0 3 * * *".
        #[arg(long)]
        cron: String,
        /// What is done.
        #[arg(long, default_value = "backup")]
        job: JobKind,
        /// To this protection group.
        #[arg(long, default_value = "default")]
        group: String,
        /// Does not make up for a time that was missed while nobody was there.
        #[arg(long)]
        skip_missed: bool,
        /// Keeps it, but does not let it fire.
        #[arg(long)]
        disabled: bool,
    },
    /// Deletes a schedule.
    Delete {
        /// Its name.
        name: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum JobKind {
    /// A backup.
    Backup,
    /// A drill that touches nothing: could it be done?
    Drill,
}

impl Command {
    pub(super) async fn run(self, place: &Place) -> Result<()> {
        let api = place.api();
        match self {
            Self::List => {
                let schedules: Vec<Schedule> = list(&api, "/v1/schedules").await?;
                table::print(place.json, &schedules, |schedules| rows(schedules))
            }
            Self::Create { name, cron, job, group, skip_missed, disabled } => {
                let spec = ScheduleSpec {
                    cron,
                    job: match job {
                        JobKind::Backup => Job::Backup { group },
                        JobKind::Drill => Job::Drill { group },
                    },
                    overlap: Overlap::Forbid,
                    missed: if skip_missed { Missed::Skip } else { Missed::RunOnce },
                    enabled: !disabled,
                };
                let schedule: Schedule = api.put(&format!("/v1/schedules/{}", escaped(&name)), &spec).await?;
                table::print(place.json, &schedule, |schedule| rows(std::slice::from_ref(schedule)))
            }
            Self::Delete { name } => {
                api.delete(&format!("/v1/schedules/{}", escaped(&name))).await?;
                match place.json {
                    true => say!("{}", serde_json::json!({"deleted": name}))?,
                    false => say!("schedule {name} is deleted")?,
                }
                Ok(())
            }
        }
    }
}

fn rows(schedules: &[Schedule]) -> Table {
    let mut table = Table::new(["schedule", "cron", "job", "group", "next", "last due", "last came to", "detail"]);
    for schedule in schedules {
        let (job, group) = match &schedule.spec.job {
            Job::Backup { group } => ("backup", group),
            Job::Drill { group } => ("drill", group),
        };
        let last = schedule.firings.first();
        table.row([
            schedule.name.clone(),
            schedule.spec.cron.clone(),
            job.to_owned(),
            group.clone(),
            or_dash(schedule.next_at.as_ref()),
            or_dash(last.map(|firing| firing.due_at.as_str())),
            or_dash(last.map(|firing| format!("{:?}", firing.state).to_lowercase())),
            or_dash(last.and_then(|firing| firing.detail.as_deref())),
        ]);
    }
    table
}
