//! How much of a partition is under way at a time: sized by the measured round trip, so that a long line is as full as a
//! short one, and by what arrives, so that a narrow one is not flooded.
//!
//! ```text
//!   under way   twice what arrives in a round trip: it doubles from one to the next until the line is full, and no more
//!   one fetch   asks for a quarter of that, within bounds
//!   fetches     as many as that takes with answers as large as they come: a batch is never cut, so that one that asks for
//!               two megabytes may bring one
//!   spacing     while one answer travels and is asked for again, the others leave one after the other, so that one is
//!               always waiting
//! ```
//!
//! One connection carries no more than its window in a round trip (4 MiB as most systems are set up: 40 MB/s at 100 ms), so
//! that fetches of that size on connections of their own fill a line that one connection cannot.

use std::collections::VecDeque;
use std::time::Duration;

/// What a link is made for at the most, in bytes per second.
const RATE_MAX: u64 = 256_000_000;
/// The shortest time over which it is measured what arrives.
const MEASURED_MIN: Duration = Duration::from_millis(50);
/// What one fetch asks for at least, and at most: what a connection's window carries in one round trip.
const FETCH_BYTES_MIN: u64 = 1 << 20;
const FETCH_BYTES_MAX: u64 = 4 << 20;
/// Answers that are smaller are not worth more fetches.
const ANSWER_BYTES_MIN: u64 = FETCH_BYTES_MIN / 4;
/// How many fetches of a partition are under way at the most.
pub const DEPTH_MAX: usize = 16;
/// At the least: while one fetch comes back, others wait at the source.
const DEPTH_MIN: usize = 4;
/// Over a line that is shorter than that an answer is back before there is much to wait for.
const SHORT: Duration = Duration::from_millis(5);
const DEPTH_MIN_SHORT: usize = 2;
/// For how long a round trip that was measured counts.
const REMEMBERED: Duration = Duration::from_secs(30);
/// How many are remembered; the longest of them give way first.
const MEASURED_MAX: usize = 64;

/// How a partition is fetched over a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The round trip it is made for.
    pub round_trip: Duration,
    /// How many bytes one fetch asks for.
    pub fetch_bytes: u32,
    /// How many fetches may be under way.
    pub depth: usize,
    /// How long the source gathers records between two answers that are not full: a fetch is back before all the others
    /// were answered. An answer takes longer than the line does: TCP spreads it over half a round trip.
    pub spacing: Duration,
}

impl Flow {
    /// What fits a line with that round trip over which so much has come.
    pub fn over(round_trip: Duration, Arrived { rate, answer }: Arrived) -> Self {
        let on_the_line =
            |rate: u64| (u128::from(rate).saturating_mul(round_trip.as_micros()) / 1_000_000).min(1 << 30) as u64;
        let under_way = on_the_line(rate.saturating_mul(2)).min(on_the_line(RATE_MAX));
        let fetch_bytes = (under_way / 4).clamp(FETCH_BYTES_MIN, FETCH_BYTES_MAX);
        let least = if round_trip < SHORT { DEPTH_MIN_SHORT } else { DEPTH_MIN };
        let answer = answer.clamp(ANSWER_BYTES_MIN, fetch_bytes);
        let depth = (under_way.div_ceil(answer) as usize + 1).clamp(least, DEPTH_MAX);
        // A short line has an answer back before anything was gathered.
        let spacing = (round_trip / (2 * depth as u32) * 3).min(round_trip / 8);
        Self { round_trip, fetch_bytes: fetch_bytes as u32, depth, spacing }
    }
}

/// What came over a line at the best of times lately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrived {
    /// Bytes per second.
    pub rate: u64,
    /// Bytes of the largest answers.
    pub answer: u64,
}

impl Arrived {
    /// More than any line carries.
    pub const ALL: Self = Self { rate: u64::MAX, answer: u64::MAX };

    /// What was possible once may be possible again, for a while.
    fn or_lately(self, Self { rate, answer }: Self) -> Self {
        Self { rate: self.rate.max(rate / 8 * 7), answer: self.answer.max(answer / 8 * 7) }
    }
}

/// Measures what arrives.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rate {
    began: Duration,
    bytes: u64,
    largest: u64,
    estimate: Arrived,
}

impl Rate {
    /// An answer of so many bytes arrived at `now`, a time that never goes back, over a line with that round trip.
    pub fn delivered(&mut self, now: Duration, bytes: u64, round_trip: Duration) {
        self.bytes += bytes;
        self.largest = self.largest.max(bytes);
        let over = now.saturating_sub(self.began);
        if over >= round_trip.max(MEASURED_MIN) {
            let rate = (self.bytes as f64 / over.as_secs_f64()) as u64;
            self.estimate = Arrived { rate, answer: self.largest }.or_lately(self.estimate);
            (self.began, self.bytes, self.largest) = (now, 0, 0);
        }
    }

    /// What has come lately.
    pub const fn estimate(&self) -> Arrived {
        self.estimate
    }
}

/// The shortest of the round trips that were measured lately: what makes one longer is no part of the line.
#[derive(Clone, Debug, Default)]
pub struct RoundTrip {
    /// When each was measured, and how long it took; ever longer ones.
    shortest: VecDeque<(Duration, Duration)>,
}

