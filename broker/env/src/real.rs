//! The ports on a real machine.

use crate::{BootInstant, Clock, Entropy};
use model::Timestamp;
use rustix::time::{ClockId, clock_gettime};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The machine's own clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(since_epoch.as_millis() as i64)
    }

    fn boot(&self) -> BootInstant {
        let time = clock_gettime(ClockId::Boottime);
        BootInstant::after_boot(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
    }
}

/// The operating system's random numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn next_u64(&self) -> u64 {
        let (high, low) = uuid::Uuid::new_v4().as_u64_pair();
        // A random UUID fixes six bits; folding its halves spreads them over random ones.
        high.rotate_left(32) ^ low
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_clock_does_not_go_back() {
        let earlier = SystemClock.boot();
        assert!(SystemClock.boot() >= earlier);
    }
}
