//! Whether a line is good enough for `auto` to ask for SYNC.
//!
//! ```text
//!   round trip   0 ---- good ---- 0.8 max -- no opinion -- max ---- bad ----
//!   error share  0 ---- good ---- 0.5 max -- no opinion -- max ---- bad ----    of the requests of the last 10 s
//!
//!   ASYNC --good for 10 s without a break--> SYNC --bad for 3 s without a break--> ASYNC      at most every 15 s
//! ```
//!
//! A line of which nothing was heard lately is neither: a target that is out of reach is left, or waited for, by the
//! group's policy for slow targets.

use model::Timestamp;
use std::collections::VecDeque;
use std::time::Duration;

/// How long a line has to be good without a break before SYNC is asked for.
pub const GOOD_FOR: Duration = Duration::from_secs(10);
/// How long a line has to be bad without a break before SYNC is asked for no more.
pub const BAD_FOR: Duration = Duration::from_secs(3);
/// The least time between two changes of mind.
pub const DWELL: Duration = Duration::from_secs(15);
/// Over how long the share of errors is taken.
pub const WINDOW: Duration = Duration::from_secs(10);
/// One failure is no share of anything.
const FAILURES_MIN: u64 = 2;
/// How many observations are kept; where more arrive in a window, the share is taken over a shorter time.
const OBSERVATIONS_MAX: usize = 64;

/// What `auto` accepts of a line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Above it a line is bad.
    pub round_trip: Duration,
    /// Above it a line is bad, from 0 to 1.
    pub error_share: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { round_trip: Duration::from_millis(100), error_share: 0.001 }
    }
}

/// What is known of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Its smoothed round trip; `None` where nothing was heard lately.
    pub round_trip: Option<Duration>,
    /// Requests that were sent over it since the link began.
    pub requests: u64,
    /// Those of them that failed.
    pub failures: u64,
}

/// What the line of a group was like lately, and what follows from it.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    asks_for_sync: bool,
    turned: Option<Timestamp>,
    /// Since when every observation spoke against what is asked for.
    against: Option<Timestamp>,
    counts: VecDeque<(Timestamp, Line)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opinion {
    Good,
    Bad,
    None,
}

impl Watch {
    /// One that takes over from another: the group asked for SYNC or not since `turned`.
    pub const fn resume(asks_for_sync: bool, turned: Timestamp) -> Self {
        Self { asks_for_sync, turned: Some(turned), against: None, counts: VecDeque::new() }
    }

    /// Whether SYNC is asked for.
    pub const fn asks_for_sync(&self) -> bool {
        self.asks_for_sync
    }

    /// Looks at the line at `now`; whether SYNC is asked for from now on.
    pub fn observe(&mut self, now: Timestamp, line: Line, limits: &Limits) -> bool {
        self.count(now, line);
        let is_against = match self.opinion(&line, limits) {
            Opinion::Good => !self.asks_for_sync,
            Opinion::Bad => self.asks_for_sync,
            Opinion::None => false,
        };
        self.against = is_against.then(|| self.against.unwrap_or(now));
        let needed = if self.asks_for_sync { BAD_FOR } else { GOOD_FOR };
        let is_sure = self.against.is_some_and(|since| now.since(since) >= needed);
        let may_turn = self.turned.is_none_or(|turned| now.since(turned) >= DWELL);
        if is_sure && may_turn {
            (self.asks_for_sync, self.turned, self.against) = (!self.asks_for_sync, Some(now), None);
        }
        self.asks_for_sync
    }

    /// Remembers the counts as far as the window reaches. Counts that went back are of another link.
    fn count(&mut self, now: Timestamp, line: Line) {
        let is_older = |last: &(Timestamp, Line)| line.requests < last.1.requests || line.failures < last.1.failures;
        if self.counts.back().is_some_and(is_older) {
            self.counts.clear();
        }
        self.counts.push_back((now, line));
        while self.counts.len() > OBSERVATIONS_MAX
            || self.counts.get(1).is_some_and(|(second, _)| now.since(*second) >= WINDOW)
        {
            self.counts.pop_front();
        }
    }

    fn opinion(&self, line: &Line, limits: &Limits) -> Opinion {
        let Some(round_trip) = line.round_trip else { return Opinion::None };
        let errors = self.error_share();
        if round_trip > limits.round_trip || errors > limits.error_share {
            Opinion::Bad
        } else if round_trip <= limits.round_trip.mul_f64(0.8) && errors <= limits.error_share / 2.0 {
            Opinion::Good
        } else {
            Opinion::None
        }
    }

