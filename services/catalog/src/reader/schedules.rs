use super::{Page, Reader};
use crate::CatalogError;
use crate::column::{json, maybe_time, number, time, word};
use dr_planner::schedule::Schedule;
use model::Timestamp;
use serde::Deserialize;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

/// A schedule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSchedule {
    /// What and when.
    pub schedule: Schedule,
    /// Which version of it this is.
    pub revision: u64,
    /// When it was last changed.
    pub changed_at: Timestamp,
    /// Who changed it.
    pub changed_by: String,
}

/// One time a schedule was due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Firing {
    /// When it was due.
    pub due: Timestamp,
    /// What came of it.
    pub state: FiringState,
    /// Who took it on.
    pub claimant: Option<String>,
    /// When it was taken on.
    pub claimed_at: Option<Timestamp>,
    /// When others may take it for dead.
    pub expires: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// What it started, or why it did not.
    pub detail: Option<String>,
}

/// What came of a firing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FiringState {
    /// Somebody works on it.
    Claimed,
    /// It did what it was for.
    Succeeded,
    /// It did not.
    Failed,
    /// It was not done.
    Missed,
    /// Its time ran out.
    Abandoned,
}

impl StoredSchedule {
    fn read(row: &SqliteRow) -> Result<Self, CatalogError> {
        Ok(Self {
            schedule: json(row, "document")?,
            revision: number(row, "revision")?,
            changed_at: time(row, "changed_at")?,
            changed_by: row.try_get("changed_by")?,
        })
    }
}

impl Firing {
    fn read(row: &SqliteRow) -> Result<Self, CatalogError> {
        Ok(Self {
            due: time(row, "due")?,
            state: word(row, "state")?,
            claimant: row.try_get("claimant")?,
            claimed_at: maybe_time(row, "claimed_at")?,
            expires: maybe_time(row, "expires")?,
            ended_at: maybe_time(row, "ended_at")?,
            detail: row.try_get("detail")?,
        })
    }
}

impl Reader {
    /// All schedules, by name.
    ///
    /// # Errors
    /// [`CatalogError`] when the database fails.
    pub async fn schedules(&self) -> Result<Vec<StoredSchedule>, CatalogError> {
        let rows =
            sqlx::query("SELECT * FROM schedules ORDER BY name").fetch_all(&mut *self.connection().await?).await?;
        rows.iter().map(StoredSchedule::read).collect()
    }

    /// The schedule called `name`.
    ///
    /// # Errors
    /// [`CatalogError`] when the database fails.
    pub async fn schedule(&self, name: &str) -> Result<Option<StoredSchedule>, CatalogError> {
        let row = sqlx::query("SELECT * FROM schedules WHERE name = ?")
            .bind(name)
            .fetch_optional(&mut *self.connection().await?)
            .await?;
        row.as_ref().map(StoredSchedule::read).transpose()
    }

    /// The last times a schedule was due, the newest first.
    ///
    /// # Errors
    /// [`CatalogError`] when the database fails.
    pub async fn firings(&self, schedule: &str, limit: u32) -> Result<Vec<Firing>, CatalogError> {
        let rows = sqlx::query("SELECT * FROM firings WHERE schedule = ? ORDER BY due DESC LIMIT ?")
            .bind(schedule)
            .bind(Page::of(limit).rows() as i64)
            .fetch_all(&mut *self.connection().await?)
            .await?;
        rows.iter().map(Firing::read).collect()
    }
}
