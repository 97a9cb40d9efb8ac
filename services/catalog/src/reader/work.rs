use super::{Page, PageOf, Reader};
use crate::CatalogError;
use crate::column::{json, maybe_json, maybe_text, maybe_time, number, text, time, word};
use crate::command::{BackupSummary, DrillKind, RestoreSummary, RestoredTopic};
use dr_planner::drill::Scorecard;
use model::{ProtectionGroup, RunId, Timestamp};
use serde::Deserialize;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

/// How a backup or restore stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkState {
    /// At work.
    Running,
    /// Done.
    Completed,
    /// Not done.
    Failed,
}

/// A backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// Its name.
    pub id: String,
    /// Rises by one with every backup.
    pub number: u64,
    /// Its group.
    pub group: ProtectionGroup,
    /// Where its objects are.
    pub repository: String,
    /// The schedule that asked for it.
    pub schedule: Option<String>,
    /// How it stands.
    pub state: WorkState,
    /// When it began.
    pub started_at: Timestamp,
    /// Who began it.
    pub started_by: String,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// What it holds.
    pub summary: Option<BackupSummary>,
    /// Why it failed.
    pub failure: Option<String>,
}

/// A restore.
#[derive(Clone, Debug, PartialEq)]
pub struct Restore {
    /// Its name.
    pub id: String,
    /// Rises by one with every restore.
    pub number: u64,
    /// The backup it reads.
    pub backup: String,
    /// That backup's group.
    pub group: ProtectionGroup,
    /// The topics it writes.
    pub topics: Vec<RestoredTopic>,
    /// How it stands.
    pub state: WorkState,
    /// When it began.
    pub started_at: Timestamp,
    /// Who began it.
    pub started_by: String,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// What it wrote.
    pub summary: Option<RestoreSummary>,
    /// Why it failed.
    pub failure: Option<String>,
}

/// A drill.
#[derive(Clone, Debug, PartialEq)]
pub struct Drill {
    /// Its name.
    pub id: String,
    /// Rises by one with every drill.
    pub number: u64,
    /// What it rehearses.
    pub kind: DrillKind,
    /// Its group.
    pub group: ProtectionGroup,
    /// The schedule that asked for it.
    pub schedule: Option<String>,
    /// The run it made.
    pub run: Option<RunId>,
    /// When it began.
    pub started_at: Timestamp,
    /// Who began it.
    pub started_by: String,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// How it came out.
    pub scorecard: Option<Scorecard>,
}

impl Backup {
    fn read(row: &SqliteRow) -> Result<Self, CatalogError> {
        Ok(Self {
            id: row.try_get("id")?,
            number: number(row, "number")?,
            group: text(row, "group_name")?,
            repository: row.try_get("repository")?,
            schedule: row.try_get("schedule")?,
            state: word(row, "state")?,
            started_at: time(row, "started_at")?,
            started_by: row.try_get("started_by")?,
            ended_at: maybe_time(row, "ended_at")?,
            summary: maybe_json(row, "summary")?,
            failure: row.try_get("failure")?,
        })
    }
}

impl Restore {
    fn read(row: &SqliteRow) -> Result<Self, CatalogError> {
        Ok(Self {
            id: row.try_get("id")?,
            number: number(row, "number")?,
            backup: row.try_get("backup")?,
            group: text(row, "group_name")?,
            topics: json(row, "topics")?,
            state: word(row, "state")?,
            started_at: time(row, "started_at")?,
            started_by: row.try_get("started_by")?,
            ended_at: maybe_time(row, "ended_at")?,
            summary: maybe_json(row, "summary")?,
            failure: row.try_get("failure")?,
        })
    }
}

impl Drill {
    fn read(row: &SqliteRow) -> Result<Self, CatalogError> {
        Ok(Self {
            id: row.try_get("id")?,
            number: number(row, "number")?,
            kind: word(row, "kind")?,
            group: text(row, "group_name")?,
            schedule: row.try_get("schedule")?,
            run: maybe_text(row, "run")?,
            started_at: time(row, "started_at")?,
            started_by: row.try_get("started_by")?,
            ended_at: maybe_time(row, "ended_at")?,
            scorecard: maybe_json(row, "scorecard")?,
        })
    }
}

impl Reader {
    /// Backups, of one group or all, the newest first.
    ///
    /// # Errors
    /// [`CatalogError`] when the database fails.
    pub async fn backups(&self, group: Option<&ProtectionGroup>, page: Page) -> Result<PageOf<Backup>, CatalogError> {
        let rows = sqlx::query(
            "SELECT * FROM backups WHERE number < ?1 AND (?2 IS NULL OR group_name = ?2) ORDER BY number DESC LIMIT ?3",
        )
        .bind(page.below())
        .bind(group.map(ProtectionGroup::as_str))
        .bind(page.rows_to_read())
        .fetch_all(&mut *self.connection().await?)
        .await?;
        let items = rows.iter().map(Backup::read).collect::<Result<_, _>>()?;
        Ok(PageOf::cut(&page, items, |backup| backup.number))
    }

    /// One backup.
    ///
    /// # Errors
    /// [`CatalogError`] when the database fails.
    pub async fn backup(&self, backup: &str) -> Result<Option<Backup>, CatalogError> {
        let row = sqlx::query("SELECT * FROM backups WHERE id = ?")
            .bind(backup)
            .fetch_optional(&mut *self.connection().await?)
            .await?;
        row.as_ref().map(Backup::read).transpose()
    }

    /// Restores, the newest first.
    ///
    /// # Errors
    /// [`CatalogError`] when the database fails.
    pub async fn restores(&self, page: Page) -> Result<PageOf<Restore>, CatalogError> {
        let rows = sqlx::query("SELECT * FROM restores WHERE number < ? ORDER BY number DESC LIMIT ?")
            .bind(page.below())
            .bind(page.rows_to_read())
            .fetch_all(&mut *self.connection().await?)
            .await?;
        let items = rows.iter().map(Restore::read).collect::<Result<_, _>>()?;
        Ok(PageOf::cut(&page, items, |restore| restore.number))
    }

    /// One restore.
    ///
    /// # Errors
    /// [`CatalogError`] when the database fails.
    pub async fn restore(&self, restore: &str) -> Result<Option<Restore>, CatalogError> {
        let row = sqlx::query("SELECT * FROM restores WHERE id = ?")
            .bind(restore)
            .fetch_optional(&mut *self.connection().await?)
            .await?;
        row.as_ref().map(Restore::read).transpose()
    }

    /// Drills, the newest first.
    ///
    /// # Errors
    /// [`CatalogError`] when the database fails.
    pub async fn drills(&self, page: Page) -> Result<PageOf<Drill>, CatalogError> {
        let rows = sqlx::query("SELECT * FROM drills WHERE number < ? ORDER BY number DESC LIMIT ?")
            .bind(page.below())
            .bind(page.rows_to_read())
            .fetch_all(&mut *self.connection().await?)
            .await?;
        let items = rows.iter().map(Drill::read).collect::<Result<_, _>>()?;
        Ok(PageOf::cut(&page, items, |drill| drill.number))
    }

    /// One drill.
    ///
    /// # Errors
    /// [`CatalogError`] when the database fails.
    pub async fn drill(&self, drill: &str) -> Result<Option<Drill>, CatalogError> {
        let row = sqlx::query("SELECT * FROM drills WHERE id = ?")
            .bind(drill)
            .fetch_optional(&mut *self.connection().await?)
            .await?;
        row.as_ref().map(Drill::read).transpose()
    }
}
