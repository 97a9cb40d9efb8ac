use super::Reader;
use crate::CatalogError;
use crate::column::{json, number, text, time};
use model::{DivergedTail, Gap, Offset, OffsetRange, PartitionId, RegionName, Timestamp, TopicId};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

/// A diverged tail and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedTail {
    /// The region that archived it.
    pub region: RegionName,
    /// What it is.
    pub tail: DivergedTail,
    /// When the council heard of it.
    pub recorded_at: Timestamp,
}

/// A gap and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedGap {
    /// The region that lacks the offsets.
    pub region: RegionName,
    /// What it is.
    pub gap: Gap,
    /// When the council heard of it.
    pub recorded_at: Timestamp,
}

impl RecordedTail {
    /// What it is called: the same for ever.
    pub fn id(&self) -> String {
        tail_id(&self.region, &self.tail)
    }
}

/// Region, beginning of the topic's id, partition, ownership epoch, common end.
pub(crate) fn tail_id(region: &RegionName, tail: &DivergedTail) -> String {
    let topic = tail.topic.0.simple().to_string();
    let (partition, epoch, start) = (tail.partition.0, tail.ownership_epoch.0, tail.range.start.0);
    format!("{region}.{}.{partition}.{epoch}.{start}", &topic[..12])
}

impl Reader {
    /// The diverged tails of one region or all.
    ///
    /// # Errors
    /// [`CatalogError`] when the database fails.
    pub async fn diverged(&self, region: Option<&RegionName>) -> Result<Vec<RecordedTail>, CatalogError> {
        let rows = sqlx::query(
            "SELECT * FROM diverged_tails WHERE ?1 IS NULL OR region = ?1 \
             ORDER BY region, topic, partition_id, ownership_epoch, range_start",
        )
        .bind(region.map(RegionName::as_str))
        .fetch_all(&mut *self.connection().await?)
        .await?;
        let read = |row: &SqliteRow| {
            let (region, recorded_at) = (text(row, "region")?, time(row, "recorded_at")?);
            Ok(RecordedTail { region, tail: json(row, "document")?, recorded_at })
        };
        rows.iter().map(read).collect()
    }

    /// The gaps of one region or all.
    ///
    /// # Errors
    /// [`CatalogError`] when the database fails.
    pub async fn gaps(&self, region: Option<&RegionName>) -> Result<Vec<RecordedGap>, CatalogError> {
        let rows = sqlx::query(
            "SELECT * FROM gaps WHERE ?1 IS NULL OR region = ?1 ORDER BY region, topic, partition_id, range_start",
        )
        .bind(region.map(RegionName::as_str))
        .fetch_all(&mut *self.connection().await?)
        .await?;
        rows.iter().map(read_gap).collect()
    }
}

fn read_gap(row: &SqliteRow) -> Result<RecordedGap, CatalogError> {
    let range = OffsetRange::new(Offset(number(row, "range_start")?), Offset(number(row, "range_end")?));
    let gap = Gap {
        topic: TopicId(text(row, "topic")?),
        partition: PartitionId(number(row, "partition_id")?),
        range,
        reason: row.try_get("reason")?,
    };
    Ok(RecordedGap { region: text(row, "region")?, gap, recorded_at: time(row, "recorded_at")? })
}
