//! What the line to a source was like in the last seconds: how long a request took, and how many failed.
//!
//! ```text
//!   | 0.5 s | 0.5 s |  ...  | 0.5 s | now      in each: requests, failures, the shortest round trip
//!   '---- failures: the last 10 s --'
//!                   '- trip: 3 s ---'
//! ```

use model::Line;
use std::collections::VecDeque;
use std::time::Duration;

/// Over how long the share of failures is taken.
pub const WINDOW: Duration = Duration::from_secs(10);
/// Over how long the shortest round trip is taken: what makes one longer is no part of the line, unless it lasts.
pub const ROUND_TRIP_WINDOW: Duration = Duration::from_secs(3);
/// What is counted together.
const SPAN: Duration = Duration::from_millis(500);

/// The requests of the last seconds.
#[derive(Clone, Debug, Default)]
pub struct Lately(VecDeque<Span>);

#[derive(Clone, Copy, Debug)]
struct Span {
    began: Duration,
    requests: u64,
    failures: u64,
    shortest: Option<Duration>,
}

impl Lately {
    /// A request was answered at `now`, a time that never goes back, and travelled for so long, where that is known.
    pub fn answered(&mut self, now: Duration, travelled: Option<Duration>) {
        let span = self.span(now);
        span.requests += 1;
        span.shortest = span.shortest.into_iter().chain(travelled).min();
    }

    /// A request failed at `now`.
    pub fn failed(&mut self, now: Duration) {
        let span = self.span(now);
        span.requests += 1;
        span.failures += 1;
    }

    /// What the line was like until `now`.
    pub fn line(&self, now: Duration) -> Line {
        let recent = |within: Duration| self.0.iter().filter(move |span| span.began + within > now);
        let shortest = recent(ROUND_TRIP_WINDOW).filter_map(|span| span.shortest).min();
        Line {
            round_trip_us: shortest.map(|trip| trip.as_micros() as u64),
            requests: recent(WINDOW).map(|span| span.requests).sum(),
            failures: recent(WINDOW).map(|span| span.failures).sum(),
        }
    }

    fn span(&mut self, now: Duration) -> &mut Span {
        while self.0.pop_front_if(|span| span.began + WINDOW <= now).is_some() {}
        if self.0.back().is_none_or(|span| span.began + SPAN <= now) {
            self.0.push_back(Span { began: now, requests: 0, failures: 0, shortest: None });
        }
        self.0.back_mut().expect("there is one by now")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn line(round_trip_ms: Option<u64>, requests: u64, failures: u64) -> Line {
        Line { round_trip_us: round_trip_ms.map(|ms| ms * 1000), requests, failures }
    }

    #[test]
    fn only_the_last_seconds_count() {
        let mut lately = Lately::default();
        assert_eq!(lately.line(ms(0)), Line::default());
        for at in 0..100 {
            lately.answered(ms(at * 10), Some(ms(20 + at % 3)));
        }
        lately.failed(ms(1000));
        assert_eq!(lately.line(ms(1000)), line(Some(20), 101, 1));
        lately.answered(ms(4000), Some(ms(150)));
        assert_eq!(lately.line(ms(4000)), line(Some(150), 102, 1), "a line that became longer is so soon");
        assert_eq!(lately.line(ms(8000)), line(None, 102, 1), "nothing was heard of late");
        assert_eq!(lately.line(ms(11_000)), line(None, 1, 0));
    }

    #[test]
    fn an_answer_that_took_unknown_time_is_an_answer() {
        let mut lately = Lately::default();
        lately.answered(ms(1), None);
        assert_eq!(lately.line(ms(1)), line(None, 1, 0));
        lately.answered(ms(2), Some(ms(5)));
        lately.answered(ms(3), Some(ms(6)));
        assert_eq!(lately.line(ms(3)), line(Some(5), 3, 0));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut lately = Lately::default();
        (0..100_000).for_each(|at| lately.answered(ms(at), None));
        assert!(lately.0.len() <= 20, "{}", lately.0.len());
    }
}
