//! What a topic asks of a batch. Records are looked at for compacted topics only.

use super::refusal::Refusal;
use crate::settings::TopicSettings;
use bytes::Bytes;
use log::TimestampType;
use model::{Timestamp, limits};
use record::{CheckedBatch, ProduceRules};
use wire::ErrorCode;

/// Checks the batch that `records` must be.
pub(super) fn check(records: Bytes, settings: &TopicSettings, now: Timestamp) -> Result<CheckedBatch, Refusal> {
    let rules = ProduceRules { batch_bytes_max: settings.batch_bytes_max, ..ProduceRules::default() };
    let batch = CheckedBatch::check(records, &rules)?;
    check_time(&batch, settings, now)?;
    if settings.is_compacted {
        check_keys(&batch)?;
    }
    Ok(batch)
}

/// A time far from the broker's would keep records for ever, or delete them at once.
fn check_time(batch: &CheckedBatch, settings: &TopicSettings, now: Timestamp) -> Result<(), Refusal> {
    let time = batch.header().max_timestamp;
    if settings.log.timestamp_type == TimestampType::LogAppendTime || time.0 < 0 {
        return Ok(());
    }
    if time.since(now) <= settings.time_ahead_max && now.since(time) <= settings.time_behind_max {
        return Ok(());
    }
    let message = format!("the batch's time {time} is too far from the broker's, {now}");
    Err(Refusal::new(ErrorCode::INVALID_TIMESTAMP, message))
}

/// Without a key nothing could be compacted.
fn check_keys(batch: &CheckedBatch) -> Result<(), Refusal> {
    let damaged = |error| Refusal::new(ErrorCode::CORRUPT_MESSAGE, error);
    let mut keyless = Vec::new();
    for (index, record) in (0..).zip(batch.view().records(limits::DECOMPRESSED_BYTES_MAX).map_err(damaged)?) {
        if record.map_err(damaged)?.key.is_none() {
            keyless.push(index);
        }
    }
    if keyless.is_empty() {
        return Ok(());
    }
    Err(Refusal::records(keyless, "records of a compacted topic need keys"))
}
