//! What happens by the clock: backups and drills on cron schedules.
//!
//! ```text
//!  tokio-cron-scheduler (every node) -- a time has come --> look (the leader) -- ClaimFiring --> Works
//!                                       a tenure begins -->   |
//!                                                             +-- RecordMissed, FinishFiring
//! ```
//!
//! The scheduler only says when to look. What is due follows from the catalog alone: the times between the last firing
//! it knows and now. So whatever happens to leaders, a time is claimed once, work that was claimed is begun once (its
//! name follows from schedule and time), and times at which nobody was there are found and reported.

mod cron;

pub use cron::{BadCron, next_fire};

use crate::council::{Council, CouncilError};
use crate::ports::Ports;
use crate::tenure::{system_name, while_leading};
use crate::work::{WorkError, Works};
use catalog::command::{ClaimFiring, FinishFiring, FiringOutcome, RecordMissed};
use catalog::reader::{Backup, Drill, Firing, FiringState, StoredSchedule, WorkState};
use catalog::{CatalogError, Refusal};
use cron::{Alarms, fires_between};
use dr_planner::drill::Verdict;
use dr_planner::schedule::{Due, Job, Schedule};
use model::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::timeout;

/// How often schedules with work in progress are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How often the others are, if no alarm comes.
const IDLE_LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// How many firings back one in progress is looked for.
const FIRINGS_LOOKED_AT: u32 = 1000;
/// After this time a firing whose work nobody can find is given up.
const FIRING_MAX: Duration = Duration::from_secs(24 * 3600);

/// Keeps the schedules.
#[derive(Clone)]
pub struct Schedules {
    council: Council,
    ports: Ports,
    works: Works,
    alarm: Arc<Notify>,
}

