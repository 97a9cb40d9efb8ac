use super::{Page, PageOf, Reader};
use crate::CatalogError;
use crate::column::{json, maybe_text, number, text, time};
use model::{Incarnation, Opening, OwnershipEpoch, ProtectionGroup, RegionName, RunId, Timestamp};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

/// A grant there was or is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantRecord {
    /// Its number.
    pub ownership_epoch: OwnershipEpoch,
    /// Its holder.
    pub owner: RegionName,
    /// When it was granted.
    pub granted_at: Timestamp,
    /// What for: `created`, `pivot`, `restore`, `topics moved`.
    pub reason: String,
    /// The run it was granted in.
    pub run: Option<RunId>,
    /// Where its lineage departed from the one before.
    pub openings: Vec<Opening>,
}

/// A change somebody asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    /// The council log entry.
    pub index: u64,
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// What kind of change.
    pub change: String,
    /// Of what.
    pub subject: String,
    /// Why it had no effect, if it had none.
    pub refusal: Option<String>,
}

impl Reader {
    /// When an incarnation was given to a disk; `None` when there never was one of that number.
    ///
    /// # Errors
    /// [`CatalogError`] when the database fails.
    pub async fn incarnation_given_at(&self, incarnation: Incarnation) -> Result<Option<Timestamp>, CatalogError> {
        let given_at: Option<i64> = sqlx::query_scalar("SELECT given_at FROM incarnations WHERE number = ?")
            .bind(i64::from(incarnation.0))
            .fetch_optional(&mut *self.connection().await?)
            .await?;
        Ok(given_at.map(Timestamp))
    }

    /// All grants of a group, the newest first.
    ///
    /// # Errors
    /// [`CatalogError`] when the database fails.
    pub async fn grants(&self, group: &ProtectionGroup) -> Result<Vec<GrantRecord>, CatalogError> {
        let rows = sqlx::query("SELECT * FROM grants WHERE group_name = ? ORDER BY ownership_epoch DESC")
            .bind(group.as_str())
            .fetch_all(&mut *self.connection().await?)
            .await?;
        let read = |row: &SqliteRow| {
            Ok(GrantRecord {
                ownership_epoch: OwnershipEpoch(number(row, "ownership_epoch")?),
                owner: text(row, "owner")?,
                granted_at: time(row, "granted_at")?,
                reason: row.try_get("reason")?,
                run: maybe_text(row, "run")?,
                openings: json(row, "openings")?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// What was asked of the council, the newest first.
    ///
    /// # Errors
    /// [`CatalogError`] when the database fails.
    pub async fn audit(&self, page: Page) -> Result<PageOf<AuditRecord>, CatalogError> {
        let rows = sqlx::query("SELECT * FROM audit WHERE number < ? ORDER BY number DESC LIMIT ?")
            .bind(page.below())
            .bind(page.rows_to_read())
            .fetch_all(&mut *self.connection().await?)
            .await?;
        let read = |row: &SqliteRow| {
            let record = AuditRecord {
                index: number(row, "log_index")?,
                at: time(row, "at")?,
                by: row.try_get("actor")?,
                change: row.try_get("change")?,
                subject: row.try_get("subject")?,
                refusal: row.try_get("refusal")?,
            };
            Ok((number(row, "number")?, record))
        };
        let numbered: Vec<(u64, AuditRecord)> = rows.iter().map(read).collect::<Result<_, CatalogError>>()?;
        let page = PageOf::cut(&page, numbered, |(number, _)| *number);
        Ok(PageOf { items: page.items.into_iter().map(|(_, record)| record).collect(), next: page.next })
    }
}
