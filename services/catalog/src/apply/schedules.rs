use super::platform::check_revision;
use super::runs::document;
use super::{Applied, Applying, check_text};
use crate::column::{number, signed, time};
use crate::command::{ClaimFiring, DeleteSchedule, FinishFiring, FiringOutcome, PutSchedule, RecordMissed};
use crate::{Answer, Refusal, limits};
use dr_planner::schedule::Job;
use model::Timestamp;
use sqlx::Row;

impl Applying<'_> {
    pub(super) async fn put_schedule(&mut self, args: &PutSchedule) -> Applied<Answer> {
        let schedule = &args.schedule;
        check_text("schedule", &schedule.name)?;
        check_cron(&schedule.cron)?;
        let (Job::Backup { group } | Job::Drill { group }) = &schedule.job;
        self.group(group).await?;
        let document = document("schedule", schedule)?;
        let there = self.find_schedule(&schedule.name).await?;
        check_revision("schedule", &schedule.name, args.expected, there.as_ref().map_or(0, |there| there.revision))?;
        match there {
            Some(there) if there.document == document => return Ok(Answer::Revision { revision: there.revision }),
            None => self.check_schedule_count().await?,
            Some(_) => {}
        }
        let revision = self.next_number("schedule revision").await?;
        sqlx::query(
            "INSERT OR REPLACE INTO schedules (name, document, enabled, revision, changed_at, changed_by) \
             VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(&schedule.name)
        .bind(document)
        .bind(schedule.enabled)
        .bind(signed(revision))
        .bind(self.at.0)
        .bind(self.by)
        .execute(&mut *self.connection)
        .await?;
        Ok(Answer::Revision { revision })
    }

    async fn check_schedule_count(&mut self) -> Applied<()> {
        let count = self.count("SELECT count(*) FROM schedules").await? + 1;
        if count > limits::SCHEDULES_MAX {
            return Err(Refusal::too_many("schedules", count, limits::SCHEDULES_MAX).into());
        }
        Ok(())
    }

    async fn find_schedule(&mut self, name: &str) -> Applied<Option<ScheduleRow>> {
        let row = sqlx::query("SELECT document, enabled, revision FROM schedules WHERE name = ?")
            .bind(name)
            .fetch_optional(&mut *self.connection)
            .await?;
        let read = |row: sqlx::sqlite::SqliteRow| {
            let (document, enabled) = (row.try_get("document")?, row.try_get("enabled")?);
            Ok(ScheduleRow { document, enabled, revision: number(&row, "revision")? })
        };
        row.map(read).transpose()
    }

    pub(super) async fn delete_schedule(&mut self, args: &DeleteSchedule) -> Applied<Answer> {
        let gone =
            sqlx::query("DELETE FROM schedules WHERE name = ?").bind(&args.name).execute(&mut *self.connection).await?;
        match gone.rows_affected() {
            0 => Err(Refusal::not_found("schedule", &args.name).into()),
            _ => Ok(Answer::Done),
        }
    }

    pub(super) async fn claim_firing(&mut self, args: &ClaimFiring) -> Applied<Answer> {
        check_text("claimant", &args.claimant)?;
        let schedule = self.find_schedule(&args.schedule).await?;
        if !schedule.ok_or_else(|| Refusal::not_found("schedule", &args.schedule))?.enabled {
            return Err(ended(&args.schedule, args.due, "the schedule is switched off"));
        }
        self.abandon_expired(&args.schedule).await?;
        if let Some(state) = self.firing_state(&args.schedule, args.due).await? {
            return Err(ended(&args.schedule, args.due, &format!("it is {state}")));
        }
        self.check_none_at_work(&args.schedule).await?;
        sqlx::query(
            "INSERT INTO firings (schedule, due, state, claimant, claimed_at, expires) VALUES (?, ?, 'claimed', ?, ?, ?)",
        )
        .bind(&args.schedule)
        .bind(args.due.0)
        .bind(&args.claimant)
        .bind(self.at.0)
        .bind(args.expires.0)
        .execute(&mut *self.connection)
        .await?;
        Ok(Answer::Done)
    }

    async fn abandon_expired(&mut self, schedule: &str) -> Applied<()> {
        sqlx::query(
            "UPDATE firings SET state = 'abandoned', ended_at = ?1, detail = 'its time ran out' \
             WHERE schedule = ?2 AND state = 'claimed' AND expires <= ?1",
        )
        .bind(self.at.0)
        .bind(schedule)
        .execute(&mut *self.connection)
        .await?;
        Ok(())
    }

    async fn check_none_at_work(&mut self, schedule: &str) -> Applied<()> {
        let row = sqlx::query("SELECT due, claimant FROM firings WHERE schedule = ? AND state = 'claimed'")
            .bind(schedule)
            .fetch_optional(&mut *self.connection)
            .await?;
        let Some(row) = row else { return Ok(()) };
        let (due, claimant): (_, String) = (time(&row, "due")?, row.try_get("claimant")?);
        let (what, by) = ("schedule".into(), format!("the firing of {due} is at work on {claimant}"));
        Err(Refusal::InProgress { what, name: schedule.to_owned(), by }.into())
    }

    async fn firing_state(&mut self, schedule: &str, due: Timestamp) -> Applied<Option<String>> {
        Ok(sqlx::query_scalar("SELECT state FROM firings WHERE schedule = ? AND due = ?")
            .bind(schedule)
            .bind(due.0)
            .fetch_optional(&mut *self.connection)
            .await?)
    }

    pub(super) async fn finish_firing(&mut self, args: &FinishFiring) -> Applied<Answer> {
        let (state, detail) = match &args.outcome {
            FiringOutcome::Succeeded { started } => ("succeeded", started),
            FiringOutcome::Failed { reason } => ("failed", reason),
            FiringOutcome::Missed { reason } => ("missed", reason),
        };
        check_text("outcome", detail)?;
        match self.firing_state(&args.schedule, args.due).await? {
            None => return Err(Refusal::not_found("firing", firing(&args.schedule, args.due)).into()),
            Some(there) if there == state => return Ok(Answer::Done),
            Some(there) if there != "claimed" && there != "abandoned" => {
                return Err(ended(&args.schedule, args.due, &format!("it is {there}")));
            }
            Some(_) => {}
        }
        sqlx::query("UPDATE firings SET state = ?, ended_at = ?, detail = ? WHERE schedule = ? AND due = ?")
            .bind(state)
            .bind(self.at.0)
            .bind(detail)
            .bind(&args.schedule)
            .bind(args.due.0)
            .execute(&mut *self.connection)
            .await?;
        Ok(Answer::Done)
    }

    pub(super) async fn record_missed(&mut self, args: &RecordMissed) -> Applied<Answer> {
        check_text("reason", &args.reason)?;
        sqlx::query(
            "INSERT INTO firings (schedule, due, state, ended_at, detail) VALUES (?, ?, 'missed', ?, ?) \
             ON CONFLICT DO NOTHING",
        )
        .bind(&args.schedule)
        .bind(args.due.0)
        .bind(self.at.0)
        .bind(&args.reason)
        .execute(&mut *self.connection)
        .await?;
        Ok(Answer::Done)
    }
}

struct ScheduleRow {
    document: String,
    enabled: bool,
    revision: u64,
}

fn firing(schedule: &str, due: Timestamp) -> String {
    format!("{schedule} at {due}")
}

fn ended(schedule: &str, due: Timestamp, how: &str) -> super::Stop {
    Refusal::Ended { what: "firing".into(), name: firing(schedule, due), how: how.to_owned() }.into()
}

/// The fields are counted here; what is in them is the scheduler's to judge before it proposes.
fn check_cron(cron: &str) -> Applied<()> {
    check_text("cron", cron)?;
    match cron.split_whitespace().count() {
        5 | 6 => Ok(()),
        fields => {
            let reason = format!("it has {fields} fields; give five, or six with the second first");
            Err(Refusal::unusable("cron", cron, reason).into())
        }
    }
}