impl RoundTrip {
    /// One was measured at `now`, a time that never goes back.
    pub fn measured(&mut self, now: Duration, took: Duration) {
        while self.shortest.pop_back_if(|(_, known)| *known >= took).is_some() {}
        if self.shortest.len() < MEASURED_MAX {
            self.shortest.push_back((now, took));
        }
        // The last one stays, whatever its age: something is known.
        while self.shortest.len() > 1 && self.shortest[0].0 + REMEMBERED < now {
            self.shortest.pop_front();
        }
    }

    /// What the line takes; `None` before anything was measured.
    pub fn estimate(&self) -> Option<Duration> {
        self.shortest.front().map(|(_, took)| *took)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_short_line_needs_little_and_a_long_one_is_filled() {
        let short = Flow::over(Duration::from_micros(200), FULL);
        assert_eq!((short.fetch_bytes, short.depth), (1 << 20, 2));
        for round_trip in [20, 50, 100, 150, 200] {
            let flow = Flow::over(ms(round_trip), FULL);
            let under_way = u64::from(flow.fetch_bytes) * flow.depth as u64;
            assert!(under_way >= RATE_MAX * round_trip / 1000, "{flow:?}");
            assert!(under_way <= 2 * RATE_MAX * round_trip / 1000, "{flow:?}");
        }
    }

    const FULL: Arrived = Arrived { rate: RATE_MAX, ..Arrived::ALL };

    /// What is under way over a line of 100 ms that carries so much, from the beginning on, in answers of at most `batch`.
    fn filled(carries: u64, batch: u64) -> Vec<u64> {
        let (mut rate, mut flow) = (Rate::default(), Flow::over(ms(100), Arrived::default()));
        let round_trips = (1..=12).map(|number| {
            let answer = u64::from(flow.fetch_bytes).min(batch);
            let under_way = answer * flow.depth as u64;
            let answers = under_way.min(carries / 10).div_ceil(answer);
            (0..answers).for_each(|_| rate.delivered(ms(100 * number - 1), answer, ms(100)));
            rate.delivered(ms(100 * number), 0, ms(100));
            flow = Flow::over(ms(100), rate.estimate());
            under_way
        });
        round_trips.collect()
    }

    #[test]
    fn a_wide_line_is_full_after_a_few_round_trips_and_a_narrow_one_never_flooded() {
        for batch in [u64::MAX, 1_000_000] {
            let wide = filled(200_000_000, batch);
            assert!(wide[7] >= 15_000_000, "{wide:?}");
        }
        let narrow = filled(2_000_000, u64::MAX);
        assert!(narrow.iter().all(|under_way| *under_way <= 4 << 20), "{narrow:?}");
        let middling = filled(40_000_000, u64::MAX);
        assert!((4_000_000..=14_000_000).contains(&middling[11]), "{middling:?}");
    }

    #[test]
    fn what_is_under_way_is_bounded_on_any_line() {
        for round_trip in [ms(1000), Duration::from_secs(3600), Duration::MAX] {
            let flow = Flow::over(round_trip, Arrived::ALL);
            assert_eq!((flow.fetch_bytes, flow.depth), (4 << 20, DEPTH_MAX));
        }
    }

    #[test]
    fn a_lull_is_not_taken_for_a_narrow_line_at_once() {
        let mut rate = Rate::default();
        rate.delivered(ms(100), 10_000_000, ms(100));
        assert_eq!(rate.estimate(), Arrived { rate: 100_000_000, answer: 10_000_000 });
        rate.delivered(ms(200), 0, ms(100));
        assert!(rate.estimate().rate > 80_000_000);
        (3..100).for_each(|n| rate.delivered(ms(n * 100), 0, ms(100)));
        assert!(rate.estimate().rate < 10_000 && rate.estimate().answer < 1_000);
    }

    #[test]
    fn an_answer_is_always_waiting_to_leave() {
        let steady = |answer| Flow::over(ms(100), Arrived { rate: 20_000_000, answer });
        for flow in [steady(0), steady(300_000), steady(400_000)] {
            assert!(flow.spacing * flow.depth as u32 >= flow.round_trip + flow.round_trip / 4, "{flow:?}");
            assert!(flow.spacing <= ms(13), "{flow:?}");
        }
        let slow = Flow::over(ms(100), Arrived { rate: 100_000, answer: 1_000 });
        assert_eq!((slow.depth, slow.spacing), (DEPTH_MIN, ms(12) + Duration::from_micros(500)));
    }

    #[test]
    fn the_shortest_round_trip_of_late_counts() {
        let mut line = RoundTrip::default();
        assert_eq!(line.estimate(), None);
        for (at, took) in [(0, 130), (100, 101), (200, 400), (300, 105)] {
            line.measured(ms(at), ms(took));
        }
        assert_eq!(line.estimate(), Some(ms(101)));
        line.measured(ms(25_000), ms(150));
        assert_eq!(line.estimate(), Some(ms(101)));
        line.measured(ms(40_000), ms(151));
        assert_eq!(line.estimate(), Some(ms(150)), "the line became longer");
        line.measured(ms(40_001), ms(20));
        assert_eq!(line.estimate(), Some(ms(20)), "and shorter at once");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut line = RoundTrip::default();
        (0..10_000).for_each(|n| line.measured(ms(n), ms(n + 1)));
        assert!(line.shortest.len() <= MEASURED_MAX);
        assert_eq!(line.estimate(), Some(ms(1)));
    }
}
