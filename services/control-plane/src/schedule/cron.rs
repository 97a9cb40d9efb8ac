//! When a cron text fires, and the alarms that say so.

use crate::council::Council;
use chrono::{DateTime, Utc};
use croner::Cron;
use croner::parser::{CronParser, Seconds};
use dr_planner::schedule::Schedule;
use model::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_cron_scheduler::{Job, JobScheduler, JobSchedulerError};
use uuid::Uuid;

/// How many times back are looked at; earlier ones are neither made up for nor named.
const FIRES_MAX: usize = 100;
/// How long after a change of the catalog alarms may be set as before.
const SETTLE: Duration = Duration::from_millis(500);
/// How long until failed alarms are tried again.
const RETRY: Duration = Duration::from_secs(5);

/// A cron text that cannot be kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("schedule {schedule}: {cron:?} cannot be kept: {reason}")]
pub struct BadCron {
    schedule: String,
    cron: String,
    reason: String,
}

/// Reads the text exactly as the scheduler does: day and weekday both have to match.
fn parse(schedule: &Schedule) -> Result<Cron, BadCron> {
    let parser = CronParser::builder().seconds(Seconds::Required).dom_and_dow(true).build();
    parser.parse(&schedule.cron_with_seconds()).map_err(|error| bad(schedule, error))
}

fn bad(schedule: &Schedule, reason: impl ToString) -> BadCron {
    BadCron { schedule: schedule.name.clone(), cron: schedule.cron.clone(), reason: reason.to_string() }
}

fn utc(time: Timestamp) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(time.0).unwrap_or_default()
}

/// The times after `since`, up to `now`, at which the schedule fired, oldest first; of many the newest.
pub(super) fn fires_between(schedule: &Schedule, since: Timestamp, now: Timestamp) -> Result<Vec<Timestamp>, BadCron> {
    let cron = parse(schedule)?;
    let second_after = utc(Timestamp(now.0 - now.0.rem_euclid(1000) + 1000));
    let back = cron.iter_before(second_after).map(|time| Timestamp(time.timestamp_millis()));
    let mut fires: Vec<_> = back.take_while(|time| *time > since).take(FIRES_MAX).collect();
    fires.reverse();
    Ok(fires)
}

/// When the schedule fires next after `now`; `None` when it never does.
///
/// # Errors
/// [`BadCron`] when its text cannot be read.
pub fn next_fire(schedule: &Schedule, now: Timestamp) -> Result<Option<Timestamp>, BadCron> {
    let next = parse(schedule)?.iter_after(utc(now)).next();
    Ok(next.map(|time| Timestamp(time.timestamp_millis())))
}

/// One alarm per schedule.
pub(super) struct Alarms {
    council: Council,
    alarm: Arc<Notify>,
}

/// The scheduler and what it was told. It ends when this is dropped.
struct Set {
    scheduler: JobScheduler,
    /// By schedule: the text and the alarm's name.
    jobs: BTreeMap<String, (String, Uuid)>,
}

impl Alarms {
    pub(super) fn new(council: Council, alarm: Arc<Notify>) -> Self {
        Self { council, alarm }
    }

    /// Keeps an alarm set for every schedule that is switched on, for ever.
    pub(super) async fn keep(&self) {
        loop {
            if let Err(error) = self.follow().await {
                tracing::error!(%error, "no alarms are set for schedules");
            }
            sleep(RETRY).await;
        }
    }

    async fn follow(&self) -> Result<(), JobSchedulerError> {
        let mut set = Set { scheduler: JobScheduler::new().await?, jobs: BTreeMap::new() };
        set.scheduler.start().await?;
        let mut progress = self.council.reader().watch_progress();
        loop {
            progress.borrow_and_update();
            match self.council.reader().schedules().await {
                Ok(schedules) => {
                    let enabled = schedules.into_iter().map(|stored| stored.schedule).filter(|job| job.enabled);
                    self.set(&mut set, enabled.collect()).await?;
                }
                Err(error) => tracing::warn!(%error, "schedules cannot be read"),
            }
            sleep(SETTLE).await;
            let _ = timeout(RETRY, progress.changed()).await;
        }
    }

    async fn set(&self, set: &mut Set, schedules: Vec<Schedule>) -> Result<(), JobSchedulerError> {
        let texts: BTreeMap<_, _> =
            schedules.iter().map(|schedule| (schedule.name.clone(), schedule.cron_with_seconds())).collect();
        let stale = |(name, (text, _)): &(&String, &(String, Uuid))| texts.get(*name) != Some(text);
        let stale: Vec<_> = set.jobs.iter().filter(stale).map(|(name, (_, id))| (name.clone(), *id)).collect();
        for (name, id) in stale {
            set.scheduler.remove(&id).await?;
            set.jobs.remove(&name);
        }
        for (name, text) in texts {
            if !set.jobs.contains_key(&name) {
                match self.alarm_at(&text) {
                    Ok(job) => {
                        let id = set.scheduler.add(job).await?;
                        set.jobs.insert(name, (text, id));
                    }
                    Err(error) => tracing::warn!(schedule = name, %error, "this schedule never fires"),
                }
            }
        }
        Ok(())
    }

    fn alarm_at(&self, text: &str) -> Result<Job, JobSchedulerError> {
        let alarm = self.alarm.clone();
        Job::new_async(text, move |_, _| {
            let alarm = alarm.clone();
            Box::pin(async move { alarm.notify_one() })
        })
    }
}

impl Drop for Set {
    fn drop(&mut self) {
        let mut scheduler = self.scheduler.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { scheduler.shutdown().await });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dr_planner::schedule::{Job, Missed, Overlap};
    use model::ProtectionGroup;

    fn schedule(cron: &str) -> Schedule {
        let job = Job::Backup { group: ProtectionGroup::new("default").unwrap() };
        let (name, cron) = ("nightly".to_owned(), cron.to_owned());
        Schedule { name, cron, job, overlap: Overlap::Forbid, missed: Missed::RunOnce, enabled: true }
    }

    /// 2026-11-21T10:12:11Z, a Saturday.
    const NOW: i64 = 1_795_255_931_000;

    fn fires(cron: &str, seconds_back: i64) -> Vec<String> {
        let found = fires_between(&schedule(cron), Timestamp(NOW - seconds_back * 1000), Timestamp(NOW)).unwrap();
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_times_since_the_last_look_are_found_oldest_first() {
        assert_eq!(
            fires("*/5 * * * *", 900),
            ["2026-11-21T10:00:00.000Z", "2026-11-21T10:05:00.000Z", "2026-11-21T10:10:00.000Z"]
        );
        assert_eq!(fires("*/5 * * * *", 131), Vec::<String>::new(), "the last one was looked at");
        assert_eq!(fires("11 12 10 * * *", 60), ["2026-11-21T10:12:11.000Z"], "the very second counts");
    }

    #[test]
    fn of_very_many_times_the_newest_are_found() {
        let all = fires("* * * * * *", 86_400);
        assert_eq!((all.len(), all.last().unwrap().as_str()), (FIRES_MAX, "2026-11-21T10:12:11.000Z"));
    }

    #[test]
    fn the_next_time_lies_ahead() {
        let next = |cron| next_fire(&schedule(cron), Timestamp(NOW)).unwrap().unwrap().to_string();
        assert_eq!(next("0 3 * * *"), "2026-11-22T03:00:00.000Z");
        assert_eq!(next("0 3 * * SUN"), "2026-11-22T03:00:00.000Z");
        assert_eq!(next("0 3 1 * *"), "2026-12-01T03:00:00.000Z");
    }
}
