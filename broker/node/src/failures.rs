//! Logs that cannot be used: the controller hears of them, so that others lead and nobody waits for them.
//!
//! ```text
//!   write, flush or read fails --> directory fails --> its partitions go offline --FailReplicas--> others lead
//! ```
//!
//! A partition whose log takes no more writes stays so until the broker is started again.

use crate::Broker;
use crate::log_dirs::Unusable;
use crate::replica::Place;
use broker_core::metadata::{BrokerEpoch, Command, Image};
use model::BrokerSlot;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// How often what the controller has not heard of is told again.
const AGAIN: Duration = Duration::from_secs(2);

impl Broker {
    /// Takes what is in failed directories offline and tells the controller of it, until the broker stops.
    pub(crate) async fn report_failures(self) {
        let mut stop = self.0.stop.subscribe();
        let mut again = interval(AGAIN);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.0.storage.failures.notified() => {}
                _ = again.tick() => {}
                () = crate::listener::stopped(&mut stop) => return,
            }
            self.take_offline();
            self.report().await;
        }
    }

    /// Nothing is written any more to directories that failed.
    fn take_offline(&self) {
        for partition in self.0.partitions.held().partitions() {
            if let Some(reason) = partition.dir.failed() {
                partition.go_offline(reason);
            }
        }
    }

    async fn report(&self) {
        let (Some(control), Some(session)) = (self.0.control.get(), self.0.heart.session()) else { return };
        let Some(mut command) = self.failures(&control.controller().image(), session.epoch) else { return };
        if let Command::FailReplicas { broker, failed, choices, .. } = &mut command {
            *choices = self.choices(control.controller(), *broker).await;
            choices.retain(|choice| failed.contains(&(choice.topic, choice.partition)));
        }
        match control.change(vec![command]).await {
            Ok(_) => tracing::warn!("replicas whose logs cannot be used are offline"),
            Err(error) => tracing::warn!(%error, "the controller has not heard of logs that cannot be used yet"),
        }
    }

    /// What `image` does not say yet of the logs here that cannot be used.
    pub(crate) fn failures(&self, image: &Image, session: BrokerEpoch) -> Option<Command> {
        let slot = self.0.config.slot;
        let Unusable { failed, lost } = self.0.storage.dirs.unusable();
        let failed = unheard_of(image, slot, self.failed_logs().chain(failed));
        let lost = unheard_of(image, slot, lost.into_iter());
        let is_news = !failed.is_empty() || !lost.is_empty();
        is_news.then_some(Command::FailReplicas { broker: slot, session, failed, lost, choices: vec![] })
    }

    fn failed_logs(&self) -> impl Iterator<Item = Place> {
        let held = self.0.partitions.held();
        let failed: Vec<_> = held.partitions().filter(|partition| partition.failed().is_some()).cloned().collect();
        failed.into_iter().map(|partition| partition.place())
    }
}

/// Those that are placed on the broker in `slot` and not known to be offline.
fn unheard_of(image: &Image, slot: BrokerSlot, places: impl Iterator<Item = Place>) -> Vec<Place> {
    let is_news = |(topic, number): &Place| {
        let known = image.partition(*topic, *number);
        known.is_some_and(|known| known.replicas.contains(&slot) && !known.offline.contains(&slot))
    };
    places.filter(is_news).collect::<BTreeSet<_>>().into_iter().collect()
}
