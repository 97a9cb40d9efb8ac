use super::{Applied, Applying, check_text};
use crate::column::{json, to_json};
use crate::command::{FinishReinjection, ReinjectionOutcome, StartReinjection};
use crate::reader::tail_id;
use crate::{Answer, Refusal};
use model::{DivergedTail, RegionName};
use sqlx::Row;

impl Applying<'_> {
    pub(super) async fn start_reinjection(&mut self, args: &StartReinjection) -> Applied<Answer> {
        check_text("tail", &args.tail)?;
        if !self.tail_exists(&args.region, &args.tail).await? {
            return Err(Refusal::not_found("diverged tail", &args.tail).into());
        }
        match self.reinjection_state(&args.tail).await?.as_deref() {
            None => self.insert_reinjection(args).await?,
            Some("running") => {}
            Some("failed") => self.begin_again(&args.tail).await?,
            Some(_) => {
                let (what, how) = ("re-injection of".to_owned(), "completed; a tail is written again once".to_owned());
                return Err(Refusal::Ended { what, name: args.tail.clone(), how }.into());
            }
        }
        Ok(Answer::Done)
    }

    pub(super) async fn tail_exists(&mut self, region: &RegionName, tail: &str) -> Applied<bool> {
        let rows = sqlx::query("SELECT document FROM diverged_tails WHERE region = ?")
            .bind(region.as_str())
            .fetch_all(&mut *self.connection)
            .await?;
        for row in &rows {
            let known: DivergedTail = json(row, "document")?;
            if tail_id(region, &known) == tail {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn reinjection_state(&mut self, tail: &str) -> Applied<Option<String>> {
        let row = sqlx::query("SELECT state FROM reinjections WHERE tail = ?")
            .bind(tail)
            .fetch_optional(&mut *self.connection)
            .await?;
        Ok(row.map(|row| row.try_get("state")).transpose()?)
    }

    async fn insert_reinjection(&mut self, args: &StartReinjection) -> Applied<()> {
        sqlx::query(
            "INSERT INTO reinjections (tail, plan, state, started_at, started_by) VALUES (?, ?, 'running', ?, ?)",
        )
        .bind(&args.tail)
        .bind(to_json(&args.plan))
        .bind(self.at.0)
        .bind(self.by)
        .execute(&mut *self.connection)
        .await?;
        Ok(())
    }

    /// The plan stays: what was sent before was sent by it.
    async fn begin_again(&mut self, tail: &str) -> Applied<()> {
        sqlx::query("UPDATE reinjections SET state = 'running', ended_at = NULL, failure = NULL WHERE tail = ?")
            .bind(tail)
            .execute(&mut *self.connection)
            .await?;
        Ok(())
    }

    pub(super) async fn finish_reinjection(&mut self, args: &FinishReinjection) -> Applied<Answer> {
        let (state, summary, failure) = match &args.outcome {
            ReinjectionOutcome::Completed(summary) => ("completed", Some(to_json(summary)), None),
            ReinjectionOutcome::Failed { reason } => ("failed", None, Some(reason)),
        };
        match self.reinjection_state(&args.tail).await?.as_deref() {
            None => return Err(Refusal::not_found("re-injection", &args.tail).into()),
            Some("running") => {}
            Some(there) if there == state => return Ok(Answer::Done),
            Some(there) => {
                let (what, how) = ("re-injection of".to_owned(), there.to_owned());
                return Err(Refusal::Ended { what, name: args.tail.clone(), how }.into());
            }
        }
        sqlx::query("UPDATE reinjections SET state = ?, ended_at = ?, summary = ?, failure = ? WHERE tail = ?")
            .bind(state)
            .bind(self.at.0)
            .bind(summary)
            .bind(failure)
            .bind(&args.tail)
            .execute(&mut *self.connection)
            .await?;
        Ok(Answer::Done)
    }
}
