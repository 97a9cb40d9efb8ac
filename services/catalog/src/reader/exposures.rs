use super::Reader;
use crate::CatalogError;
use crate::column::{maybe_time, number, time, word};
use model::{AtRisk, Exposure, ModeEpoch, ProtectionGroup};
use sqlx::sqlite::SqliteRow;

impl Reader {
    /// The RPO ledger of a group, the newest exposure first. The ledger outlives its group.
    ///
    /// # Errors
    /// [`CatalogError`] when the database fails.
    pub async fn exposures(&self, group: &ProtectionGroup) -> Result<Vec<Exposure>, CatalogError> {
        let rows = sqlx::query("SELECT * FROM exposures WHERE group_name = ? ORDER BY id DESC")
            .bind(group.as_str())
            .fetch_all(&mut *self.connection().await?)
            .await?;
        rows.iter().map(exposure).collect()
    }
}

pub(crate) fn exposure(row: &SqliteRow) -> Result<Exposure, CatalogError> {
    Ok(Exposure {
        mode_epoch: ModeEpoch(number(row, "mode_epoch")?),
        from: time(row, "opened_at")?,
        to: maybe_time(row, "closed_at")?,
        reason: word(row, "reason")?,
        worst: AtRisk {
            records: number(row, "records")?,
            bytes: number(row, "bytes")?,
            millis: number(row, "millis")?,
        },
    })
}
