//! Whether a line is good enough for `auto` to ask for SYNC.
//!
//! ```text
//!   round trip   0 ---- good ---- 0.8 max -- no opinion -- max ---- bad ----
//!   error share  0 ---- good ---- 0.5 max -- no opinion -- max ---- bad ----    of the requests of the last seconds
//!
//!   ASYNC --good for 10 s without a break--> SYNC --bad for 3 s without a break--> ASYNC      at most every 15 s
//! ```
//!
//! Those seconds are the group's to choose. A line of which nothing was heard lately is neither good nor bad: a target that
//! is out of reach is left, or waited for, by the group's policy for slow targets. One failure is no share of anything: it
//! keeps a line from being good, and does not make it bad.

use model::{Line, LineLimits, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// So many requests have to fail for a line to be bad.
const FAILURES_MIN: u64 = 2;

/// What follows from what the line of a group was like.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    asks_for_sync: bool,
    turned: Option<Timestamp>,
    /// Since when every observation spoke against what is asked for.
    against: Option<Timestamp>,
}

/// What a line is to a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Opinion {
    /// It keeps the limits, and to spare.
    Good,
    /// It does not keep them.
    Bad,
    /// It is near them.
    Neither,
    /// Nothing was heard over it lately.
    Unknown,
}

/// What `auto` asks for, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judgement {
    /// Whether SYNC is asked for.
    pub asks_for_sync: bool,
    /// The line, as it was last looked at.
    pub line: Line,
    /// What it was held against.
    pub limits: LineLimits,
    /// What it is.
    pub opinion: Opinion,
}

impl fmt::Display for Judgement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, limits, opinion, .. } = self;
        let percent = |ppm: u64| ppm as f64 / 10_000.0;
        let opinion = match opinion {
            Opinion::Good => "good",
            Opinion::Bad => "bad",
            Opinion::Neither => "neither good nor bad",
            Opinion::Unknown => "not known",
        };
        write!(f, "the line is {opinion}: ")?;
        match line.round_trip_us {
            Some(trip) => write!(f, "a round trip of {:.1} ms", trip as f64 / 1000.0)?,
            None => f.write_str("no round trip of late")?,
        }
        let (errors, errors_max) = (percent(line.errors_ppm()), percent(limits.errors_max_ppm.into()));
        write!(f, " of at most {} ms, {errors:.2} % of {} requests failed", limits.round_trip_max_ms, line.requests)?;
        write!(f, " of at most {errors_max:.2} %")
    }
}

impl Opinion {
    /// What a line is by these limits.
    pub fn of(line: Line, limits: LineLimits) -> Self {
        let Some(round_trip) = line.round_trip_us.map(Duration::from_micros) else { return Self::Unknown };
        let (errors, errors_max) = (line.errors_ppm(), u64::from(limits.errors_max_ppm));
        let longest = Duration::from_millis(limits.round_trip_max_ms.into());
        if round_trip > longest || (errors > errors_max && line.failures >= FAILURES_MIN) {
            Self::Bad
        } else if round_trip <= longest * 4 / 5 && errors <= errors_max / 2 {
            Self::Good
        } else {
            Self::Neither
        }
    }
}

impl Watch {
    /// One that takes over from another: the group asked for SYNC or not since `turned`.
    pub const fn resume(asks_for_sync: bool, turned: Timestamp) -> Self {
        Self { asks_for_sync, turned: Some(turned), against: None }
    }