    /// Which share of the requests of the window failed.
    fn error_share(&self) -> f64 {
        let (Some((_, first)), Some((_, last))) = (self.counts.front(), self.counts.back()) else { return 0.0 };
        let (requests, failures) = (last.requests - first.requests, last.failures - first.failures);
        if failures < FAILURES_MIN { 0.0 } else { failures as f64 / requests.max(failures) as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { round_trip: Duration::from_millis(100), error_share: 0.001 };

    /// A line that is looked at twice a second.
    struct Story {
        watch: Watch,
        now: Timestamp,
        line: Line,
        turns: Vec<(Timestamp, bool)>,
    }

    impl Story {
        fn begin() -> Self {
            Self { watch: Watch::default(), now: Timestamp(0), line: Line::default(), turns: vec![] }
        }

        fn goes_on(&mut self, seconds: i64, round_trip_ms: impl Fn(i64) -> u64, failures_in_1000: u64) {
            for step in 0..seconds * 2 {
                self.now = Timestamp(self.now.0 + 500);
                self.line.round_trip = Some(Duration::from_millis(round_trip_ms(step)));
                self.line.requests += 1000;
                self.line.failures += failures_in_1000;
                let before = self.watch.asks_for_sync();
                if self.watch.observe(self.now, self.line, &LIMITS) != before {
                    self.turns.push((self.now, !before));
                }
            }
        }

        fn turns(&self) -> Vec<bool> {
            self.turns.iter().map(|(_, to)| *to).collect()
        }
    }

    #[test]
    fn a_line_that_becomes_long_and_short_again_turns_the_mode_once_each() {
        let mut story = Story::begin();
        for round_trip in [20, 150, 20] {
            story.goes_on(60, |step| round_trip + u64::from(step % 2 == 0) * 10, 0);
        }
        assert_eq!(story.turns(), [true, false, true]);
        let after = |turn: usize| story.turns[turn].0.0 - 60_000 * i64::try_from(turn).unwrap();
        assert_eq!([after(0), after(1), after(2)], [10_500, 3500, 10_500], "milliseconds after each change");
    }

    #[test]
    fn a_line_that_fails_and_recovers_turns_the_mode_once_each() {
        let mut story = Story::begin();
        for failures in [0, 10, 0] {
            story.goes_on(60, |_| 20, failures);
        }
        assert_eq!(story.turns(), [true, false, true]);
    }

    #[test]
    fn a_line_on_the_edge_does_not_turn_the_mode_to_and_fro() {
        let mut story = Story::begin();
        story.goes_on(60, |_| 20, 0);
        story.goes_on(600, |step| 75 + u64::try_from(step % 60).unwrap(), 0);
        assert!(story.turns.len() <= 2, "{:?}", story.turns);
        let mut story = Story::begin();
        story.goes_on(60, |_| 20, 0);
        story.goes_on(600, |step| if step % 5 == 0 { 300 } else { 90 }, 0);
        assert_eq!(story.turns(), [true], "one long trip among short ones is nothing");
    }

    #[test]
    fn one_failure_and_silence_say_nothing() {
        let mut watch = Watch::resume(true, Timestamp(0));
        let mut line = Line { round_trip: Some(Duration::from_millis(5)), requests: 1, failures: 0 };
        for second in 1..100 {
            line.requests += 1;
            line.failures = u64::from(second > 50);
            line.round_trip = line.round_trip.filter(|_| second < 70);
            assert!(watch.observe(Timestamp(second * 1000), line, &LIMITS), "{second}");
        }
    }

    proptest! {
        #[test]
        fn two_turns_are_never_nearer_than_the_dwell(
            steps in prop::collection::vec((1_i64..4000, prop::option::of(0_u64..300), 0_u64..50, 0_u64..3), 0..200)
        ) {
            let (mut watch, mut now, mut line) = (Watch::default(), 0, Line::default());
            let mut last: Option<i64> = None;
            for (passed, round_trip, requests, failures) in steps {
                now += passed;
                line.round_trip = round_trip.map(Duration::from_millis);
                line.requests += requests.max(failures);
                line.failures += failures;
                let before = watch.asks_for_sync();
                if watch.observe(Timestamp(now), line, &LIMITS) != before {
                    prop_assert!(last.is_none_or(|last| now - last >= 15_000));
                    last = Some(now);
                }
                prop_assert!(watch.counts.len() <= OBSERVATIONS_MAX);
            }
        }
    }
}
