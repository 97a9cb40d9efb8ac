//! The ports in a test's hands.

mod objects;

pub use objects::MemoryObjects;

use crate::{BootInstant, Clock, Entropy};
use model::Timestamp;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Clocks that only move when told to.
#[derive(Debug, Default)]
pub struct ManualClock(Mutex<(Timestamp, Duration)>);

impl ManualClock {
    /// Clocks that stand at `now`, with the machine just started.
    pub fn at(now: Timestamp) -> Self {
        Self(Mutex::new((now, Duration::ZERO)))
    }

    /// Lets `duration` pass on both clocks.
    pub fn pass(&self, duration: Duration) {
        let mut clocks = self.0.lock().expect("no holder of this lock panics");
        clocks.0 = clocks.0.plus(duration);
        clocks.1 += duration;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.0.lock().expect("no holder of this lock panics").0
    }

    fn boot(&self) -> BootInstant {
        BootInstant::after_boot(self.0.lock().expect("no holder of this lock panics").1)
    }
}

/// Random numbers that are the same for the same seed (SplitMix64, Steele et al. 2014).
#[derive(Debug)]
pub struct SeededEntropy(AtomicU64);

impl SeededEntropy {
    /// The sequence of `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }
}

impl Entropy for SeededEntropy {
    fn next_u64(&self) -> u64 {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut z = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_is_one_sequence() {
        let (a, b) = (SeededEntropy::new(7), SeededEntropy::new(7));
        assert_eq!((a.next_u64(), a.next_u64()), (b.next_u64(), b.next_u64()));
        assert_ne!(a.next_u64(), SeededEntropy::new(8).next_u64());
    }
}
