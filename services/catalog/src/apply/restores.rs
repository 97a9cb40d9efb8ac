use super::{Applied, Applying, check_text};
use crate::column::{json, signed, text, to_json};
use crate::command::{FinishRestore, RestoreOutcome, RestoredTopic, StartRestore};
use crate::{Answer, Refusal, limits};
use model::{ProtectionGroup, TopicSpec, TopicState};
use sqlx::Row;

impl Applying<'_> {
    pub(super) async fn start_restore(&mut self, args: &StartRestore) -> Applied<Answer> {
        check_text("restore", &args.restore)?;
        if args.topics.len() > limits::TOPICS_PER_COMMAND_MAX {
            let limit = limits::TOPICS_PER_COMMAND_MAX;
            return Err(Refusal::too_many("topics of one restore", args.topics.len(), limit).into());
        }
        if self.restore_exists(&args.restore).await? {
            return Err(Refusal::Exists { what: "restore".into(), name: args.restore.clone() }.into());
        }
        let group = self.group_of_backup(&args.backup).await?;
        let mut created = Vec::with_capacity(args.topics.len());
        for topic in &args.topics {
            created.push(Ok(self.create_restored(topic).await?));
        }
        let number = self.next_number("restore").await?;
        sqlx::query(
            "INSERT INTO restores (id, number, backup, group_name, topics, state, started_at, started_by) \
             VALUES (?, ?, ?, ?, ?, 'running', ?, ?)",
        )
        .bind(&args.restore)
        .bind(signed(number))
        .bind(&args.backup)
        .bind(group.as_str())
        .bind(to_json(&args.topics))
        .bind(self.at.0)
        .bind(self.by)
        .execute(&mut *self.connection)
        .await?;
        Ok(Answer::Topics { outcomes: created })
    }

    async fn restore_exists(&mut self, restore: &str) -> Applied<bool> {
        let row = sqlx::query("SELECT 1 FROM restores WHERE id = ?").bind(restore);
        Ok(row.fetch_optional(&mut *self.connection).await?.is_some())
    }

    async fn group_of_backup(&mut self, backup: &str) -> Applied<ProtectionGroup> {
        let row = sqlx::query("SELECT group_name, state FROM backups WHERE id = ?")
            .bind(backup)
            .fetch_optional(&mut *self.connection)
            .await?;
        let row = row.ok_or_else(|| Refusal::not_found("backup", backup))?;
        match row.try_get("state")? {
            "completed" => Ok(text(&row, "group_name")?),
            state => Err(Refusal::unusable("backup", backup, format!("it is {state}, not completed")).into()),
        }
    }

    async fn create_restored(&mut self, restored: &RestoredTopic) -> Applied<TopicSpec> {
        let new = &restored.topic;
        if new.state != TopicState::Restoring {
            let reason = "a restored topic is hidden until it is complete: its state has to be restoring";
            return Err(Refusal::unusable("topic", new.name.as_str(), reason).into());
        }
        if let Some(empty) = restored.replaces {
            let there = self.topic(&new.name, Some(empty)).await?;
            if there.spec.state == TopicState::Restoring {
                return Err(Refusal::TopicRestoring { topic: new.name.clone() }.into());
            }
            self.delete_topic(empty).await?;
        }
        self.create_named(new).await
    }

    pub(super) async fn finish_restore(&mut self, args: &FinishRestore) -> Applied<Answer> {
        let (state, summary, failure) = match &args.outcome {
            RestoreOutcome::Completed(summary) => ("completed", Some(to_json(summary)), None),
            RestoreOutcome::Failed { reason } => ("failed", None, Some(reason)),
        };
        let row = sqlx::query("SELECT state, topics FROM restores WHERE id = ?")
            .bind(&args.restore)
            .fetch_optional(&mut *self.connection)
            .await?;
        let row = row.ok_or_else(|| Refusal::not_found("restore", &args.restore))?;
        match row.try_get("state")? {
            "running" => {}
            there if there == state => return Ok(Answer::Done),
            there => {
                let (what, name) = ("restore".into(), args.restore.clone());
                return Err(Refusal::Ended { what, name, how: String::from(there) }.into());
            }
        }
        let topics: Vec<RestoredTopic> = json(&row, "topics")?;
        for topic in topics {
            match args.outcome {
                RestoreOutcome::Completed(_) => self.open_topic(topic.topic.id).await?,
                RestoreOutcome::Failed { .. } => self.delete_topic(topic.topic.id).await?,
            }
        }
        sqlx::query("UPDATE restores SET state = ?, ended_at = ?, summary = ?, failure = ? WHERE id = ?")
            .bind(state)
            .bind(self.at.0)
            .bind(summary)
            .bind(failure)
            .bind(&args.restore)
            .execute(&mut *self.connection)
            .await?;
        Ok(Answer::Done)
    }
}
