//! This node's own look at the regions.

use crate::council::{Call, Council};
use crate::tenure::node_name;
use dr_planner::health::{Observation, Observer, PROBE_INTERVAL, SILENCE_MAX};
use env::Clock;
use model::{RegionName, Timestamp};
use std::sync::{Arc, Mutex};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

/// How long each region has been silent to this node, on its boot clock.
pub(super) struct Watch {
    clock: Arc<dyn Clock>,
    observer: Mutex<Observer>,
}

impl Watch {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let observer = Mutex::new(Observer::new(boot_time(&*clock)));
        Self { clock, observer }
    }

    fn with<T>(&self, look: impl FnOnce(&mut Observer, Timestamp) -> T) -> T {
        let mut observer = self.observer.lock().expect("no holder of this lock panics");
        look(&mut observer, boot_time(&*self.clock))
    }

    /// What is seen of `regions`, said at `now`.
    pub(super) fn observe<'a>(
        &self,
        observer: &RegionName,
        regions: impl Iterator<Item = &'a RegionName>,
        now: Timestamp,
    ) -> Vec<Observation> {
        let observation = |target: &RegionName| Observation {
            observer: observer.clone(),
            target: target.clone(),
            observed_at: now,
            seen: self.with(|observer, boot| observer.observe(target, boot)),
        };
        regions.map(observation).collect()
    }
}

fn boot_time(clock: &dyn Clock) -> Timestamp {
    Timestamp(clock.boot().since_boot().as_millis() as i64)
}

/// Probes every other region, for ever.
pub(super) async fn probe(council: &Council, watch: &Watch) {
    let mut ticks = interval(PROBE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut probes = JoinSet::new();
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                watch.with(Observer::on_tick);
                for region in others(council) {
                    probes.spawn(ping(council.clone(), region));
                }
            }
            Some(answered) = probes.join_next() => {
                if let Ok(Some(region)) = answered {
                    watch.with(|observer, now| observer.on_answer(&region, now));
                }
            }
        }
    }
}

fn others(council: &Council) -> Vec<RegionName> {
    let (view, own) = (council.view(), node_name(council));
    let regions = view.regions.iter().map(|region| &region.address.region);
    regions.filter(|region| Some(*region) != own.as_ref()).cloned().collect()
}

/// An answer that comes later than a silence lasts is no sign of life.
async fn ping(council: Council, region: RegionName) -> Option<RegionName> {
    let answered = council.call_region(&region, &Call::Ping, SILENCE_MAX).await;
    answered.is_ok().then_some(region)
}
