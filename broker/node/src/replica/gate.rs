//! The right to write under one grant: a lease that is renewed, and a stop that is ordered.
//!
//! ```text
//!   produce --enter--> Pass ---- append ... flush ---- may_answer? --> ack written --> Pass dropped
//!                        '------------- counted by drained() ---------------------------'
//! ```
//!
//! One gate per group and grant; the next grant has another one. Topics that belong to no group have a gate that is
//! always open.

use crate::heart::Footing;
use env::{BootInstant, Clock};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// What all partitions of a group under one grant are written through.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Nanoseconds on the boot clock.
    leased_until: AtomicU64,
    /// Whether this broker may lead at all.
    footing: Arc<Footing>,
    stopped: AtomicBool,
    inside: AtomicUsize,
    left: Notify,
}

/// Why a write is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shut {
    /// No lease stands.
    Lapsed,
    /// Writes were ordered to stop.
    Stopped,
}

/// A write that was let in. While it exists the gate is not drained.
#[derive(Debug)]
pub(crate) struct Pass(Arc<Gate>);

impl Gate {
    /// A gate that is shut until a lease is given, on a broker that stands on `footing`.
    pub(crate) fn shut(footing: Arc<Footing>) -> Arc<Self> {
        Self::until(0, footing)
    }

    /// A gate that needs no lease, only the broker's footing.
    pub(crate) fn local(footing: Arc<Footing>) -> Arc<Self> {
        Self::until(u64::MAX, footing)
    }

    /// A gate that needs neither.
    pub(crate) fn free() -> Arc<Self> {
        Self::until(u64::MAX, Arc::new(Footing::firm()))
    }

    fn until(nanos: u64, footing: Arc<Footing>) -> Arc<Self> {
        Arc::new(Self {
            leased_until: AtomicU64::new(nanos),
            footing,
            stopped: AtomicBool::new(false),
            inside: AtomicUsize::new(0),
            left: Notify::new(),
        })
    }

    /// The lease stands until then; an earlier end than the one known changes nothing.
    pub(crate) fn extend(&self, until: BootInstant) {
        self.leased_until.fetch_max(nanos(until), Ordering::SeqCst);
    }

    /// What is left of the lease at `now`; `None` where none stands.
    pub(crate) fn leased_for(&self, now: BootInstant) -> Option<Duration> {
        let left = self.leased_until.load(Ordering::SeqCst).checked_sub(nanos(now))?;
        (left > 0).then(|| Duration::from_nanos(left))
    }

    /// For how long at least writes that are inside may be answered from `now` on; `None` where they may not.
    pub(crate) fn stands_for(&self, now: BootInstant) -> Option<Duration> {
        let footing = self.footing.left(now)?;
        self.leased_for(now).map(|leased| leased.min(footing))
    }

    /// The lease is over at once: the grant is. No write that is inside may be answered any more.
    pub(crate) fn end(&self) {
        self.leased_until.store(0, Ordering::SeqCst);
    }

    /// Whether the lease stands at `now`, and the broker is not to be taken for fenced.
    pub(crate) fn is_leased(&self, now: BootInstant) -> bool {
        nanos(now) < self.leased_until.load(Ordering::SeqCst) && self.footing.stands(now)
    }

    /// Lets writes in or not. Those inside go on.
    pub(crate) fn stop(&self, stopped: bool) {
        self.stopped.store(stopped, Ordering::SeqCst);
    }

    /// Whether writes were ordered to stop.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// Whether a write would be let in at `now`.
    pub(crate) fn is_open(&self, now: BootInstant) -> bool {
        !self.is_stopped() && self.is_leased(now)
    }

    /// Lets a write in.
    ///
    /// # Errors
    /// [`Shut`] says why not.
    pub(crate) fn enter(self: &Arc<Self>, now: BootInstant) -> Result<Pass, Shut> {
        // Counted first: whoever stops the gate and then sees nobody inside may be sure that nobody comes in.
        self.inside.fetch_add(1, Ordering::SeqCst);
        let pass = Pass(self.clone());
        if self.is_stopped() {
            return Err(Shut::Stopped);
        }
        if self.is_leased(now) { Ok(pass) } else { Err(Shut::Lapsed) }
    }

    /// Waits until every write that was let in is answered or given up. Stop the gate first.
    pub(crate) async fn drained(&self) {
        loop {
            let left = self.left.notified();
            if self.inside.load(Ordering::SeqCst) == 0 {
                return;
            }
            left.await;
        }
    }
}

impl Pass {
    /// Whether the write may be acknowledged at `now`: the lease still stands.
    pub(crate) fn may_answer(&self, now: BootInstant) -> bool {
        self.0.is_leased(now)
    }
}

/// The writes that one answer acknowledges.
pub(crate) struct Passes {
    passes: Vec<Pass>,
    clock: Arc<dyn Clock>,
}

impl Passes {
    /// All of `passes`, judged by `clock`.
    pub(crate) fn new(passes: Vec<Pass>, clock: Arc<dyn Clock>) -> Self {
        Self { passes, clock }
    }

    /// Whether the answer may go out right now.
    pub(crate) fn may_answer(&self) -> bool {
        let now = self.clock.boot();
        self.passes.iter().all(|pass| pass.may_answer(now))
    }
}

impl std::fmt::Debug for Passes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Passes({})", self.passes.len())
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if self.0.inside.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.left.notify_waiters();
        }
    }
}

fn nanos(instant: BootInstant) -> u64 {
    let since_boot: Duration = instant.since_boot();
    u64::try_from(since_boot.as_nanos()).unwrap_or(u64::MAX - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> BootInstant {
        BootInstant::after_boot(Duration::from_secs(seconds))
    }

    #[test]
    fn a_lease_is_checked_at_the_door_and_again_before_the_answer() {
        let gate = Gate::shut(Arc::new(Footing::firm()));
        assert_eq!(gate.enter(at(1)).unwrap_err(), Shut::Lapsed);
        gate.extend(at(5));
        gate.extend(at(3));
        let pass = gate.enter(at(4)).unwrap();
        assert!(pass.may_answer(at(4)));
        assert!(!pass.may_answer(at(5)));
        gate.end();
        assert!(!pass.may_answer(at(4)));
        assert!(Gate::free().enter(at(1_000_000_000)).is_ok());
    }

    #[tokio::test]
    async fn a_stopped_gate_is_drained_when_the_last_write_is_answered() {
        let gate = Gate::free();
        let pass = gate.enter(at(1)).unwrap();
        gate.stop(true);
        assert_eq!(gate.enter(at(1)).unwrap_err(), Shut::Stopped);
        let waiting = tokio::spawn({
            let gate = gate.clone();
            async move { gate.drained().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(pass);
        waiting.await.unwrap();
        gate.stop(false);
        assert!(gate.enter(at(1)).is_ok());
    }
}
