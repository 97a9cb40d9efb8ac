use super::Reader;
use crate::CatalogError;
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

impl Reader {
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
