use super::{Limit, Rate};
use std::time::Duration;

/// Who was silent for so long may then have as much at once as this time gives (Kafka's ten full samples of one second).
pub const BURST: Duration = Duration::from_secs(10);

/// What one share of a quota has left: tokens come at the rate of the quota, up to a burst. It may go into debt, by as much
/// as the longest silence pays back.
///
/// Over any time `t` a share gets at most `rate * (BURST + t)` and one charge, provided that it waits as it is told and
/// no charge is above what the longest silence pays back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// Tokens per second.
    rate: f64,
    /// The longest silence.
    silence_max: Duration,
    tokens: f64,
    /// When that was, since boot.
    at: Duration,
}

impl Bucket {
    /// A bucket with a whole burst in it.
    pub fn full(limit: Limit, rate: Rate, now: Duration) -> Self {
        let mut bucket = Self { rate: limit.per_second(rate), silence_max: limit.silence_max(), tokens: 0.0, at: now };
        bucket.tokens = bucket.burst();
        bucket
    }

    /// Follows a quota that was changed. What it owed or had is kept, as far as the new quota has room for it.
    pub fn follow(&mut self, limit: Limit, rate: Rate, now: Duration) {
        let rate = limit.per_second(rate);
        if rate.to_bits() != self.rate.to_bits() {
            self.refill(now);
            self.rate = rate;
            self.settle();
        }
    }

    /// Takes `amount`, come what may; how long its owner is to be silent.
    pub fn charge(&mut self, amount: f64, now: Duration) -> Duration {
        self.refill(now);
        self.tokens -= amount.max(0.0);
        self.settle();
        self.debt()
    }

    /// Takes `amount` if it is there.
    ///
    /// # Errors
    /// How long until it is; nothing was taken.
    pub fn take(&mut self, amount: f64, now: Duration) -> Result<(), Duration> {
        self.refill(now);
        if self.tokens >= amount {
            self.tokens -= amount;
            return Ok(());
        }
        Err(self.time_for(amount - self.tokens))
    }

    /// Whether it has a whole burst: then it says no more than a new one.
    pub fn is_full(&self, now: Duration) -> bool {
        self.fill(now) >= 1.0
    }

    /// How much of a burst it has; below zero in debt.
    pub(super) fn fill(&self, now: Duration) -> f64 {
        let mut then = *self;
        then.refill(now);
        then.tokens / then.burst()
    }

    fn burst(&self) -> f64 {
        self.rate * BURST.as_secs_f64()
    }

    fn refill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.at);
        self.at = self.at.max(now);
        self.tokens += self.rate * passed.as_secs_f64();
        self.settle();
    }

    fn settle(&mut self) {
        let owed_max = self.rate * self.silence_max.as_secs_f64();
        self.tokens = self.tokens.clamp(-owed_max, self.burst());
    }

    fn debt(&self) -> Duration {
        if self.tokens < 0.0 { self.time_for(-self.tokens) } else { Duration::ZERO }
    }

    fn time_for(&self, tokens: f64) -> Duration {
        Duration::try_from_secs_f64(tokens / self.rate).unwrap_or(self.silence_max).min(self.silence_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(rate: f64) -> Rate {
        Limit::ProducerByteRate.rate(rate).unwrap()
    }

    fn bucket(rate: f64) -> Bucket {
        Bucket::full(Limit::ProducerByteRate, bytes(rate), Duration::ZERO)
    }

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn a_burst_is_free_and_what_is_above_it_has_to_be_waited_for() {
        let mut bucket = bucket(100.0);
        assert_eq!(bucket.charge(1000.0, seconds(0.0)), Duration::ZERO);
        assert_eq!(bucket.charge(50.0, seconds(0.0)), seconds(0.5));
        assert_eq!(bucket.charge(50.0, seconds(0.5)), seconds(0.5));
        assert_eq!(bucket.charge(0.0, seconds(2.0)), Duration::ZERO);
        assert!(!bucket.is_full(seconds(2.0)) && bucket.is_full(seconds(11.0)));
    }

    #[test]
    fn a_debt_is_bounded_by_the_longest_silence() {
        let mut bucket = bucket(1.0);
        assert_eq!(bucket.charge(1e12, seconds(0.0)), Duration::from_secs(60));
        assert_eq!(bucket.charge(0.0, seconds(60.0)), Duration::ZERO);
    }

    #[test]
    fn what_is_not_there_is_not_taken() {
        let rate = Limit::ConnectionCreationRate.rate(2.0).unwrap();
        let mut bucket = Bucket::full(Limit::ConnectionCreationRate, rate, Duration::ZERO);
        assert!((0..20).all(|_| bucket.take(1.0, Duration::ZERO).is_ok()));
        assert_eq!(bucket.take(1.0, Duration::ZERO), Err(seconds(0.5)));
        assert_eq!(bucket.take(1.0, seconds(0.5)), Ok(()));
    }

    #[test]
    fn a_changed_quota_keeps_what_is_owed() {
        let mut bucket = bucket(100.0);
        bucket.charge(1200.0, Duration::ZERO);
        bucket.follow(Limit::ProducerByteRate, bytes(400.0), Duration::ZERO);
        assert_eq!(bucket.charge(0.0, Duration::ZERO), seconds(0.5));
        bucket.follow(Limit::ProducerByteRate, bytes(1.0), Duration::ZERO);
        assert_eq!(bucket.charge(0.0, Duration::ZERO), Duration::from_secs(60));
    }

    proptest! {
        /// Who waits as told never gets more than the burst, the rate and one charge.
        #[test]
        fn who_waits_as_told_stays_within_the_quota(
            rate in 1u32..1_000_000,
            charges in prop::collection::vec((0.0f64..50.0, 0u64..5_000), 1..200),
        ) {
            let rate = f64::from(rate);
            let (mut bucket, mut now, mut total) = (bucket(rate), Duration::ZERO, 0.0);
            for (seconds_worth, pause_ms) in charges {
                let amount = seconds_worth * rate;
                total += amount;
                let allowed = rate * (BURST + now).as_secs_f64() + amount;
                prop_assert!(total <= allowed * (1.0 + 1e-9), "{total} of {allowed} at {now:?}");
                now += bucket.charge(amount, now) + Duration::from_millis(pause_ms);
            }
        }

        /// A silence ends: after it the bucket owes nothing, and it is never longer than the longest.
        #[test]
        fn a_silence_pays_what_is_owed(rate in 1e-3f64..1e12, amount in 0.0f64..1e15) {
            let rate = rate.ceil();
            let mut bucket = bucket(rate);
            let silence = bucket.charge(amount, Duration::ZERO);
            prop_assert!(silence <= Limit::ProducerByteRate.silence_max());
            let rest = bucket.charge(0.0, silence);
            prop_assert!(rest <= Duration::from_millis(1), "{rest:?}");
        }

        /// A clock that does not move, or is read out of order, gives nothing for free.
        #[test]
        fn time_never_goes_back(times in prop::collection::vec(0u64..10_000, 1..50)) {
            let mut bucket = bucket(100.0);
            bucket.charge(1000.0, Duration::from_secs(10));
            let mut latest = Duration::from_secs(10);
            for millis in times {
                let now = Duration::from_millis(millis);
                bucket.charge(0.0, now);
                latest = latest.max(now);
            }
            prop_assert!(bucket.fill(latest) <= 1e-9);
        }
    }
}
