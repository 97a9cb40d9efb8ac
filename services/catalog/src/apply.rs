//! One command: read the rows it depends on, decide, write.

mod automation;
mod backups;
mod drills;
mod evidence;
mod gateways;
mod groups;
mod modes;
mod nodes;
mod ownership;
mod platform;
mod publications;
mod reinjections;
mod restores;
mod runs;
mod schedules;
mod topics;

use crate::catalog::Entry;
use crate::column::{json, number, signed, to_json};
use crate::view::Touched;
use crate::{Answer, CatalogError, Change, Outcome, Refusal, limits};
use model::Timestamp;
use sqlx::{Connection, Row, SqliteConnection};

/// Why a command ends before its end.
#[derive(Debug)]
enum Stop {
    Refused(Refusal),
    Failed(CatalogError),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<CatalogError> for Stop {
    fn from(error: CatalogError) -> Self {
        Self::Failed(error)
    }
}

impl From<sqlx::Error> for Stop {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error.into())
    }
}

type Applied<T> = Result<T, Stop>;

/// A command while it is applied.
pub(crate) struct Applying<'c> {
    connection: &'c mut SqliteConnection,
    touched: &'c mut Touched,
    index: u64,
    at: Timestamp,
    by: &'c str,
}

impl<'c> Applying<'c> {
    /// Applies one command of a log entry: all of its effect or, when it is refused, none.
    pub(crate) async fn entry(
        connection: &'c mut SqliteConnection,
        entry: &'c Entry,
        touched: &'c mut Touched,
    ) -> Result<Outcome, CatalogError> {
        let before = touched.clone();
        let mut savepoint = connection.begin().await?;
        let (index, at, by) = (entry.index, entry.command.at, entry.command.by.as_str());
        let mut applying = Applying { connection: &mut savepoint, touched, index, at, by };
        let outcome = match applying.keyed(entry).await {
            Ok(answer) => Ok(answer),
            Err(Stop::Refused(refusal)) => Err(refusal),
            Err(Stop::Failed(error)) => return Err(error),
        };
        match outcome {
            Ok(_) => savepoint.commit().await?,
            Err(_) => {
                savepoint.rollback().await?;
                *touched = before;
            }
        }
        audit(connection, entry, outcome.as_ref().err()).await?;
        Ok(outcome)
    }

    /// The answer of the command, or the one its key got before.
    async fn keyed(&mut self, entry: &Entry) -> Applied<Answer> {
        let command = &entry.command;
        check_text("actor", &command.by)?;
        let Some(key) = &command.request else { return self.change(&command.change).await };
        check_text("request key", key)?;
        let wanted = format!("{} {}", command.change.kind(), command.change.subject());
        if let Some(answer) = self.answered(key, &wanted).await? {
            return Ok(answer);
        }
        let answer = self.change(&command.change).await?;
        sqlx::query("INSERT INTO requests (key, change, answer, log_index) VALUES (?, ?, ?, ?)")
            .bind(key)
            .bind(wanted)
            .bind(to_json(&answer))
            .bind(signed(self.index))
            .execute(&mut *self.connection)
            .await?;
        self.forget_requests().await?;
        Ok(answer)
    }

    async fn answered(&mut self, key: &str, wanted: &str) -> Applied<Option<Answer>> {
        let row = sqlx::query("SELECT change, answer FROM requests WHERE key = ?")
            .bind(key)
            .fetch_optional(&mut *self.connection)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let change: String = row.try_get("change")?;
        if change != wanted {
            return Err(Refusal::KeyUsed { key: key.to_owned(), change }.into());
        }
        Ok(Some(json(&row, "answer")?))
    }

    async fn forget_requests(&mut self) -> Applied<()> {
        sqlx::query("DELETE FROM requests WHERE log_index < ?")
            .bind(oldest_remembered(self.index))
            .execute(&mut *self.connection)
            .await?;
        Ok(())
    }

