use super::{Page, PageOf, Reader};
use crate::CatalogError;
use crate::column::{json, maybe_time, number, signed, text, time, word};
use dr_planner::plan::{Kind, Plan, PlanId};
use dr_planner::report::Report;
use dr_planner::run::{Entry, Event, Run, State};
use model::{ProtectionGroup, RunId, Timestamp};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

/// A run without its plan and events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunSummary {
    /// Its name.
    pub id: RunId,
    /// Rises by one with every run.
    pub number: u64,
    /// Its plan.
    pub plan: PlanId,
    /// Its group.
    pub group: ProtectionGroup,
    /// What kind of move it is.
    pub kind: Kind,
    /// How it stands, as far as its events say.
    pub state: State,
    /// How many events it has.
    pub events: u64,
    /// When it began.
    pub started_at: Timestamp,
    /// Who began it.
    pub started_by: String,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
}

impl RunSummary {
    fn read(row: &SqliteRow) -> Result<Self, CatalogError> {
        Ok(Self {
            id: text(row, "id")?,
            number: number(row, "number")?,
            plan: PlanId(row.try_get("plan")?),
            group: text(row, "group_name")?,
            kind: word(row, "kind")?,
            state: word(row, "state")?,
            events: number(row, "events")?,
            started_at: time(row, "started_at")?,
            started_by: row.try_get("started_by")?,
            ended_at: maybe_time(row, "ended_at")?,
        })
    }
}

/// An event of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its number, from 0.
    pub seq: u64,
    /// When it was persisted.
    pub at: Timestamp,
    /// Who persisted it.
    pub by: String,
    /// What happened.
    pub event: Event,
}

impl StoredEvent {
    fn read(row: &SqliteRow) -> Result<Self, CatalogError> {
        let (seq, at) = (number(row, "seq")?, time(row, "at")?);
        Ok(Self { seq, at, by: row.try_get("actor")?, event: json(row, "document")? })
    }
}

/// The report of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredReport {
    /// The report.
    pub report: Report,
    /// Which version of it this is.
    pub revision: u64,
    /// When it was stored.
    pub stored_at: Timestamp,
}

impl StoredReport {
    fn read(row: &SqliteRow) -> Result<Self, CatalogError> {
        let (revision, stored_at) = (number(row, "revision")?, time(row, "stored_at")?);
        Ok(Self { report: json(row, "document")?, revision, stored_at })
    }
}

