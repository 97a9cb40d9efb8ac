//! Quotas at work: every request of a client whose use is limited is metered, and a client over its quota is answered,
//! told to be silent, and not heard for that time (KIP-219).
//!
//! ```text
//!   request --> Meter --charge--> Meters --silence--> its answer's throttle_time_ms
//!                                    '--------------> the connection's Mute: the next request is not read before
//! ```
//!
//! Where nothing is limited, and no copy is waited for, a request costs the look at one flag.

mod meter;

pub(crate) use meter::{Meter, Mute};

use broker_core::metadata::Image;
use broker_core::quota::{BURST, Entity, Limit, Meters, Quotas as Table, Rate};
use env::Clock;
use model::limits::QUOTA_NAME_BYTES_MAX;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

/// Nobody is authenticated: everybody is Kafka's anonymous user.
const USER: &str = "ANONYMOUS";

/// The quotas that hold here, and what clients have used of them.
pub(crate) struct Quotas {
    clock: Arc<dyn Clock>,
    /// Whether anybody may have to be silent: something is limited, or the copies of a group are waited for.
    any: AtomicBool,
    table: RwLock<Arc<Table>>,
    meters: Mutex<Meters>,
}

impl Quotas {
    /// Nothing is limited yet.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        let (any, table, meters) = (AtomicBool::new(false), RwLock::default(), Mutex::default());
        Arc::new(Self { clock, any, table, meters })
    }

    /// Follows the region's metadata.
    pub(crate) fn follow(&self, image: &Image) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&table, image.quotas()) {
            *table = image.quotas().clone();
        }
        let has_rule = image.groups().any(|group| group.owned && group.grant.mode.rule.is_some());
        self.any.store(has_rule || !table.is_empty(), Ordering::Release);
    }

    /// Meters one request of `client`, whose connection `mute` silences; `None` where nothing is limited.
    pub(crate) fn meter(self: &Arc<Self>, client: Option<&str>, mute: &Arc<Mute>) -> Option<Arc<Meter>> {
        if !self.any.load(Ordering::Acquire) {
            return None;
        }
        let client = told_apart(client.unwrap_or_default());
        let is_timed = self.limit_of(Limit::RequestPercentage, client).is_some();
        Some(Arc::new(Meter::new(self.clone(), client.to_owned(), mute.clone(), is_timed)))
    }

    /// Whether `address` may open a connection.
    ///
    /// # Errors
    /// How long until it may.
    pub(crate) fn admit(&self, address: IpAddr) -> Result<(), Duration> {
        if !self.any.load(Ordering::Acquire) {
            return Ok(());
        }
        let limit = Limit::ConnectionCreationRate;
        let limited = self.table().limit_of_ip(limit, &address.to_canonical().to_string());
        let Some((share, rate)) = limited else { return Ok(()) };
        let now = self.now();
        self.meters().take(limit, share, rate, 1.0, now)
    }

    /// `client` has used `amount`; how long it is to be silent.
    fn charge(&self, limit: Limit, client: &str, amount: f64) -> Duration {
        let Some((share, rate)) = self.limit_of(limit, client) else { return Duration::ZERO };
        let now = self.now();
        self.meters().charge(limit, share, rate, amount, now)
    }

    /// The most that `client` may use at once; `None` without a limit.
    fn burst(&self, limit: Limit, client: &str) -> Option<f64> {
        let (_, rate) = self.limit_of(limit, client)?;
        Some(limit.per_second(rate) * BURST.as_secs_f64())
    }

    fn limit_of(&self, limit: Limit, client: &str) -> Option<(Entity, Rate)> {
        self.table().limit_of(limit, USER, client)
    }

    fn table(&self) -> Arc<Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn meters(&self) -> MutexGuard<'_, Meters> {
        self.meters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time on the clock that silences are counted on.
    pub(crate) fn now(&self) -> Duration {
        self.clock.boot().since_boot()
    }
}

/// As much of a client id as tells it from others.
fn told_apart(client: &str) -> &str {
    let mut end = client.len().min(QUOTA_NAME_BYTES_MAX);
    while !client.is_char_boundary(end) {
        end -= 1;
    }
    &client[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Reply;
    use broker_core::metadata::Command;
    use broker_core::quota::{Change, Part};
    use env::sim::ManualClock;
    use std::collections::BTreeMap;

    fn limited(limit: Limit, entity: Entity, rate: f64) -> (Arc<ManualClock>, Arc<Quotas>) {
        let clock = Arc::new(ManualClock::default());
        let quotas = Quotas::new(clock.clone());
        let limits = BTreeMap::from([(limit, Some(limit.rate(rate).unwrap()))]);
        let mut image = Image::default();
        image.apply(Command::AlterQuotas { changes: vec![Change { entity, limits }] }).unwrap();
        quotas.follow(&image);
        (clock, quotas)
    }

    #[test]
    fn nothing_is_metered_where_nothing_is_limited() {
        let quotas = Quotas::new(Arc::new(ManualClock::default()));
        assert!(quotas.meter(Some("app"), &Arc::default()).is_none());
        assert_eq!(quotas.admit(IpAddr::from([127, 0, 0, 1])), Ok(()));
    }

    #[test]
    fn a_client_over_its_quota_is_told_to_be_silent_and_its_connection_is_muted() {
        let (clock, quotas) = limited(Limit::ProducerByteRate, Entity::Client(Part::Default), 100.0);
        let mute = Arc::<Mute>::default();
        let meter = quotas.meter(Some("app"), &mute).unwrap();
        meter.charge(Limit::ProducerByteRate, 1_150);
        assert_eq!(meter.throttle_time_ms(), 1500);
        let now = || clock.boot().since_boot();
        assert_eq!(mute.left(now()), Some(Duration::from_millis(1500)));
        clock.pass(Duration::from_millis(1500));
        assert_eq!(mute.left(now()), None);
        assert_eq!(quotas.meter(Some("other"), &mute).unwrap().throttle_time_ms(), 0);
    }

    #[test]
    fn time_that_requests_take_counts_where_it_is_limited() {
        let (clock, quotas) = limited(Limit::RequestPercentage, Entity::User(Part::named(USER)), 1.0);
        let meter = quotas.meter(None, &Arc::default()).unwrap();
        let work = || {
            clock.pass(Duration::from_millis(105));
            Ok::<_, ()>(Reply::Nothing)
        };
        meter.clone().run(work).unwrap();
        // A hundredth of a thread for ten seconds is a tenth of a second, and the rest waits for half a second.
        assert_eq!(meter.throttle_time_ms(), 500);
        meter.clone().run(work).unwrap();
        assert_eq!(meter.throttle_time_ms(), 1000, "never longer than a second");
    }

    #[test]
    fn an_address_that_connects_too_often_waits() {
        let (clock, quotas) = limited(Limit::ConnectionCreationRate, Entity::Ip(Part::Default), 1.0);
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        assert!((0..10).all(|_| quotas.admit(one).is_ok()));
        assert_eq!(quotas.admit(one), Err(Duration::from_secs(1)));
        assert_eq!(quotas.admit(other), Ok(()));
        clock.pass(Duration::from_secs(1));
        assert_eq!(quotas.admit(one), Ok(()));
    }

    #[test]
    fn long_client_ids_are_cut_between_letters() {
        let long = "ß".repeat(200);
        assert_eq!(told_apart(&long).len(), 254);
        assert_eq!(told_apart("app"), "app");
    }
}
