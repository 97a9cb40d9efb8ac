use super::runs::document;
use super::{Applied, Applying, check_text};
use crate::Answer;
use crate::command::{RecordDiverged, RecordGaps};
use model::{DivergedTail, Gap, RegionName};

impl Applying<'_> {
    pub(super) async fn record_diverged(&mut self, args: &RecordDiverged) -> Applied<Answer> {
        self.incarnation_of(&args.region).await?;
        for tail in &args.tails {
            self.record_tail(&args.region, tail).await?;
        }
        Ok(Answer::Done)
    }

    /// A fact never changes, so what is there stays.
    async fn record_tail(&mut self, region: &RegionName, tail: &DivergedTail) -> Applied<()> {
        sqlx::query(
            "INSERT INTO diverged_tails (region, topic, partition_id, ownership_epoch, range_start, range_end, \
             recorded_at, document) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(region.as_str())
        .bind(tail.topic.0.to_string())
        .bind(i64::from(tail.partition.0))
        .bind(i64::from(tail.ownership_epoch.0))
        .bind(tail.range.start.0)
        .bind(tail.range.end.0)
        .bind(self.at.0)
        .bind(document("diverged tail", tail)?)
        .execute(&mut *self.connection)
        .await?;
        Ok(())
    }

    pub(super) async fn record_gaps(&mut self, args: &RecordGaps) -> Applied<Answer> {
        self.incarnation_of(&args.region).await?;
        for gap in &args.gaps {
            self.record_gap(&args.region, gap).await?;
        }
        Ok(Answer::Done)
    }

    /// A gap may grow at its end: the source went on dropping.
    async fn record_gap(&mut self, region: &RegionName, gap: &Gap) -> Applied<()> {
        check_text("reason", &gap.reason)?;
        sqlx::query(
            "INSERT INTO gaps (region, topic, partition_id, range_start, range_end, recorded_at, reason) \
             VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (region, topic, partition_id, range_start) \
             DO UPDATE SET range_end = excluded.range_end, recorded_at = excluded.recorded_at \
             WHERE excluded.range_end > range_end",
        )
        .bind(region.as_str())
        .bind(gap.topic.0.to_string())
        .bind(i64::from(gap.partition.0))
        .bind(gap.range.start.0)
        .bind(gap.range.end.0)
        .bind(self.at.0)
        .bind(&gap.reason)
        .execute(&mut *self.connection)
        .await?;
        Ok(())
    }
}
