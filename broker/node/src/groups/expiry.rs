//! Commits of groups that are gone go as well. Only the owner decides that; standbys copy the decision.

use super::State;
use super::journal::Entry;
use crate::Broker;
use broker_core::group::record::CommitKey;
use model::{GroupId, Timestamp};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// A group nobody is in keeps its commits for so long (Kafka's `offsets.retention.minutes`).
const RETENTION: Duration = Duration::from_secs(7 * 24 * 3600);
/// How often to look (Kafka's `offsets.retention.check.interval.ms`).
const LOOK: Duration = Duration::from_secs(600);

impl Broker {
    /// Deletes what has expired, until the broker stops.
    pub(super) async fn expire_commits(self) {
        let mut stop = self.0.stop.subscribe();
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = looks.tick() => {}
                () = crate::listener::stopped(&mut stop) => return,
            }
            self.delete_expired().await;
            self.sweep_groups();
        }
    }

    async fn delete_expired(&self) {
        let expired = self.0.groups.state().expired(self.0.clock.now());
        let ours = expired.into_iter().filter(|key| self.enter_group(&key.group).is_ok());
        let deletions: Vec<Entry> = ours.map(|key| (key, None)).collect();
        let count = deletions.len();
        match self.write_entries(deletions, &|| true).await {
            Ok(()) if count == 0 => {}
            Ok(()) => tracing::info!(count, "commits of groups that are gone have expired"),
            Err(error) => tracing::warn!(%error, count, "expired commits stay for now"),
        }
    }

    fn sweep_groups(&self) {
        self.with_coordinator(|state, _| {
            let (coordinator, offsets) = (&mut state.coordinator, &state.offsets);
            coordinator.sweep(|group| offsets.has_group(group))
        });
    }
}

impl State {
    fn expired(&self, now: Timestamp) -> Vec<CommitKey> {
        // A group the coordinator does not know has nobody in it: its commits count from their own time.
        let empty_since = |group: &GroupId| match self.coordinator.contains(group) {
            true => self.coordinator.empty_since(group),
            false => Some(Timestamp(0)),
        };
        self.offsets.expired(now, RETENTION, empty_since)
    }
}