    /// Looks at the line at `now`, and says what is asked for from now on.
    pub fn observe(&mut self, now: Timestamp, line: Line, limits: LineLimits) -> Judgement {
        let opinion = Opinion::of(line, limits);
        let is_against = match opinion {
            Opinion::Good => !self.asks_for_sync,
            Opinion::Bad => self.asks_for_sync,
            Opinion::Neither | Opinion::Unknown => false,
        };
        self.against = is_against.then(|| self.against.unwrap_or(now));
        let needed = if self.asks_for_sync { limits.bad_for_ms } else { limits.good_for_ms };
        let lasts = |since: Timestamp, millis: u32| now.since(since) >= Duration::from_millis(millis.into());
        let is_sure = self.against.is_some_and(|since| lasts(since, needed));
        if is_sure && self.turned.is_none_or(|turned| lasts(turned, limits.dwell_ms)) {
            (self.asks_for_sync, self.turned, self.against) = (!self.asks_for_sync, Some(now), None);
        }
        Judgement { asks_for_sync: self.asks_for_sync, line, limits, opinion }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limits() -> LineLimits {
        LineLimits::default()
    }

    /// A line that is looked at twice a second.
    struct Story {
        watch: Watch,
        now: Timestamp,
        asks_for_sync: bool,
        turns: Vec<(Timestamp, bool)>,
    }

    impl Story {
        fn begin() -> Self {
            Self { watch: Watch::default(), now: Timestamp(0), asks_for_sync: false, turns: vec![] }
        }

        fn goes_on(&mut self, seconds: i64, round_trip_ms: impl Fn(i64) -> u64, failures: impl Fn(i64) -> u64) {
            for step in 0..seconds * 2 {
                self.now = Timestamp(self.now.0 + 500);
                let round_trip_us = Some(round_trip_ms(step) * 1000);
                let line = Line { round_trip_us, requests: 1000, failures: failures(step) };
                let asks = self.watch.observe(self.now, line, limits()).asks_for_sync;
                if std::mem::replace(&mut self.asks_for_sync, asks) != asks {
                    self.turns.push((self.now, asks));
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
            story.goes_on(60, |step| round_trip + u64::from(step % 2 == 0) * 10, |_| 0);
        }
        assert_eq!(story.turns(), [true, false, true]);
        let after = |turn: usize| story.turns[turn].0.0 - 60_000 * i64::try_from(turn).unwrap();
        assert_eq!([after(0), after(1), after(2)], [10_500, 3500, 10_500], "milliseconds after each change");
    }

    #[test]
    fn a_line_that_fails_and_recovers_turns_the_mode_once_each() {
        let mut story = Story::begin();
        for failures in [0, 10, 0] {
            story.goes_on(60, |_| 20, |step| if step % 3 == 0 { failures / 10 } else { failures });
        }
        assert_eq!(story.turns(), [true], "one failure at times keeps it from being bad without a break");
        let mut story = Story::begin();
        for failures in [0, 10, 0] {
            story.goes_on(60, |_| 20, |_| failures);
        }
        assert_eq!(story.turns(), [true, false, true]);
    }

    #[test]
    fn one_failure_in_few_requests_is_neither_good_nor_bad() {
        let line = |requests, failures| Line { round_trip_us: Some(5000), requests, failures };
        let opinions = [(10, 0), (10, 1), (10_000, 1), (10, 2), (10_000, 7), (10_000, 11)];
        let opinions = opinions.map(|(requests, failures)| Opinion::of(line(requests, failures), limits()));
        let expected = [Opinion::Good, Opinion::Neither, Opinion::Good, Opinion::Bad, Opinion::Neither, Opinion::Bad];
        assert_eq!(opinions, expected);
    }

    #[test]
    fn a_line_on_the_edge_does_not_turn_the_mode_to_and_fro() {
        let mut story = Story::begin();
        story.goes_on(60, |_| 20, |_| 0);
        story.goes_on(600, |step| 75 + u64::try_from(step % 60).unwrap(), |_| 0);
        assert!(story.turns.len() <= 2, "{:?}", story.turns);
        let mut story = Story::begin();
        story.goes_on(60, |_| 20, |_| 0);
        story.goes_on(600, |step| if step % 5 == 0 { 300 } else { 90 }, |_| 0);
        assert_eq!(story.turns(), [true], "one long trip among short ones is nothing");
    }

    #[test]
    fn silence_says_nothing() {
        let mut watch = Watch::resume(true, Timestamp(0));
        for second in 1..100 {
            let judged = watch.observe(Timestamp(second * 1000), Line::default(), limits());
            assert!(judged.asks_for_sync && judged.opinion == Opinion::Unknown);
        }
    }

    #[test]
    fn a_judgement_says_what_was_held_against_what() {
        let line = Line { round_trip_us: Some(152_340), requests: 400, failures: 1 };
        let judged = Watch::default().observe(Timestamp(1), line, limits());
        assert_eq!(
            judged.to_string(),
            "the line is bad: a round trip of 152.3 ms of at most 100 ms, 0.25 % of 400 requests failed of at most 0.10 %"
        );
        let judged = Watch::default().observe(Timestamp(1), Line::default(), limits());
        assert!(judged.to_string().starts_with("the line is not known: no round trip of late"), "{judged}");
    }

    proptest! {
        #[test]
        fn two_turns_are_never_nearer_than_the_dwell(
            steps in prop::collection::vec((1_i64..4000, prop::option::of(0_u64..300), 0_u64..50, 0_u64..3), 0..200)
        ) {
            let (mut watch, mut now, mut asks) = (Watch::default(), 0, false);
            let mut last: Option<i64> = None;
            for (passed, round_trip, requests, failures) in steps {
                now += passed;
                let line = Line { round_trip_us: round_trip.map(|millis| millis * 1000), requests, failures };
                let judged = watch.observe(Timestamp(now), line, limits());
                if std::mem::replace(&mut asks, judged.asks_for_sync) != judged.asks_for_sync {
                    prop_assert!(last.is_none_or(|last| now - last >= 15_000));
                    last = Some(now);
                }
            }
        }
    }
}
