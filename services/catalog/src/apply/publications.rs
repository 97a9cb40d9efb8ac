use super::{Applied, Applying, check_text};
use crate::column::to_json;
use crate::command::{FinishPublication, StartPublication};
use crate::{Answer, Refusal, limits};

impl Applying<'_> {
    pub(super) async fn start_publication(&mut self, args: &StartPublication) -> Applied<Answer> {
        check_text("tail", &args.tail)?;
        for sibling in self.siblings(&args.region, &args.tail).await? {
            if self.is_being_published(&sibling).await? && !self.is_being_published(&args.tail).await? {
                let what = "publication of the same records out of diverged tail".to_owned();
                return Err(Refusal::InProgress { what, name: sibling, by: "running".to_owned() }.into());
            }
        }
        // The plan that is there stays: what was sent before was sent by it.
        sqlx::query("INSERT INTO publications (tail, plan, started_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING")
            .bind(&args.tail)
            .bind(to_json(&args.plan))
            .bind(self.at.0)
            .execute(&mut *self.connection)
            .await?;
        Ok(Answer::Done)
    }

    async fn is_being_published(&mut self, tail: &str) -> Applied<bool> {
        let found = sqlx::query("SELECT tail FROM publications WHERE tail = ? AND summary IS NULL").bind(tail);
        Ok(found.fetch_optional(&mut *self.connection).await?.is_some())
    }

    pub(super) async fn finish_publication(&mut self, args: &FinishPublication) -> Applied<Answer> {
        let count = args.summary.runs.len();
        if count > limits::PUBLISHED_RUNS_MAX {
            return Err(Refusal::too_many("runs of a publication", count, limits::PUBLISHED_RUNS_MAX).into());
        }
        let known: Option<i64> = sqlx::query_scalar("SELECT started_at FROM publications WHERE tail = ?")
            .bind(&args.tail)
            .fetch_optional(&mut *self.connection)
            .await?;
        if known.is_none() {
            return Err(Refusal::not_found("publication", &args.tail).into());
        }
        sqlx::query("UPDATE publications SET ended_at = ?, summary = ? WHERE tail = ? AND summary IS NULL")
            .bind(self.at.0)
            .bind(to_json(&args.summary))
            .bind(&args.tail)
            .execute(&mut *self.connection)
            .await?;
        Ok(Answer::Done)
    }
}
