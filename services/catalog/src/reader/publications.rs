use super::Reader;
use crate::CatalogError;
use crate::column::{json, maybe_json, maybe_time, time};
use crate::command::{PublicationPlan, PublicationSummary};
use model::Timestamp;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

/// A diverged tail that is being published in a topic of its own, or was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// The id of the tail.
    pub tail: String,
    /// What was agreed on.
    pub plan: PublicationPlan,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Where the records are; `None` while it is at work.
    pub summary: Option<PublicationSummary>,
}

impl Publication {
    fn read(row: &SqliteRow) -> Result<Self, CatalogError> {
        Ok(Self {
            tail: row.try_get("tail")?,
            plan: json(row, "plan")?,
            started_at: time(row, "started_at")?,
            ended_at: maybe_time(row, "ended_at")?,
            summary: maybe_json(row, "summary")?,
        })
    }
}

impl Reader {
    /// All publications, by the id of their tail.
    ///
    /// # Errors
    /// [`CatalogError`] when the database fails.
    pub async fn publications(&self) -> Result<Vec<Publication>, CatalogError> {
        let rows =
            sqlx::query("SELECT * FROM publications ORDER BY tail").fetch_all(&mut *self.connection().await?).await?;
        rows.iter().map(Publication::read).collect()
    }

    /// The publication of one tail.
    ///
    /// # Errors
    /// [`CatalogError`] when the database fails.
    pub async fn publication(&self, tail: &str) -> Result<Option<Publication>, CatalogError> {
        let row = sqlx::query("SELECT * FROM publications WHERE tail = ?")
            .bind(tail)
            .fetch_optional(&mut *self.connection().await?)
            .await?;
        row.as_ref().map(Publication::read).transpose()
    }
}
