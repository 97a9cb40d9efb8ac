use super::Reader;
use crate::CatalogError;
use crate::column::{text, time};
use crate::row::TopicRow;
use model::{Timestamp, TopicId, TopicName, TopicSpec};

/// A topic with what the view leaves out.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredTopic {
    /// The topic.
    pub spec: TopicSpec,
    /// Which version of it this is.
    pub revision: u64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was deleted.
    pub deleted_at: Option<Timestamp>,
}

impl From<TopicRow> for StoredTopic {
    fn from(row: TopicRow) -> Self {
        Self { spec: row.spec, revision: row.revision, created_at: row.created_at, deleted_at: row.deleted_at }
    }
}

/// A topic that was deleted and made again under its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemadeTopic {
    /// The name of both.
    pub name: TopicName,
    /// The one that was deleted.
    pub from: TopicId,
    /// The one that is there now.
    pub to: TopicId,
    /// When the first was deleted.
    pub deleted_at: Timestamp,
    /// When the second was made.
    pub remade_at: Timestamp,
}

impl Reader {
    /// The topics of which there were others of the same name before, with the last of them, by name.
    ///
    /// # Errors
    /// [`CatalogError`] when the database fails.
    pub async fn remade_topics(&self) -> Result<Vec<RemadeTopic>, CatalogError> {
        let rows = sqlx::query(
            "SELECT new.name AS name, old.id AS old_id, new.id AS new_id, max(old.deleted_at) AS deleted_at, \
             new.created_at AS remade_at FROM topics new JOIN topics old ON old.name = new.name \
             WHERE new.deleted_at IS NULL AND old.deleted_at IS NOT NULL GROUP BY new.id ORDER BY new.name",
        );
        let rows = rows.fetch_all(&mut *self.connection().await?).await?;
        let read = |row| {
            Ok(RemadeTopic {
                name: text(row, "name")?,
                from: TopicId(text(row, "old_id")?),
                to: TopicId(text(row, "new_id")?),
                deleted_at: time(row, "deleted_at")?,
                remade_at: time(row, "remade_at")?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// The topics that are not deleted and whose names come after `after`, by name.
    ///
    /// # Errors
    /// [`CatalogError`] when the database fails.
    pub async fn topics(&self, after: Option<&TopicName>, limit: u32) -> Result<Vec<StoredTopic>, CatalogError> {
        let page = super::Page::of(limit);
        let rows = sqlx::query("SELECT * FROM topics WHERE deleted_at IS NULL AND name > ? ORDER BY name LIMIT ?")
            .bind(after.map_or("", TopicName::as_str))
            .bind(page.rows() as i64)
            .fetch_all(&mut *self.connection().await?)
            .await?;
        rows.iter().map(|row| TopicRow::read(row).map(StoredTopic::from)).collect()
    }

    /// The topic called `name`, unless it is deleted.
    ///
    /// # Errors
    /// [`CatalogError`] when the database fails.
    pub async fn topic(&self, name: &TopicName) -> Result<Option<StoredTopic>, CatalogError> {
        Ok(TopicRow::named(&mut *self.connection().await?, name).await?.map(StoredTopic::from))
    }

    /// The topic with `id`, deleted or not, until it is purged.
    ///
    /// # Errors
    /// [`CatalogError`] when the database fails.
    pub async fn topic_of_id(&self, id: TopicId) -> Result<Option<StoredTopic>, CatalogError> {
        Ok(TopicRow::of_id(&mut *self.connection().await?, id).await?.map(StoredTopic::from))
    }
}
