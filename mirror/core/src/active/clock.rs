use model::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// How far a clock may be ahead of this region's before it is not followed.
pub const DRIFT_MAX: Duration = Duration::from_secs(300);

const COUNT_BITS: u32 = 16;

/// A hybrid logical time (Kulkarni et al., "Logical Physical Clocks", 2014): 48 bits of milliseconds since 1970, then
/// 16 bits that count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HybridTime(pub u64);

impl HybridTime {
    /// The first one of that millisecond.
    pub const fn at(time: Timestamp) -> Self {
        let millis = if time.0 < 0 { 0 } else { time.0 as u64 };
        let last = (1 << (u64::BITS - COUNT_BITS)) - 1;
        Self((if millis < last { millis } else { last }) << COUNT_BITS)
    }

    /// Its millisecond.
    pub const fn time(self) -> Timestamp {
        Timestamp((self.0 >> COUNT_BITS) as i64)
    }

    /// The smallest one after it.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for HybridTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.time(), self.0 & ((1 << COUNT_BITS) - 1))
    }
}

/// What a region's clocks show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The time of day.
    pub wall: Timestamp,
    /// The boot clock, which never jumps.
    pub boot: Duration,
}

/// A time that is too far ahead to be followed: a fact to be shown, since that region's writes win what they should
/// not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the time {found} is more than {limit:?} ahead of {own}, the time here; check the clocks of both regions")]
pub struct Drift {
    /// The time in question.
    pub found: Timestamp,
    /// The time here.
    pub own: Timestamp,
    /// How far it might have been ahead.
    pub limit: Duration,
}

/// The clock that stamps a region's writes: above every stamp received, unless that is out of bounds.
///
/// The drift guard has two sides. A stamp too far ahead is not followed, so that one bad clock drags no other; and a
/// jump of the own time of day is not followed either: the clock goes on at the pace of the boot clock. Nothing that
/// was received is lost by that: a write stands over what its region had received whatever the stamps are; they only
/// choose between writes that knew nothing of each other.
#[derive(Clone, Debug)]
pub struct HybridClock {
    last: HybridTime,
    reading: Option<Reading>,
    drift_max: Duration,
}

impl HybridClock {
    /// A clock that goes on above `last`.
    pub const fn new(last: HybridTime, drift_max: Duration) -> Self {
        Self { last, reading: None, drift_max }
    }

    /// The time of a write. Writes without anything received in between may have the same.
    pub fn stamp(&mut self, reading: Reading) -> HybridTime {
        let now = self.now(reading);
        self.last = self.last.max(HybridTime::at(now));
        self.last
    }

    /// Takes note of a received stamp: later ones are above it.
    ///
    /// # Errors
    /// [`Drift`]: it is too far ahead, and is not followed.
    pub fn receive(&mut self, found: HybridTime, reading: Reading) -> Result<(), Drift> {
        let own = self.now(reading);
        if found.time() > own.plus(self.drift_max) {
            return Err(Drift { found: found.time(), own, limit: self.drift_max });
        }
        self.last = self.last.max(found.next());
        Ok(())
    }

    /// The time of day, without what it jumped ahead.
    fn now(&mut self, reading: Reading) -> Timestamp {
        let Some(before) = self.reading else {
            self.reading = Some(reading);
            return reading.wall;
        };
        let expected = before.wall.plus(reading.boot.saturating_sub(before.boot));
        let jumped = reading.wall > expected.plus(self.drift_max);
        let wall = if jumped { expected } else { reading.wall };
        self.reading = Some(Reading { wall, boot: reading.boot });
        wall
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(wall: i64, boot: u64) -> Reading {
        Reading { wall: Timestamp(wall), boot: Duration::from_millis(boot) }
    }

    fn clock() -> HybridClock {
        HybridClock::new(HybridTime::default(), DRIFT_MAX)
    }

    #[test]
    fn a_stamp_is_above_everything_received_and_never_goes_back() {
        let mut clock = clock();
        let first = clock.stamp(reading(1_000_000, 0));
        let remote = HybridTime::at(Timestamp(1_200_000));
        clock.receive(remote, reading(1_000_001, 1)).unwrap();
        let second = clock.stamp(reading(1_000_002, 2));
        assert!(first < remote && remote < second);
        assert!(clock.stamp(reading(5, 3)) >= second);
    }

    #[test]
    fn a_clock_too_far_ahead_drags_no_other() {
        let mut clock = clock();
        let drift = clock.receive(HybridTime::at(Timestamp(1_300_001)), reading(1_000_000, 0)).unwrap_err();
        assert_eq!((drift.found, drift.own), (Timestamp(1_300_001), Timestamp(1_000_000)));
        assert_eq!(clock.stamp(reading(1_000_000, 0)).time(), Timestamp(1_000_000));
    }

    #[test]
    fn a_jump_of_the_own_clock_is_not_followed() {
        let (mut clock, day) = (clock(), 86_400_000);
        clock.stamp(reading(1_000_000, 0));
        assert_eq!(clock.stamp(reading(1_000_500 + day, 500)).time(), Timestamp(1_000_500));
        assert_eq!(clock.stamp(reading(1_002_000 + day, 2000)).time(), Timestamp(1_002_000));
        assert_eq!(clock.stamp(reading(1_003_000, 3000)).time(), Timestamp(1_003_000));
    }

    #[test]
    fn a_time_before_1970_is_the_first_one() {
        assert_eq!(HybridTime::at(Timestamp::NONE), HybridTime(0));
        assert_eq!(HybridTime::at(Timestamp(7)).next().time(), Timestamp(7));
    }
}
