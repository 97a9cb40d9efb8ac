use super::{Reader, WorkState};
use crate::CatalogError;
use crate::column::{json, maybe_json, maybe_time, time, word};
use crate::command::{ReinjectionPlan, ReinjectionSummary};
use model::Timestamp;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

/// A diverged tail that is being written again, or was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reinjection {
    /// The id of the tail.
    pub tail: String,
    /// What was agreed on.
    pub plan: ReinjectionPlan,
    /// How it stands.
    pub state: WorkState,
    /// When it began.
    pub started_at: Timestamp,
    /// Who began it.
    pub started_by: String,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// What became of the records.
    pub summary: Option<ReinjectionSummary>,
    /// Why it failed.
    pub failure: Option<String>,
}

impl Reinjection {
    fn read(row: &SqliteRow) -> Result<Self, CatalogError> {
        Ok(Self {
            tail: row.try_get("tail")?,
            plan: json(row, "plan")?,
            state: word(row, "state")?,
            started_at: time(row, "started_at")?,
            started_by: row.try_get("started_by")?,
            ended_at: maybe_time(row, "ended_at")?,
            summary: maybe_json(row, "summary")?,
            failure: row.try_get("failure")?,
        })
    }
}

impl Reader {
    /// All re-injections, by the id of their tail.
    ///
    /// # Errors
    /// [`CatalogError`] when the database fails.
    pub async fn reinjections(&self) -> Result<Vec<Reinjection>, CatalogError> {
        let rows =
            sqlx::query("SELECT * FROM reinjections ORDER BY tail").fetch_all(&mut *self.connection().await?).await?;
        rows.iter().map(Reinjection::read).collect()
    }

    /// The re-injection of one tail.
    ///
    /// # Errors
    /// [`CatalogError`] when the database fails.
    pub async fn reinjection(&self, tail: &str) -> Result<Option<Reinjection>, CatalogError> {
        let row = sqlx::query("SELECT * FROM reinjections WHERE tail = ?")
            .bind(tail)
            .fetch_optional(&mut *self.connection().await?)
            .await?;
        row.as_ref().map(Reinjection::read).transpose()
    }
}
