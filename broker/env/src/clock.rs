use model::Timestamp;
use std::time::Duration;

/// A point on the boot clock: it never goes back and goes on while the machine or the process sleeps. Points of two
/// machines, or of one machine before and after a reboot, mean nothing to each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootInstant(Duration);

impl BootInstant {
    /// The point `since_boot` after the machine started.
    pub const fn after_boot(since_boot: Duration) -> Self {
        Self(since_boot)
    }

    /// The time from `earlier` to this point; zero when `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The point `duration` later.
    #[must_use]
    pub const fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }

    /// The time since the machine started.
    pub const fn since_boot(self) -> Duration {
        self.0
    }
}

/// The two clocks of a process.
pub trait Clock: Send + Sync + 'static {
    /// Wall-clock time. It may jump; nothing that fences may depend on it.
    fn now(&self) -> Timestamp;

    /// Time on the boot clock, for leases and silences (`CLOCK_BOOTTIME`: a suspended process finds its lease lapsed).
    fn boot(&self) -> BootInstant;
}
