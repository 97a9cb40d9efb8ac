//! How far the log was handed out to fetches that share a run: each link in another region has one run at a time here.
//!
//! ```text
//!   fetch a, fetch b, fetch c of one run, all from 10    a gets [10, 14), b gets [14, 19), c waits for what comes next
//! ```
//!
//! Nothing of it outlives the process or a leadership, and nothing has to: a link that misses something begins another run.

use super::Partition;
use model::{LeaderEpoch, Offset, RegionName};
use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// More regions than any platform has; whoever comes behind them gets each fetch answered by itself.
const REGIONS_MAX: usize = 64;

/// The runs of all links.
#[derive(Debug, Default)]
pub(crate) struct Runs(BTreeMap<RegionName, Run>);

/// What a fetch says of its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RunId {
    /// The window that asks.
    pub(crate) window: i64,
    /// The run's number within that window.
    pub(crate) run: i32,
}

/// One run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    id: RunId,
    led_under: LeaderEpoch,
    next: Offset,
    handed_at: Option<Instant>,
}

impl Runs {
    /// The run of `region` that a fetch under `id` reads on; one that begins at `from` if it is new or another leader was
    /// here. `None` for what came late: its run was followed by another one.
    pub(crate) fn of(
        &mut self,
        region: &RegionName,
        id: RunId,
        from: Offset,
        led_under: LeaderEpoch,
    ) -> Option<&mut Run> {
        if !self.0.contains_key(region) && self.0.len() >= REGIONS_MAX {
            return None;
        }
        let begin = Run { id, led_under, next: from, handed_at: None };
        let known = self.0.entry(region.clone()).or_insert(begin);
        if known.id.window == id.window && known.id.run > id.run {
            return None;
        }
        if (known.id, known.led_under) != (id, led_under) {
            *known = begin;
        }
        Some(known)
    }
}

impl Run {
    /// Where it goes on.
    pub(crate) const fn next(&self) -> Offset {
        self.next
    }

    /// Everything below `next` was handed out at `now`.
    pub(crate) fn hand_out(&mut self, next: Offset, now: Instant) {
        self.next = next;
        self.handed_at = Some(now);
    }

    /// Until when records are gathered, if answers are to lie `spacing` apart.
    pub(crate) fn gathers_until(&self, spacing: Duration) -> Option<Instant> {
        self.handed_at.map(|at| at + spacing)
    }
}

impl Partition {
    /// The runs of links that read it.
    pub(crate) fn runs(&self) -> MutexGuard<'_, Runs> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LED: LeaderEpoch = LeaderEpoch(4096);

    fn region() -> RegionName {
        RegionName::new("r2").unwrap()
    }

    fn id(window: i64, run: i32) -> RunId {
        RunId { window, run }
    }

    #[test]
    fn fetches_of_one_run_read_on_where_the_last_one_ended() {
        let mut runs = Runs::default();
        runs.of(&region(), id(7, 1), Offset(10), LED).unwrap().hand_out(Offset(14), Instant::now());
        assert_eq!(runs.of(&region(), id(7, 1), Offset(10), LED).unwrap().next(), Offset(14));
        let other = RegionName::new("r3").unwrap();
        assert_eq!(runs.of(&other, id(7, 1), Offset(10), LED).unwrap().next(), Offset(10), "a link of its own");
    }

    #[test]
    fn another_run_window_or_leader_begins_anew() {
        for (next, led) in [(id(7, 2), LED), (id(8, 1), LED), (id(7, 1), LED.next().unwrap())] {
            let mut runs = Runs::default();
            runs.of(&region(), id(7, 1), Offset(10), LED).unwrap().hand_out(Offset(14), Instant::now());
            let run = runs.of(&region(), next, Offset(12), led).unwrap();
            assert_eq!((run.next(), run.gathers_until(Duration::ZERO)), (Offset(12), None));
        }
    }

    #[test]
    fn a_fetch_of_a_run_that_is_over_gets_nothing() {
        let mut runs = Runs::default();
        runs.of(&region(), id(7, 2), Offset(10), LED).unwrap().hand_out(Offset(14), Instant::now());
        assert!(runs.of(&region(), id(7, 1), Offset(3), LED).is_none());
        assert_eq!(runs.of(&region(), id(7, 2), Offset(10), LED).unwrap().next(), Offset(14));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut runs = Runs::default();
        for number in 0..1000 {
            let region = RegionName::new(format!("r{number}")).unwrap();
            assert_eq!(runs.of(&region, id(1, 1), Offset(0), LED).is_some(), number < REGIONS_MAX);
        }
    }
}