/// A plan without its steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanSummary {
    /// Its name.
    pub id: PlanId,
    /// Its group.
    pub group: ProtectionGroup,
    /// What kind of move it is.
    pub kind: Kind,
    /// Which plan of its group it is.
    pub generation: u64,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Reader {
    /// Runs, of one group or all, the newest first.
    ///
    /// # Errors
    /// [`CatalogError`] when the database fails.
    pub async fn runs(&self, group: Option<&ProtectionGroup>, page: Page) -> Result<PageOf<RunSummary>, CatalogError> {
        let rows = sqlx::query(
            "SELECT * FROM runs WHERE number < ?1 AND (?2 IS NULL OR group_name = ?2) ORDER BY number DESC LIMIT ?3",
        )
        .bind(page.below())
        .bind(group.map(ProtectionGroup::as_str))
        .bind(page.rows_to_read())
        .fetch_all(&mut *self.connection().await?)
        .await?;
        let items = rows.iter().map(RunSummary::read).collect::<Result<_, _>>()?;
        Ok(PageOf::cut(&page, items, |run| run.number))
    }

    /// The runs that are not over.
    ///
    /// # Errors
    /// [`CatalogError`] when the database fails.
    pub async fn runs_in_progress(&self) -> Result<Vec<RunSummary>, CatalogError> {
        let rows = sqlx::query("SELECT * FROM runs WHERE ended_at IS NULL ORDER BY number")
            .fetch_all(&mut *self.connection().await?)
            .await?;
        rows.iter().map(RunSummary::read).collect()
    }

    /// The runs of a group that nobody asked for, begun at `since` or later.
    ///
    /// # Errors
    /// [`CatalogError`] when the database fails.
    pub async fn automatic_runs(
        &self,
        group: &ProtectionGroup,
        since: Timestamp,
    ) -> Result<Vec<RunSummary>, CatalogError> {
        let rows = sqlx::query(
            "SELECT runs.* FROM runs JOIN plans ON plans.id = runs.plan WHERE runs.group_name = ? AND started_at >= ? \
             AND plans.document ->> '$.trigger.trigger' = 'region_lost' ORDER BY number",
        )
        .bind(group.as_str())
        .bind(since.0)
        .fetch_all(&mut *self.connection().await?)
        .await?;
        rows.iter().map(RunSummary::read).collect()
    }

    /// One run without its plan and events.
    ///
    /// # Errors
    /// [`CatalogError`] when the database fails.
    pub async fn run_summary(&self, run: &RunId) -> Result<Option<RunSummary>, CatalogError> {
        let row = sqlx::query("SELECT * FROM runs WHERE id = ?")
            .bind(run.as_str())
            .fetch_optional(&mut *self.connection().await?)
            .await?;
        row.as_ref().map(RunSummary::read).transpose()
    }

    /// One run with its plan and all its events: what a run machine is built from.
    ///
    /// # Errors
    /// [`CatalogError`] when the database fails.
    pub async fn run(&self, run: &RunId) -> Result<Option<Run>, CatalogError> {
        let mut connection = self.connection().await?;
        let row = sqlx::query("SELECT document FROM plans WHERE id = (SELECT plan FROM runs WHERE id = ?)")
            .bind(run.as_str())
            .fetch_optional(&mut *connection)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let rows = sqlx::query("SELECT at, document FROM run_events WHERE run = ? ORDER BY seq")
            .bind(run.as_str())
            .fetch_all(&mut *connection)
            .await?;
        let entry = |row: &SqliteRow| Ok(Entry { at: time(row, "at")?, event: json(row, "document")? });
        let entries = rows.iter().map(entry).collect::<Result<_, CatalogError>>()?;
        Ok(Some(Run { id: run.clone(), plan: json(&row, "document")?, entries }))
    }

    /// The events of a run from number `since` on, in order, as many as a page may hold.
    ///
    /// # Errors
    /// [`CatalogError`] when the database fails.
    pub async fn run_events(
        &self,
        run: &RunId,
        since: u64,
        limit: Option<u32>,
    ) -> Result<Vec<StoredEvent>, CatalogError> {
        let page = Page { limit, after: None };
        let rows = sqlx::query("SELECT * FROM run_events WHERE run = ? AND seq >= ? ORDER BY seq LIMIT ?")
            .bind(run.as_str())
            .bind(signed(since.min(i64::MAX as u64)))
            .bind(page.rows() as i64)
            .fetch_all(&mut *self.connection().await?)
            .await?;
        rows.iter().map(StoredEvent::read).collect()
    }

    /// The report of a run, if there is one yet.
    ///
    /// # Errors
    /// [`CatalogError`] when the database fails.
    pub async fn report(&self, run: &RunId) -> Result<Option<StoredReport>, CatalogError> {
        let row = sqlx::query("SELECT * FROM reports WHERE run = ?")
            .bind(run.as_str())
            .fetch_optional(&mut *self.connection().await?)
            .await?;
        row.as_ref().map(StoredReport::read).transpose()
    }

    /// The reports that wait for an old log.
    ///
    /// # Errors
    /// [`CatalogError`] when the database fails.
    pub async fn provisional_reports(&self) -> Result<Vec<StoredReport>, CatalogError> {
        let rows = sqlx::query("SELECT * FROM reports WHERE final = 0 ORDER BY run")
            .fetch_all(&mut *self.connection().await?)
            .await?;
        rows.iter().map(StoredReport::read).collect()
    }

    /// Plans, of one group or all, the newest first.
    ///
    /// # Errors
    /// [`CatalogError`] when the database fails.
    pub async fn plans(
        &self,
        group: Option<&ProtectionGroup>,
        page: Page,
    ) -> Result<PageOf<PlanSummary>, CatalogError> {
        let rows = sqlx::query(
            "SELECT number, id, group_name, kind, generation, created_at FROM plans \
             WHERE number < ?1 AND (?2 IS NULL OR group_name = ?2) ORDER BY number DESC LIMIT ?3",
        )
        .bind(page.below())
        .bind(group.map(ProtectionGroup::as_str))
        .bind(page.rows_to_read())
        .fetch_all(&mut *self.connection().await?)
        .await?;
        let read = |row: &SqliteRow| {
            let plan = PlanSummary {
                id: PlanId(row.try_get("id")?),
                group: text(row, "group_name")?,
                kind: word(row, "kind")?,
                generation: number(row, "generation")?,
                created_at: time(row, "created_at")?,
            };
            Ok((number(row, "number")?, plan))
        };
        let numbered: Vec<(u64, PlanSummary)> = rows.iter().map(read).collect::<Result<_, CatalogError>>()?;
        let page = PageOf::cut(&page, numbered, |(number, _)| *number);
        Ok(PageOf { items: page.items.into_iter().map(|(_, plan)| plan).collect(), next: page.next })
    }

    /// One plan.
    ///
    /// # Errors
    /// [`CatalogError`] when the database fails.
    pub async fn plan(&self, plan: &PlanId) -> Result<Option<Plan>, CatalogError> {
        let row = sqlx::query("SELECT document FROM plans WHERE id = ?")
            .bind(&plan.0)
            .fetch_optional(&mut *self.connection().await?)
            .await?;
        row.as_ref().map(|row| json(row, "document")).transpose()
    }

    /// The newest plan of a group.
    ///
    /// # Errors
    /// [`CatalogError`] when the database fails.
    pub async fn newest_plan(&self, group: &ProtectionGroup) -> Result<Option<Plan>, CatalogError> {
        let row = sqlx::query("SELECT document FROM plans WHERE group_name = ? ORDER BY generation DESC LIMIT 1")
            .bind(group.as_str())
            .fetch_optional(&mut *self.connection().await?)
            .await?;
        row.as_ref().map(|row| json(row, "document")).transpose()
    }
}
