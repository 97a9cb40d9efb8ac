use super::{Bucket, Entity, Limit, Rate};
use model::limits::QUOTA_METERS_MAX;
use std::collections::HashMap;
use std::time::Duration;

/// What everybody whose use is limited has left. Whoever was silent for a while is forgotten.
#[derive(Clone, Debug, Default)]
pub struct Meters {
    buckets: HashMap<(Limit, Entity), Bucket>,
}

impl Meters {
    /// `share` has used `amount`; how long it is to be silent.
    pub fn charge(&mut self, limit: Limit, share: Entity, rate: Rate, amount: f64, now: Duration) -> Duration {
        self.bucket(limit, share, rate, now).charge(amount, now)
    }

    /// `share` wants `amount`.
    ///
    /// # Errors
    /// How long until it may have that; nothing was taken.
    pub fn take(
        &mut self,
        limit: Limit,
        share: Entity,
        rate: Rate,
        amount: f64,
        now: Duration,
    ) -> Result<(), Duration> {
        self.bucket(limit, share, rate, now).take(amount, now)
    }

    fn bucket(&mut self, limit: Limit, share: Entity, rate: Rate, now: Duration) -> &mut Bucket {
        let key = (limit, share);
        if self.buckets.len() >= QUOTA_METERS_MAX && !self.buckets.contains_key(&key) {
            self.make_room(now);
        }
        let bucket = self.buckets.entry(key).or_insert_with(|| Bucket::full(limit, rate, now));
        bucket.follow(limit, rate, now);
        bucket
    }

    /// Forgets whoever would have as much if it were new. Clients choose their ids: where that is not enough, whoever has
    /// most is forgotten.
    fn make_room(&mut self, now: Duration) {
        self.buckets.retain(|_, bucket| !bucket.is_full(now));
        if self.buckets.len() < QUOTA_METERS_MAX {
            return;
        }
        let fullest = self.buckets.iter().max_by(|(_, a), (_, b)| a.fill(now).total_cmp(&b.fill(now)));
        if let Some(key) = fullest.map(|(key, _)| key.clone()) {
            self.buckets.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Part;
    use super::*;

    const LIMIT: Limit = Limit::ConsumerByteRate;

    fn charge(meters: &mut Meters, client: &str, amount: f64, now: u64) -> Duration {
        let share = Entity::Client(Part::named(client));
        meters.charge(LIMIT, share, LIMIT.rate(10.0).unwrap(), amount, Duration::from_secs(now))
    }

    #[test]
    fn each_share_has_its_own_bucket() {
        let mut meters = Meters::default();
        assert_eq!(charge(&mut meters, "a", 120.0, 0), Duration::from_secs(2));
        assert_eq!(charge(&mut meters, "b", 100.0, 0), Duration::ZERO);
        assert_eq!(charge(&mut meters, "a", 0.0, 1), Duration::from_secs(1));
    }

    #[test]
    fn who_owes_is_remembered_however_many_come() {
        let mut meters = Meters::default();
        charge(&mut meters, "debtor", 500.0, 0);
        for client in 0..QUOTA_METERS_MAX + 10 {
            charge(&mut meters, &client.to_string(), 1.0, 0);
        }
        assert_eq!(meters.buckets.len(), QUOTA_METERS_MAX);
        assert_eq!(charge(&mut meters, "debtor", 0.0, 0), Duration::from_secs(40));
        charge(&mut meters, "one more", 1.0, 30);
        assert_eq!(meters.buckets.len(), 2, "the others are as good as new");
    }
}
