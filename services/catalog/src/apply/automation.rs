use super::{Applied, Applying, check_text};
use crate::Answer;
use crate::command::{BlockAutomation, UnblockAutomation};

impl Applying<'_> {
    pub(super) async fn block_automation(&mut self, args: &BlockAutomation) -> Applied<Answer> {
        check_text("reason", &args.reason)?;
        self.group(&args.group).await?;
        sqlx::query(
            "INSERT OR REPLACE INTO automation_blocks (group_name, until, reason, blocked_at, blocked_by) \
             VALUES (?, ?, ?, ?, ?)",
        )
        .bind(args.group.as_str())
        .bind(args.until.map(|until| until.0))
        .bind(&args.reason)
        .bind(self.at.0)
        .bind(self.by)
        .execute(&mut *self.connection)
        .await?;
        self.touch().groups = true;
        Ok(Answer::Done)
    }

    pub(super) async fn unblock_automation(&mut self, args: &UnblockAutomation) -> Applied<Answer> {
        self.group(&args.group).await?;
        let gone = sqlx::query("DELETE FROM automation_blocks WHERE group_name = ?")
            .bind(args.group.as_str())
            .execute(&mut *self.connection)
            .await?;
        if gone.rows_affected() > 0 {
            self.touch().groups = true;
        }
        Ok(Answer::Done)
    }
}
