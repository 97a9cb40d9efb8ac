use super::{FIRST_ANSWER_MAX, PROBE_INTERVAL, SILENCE_MAX, Seen, TICK_LATE_MAX};
use model::{RegionName, Timestamp};
use std::collections::BTreeMap;
use std::time::Duration;

/// Counts how long each region has been silent to one council member.
///
/// All times are of one clock that never stands still or jumps while the process is stopped (the boot clock).
#[derive(Clone, Debug)]
pub struct Observer {
    last_tick: Timestamp,
    /// Since when this observer has been awake without a stall.
    watching_since: Timestamp,
    /// Every region that ever answered; the answer itself is forgotten by a stall.
    answers: BTreeMap<RegionName, Option<Timestamp>>,
}

impl Observer {
    /// An observer that begins to watch at `now`.
    pub fn new(now: Timestamp) -> Self {
        Self { last_tick: now, watching_since: now, answers: BTreeMap::new() }
    }

    /// The observer's own tick, due every [`PROBE_INTERVAL`]. A tick that comes late clears what was seen: the silence was
    /// perhaps its own.
    pub fn on_tick(&mut self, now: Timestamp) {
        if self.is_stalled(now) {
            self.watching_since = now;
            self.answers.values_mut().for_each(|answer| *answer = None);
        }
        self.last_tick = now;
    }

    /// `region` answered at `now`.
    pub fn on_answer(&mut self, region: &RegionName, now: Timestamp) {
        self.answers.insert(region.clone(), Some(now));
    }

    /// What is seen of `region` at `now`.
    pub fn observe(&self, region: &RegionName, now: Timestamp) -> Seen {
        if self.is_stalled(now) {
            return Seen::Abstains;
        }
        match self.answers.get(region) {
            Some(Some(answer)) => silent(now.since(*answer)),
            Some(None) => self.silent_after(SILENCE_MAX, now),
            None => self.silent_after(FIRST_ANSWER_MAX, now),
        }
    }

    fn is_stalled(&self, now: Timestamp) -> bool {
        now.since(self.last_tick) > PROBE_INTERVAL + TICK_LATE_MAX
    }

    fn silent_after(&self, limit: Duration, now: Timestamp) -> Seen {
        let watched = now.since(self.watching_since);
        if watched < limit { Seen::Abstains } else { silent(watched) }
    }
}

fn silent(duration: Duration) -> Seen {
    Seen::Silent { for_ms: duration.as_millis() as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched_until(observer: &mut Observer, until: i64) {
        while observer.last_tick.0 < until {
            observer.on_tick(Timestamp(observer.last_tick.0 + 250));
        }
    }

    #[test]
    fn silence_is_counted_from_the_last_answer() {
        let r1 = RegionName::new("r1").unwrap();
        let mut observer = Observer::new(Timestamp(0));
        observer.on_answer(&r1, Timestamp(100));
        watched_until(&mut observer, 3000);
        assert_eq!(observer.observe(&r1, Timestamp(3000)), Seen::Silent { for_ms: 2900 });
        assert!(observer.observe(&r1, Timestamp(3099)).is_answer());
        assert!(observer.observe(&r1, Timestamp(3100)).is_silence());
    }

    #[test]
    fn an_observer_that_stalled_abstains_and_forgets() {
        let r1 = RegionName::new("r1").unwrap();
        let mut observer = Observer::new(Timestamp(0));
        observer.on_answer(&r1, Timestamp(100));
        assert_eq!(observer.observe(&r1, Timestamp(20_000)), Seen::Abstains, "it has not ticked");
        observer.on_tick(Timestamp(20_000));
        assert_eq!(observer.observe(&r1, Timestamp(20_100)), Seen::Abstains, "it has just woken up");
        watched_until(&mut observer, 23_000);
        assert!(observer.observe(&r1, Timestamp(23_000)).is_silence(), "it has watched long enough since");
    }

    #[test]
    fn a_tick_one_second_late_is_on_time() {
        let r1 = RegionName::new("r1").unwrap();
        let mut observer = Observer::new(Timestamp(0));
        observer.on_answer(&r1, Timestamp(0));
        observer.on_tick(Timestamp(1250));
        assert_eq!(observer.observe(&r1, Timestamp(1250)), Seen::Silent { for_ms: 1250 });
        observer.on_tick(Timestamp(2501));
        assert_eq!(observer.observe(&r1, Timestamp(2501)), Seen::Abstains);
    }

    #[test]
    fn a_region_that_never_answered_gets_more_time() {
        let r1 = RegionName::new("r1").unwrap();
        let mut observer = Observer::new(Timestamp(0));
        watched_until(&mut observer, 9_750);
        assert_eq!(observer.observe(&r1, Timestamp(9_750)), Seen::Abstains);
        watched_until(&mut observer, 10_000);
        assert!(observer.observe(&r1, Timestamp(10_000)).is_silence());
    }
}
