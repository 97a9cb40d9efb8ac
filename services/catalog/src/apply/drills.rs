use super::runs::document;
use super::{Applied, Applying, check_text};
use crate::column::{signed, to_word};
use crate::command::{FinishDrill, StartDrill};
use crate::{Answer, Refusal};
use model::RunId;
use sqlx::Row;

impl Applying<'_> {
    pub(super) async fn start_drill(&mut self, args: &StartDrill) -> Applied<Answer> {
        check_text("drill", &args.drill)?;
        self.group(&args.group).await?;
        let there = sqlx::query("SELECT id FROM drills WHERE id = ? OR (group_name = ? AND ended_at IS NULL)")
            .bind(&args.drill)
            .bind(args.group.as_str())
            .fetch_optional(&mut *self.connection)
            .await?;
        if let Some(there) = there {
            let by: String = there.try_get("id")?;
            let (what, name) = ("drill of protection group".into(), args.group.to_string());
            return Err(Refusal::InProgress { what, name, by }.into());
        }
        let number = self.next_number("drill").await?;
        sqlx::query(
            "INSERT INTO drills (id, number, kind, group_name, schedule, started_at, started_by) \
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&args.drill)
        .bind(signed(number))
        .bind(to_word(&args.kind))
        .bind(args.group.as_str())
        .bind(&args.schedule)
        .bind(self.at.0)
        .bind(self.by)
        .execute(&mut *self.connection)
        .await?;
        Ok(Answer::Done)
    }

    pub(super) async fn finish_drill(&mut self, args: &FinishDrill) -> Applied<Answer> {
        let drill = &args.scorecard.drill;
        let document = document("scorecard", &args.scorecard)?;
        let there = sqlx::query("SELECT scorecard FROM drills WHERE id = ?")
            .bind(drill)
            .fetch_optional(&mut *self.connection)
            .await?;
        let there = there.ok_or_else(|| Refusal::not_found("drill", drill))?;
        match there.try_get::<Option<String>, _>("scorecard")? {
            Some(scored) if scored == document => return Ok(Answer::Done),
            Some(_) => {
                let how = "it has another scorecard".into();
                return Err(Refusal::Ended { what: "drill".into(), name: drill.clone(), how }.into());
            }
            None => {}
        }
        sqlx::query("UPDATE drills SET run = ?, ended_at = ?, verdict = ?, scorecard = ? WHERE id = ?")
            .bind(args.run.as_ref().map(RunId::as_str))
            .bind(self.at.0)
            .bind(to_word(&args.scorecard.verdict))
            .bind(document)
            .bind(drill)
            .execute(&mut *self.connection)
            .await?;
        Ok(Answer::Done)
    }
}
