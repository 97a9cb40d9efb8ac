use crate::CatalogError;
use crate::column::{json, maybe_number, maybe_time, number, text, time, word};
use model::{LeaderEpoch, Timestamp, TopicId, TopicName, TopicSpec};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;

/// A row of `topics`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TopicRow {
    pub(crate) spec: TopicSpec,
    pub(crate) revision: u64,
    pub(crate) created_at: Timestamp,
    pub(crate) deleted_at: Option<Timestamp>,
}

impl TopicRow {
    pub(crate) fn read(row: &SqliteRow) -> Result<Self, CatalogError> {
        let spec = TopicSpec {
            id: TopicId(text(row, "id")?),
            name: text(row, "name")?,
            partitions: number(row, "partitions")?,
            config: json(row, "config")?,
            group: text(row, "group_name")?,
            state: word(row, "state")?,
            epochs_above: maybe_number(row, "epochs_above")?.map(LeaderEpoch),
        };
        let (created_at, deleted_at) = (time(row, "created_at")?, maybe_time(row, "deleted_at")?);
        Ok(Self { spec, revision: number(row, "revision")?, created_at, deleted_at })
    }

    /// The topic of that name, unless it is deleted.
    pub(crate) async fn named(
        connection: &mut SqliteConnection,
        name: &TopicName,
    ) -> Result<Option<Self>, CatalogError> {
        let row = sqlx::query("SELECT * FROM topics WHERE name = ? AND deleted_at IS NULL")
            .bind(name.as_str())
            .fetch_optional(connection)
            .await?;
        row.as_ref().map(Self::read).transpose()
    }

    /// The topic of that id, deleted or not.
    pub(crate) async fn of_id(connection: &mut SqliteConnection, id: TopicId) -> Result<Option<Self>, CatalogError> {
        let row =
            sqlx::query("SELECT * FROM topics WHERE id = ?").bind(id.0.to_string()).fetch_optional(connection).await?;
        row.as_ref().map(Self::read).transpose()
    }

    /// All topics that are not deleted, by name.
    pub(crate) async fn all(connection: &mut SqliteConnection) -> Result<Vec<Self>, CatalogError> {
        let rows =
            sqlx::query("SELECT * FROM topics WHERE deleted_at IS NULL ORDER BY name").fetch_all(connection).await?;
        rows.iter().map(Self::read).collect()
    }
}
