//! Keeps the in-sync sets of the partitions led here: who has caught up joins, who lags leaves, as the controller agrees.

use crate::Broker;
use crate::controller::ChangeError;
use crate::replica::{Partition, Place};
use broker_core::metadata::{Command, Image};
use broker_core::partition::{IsrChange, Peer};
use model::BrokerSlot;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::{Id, JoinSet};
use tokio::time::{MissedTickBehavior, interval};

/// How often to look at all partitions, at most and at least.
const LOOK: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// For how many partitions the controller is asked at once: it agrees on many as fast as on one.
const AT_ONCE: usize = 64;

/// The changes the controller is being asked for, by partition.
#[derive(Default)]
struct Asking {
    tasks: JoinSet<()>,
    of: HashMap<Id, Place>,
    places: HashSet<Place>,
}

impl Asking {
    fn begin(&mut self, place: Place, asking: impl Future<Output = ()> + Send + 'static) {
        self.places.insert(place);
        self.of.insert(self.tasks.spawn(asking).id(), place);
    }

    /// Waits until one of them has ended.
    async fn ended(&mut self) {
        let id = match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => id,
            Some(Err(error)) => error.id(),
            None => return std::future::pending().await,
        };
        self.of.remove(&id).into_iter().for_each(|place| _ = self.places.remove(&place));
    }
}

impl Broker {
    /// Keeps the in-sync sets until the broker stops. A controller that does not answer keeps nobody from being looked at.
    pub(crate) async fn keep_in_sync_sets(self) {
        let mut stop = self.0.stop.subscribe();
        let mut looks = interval((self.0.config.replica_lag_max / 4).clamp(LOOK.0, LOOK.1));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut asking, places_at_once) = (Asking::default(), Arc::new(Semaphore::new(AT_ONCE)));
        loop {
            let places = tokio::select! {
                () = crate::listener::stopped(&mut stop) => return,
                () = asking.ended() => continue,
                _ = looks.tick() => None,
                () = self.0.storage.isr_news.heard() => Some(self.0.storage.isr_news.take()),
            };
            let held = self.0.partitions.held();
            let partitions: Vec<_> = match places {
                Some(places) => places.into_iter().filter_map(|(id, number)| held.partition(id, number)).collect(),
                None => held.partitions().collect(),
            };
            let led = partitions.into_iter().filter(|partition| partition.is_led_here());
            self.keep_in_sync(led.cloned().collect(), &mut asking, &places_at_once);
        }
    }

    fn keep_in_sync(&self, partitions: Vec<Arc<Partition>>, asking: &mut Asking, at_once: &Arc<Semaphore>) {
        let image = self.image();
        for partition in partitions {
            let place = partition.place();
            let change = partition.propose_isr(|slot| self.peer(&image, slot));
            let Some(change) = change.filter(|_| !asking.places.contains(&place)) else { continue };
            let (broker, image, at_once) = (self.clone(), image.clone(), at_once.clone());
            asking.begin(place, async move {
                let _turn = at_once.acquire().await;
                broker.ask_for(&image, &partition, change).await;
            });
        }
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
                partition.isr_refused(partition_epoch, &refusal);
            }
            // Nobody knows what became of it: it is asked for again at the next look.
            Err(error) => tracing::info!(partition = %partition.name, %error, "the controller was not reached"),
        }
    }
}
