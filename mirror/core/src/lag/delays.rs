//! How long answers were on their way, as far as two clocks that were never compared can tell.
//!
//! What one clock shows at the arrival less what the other showed at the sending is the time on the way plus a number that
//! stays the same. So an answer was on its way longer than the quickest by exactly what its difference is larger (the
//! clock filter of NTP, RFC 5905, for one direction).

use model::Timestamp;
use std::time::Duration;

/// For how long the quickest counts, at least: clocks drift by milliseconds in a minute.
const WINDOW: Duration = Duration::from_secs(30);

/// The quickest answers of the last one or two windows.
#[derive(Clone, Debug, Default)]
pub(super) struct Delays {
    /// Its difference in this window, and in the one before.
    quickest: Option<i64>,
    before: Option<i64>,
    /// When this window began, on the caller's clock.
    since: Duration,
}

impl Delays {
    /// How much later than the quickest one an answer came that was given at `source_time` and is here at `now`.
    pub(super) fn beyond_quickest(&mut self, now: Duration, source_time: Timestamp) -> Duration {
        let difference = i64::try_from(now.as_millis()).unwrap_or(i64::MAX).saturating_sub(source_time.0);
        if now.saturating_sub(self.since) > WINDOW {
            (self.before, self.since) = (self.quickest.take(), now);
        }
        self.quickest = Some(self.quickest.map_or(difference, |known| known.min(difference)));
        let quickest = self.before.into_iter().chain(self.quickest).min().unwrap_or(difference);
        Duration::from_millis(difference.saturating_sub(quickest).unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beyond(delays: &mut Delays, arrived: u64, sent: i64) -> u64 {
        delays.beyond_quickest(Duration::from_millis(arrived), Timestamp(sent)).as_millis() as u64
    }

    #[test]
    fn what_came_later_than_the_quickest_is_late_by_the_difference() {
        let mut delays = Delays::default();
        assert_eq!(beyond(&mut delays, 1_000, 7_000), 0);
        assert_eq!(beyond(&mut delays, 1_050, 7_020), 30);
        assert_eq!(beyond(&mut delays, 9_000, 7_500), 7_500);
        assert_eq!(beyond(&mut delays, 9_001, 15_011), 0, "quicker than all before");
        assert_eq!(beyond(&mut delays, 9_100, 15_100), 10);
    }

    #[test]
    fn after_a_long_silence_the_quickest_before_it_still_counts() {
        let mut delays = Delays::default();
        assert_eq!(beyond(&mut delays, 1_000, 1_000), 0);
        assert_eq!(beyond(&mut delays, 100_000, 2_000), 98_000);
    }

    #[test]
    fn clocks_that_drift_apart_do_not_make_answers_late() {
        let mut delays = Delays::default();
        let late = |minute: u64, delays: &mut Delays| beyond(delays, minute * 60_000, (minute * 59_994) as i64);
        assert!((0..600).all(|minute| late(minute, &mut delays) <= 12));
    }
}
