use super::{Applied, Applying, check_text};
use crate::column::{json, text, to_json};
use crate::command::{FinishReinjection, ReinjectionOutcome, StartReinjection};
use crate::reader::tail_id;
use crate::{Answer, Refusal};
use model::{DivergedTail, RegionName};
use sqlx::Row;

impl Applying<'_> {
    pub(super) async fn start_reinjection(&mut self, args: &StartReinjection) -> Applied<Answer> {
        check_text("tail", &args.tail)?;
        let siblings = self.siblings(&args.region, &args.tail).await?;
        match self.reinjection_state(&args.tail).await?.as_deref() {
            None => {
                self.check_siblings(args, &siblings).await?;
                self.insert_reinjection(args).await?;
            }
            Some("running") => {}
            Some("failed") => self.begin_again(&args.tail).await?,
            Some(_) => {
                let (what, how) = ("re-injection of".to_owned(), "completed; a tail is written again once".to_owned());
                return Err(Refusal::Ended { what, name: args.tail.clone(), how }.into());
            }
        }
        Ok(Answer::Done)
    }

    /// The ids of the tails that other regions have of the same partition and epoch.
    pub(super) async fn siblings(&mut self, region: &RegionName, tail: &str) -> Applied<Vec<String>> {
        let rows = sqlx::query("SELECT region, document FROM diverged_tails ORDER BY region, range_start")
            .fetch_all(&mut *self.connection)
            .await?;
        let known = |row| Ok((text(row, "region")?, json::<DivergedTail>(row, "document")?));
        let all: Vec<(RegionName, DivergedTail)> = rows.iter().map(known).collect::<Applied<_>>()?;
        let is_asked = |of: &RegionName, known: &DivergedTail| of == region && tail_id(of, known) == tail;
        let asked = all.iter().find(|(of, known)| is_asked(of, known));
        let (_, asked) = asked.ok_or_else(|| Refusal::not_found("diverged tail", tail))?;
        let of_lineage = all.iter().filter(|(of, known)| !is_asked(of, known) && known.is_of_the_lineage(asked));
        Ok(of_lineage.map(|(of, known)| tail_id(of, known)).collect())
    }

    /// None is at work or may go on, and those that are complete were known when this was agreed on.
    async fn check_siblings(&mut self, args: &StartReinjection, siblings: &[String]) -> Applied<()> {
        let mut written_again = vec![];
        for sibling in siblings {
            match self.reinjection_state(sibling).await?.as_deref() {
                None => {}
                Some("completed") => written_again.push(sibling),
                Some(state) => {
                    let what = "re-injection of the same records out of diverged tail".to_owned();
                    let by = match state {
                        "failed" => "it has failed; ask for it again".to_owned(),
                        state => state.to_owned(),
                    };
                    return Err(Refusal::InProgress { what, name: sibling.clone(), by }.into());
                }
            }
        }
        if written_again.iter().all(|sibling| args.behind.contains(sibling)) {
            return Ok(());
        }
        let what = "number of tails written again that have records of diverged tail".to_owned();
        let (expected, revision) = (args.behind.len() as u64, written_again.len() as u64);
        Err(Refusal::Changed { what, name: args.tail.clone(), expected, revision }.into())
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
