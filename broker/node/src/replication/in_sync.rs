//! Keeps the in-sync sets of the partitions led here: who has caught up joins, who lags leaves, as the controller agrees.

use crate::Broker;
use crate::controller::ChangeError;
use crate::replica::Partition;
use broker_core::metadata::{Command, Image};
use broker_core::partition::{IsrChange, Peer};
use model::BrokerSlot;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// How often to look at all partitions, at most and at least.
const LOOK: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// For how many partitions the controller is asked at once: it agrees on many as fast as on one.
const AT_ONCE: usize = 64;

impl Broker {
    /// Keeps the in-sync sets until the broker stops.
    pub(crate) async fn keep_in_sync_sets(self) {
        let mut stop = self.0.stop.subscribe();
        let mut looks = interval((self.0.config.replica_lag_max / 4).clamp(LOOK.0, LOOK.1));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let places = tokio::select! {
                () = crate::listener::stopped(&mut stop) => return,
                _ = looks.tick() => None,
                () = self.0.storage.isr_news.heard() => Some(self.0.storage.isr_news.take()),
            };
            let held = self.0.partitions.held();
            let partitions: Vec<_> = match places {
                Some(places) => places.into_iter().filter_map(|(id, number)| held.partition(id, number)).collect(),
                None => held.partitions().collect(),
            };
            let led = partitions.into_iter().filter(|partition| partition.is_led_here());
            self.keep_in_sync(led.cloned().collect()).await;
        }
    }

    async fn keep_in_sync(&self, partitions: Vec<Arc<Partition>>) {
        let image = self.image();
        let mut asking = JoinSet::new();
        for partition in partitions {
            if let Some(change) = partition.propose_isr(|slot| self.peer(&image, slot)) {
                if asking.len() >= AT_ONCE {
                    asking.join_next().await;
                }
                let (broker, image) = (self.clone(), image.clone());
                asking.spawn(async move { broker.ask_for(&image, &partition, change).await });
            }
        }
        asking.join_all().await;
    }

    /// What is known of another broker.
    fn peer(&self, image: &Image, slot: BrokerSlot) -> Option<Peer> {
        let known = image.broker(slot)?;
        let (session, in_service) = (known.session, !known.is_fenced());
        Some(Peer { session, in_service, heard_at: self.0.followers.heard(slot, session) })
    }

    async fn ask_for(&self, image: &Image, partition: &Partition, change: IsrChange) {
        let slot = self.0.config.slot;
        let Some(session) = image.broker(slot).map(|broker| broker.session) else { return };
        let (Some(control), partition_epoch) = (self.0.control.get(), change.partition_epoch) else { return };
        tracing::info!(partition = %partition.name, isr = ?change.isr, "asking for another in-sync set");
        let command = Command::ChangeIsr {
            topic: partition.topic_id,
            partition: partition.number(),
            leader: slot,
            session,
            partition_epoch,
            isr: change.isr,
            joined: change.joined,
        };
        match control.controller().propose(&command).await {
            Ok(_) => {}
            Err(ChangeError::Refused(refusal)) => {
                tracing::info!(partition = %partition.name, %refusal, "the in-sync set is not changed");
                partition.isr_refused(partition_epoch);
            }
            // Nobody knows what became of it: it is asked for again at the next look.
            Err(error) => tracing::info!(partition = %partition.name, %error, "the controller was not reached"),
        }
    }
}