    async fn change(&mut self, change: &Change) -> Applied<Answer> {
        match change {
            Change::FormPlatform(args) => self.form_platform(args).await,
            Change::JoinRegion(args) => self.join_region(args).await,
            Change::JoinWitness(args) => self.join_witness(args).await,
            Change::RegisterGateway(args) => self.register_gateway(args).await,
            Change::PutSetting(args) => self.put_setting(args).await,
            Change::BlockAutomation(args) => self.block_automation(args).await,
            Change::UnblockAutomation(args) => self.unblock_automation(args).await,
            Change::CreateTopics(args) => self.create_topics(args).await,
            Change::DeleteTopics(args) => self.delete_topics(args).await,
            Change::AlterTopicConfig(args) => self.alter_topic_config(args).await,
            Change::AddPartitions(args) => self.add_partitions(args).await,
            Change::FollowTopic(args) => self.follow_topic(args).await,
            Change::PurgeTopics(args) => self.purge_topics(args).await,
            Change::CreateGroup(args) => self.create_group(args).await,
            Change::UpdateGroup(args) => self.update_group(args).await,
            Change::DeleteGroup(args) => self.delete_group(args).await,
            Change::ChangeMode(args) => self.change_mode(args).await,
            Change::NoteExposure(args) => self.note_exposure(args).await,
            Change::Revoke(args) => self.revoke(args).await,
            Change::Regrant(args) => self.regrant(args).await,
            Change::Pivot(args) => self.pivot(args).await,
            Change::Redirect(args) => self.redirect(args).await,
            Change::StorePlan(args) => self.store_plan(&args.plan).await,
            Change::StartRun(args) => self.start_run(args).await,
            Change::AppendRunEvent(args) => self.append_run_event(args).await,
            Change::StoreReport(args) => self.store_report(&args.report).await,
            Change::RecordDiverged(args) => self.record_diverged(args).await,
            Change::RecordGaps(args) => self.record_gaps(args).await,
            Change::StartReinjection(args) => self.start_reinjection(args).await,
            Change::FinishReinjection(args) => self.finish_reinjection(args).await,
            Change::StartPublication(args) => self.start_publication(args).await,
            Change::FinishPublication(args) => self.finish_publication(args).await,
            Change::PutSchedule(args) => self.put_schedule(args).await,
            Change::DeleteSchedule(args) => self.delete_schedule(args).await,
            Change::ClaimFiring(args) => self.claim_firing(args).await,
            Change::FinishFiring(args) => self.finish_firing(args).await,
            Change::RecordMissed(args) => self.record_missed(args).await,
            Change::StartBackup(args) => self.start_backup(args).await,
            Change::FinishBackup(args) => self.finish_backup(args).await,
            Change::ForgetBackup(args) => self.forget_backup(args).await,
            Change::StartRestore(args) => self.start_restore(args).await,
            Change::FinishRestore(args) => self.finish_restore(args).await,
            Change::StartDrill(args) => self.start_drill(args).await,
            Change::FinishDrill(args) => self.finish_drill(args).await,
        }
    }

    /// What of the view this command changes.
    fn touch(&mut self) -> &mut Touched {
        self.touched.index = Some(self.index);
        self.touched
    }

    /// The next number of a counter that never goes back, from 1.
    async fn next_number(&mut self, counter: &str) -> Applied<u64> {
        let row = sqlx::query(
            "INSERT INTO counters (name, last) VALUES (?, 1) \
             ON CONFLICT (name) DO UPDATE SET last = last + 1 RETURNING last",
        )
        .bind(counter)
        .fetch_one(&mut *self.connection)
        .await?;
        Ok(number(&row, "last")?)
    }

    async fn count(&mut self, query: &'static str) -> Applied<usize> {
        let count: i64 = sqlx::query_scalar(query).fetch_one(&mut *self.connection).await?;
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    }
}

/// Refuses texts that are empty or too long to be kept.
fn check_text(what: &str, text: &str) -> Applied<()> {
    if text.is_empty() {
        return Err(Refusal::unusable(what, text, "it is empty").into());
    }
    if text.len() > limits::TEXT_BYTES_MAX {
        let reason = format!("it has {} bytes; at most {} are allowed", text.len(), limits::TEXT_BYTES_MAX);
        return Err(Refusal::unusable(what, text, reason).into());
    }
    Ok(())
}

fn oldest_remembered(index: u64) -> i64 {
    signed(index.saturating_sub(limits::ENTRIES_REMEMBERED))
}

async fn audit(
    connection: &mut SqliteConnection,
    entry: &Entry,
    refusal: Option<&Refusal>,
) -> Result<(), CatalogError> {
    let command = &entry.command;
    sqlx::query("INSERT INTO audit (log_index, at, actor, change, subject, refusal) VALUES (?, ?, ?, ?, ?, ?)")
        .bind(signed(entry.index))
        .bind(command.at.0)
        .bind(command.by.chars().take(limits::TEXT_BYTES_MAX).collect::<String>())
        .bind(command.change.kind())
        .bind(command.change.subject())
        .bind(refusal.map(ToString::to_string))
        .execute(&mut *connection)
        .await?;
    sqlx::query("DELETE FROM audit WHERE log_index < ?")
        .bind(oldest_remembered(entry.index))
        .execute(connection)
        .await?;
    Ok(())
}
