use super::Quotas;
use crate::api::{Call, Reply, Waiting};
use crate::listener::Outgoing;
use broker_core::quota::Limit;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

/// Until when a connection is not heard.
#[derive(Debug, Default)]
pub(crate) struct Mute {
    /// Milliseconds since boot.
    until: AtomicU64,
}

impl Mute {
    fn extend(&self, until: Duration) {
        self.until.fetch_max(millis(until), Ordering::AcqRel);
    }

    /// How long it still is; `None` when it is heard.
    pub(crate) fn left(&self, now: Duration) -> Option<Duration> {
        let until = Duration::from_millis(self.until.load(Ordering::Acquire));
        until.checked_sub(now).filter(|left| !left.is_zero())
    }
}

/// What one request uses of its client's quotas.
pub(crate) struct Meter {
    quotas: Arc<Quotas>,
    client: String,
    mute: Arc<Mute>,
    /// The longest silence so far, in milliseconds.
    silence: AtomicU64,
    /// Time that was spent on it, where that is limited.
    timing: Option<Mutex<Timing>>,
}

/// Time that was spent on a request and not charged yet.
#[derive(Debug, Default)]
struct Timing {
    spent: Duration,
    /// Since when it is being worked on.
    since: Option<Duration>,
}

impl Meter {
    pub(super) fn new(quotas: Arc<Quotas>, client: String, mute: Arc<Mute>, is_timed: bool) -> Self {
        Self { quotas, client, mute, silence: AtomicU64::new(0), timing: is_timed.then(Mutex::default) }
    }

    /// The request has used so much.
    pub(crate) fn charge(&self, limit: Limit, amount: u64) {
        self.note(self.quotas.charge(limit, &self.client, amount as f64));
    }

    /// The most it may use at once; `None` without a limit.
    pub(crate) fn burst(&self, limit: Limit) -> Option<u64> {
        self.quotas.burst(limit, &self.client).map(|burst| burst as u64)
    }

    /// What its answer says: how long the client is to be silent.
    pub(crate) fn throttle_time_ms(&self) -> i32 {
        self.charge_time();
        i32::try_from(self.silence.load(Ordering::Acquire)).unwrap_or(i32::MAX)
    }

    /// Starts the request; time that it takes, now and until it is answered, counts.
    ///
    /// # Errors
    /// Those of `start`.
    pub(crate) fn run<E>(self: Arc<Self>, start: impl FnOnce() -> Result<Reply, E>) -> Result<Reply, E> {
        let reply = self.timed(start)?;
        Ok(match reply {
            Reply::Later(waiting) if self.timing.is_some() => Reply::Later(Box::pin(Timed { waiting, meter: self })),
            Reply::Nothing => {
                self.charge_time();
                Reply::Nothing
            }
            other => other,
        })
    }

    /// The client is to be silent for so long at least.
    pub(crate) fn note(&self, silence: Duration) {
        if !silence.is_zero() {
            self.silence.fetch_max(millis(silence), Ordering::AcqRel);
            self.mute.extend(self.quotas.now() + silence);
        }
    }

    fn timed<T>(&self, work: impl FnOnce() -> T) -> T {
        if let Some(mut timing) = self.timing() {
            timing.since = Some(self.quotas.now());
        }
        let worked = work();
        if let Some(mut timing) = self.timing() {
            timing.stop(self.quotas.now());
        }
        worked
    }

    /// Charges the time spent up to now.
    fn charge_time(&self) {
        let Some(mut timing) = self.timing() else { return };
        let spent = timing.take(self.quotas.now());
        drop(timing);
        self.note(self.quotas.charge(Limit::RequestPercentage, &self.client, spent.as_secs_f64()));
    }

    fn timing(&self) -> Option<MutexGuard<'_, Timing>> {
        self.timing.as_ref().map(|timing| timing.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Timing {
    fn stop(&mut self, now: Duration) {
        self.spent += self.since.take().map_or(Duration::ZERO, |since| now.saturating_sub(since));
    }

    /// What was spent; work that is under way goes on from zero.
    fn take(&mut self, now: Duration) -> Duration {
        let is_under_way = self.since.is_some();
        self.stop(now);
        self.since = is_under_way.then_some(now);
        std::mem::take(&mut self.spent)
    }
}

/// An answer that is being worked on, with the time that takes.
struct Timed {
    waiting: Waiting,
    meter: Arc<Meter>,
}

impl Future for Timed {
    type Output = Option<Outgoing>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let meter = self.meter.clone();
        meter.timed(|| self.waiting.as_mut().poll(context))
    }
}

impl Call {
    /// The request has used so much of what may be limited.
    pub(crate) fn charge(&self, limit: Limit, amount: u64) {
        if let Some(meter) = &self.meter {
            meter.charge(limit, amount);
        }
    }

    /// Its client is to be silent for so long, whatever it may use.
    pub(crate) fn silence(&self, silence: Duration) {
        if let Some(meter) = &self.meter {
            meter.note(silence);
        }
    }

    /// The most the request may use at once; `None` without a limit.
    pub(crate) fn burst(&self, limit: Limit) -> Option<u64> {
        self.meter.as_ref()?.burst(limit)
    }

    /// How long its client is to be silent, in milliseconds.
    pub(crate) fn throttle_time_ms(&self) -> i32 {
        self.meter.as_ref().map_or(0, |meter| meter.throttle_time_ms())
    }
}

impl std::fmt::Debug for Meter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Meter {{ {:?} {:?} }}", self.client, self.silence)
    }
}

/// Whole milliseconds, rounded up: nobody is heard too early.
fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
