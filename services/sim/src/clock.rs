//! The boot clock of each broker: it began at another moment than the others, and runs a little faster or slower.

use crate::random::Random;
use std::time::Duration;

/// One broker's clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SimClock {
    began: Duration,
    /// Microseconds it shows while one second goes by.
    rate: u64,
}

impl SimClock {
    /// A clock that drifts by up to 4 %.
    pub(crate) fn new(random: &mut Random) -> Self {
        Self { began: random.millis(0..100_000), rate: random.between(960_000..1_040_000) }
    }

    /// What it shows at `now`.
    pub(crate) fn at(&self, now: Duration) -> Duration {
        let micros = now.as_micros() as u64;
        self.began + Duration::from_micros(micros / 1_000_000 * self.rate + micros % 1_000_000 * self.rate / 1_000_000)
    }
}
