use super::{Applied, Applying, check_text};
use crate::column::{signed, to_json};
use crate::command::{BackupOutcome, FinishBackup, ForgetBackup, StartBackup};
use crate::{Answer, Refusal};
use sqlx::Row;

impl Applying<'_> {
    pub(super) async fn start_backup(&mut self, args: &StartBackup) -> Applied<Answer> {
        check_text("backup", &args.backup)?;
        check_text("repository", &args.repository)?;
        self.group(&args.group).await?;
        let there = sqlx::query(
            "SELECT id, ended_at IS NULL AS running FROM backups WHERE id = ? OR (group_name = ? AND ended_at IS NULL)",
        )
        .bind(&args.backup)
        .bind(args.group.as_str())
        .fetch_optional(&mut *self.connection)
        .await?;
        if let Some(there) = there {
            let (id, running): (String, bool) = (there.try_get("id")?, there.try_get("running")?);
            return self.other_backup(args, id, running);
        }
        let number = self.next_number("backup").await?;
        sqlx::query(
            "INSERT INTO backups (id, number, group_name, repository, schedule, state, started_at, started_by) \
             VALUES (?, ?, ?, ?, ?, 'running', ?, ?)",
        )
        .bind(&args.backup)
        .bind(signed(number))
        .bind(args.group.as_str())
        .bind(&args.repository)
        .bind(&args.schedule)
        .bind(self.at.0)
        .bind(self.by)
        .execute(&mut *self.connection)
        .await?;
        Ok(Answer::Done)
    }

    fn other_backup(&self, args: &StartBackup, id: String, running: bool) -> Applied<Answer> {
        match (id == args.backup, running) {
            (true, true) => Ok(Answer::Done),
            (true, false) => Err(Refusal::Exists { what: "backup".into(), name: id }.into()),
            (false, _) => {
                let (what, name) = ("backup of protection group".into(), args.group.to_string());
                Err(Refusal::InProgress { what, name, by: id }.into())
            }
        }
    }

    pub(super) async fn finish_backup(&mut self, args: &FinishBackup) -> Applied<Answer> {
        let (state, summary, failure) = match &args.outcome {
            BackupOutcome::Completed(summary) => ("completed", Some(to_json(summary)), None),
            BackupOutcome::Failed { reason } => ("failed", None, Some(reason)),
        };
        let there = sqlx::query("SELECT state, summary, failure FROM backups WHERE id = ?")
            .bind(&args.backup)
            .fetch_optional(&mut *self.connection)
            .await?;
        let there = there.ok_or_else(|| Refusal::not_found("backup", &args.backup))?;
        let now: &str = there.try_get("state")?;
        if now == state && there.try_get::<Option<String>, _>("summary")? == summary {
            return Ok(Answer::Done);
        }
        if now != "running" {
            let (what, name) = ("backup".into(), args.backup.clone());
            return Err(Refusal::Ended { what, name, how: now.to_owned() }.into());
        }
        sqlx::query("UPDATE backups SET state = ?, ended_at = ?, summary = ?, failure = ? WHERE id = ?")
            .bind(state)
            .bind(self.at.0)
            .bind(summary)
            .bind(failure)
            .bind(&args.backup)
            .execute(&mut *self.connection)
            .await?;
        Ok(Answer::Done)
    }

    pub(super) async fn forget_backup(&mut self, args: &ForgetBackup) -> Applied<Answer> {
        let restore: Option<String> =
            sqlx::query_scalar("SELECT id FROM restores WHERE backup = ? AND ended_at IS NULL LIMIT 1")
                .bind(&args.backup)
                .fetch_optional(&mut *self.connection)
                .await?;
        if let Some(restore) = restore {
            let (what, by) = ("backup".into(), format!("restore {restore} reads it"));
            return Err(Refusal::InProgress { what, name: args.backup.clone(), by }.into());
        }
        let gone = sqlx::query("DELETE FROM backups WHERE id = ? AND ended_at IS NOT NULL")
            .bind(&args.backup)
            .execute(&mut *self.connection)
            .await?;
        match gone.rows_affected() {
            0 => Err(Refusal::not_found("ended backup", &args.backup).into()),
            _ => Ok(Answer::Done),
        }
    }
}