#[derive(Debug, thiserror::Error)]
enum NotKept {
    #[error("the catalog cannot be read: {0}")]
    Catalog(#[from] CatalogError),
    #[error("{0}")]
    Council(#[from] CouncilError),
    #[error("{0}")]
    Cron(#[from] BadCron),
}

/// How the work of a firing stands.
enum Work {
    Missing,
    Running,
    Ended(FiringOutcome),
}

impl Work {
    fn of_backup(backup: Backup) -> Self {
        match backup.state {
            WorkState::Running => Self::Running,
            WorkState::Completed => Self::Ended(FiringOutcome::Succeeded { started: backup.id }),
            WorkState::Failed => {
                let reason = format!("backup {}: {}", backup.id, backup.failure.unwrap_or_default());
                Self::Ended(FiringOutcome::Failed { reason })
            }
        }
    }

    fn of_drill(drill: Drill) -> Self {
        match drill.scorecard.map(|scorecard| scorecard.verdict) {
            None => Self::Running,
            Some(Verdict::Pass) => Self::Ended(FiringOutcome::Succeeded { started: drill.id }),
            Some(verdict) => {
                let reason = format!("drill {}: {verdict:?}; see its scorecard", drill.id);
                Self::Ended(FiringOutcome::Failed { reason })
            }
        }
    }
}

impl Schedules {
    /// The schedules that `works` are begun by.
    pub fn new(council: Council, ports: Ports, works: Works) -> Self {
        Self { council, ports, works, alarm: Arc::default() }
    }

    /// Keeps alarms set, and looks at what is due whenever this node leads, for ever.
    pub async fn serve(self) {
        let alarms = Alarms::new(self.council.clone(), self.alarm.clone());
        tokio::join!(alarms.keep(), while_leading(&self.council, || self.keep()));
    }

    async fn keep(&self) {
        loop {
            let at_work = self.look_at_all().await.unwrap_or_else(|error| {
                tracing::warn!(%error, "schedules are not kept");
                true
            });
            let rest = if at_work { LOOK_INTERVAL } else { IDLE_LOOK_INTERVAL };
            let _ = timeout(rest, self.alarm.notified()).await;
        }
    }

    /// True while something that was begun has not ended.
    async fn look_at_all(&self) -> Result<bool, NotKept> {
        let mut at_work = false;
        for stored in self.council.reader().schedules().await? {
            match self.look(&stored).await {
                Ok(running) => at_work |= running,
                Err(error) => {
                    tracing::warn!(schedule = stored.schedule.name, %error, "a schedule is not kept");
                    at_work = true;
                }
            }
        }
        Ok(at_work)
    }

    /// Sees to the firing in progress and to the times that have come since.
    async fn look(&self, stored: &StoredSchedule) -> Result<bool, NotKept> {
        let (schedule, now) = (&stored.schedule, self.ports.clock.now());
        let firings = self.council.reader().firings(&schedule.name, FIRINGS_LOOKED_AT).await?;
        // Behind the one in progress there may be times that were missed because of it.
        let running = match firings.iter().find(|firing| firing.state == FiringState::Claimed) {
            Some(claimed) => self.see_to(schedule, claimed).await?,
            None => false,
        };
        if !schedule.enabled {
            return Ok(running);
        }
        let since = firings.first().map_or(stored.changed_at, |last| last.due.max(stored.changed_at));
        let fires = fires_between(schedule, since, now)?;
        let due = schedule.due(&fires, running, now);
        self.act(schedule, &fires, due).await?;
        Ok(running || due.start)
    }

    async fn act(&self, schedule: &Schedule, fires: &[Timestamp], due: Due) -> Result<(), NotKept> {
        let Some((newest, earlier)) = fires.split_last() else { return Ok(()) };
        for fire in earlier {
            self.miss(schedule, *fire, "nobody was there in time; a later firing stands for it").await?;
        }
        match due {
            Due { start: true, .. } => self.fire(schedule, *newest).await,
            Due { overlapped: true, .. } => self.miss(schedule, *newest, "the one before was still at work").await,
            _ => self.miss(schedule, *newest, "nobody was there in time").await,
        }
    }

    async fn miss(&self, schedule: &Schedule, due: Timestamp, reason: &str) -> Result<(), NotKept> {
        tracing::warn!(schedule = schedule.name, %due, reason, "a firing was missed");
        let missed = RecordMissed { schedule: schedule.name.clone(), due, reason: reason.to_owned() };
        self.council.propose(&self.by(), missed).await?;
        Ok(())
    }

    /// Takes the firing on and begins its work.
    async fn fire(&self, schedule: &Schedule, due: Timestamp) -> Result<(), NotKept> {
        let claim = ClaimFiring {
            schedule: schedule.name.clone(),
            due,
            claimant: self.by(),
            expires: self.ports.clock.now().plus(FIRING_MAX),
        };
        match self.council.propose(&self.by(), claim).await {
            Ok(_) => {}
            // Another leader took it, or the schedule was changed meanwhile.
            Err(CouncilError::Refused(Refusal::Ended { .. })) => return Ok(()),
            Err(CouncilError::Refused(Refusal::InProgress { .. })) => {
                return self.miss(schedule, due, "the one before was still at work").await;
            }
            Err(error) => return Err(error.into()),
        }
        tracing::info!(schedule = schedule.name, %due, "a schedule fires");
        self.begin(schedule, due).await
    }

    async fn begin(&self, schedule: &Schedule, due: Timestamp) -> Result<(), NotKept> {
        let (name, by) = (work_name(schedule, due), format!("schedule:{}", schedule.name));
        let begun = match &schedule.job {
            Job::Backup { group } => self.works.back_up(group, Some(name), Some(schedule.name.clone()), &by).await,
            Job::Drill { group } => self.works.drill(group, Some(name), Some(schedule.name.clone()), &by).await,
        };
        match begun {
            Ok(_) => Ok(()),
            Err(WorkError::Council(CouncilError::Refused(refusal))) => {
                self.end(schedule, due, FiringOutcome::Failed { reason: refusal.to_string() }).await
            }
            // The firing is claimed and its work is missing: the next look begins it.
            Err(error) => {
                tracing::warn!(schedule = schedule.name, %error, "the work of a firing is not begun yet");
                Ok(())
            }
        }
    }

    /// Brings a firing that was taken on to its end. True while its work goes on.
    async fn see_to(&self, schedule: &Schedule, firing: &Firing) -> Result<bool, NotKept> {
        match self.work(schedule, firing.due).await? {
            Work::Running => Ok(true),
            Work::Missing => {
                self.begin(schedule, firing.due).await?;
                Ok(true)
            }
            Work::Ended(outcome) => {
                self.end(schedule, firing.due, outcome).await?;
                Ok(false)
            }
        }
    }

    async fn end(&self, schedule: &Schedule, due: Timestamp, outcome: FiringOutcome) -> Result<(), NotKept> {
        let finish = FinishFiring { schedule: schedule.name.clone(), due, outcome };
        self.council.propose(&self.by(), finish).await?;
        Ok(())
    }

    async fn work(&self, schedule: &Schedule, due: Timestamp) -> Result<Work, NotKept> {
        let (reader, name) = (self.council.reader(), work_name(schedule, due));
        Ok(match &schedule.job {
            Job::Backup { .. } => reader.backup(&name).await?.map_or(Work::Missing, Work::of_backup),
            Job::Drill { .. } => reader.drill(&name).await?.map_or(Work::Missing, Work::of_drill),
        })
    }

    fn by(&self) -> String {
        system_name(&self.council)
    }
}

/// The name of the work of one firing: the same for whoever begins it.
fn work_name(schedule: &Schedule, due: Timestamp) -> String {
    let time: String = due.to_string().chars().filter(|c| !matches!(c, '-' | ':')).collect();
    let seconds = time.split('.').next().unwrap_or(&time);
    format!("{}-{seconds}Z", schedule.name)
}
