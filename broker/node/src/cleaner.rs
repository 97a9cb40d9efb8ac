//! Looking after old records: now and then, and when asked to.
//!
//! One pass at a time, in a thread that may block, partition after partition. The owner of a partition decides; copies
//! follow its log start (`broker_core::retention`).

use crate::Broker;
use crate::replica::{CompactError, Partition};
use crate::settings::TopicSettings;
use broker_core::metadata::Image;
use broker_core::retention::{Keep, clean_limit, passes};
use log::{Compaction, TruncateError};
use model::{ByteCount, Grant, Offset, RegionName, Timestamp};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval_at};

/// How much memory the keys of one log may take while it is compacted (`log.cleaner.dedupe.buffer.size`).
const COMPACTION_MEMORY: ByteCount = ByteCount::mib(64);

/// What one pass did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// How many segments were retired.
    pub segments: usize,
    /// How many bytes of batches they had.
    pub bytes: u64,
    /// How many logs were compacted.
    pub compacted: usize,
    /// How many bytes they are smaller since.
    pub compacted_bytes: u64,
}

impl Broker {
    /// Cleans as often as the broker is configured to, until it stops.
    pub(crate) async fn keep_clean(self) {
        let mut stop = self.0.stop.subscribe();
        let period = self.0.config.retention_check;
        let mut looks = interval_at(tokio::time::Instant::now() + period, period);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = looks.tick() => drop(self.clean().await),
                () = crate::listener::stopped(&mut stop) => return,
            }
        }
    }

    /// Goes once over all partitions and retires and compacts what its topic's
    /// configuration says.
    pub async fn clean(&self) -> Cleaned {
        let _one_at_a_time = self.0.cleaning.lock().await;
        let broker = self.clone();
        let cleaned = tokio::task::spawn_blocking(move || broker.clean_all()).await;
        cleaned.inspect_err(|error| tracing::error!(%error, "cleaning ended early")).unwrap_or_default()
    }

    fn clean_all(&self) -> Cleaned {
        self.sweep_strays();
        let (image, held) = (self.image(), self.0.partitions.held());
        let mut cleaned = Cleaned::default();
        for partition in held.partitions() {
            if *self.0.stop.borrow() {
                break;
            }
            if let Err(error) = self.clean_one(&image, partition, &mut cleaned) {
                tracing::warn!(partition = %partition.name, %error, "old records stay for now");
            }
        }
        cleaned
    }

    fn clean_one(&self, image: &Image, partition: &Arc<Partition>, cleaned: &mut Cleaned) -> Result<(), CompactError> {
        if partition.is_active() {
            // What another region has not heard of may still have to be repeated.
            return Ok(());
        }
        let (retires, compacts) = (partition.is_retired_here(), partition.is_compacted_here());
        if !retires && !compacts {
            return Ok(());
        }
        let (now, settings, floor) = (self.0.clock.now(), partition.settings(), floor(image, partition));
        partition.roll_if_older(roll_age(&settings), now)?;
        if retires {
            self.retire(partition, keep(&settings), now, floor, cleaned)?;
        }
        if compacts {
            self.compact(partition, &policy(&settings), now, floor, cleaned)?;
        }
        Ok(())
    }

    /// Compaction runs ahead of a link no sooner than the hold ends: a copy that lacks both a record and the one that
    /// replaced it is of no use as a standby until it has caught up, and one that never hears of a deletion has to be made
    /// anew.
    fn compact(
        &self,
        partition: &Partition,
        policy: &Compaction,
        now: Timestamp,
        floor: Offset,
        cleaned: &mut Cleaned,
    ) -> Result<(), CompactError> {
        let is_short = partition.dir.disk().is_short();
        let expired = partition.hold_expired(self.0.config.link_hold, now);
        let limit = clean_limit(partition.marks().last_stable, floor, expired, is_short);
        if let Some(done) = partition.compact(policy, now, limit)? {
            let less = done.bytes_before.saturating_sub(done.bytes_after);
            cleaned.compacted += 1;
            cleaned.compacted_bytes += less;
            tracing::info!(partition = %partition.name, upto = %done.upto, before = done.bytes_before,
                after = done.bytes_after, "log was compacted");
        }
        Ok(())
    }

    fn retire(
        &self,
        partition: &Arc<Partition>,
        keep: Keep,
        now: Timestamp,
        floor: Offset,
        cleaned: &mut Cleaned,
    ) -> Result<(), TruncateError> {
        let is_short = partition.dir.disk().is_short();
        for pass in passes(keep, self.0.config.link_hold, partition.marks().high_watermark, floor, is_short) {
            let retired = partition.retain(&pass, now)?;
            cleaned.segments += retired.segments;
            cleaned.bytes += retired.bytes;
            if retired.segments > 0 {
                tracing::info!(partition = %partition.name, start = %retired.start, segments = retired.segments,
                    bytes = retired.bytes, "old records were retired");
            }
        }
        partition.flush_soon();
        Ok(())
    }
}

fn keep(settings: &TopicSettings) -> Keep {
    match settings.is_deleted {
        true => Keep { age_max: settings.topic.retention, bytes_max: settings.topic.retention_bytes },
        // What lies below the log start goes all the same.
        false => Keep::default(),
    }
}

fn policy(settings: &TopicSettings) -> Compaction {
    let topic = &settings.topic;
    Compaction {
        dirty_ratio_min: topic.dirty_ratio_min,
        lag_min: topic.compaction_lag_min,
        lag_max: topic.compaction_lag_max,
        delete_retention: topic.delete_retention,
        memory: COMPACTION_MEMORY,
    }
}

/// A compacted log is rolled early enough for its records to be compacted in time.
fn roll_age(settings: &TopicSettings) -> Duration {
    let age = settings.log.segment_age_max;
    if settings.is_compacted { age.min(settings.topic.compaction_lag_max) } else { age }
}

/// Below it every region that keeps a copy of the partition has it. Only the leader hears of links: a replica waits
/// until it leads.
fn floor(image: &Image, partition: &Partition) -> Offset {
    let group = image.topic(partition.topic_id).and_then(|topic| image.group(topic.group.as_ref()?));
    partition.links_floor(&group.map(|group| copies_of(&group.grant)).unwrap_or_default())
}

/// The regions that keep copies now: after a failover the home is one of them, and the owner is none.
fn copies_of(grant: &Grant) -> Vec<RegionName> {
    let all = std::iter::once(&grant.home).chain(&grant.standbys);
    all.filter(|region| **region != grant.owner).cloned().collect()
}
