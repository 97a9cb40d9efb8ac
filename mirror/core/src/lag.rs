//! How far a copy is behind, in records, bytes and seconds; true also when nothing is written and when nothing is heard.
//!
//! Every answer of the source carries its time and its tail. From those pairs it is known between which two moments each
//! record was appended, on the source's own clock; the timestamps in the records, which clients choose, are only
//! believed between those moments.
//!
//! ```text
//!   source tail   10      10      25      40          the first record that is not durable here is 17:
//!   source time   1 s     2 s     3 s     4 s         appended after 2 s and at 3 s at the latest
//!                          ^-------^
//! ```
//!
//! Where nothing is missing and nothing is heard, the lag lies anywhere between nothing and the time since the source spoke,
//! for nobody here knows whether something was written since. As long as it may only be slow, what is told is less than
//! [`GRAIN`] from both; then the source is taken for out of reach, and what is told is the most it can be.
//!
//! An answer may have been on its way for long: a line that was held lets go of what was said before. How old it is, is
//! reckoned from the clocks at both ends, as far as it came later than the quickest of late.

mod delays;

use crate::count_without_holes;
use delays::Delays;
use model::{Offset, OffsetRange, Timestamp};
use std::collections::VecDeque;
use std::time::Duration;

/// The most pairs that are kept; beyond it the older half is thinned out, which only makes the lag look larger.
const SIGHTINGS_MAX: usize = 512;
/// How far what is told may be from the truth.
const GRAIN: Duration = Duration::from_millis(500);
/// A source that answers does so within this: it holds a question for a quarter of a second at the most.
const ANSWERED_WITHIN: Duration = Duration::from_millis(1000);
/// The same while records come: it holds a question no longer than two round trips then.
const ANSWERED_WITHIN_BUSY: Duration = Duration::from_millis(400);
/// For how long records come after one has come.
const BUSY_FOR: Duration = Duration::from_millis(300);
/// An answer that seems to be so much older than the last, and knows no less, is one of a clock that was set back.
const SET_BACK: Duration = Duration::from_millis(500);
/// How much of the mean size of a record the newest batch decides: one part in so many.
const MEAN_WINDOW: u64 = 16;

/// Where the source stood at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The source's clock.
    pub source_time: Timestamp,
    /// The source's tail then.
    pub source_tail: Offset,
    /// Where the answer begins.
    pub from: Offset,
    /// When the record there was appended, as far as the source knows; [`Timestamp::NONE`] when it does not.
    pub oldest_unread: Timestamp,
}

/// What is known of one copy's lag.
#[derive(Clone, Debug, Default)]
pub struct Lag {
    durable: Offset,
    sightings: VecDeque<Sighting>,
    /// When the last answer came, on the caller's clock.
    heard_at: Option<Duration>,
    /// When the source said the last thing that is known of it, on the caller's clock.
    said_at: Duration,
    delays: Delays,
    connected: bool,
    /// When an answer last told of new records, by the time at which it was given.
    news_at: Option<Duration>,
    /// The mean size of a record in 1/1024 bytes.
    mean_size: u64,
}

/// A copy's lag at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LagReport {
    /// Records the copy lacks.
    pub records: u64,
    /// Their bytes, reckoned from the size of those that came last.
    pub bytes: u64,
    /// The age of the oldest of them, plus the time since what was heard last was said. Where none is missing it is the most
    /// it can be.
    pub seconds: f64,
    /// How long the source has been silent; `None` when it was never heard of.
    pub silence: Option<Duration>,
    /// The source's tail when it was last heard of.
    pub source_tail: Option<Offset>,
    /// When the oldest missing record was appended at the earliest, on the source's clock.
    pub oldest_missing: Option<Timestamp>,
}

impl Lag {
    /// The lag of a copy that has everything below `durable` on disk.
    pub fn new(durable: Offset) -> Self {
        Self { durable, ..Self::default() }
    }

    /// The source answered. An answer that was overtaken by a later one says nothing of how it stands.
    pub fn heard(&mut self, now: Duration, sighting: Sighting) {
        self.connected = true;
        self.heard_at = Some(now);
        let said_at = now.saturating_sub(self.delays.beyond_quickest(now, sighting.source_time));
        if let Some(last) = self.sightings.back().filter(|_| said_at < self.said_at) {
            if sighting.source_tail < last.source_tail {
                return;
            }
            if said_at + SET_BACK < self.said_at {
                self.delays = Delays::default();
                self.delays.beyond_quickest(now, sighting.source_time);
                self.said_at = now;
            }
        }
        self.said_at = self.said_at.max(said_at);
        if self.sightings.back().is_some_and(|last| sighting.source_tail > last.source_tail) {
            self.news_at = Some(self.said_at);
        }
        self.sightings.push_back(sighting);
        self.forget();
    }

    /// Everything below `durable` is on disk here. It goes back when the copy is truncated.
    pub fn durable(&mut self, durable: Offset) {
        self.durable = durable;
        self.forget();
    }

    /// A batch of `bytes` with `records` records was copied.
    pub fn copied(&mut self, records: u64, bytes: u64) {
        if let Some(size) = (bytes << 10).checked_div(records) {
            let first = self.mean_size == 0;
            self.mean_size =
                if first { size } else { self.mean_size - self.mean_size / MEAN_WINDOW + size / MEAN_WINDOW };
        }
    }

    /// Whether records come: then a source that goes on so is expected to be heard of soon.
    pub fn is_busy(&self) -> bool {
        self.news_at.is_some_and(|news| self.said_at.saturating_sub(news) < BUSY_FOR)
    }

    /// The link was lost: from now on the lag grows with the time.
    pub fn disconnected(&mut self) {
        self.connected = false;
    }

    /// The source's log was replaced, or another source is followed: what was seen before means nothing now.
    pub fn restart(&mut self, durable: Offset) {
        *self = Self { mean_size: self.mean_size, ..Self::new(durable) };
    }

    /// Keeps the last pair at or below what is durable: the next record was appended after it.
    fn forget(&mut self) {
        while self.sightings.get(1).is_some_and(|second| second.source_tail <= self.durable) {
            self.sightings.pop_front();
        }
        if self.sightings.len() > SIGHTINGS_MAX {
            let mut at = 0;
            self.sightings.retain(|_| {
                at += 1;
                at % 2 == 1 || at > SIGHTINGS_MAX / 2
            });
        }
    }

    /// The lag at `now`. `holes` are offsets that no record has.
    pub fn report(&self, now: Duration, holes: impl IntoIterator<Item = OffsetRange>) -> LagReport {
        let (Some(last), Some(heard_at)) = (self.sightings.back(), self.heard_at) else { return LagReport::default() };
        let silence = now.saturating_sub(heard_at);
        let age = now.saturating_sub(self.said_at);
        let oldest_missing = self.oldest_missing();
        let known = oldest_missing.map_or(Duration::ZERO, |oldest| last.source_time.since(oldest));
        let within = if self.is_busy() { ANSWERED_WITHIN_BUSY } else { ANSWERED_WITHIN };
        // Where no answer comes any more, what is written there is not known either.
        let grows = oldest_missing.is_some() || !self.connected || age > within;
        let unheard = if grows { age } else { age.saturating_sub(GRAIN) };
        let records = count_without_holes(OffsetRange::new(self.durable, last.source_tail), holes);
        LagReport {
            records,
            bytes: ((u128::from(records) * u128::from(self.mean_size)) >> 10) as u64,
            seconds: (known + unheard).as_secs_f64(),
            silence: Some(silence),
            source_tail: Some(last.source_tail),
            oldest_missing,
        }
    }

    /// The earliest moment at which the first record that is not durable here can have been appended.
    fn oldest_missing(&self) -> Option<Timestamp> {
        let above = self.sightings.iter().position(|sighting| sighting.source_tail > self.durable)?;
        let first = self.sightings[above];
        let latest = first.source_time.0;
        let told = |sighting: &Sighting| Some(sighting.oldest_unread.0).filter(|time| *time >= 0);
        // Records are appended in order: none from there on is older.
        let behind =
            self.sightings.iter().rev().find(|sighting| sighting.from <= self.durable && told(sighting).is_some());
        let hint = behind.and_then(told);
        Some(Timestamp(match above.checked_sub(1).map(|below| self.sightings[below].source_time.0) {
            Some(earliest) => hint.map_or(earliest, |hint| hint.clamp(earliest, latest.max(earliest))),
            None => hint.or(told(&first)).map_or(latest, |hint| hint.min(latest)),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn sighting(seconds: i64, tail: i64) -> Sighting {
        let source_time = Timestamp(1_000_000 + seconds * 1000);
        Sighting { source_time, source_tail: Offset(tail), from: Offset::ZERO, oldest_unread: Timestamp::NONE }
    }

    fn hinted(seconds: i64, tail: i64, oldest: i64) -> Sighting {
        Sighting { oldest_unread: Timestamp(1_000_000 + oldest * 1000), ..sighting(seconds, tail) }
    }

    #[test]
    fn an_idle_copy_that_has_everything_has_no_lag_however_long() {
        let mut lag = Lag::new(Offset(10));
        lag.heard(at(1), sighting(1, 10));
        lag.heard(at(500), sighting(500, 10));
        let report = lag.report(Duration::from_millis(500_400), []);
        assert_eq!((report.records, report.bytes, report.seconds), (0, 0, 0.0));
        assert_eq!(report.silence, Some(Duration::from_millis(400)));
    }

    #[test]
    fn the_age_is_that_of_the_first_record_that_is_not_durable() {
        let mut lag = Lag::new(Offset(10));
        for (second, tail) in [(1, 10), (2, 10), (3, 25), (4, 40)] {
            lag.heard(at(second as u64), sighting(second, tail));
        }
        lag.durable(Offset(17));
        assert_eq!((lag.report(at(4), []).records, lag.report(at(4), []).seconds), (23, 2.0));
        lag.durable(Offset(25));
        assert_eq!(lag.report(at(4), []).seconds, 1.0);
        lag.durable(Offset(40));
        assert_eq!(lag.report(at(4), []).seconds, 0.0);
    }

    #[test]
    fn a_clients_clock_is_believed_only_between_two_answers() {
        let with = |oldest| {
            let mut lag = Lag::new(Offset(10));
            lag.heard(at(2), sighting(2, 10));
            lag.heard(at(4), hinted(4, 20, oldest));
            lag.report(at(4), []).seconds
        };
        assert_eq!(with(3), 1.0);
        assert_eq!(with(-500), 2.0);
        assert_eq!(with(9000), 0.0);
    }

    #[test]
    fn a_backlog_from_before_the_link_has_the_age_its_records_tell() {
        let mut lag = Lag::new(Offset(0));
        lag.heard(at(1), hinted(60, 1000, 0));
        assert_eq!((lag.report(at(1), []).records, lag.report(at(1), []).seconds), (1000, 60.0));
    }

    #[test]
    fn with_the_link_down_the_lag_grows_even_when_it_was_nothing() {
        let mut lag = Lag::new(Offset(10));
        lag.heard(at(5), sighting(5, 10));
        lag.disconnected();
        assert_eq!(lag.report(at(12), []).seconds, 7.0);
        lag.heard(at(13), sighting(13, 10));
        assert_eq!(lag.report(at(13), []).seconds, 0.0);
    }

    #[test]
    fn a_source_that_says_nothing_though_it_is_connected_is_not_taken_for_idle() {
        let ms = |ms| Duration::from_millis(ms);
        let mut lag = Lag::new(Offset(10));
        lag.heard(at(4), sighting(4, 10));
        assert_eq!([4500, 5000, 5001].map(|now| lag.report(ms(now), []).seconds), [0.0, 0.5, 1.001], "it was idle");
        lag.heard(at(6), sighting(6, 30));
        lag.durable(Offset(30));
        assert_eq!([6400, 6401].map(|now| lag.report(ms(now), []).seconds), [0.0, 0.401], "records came");
        lag.heard(ms(6299), Sighting { source_time: Timestamp(1_006_299), ..sighting(6, 30) });
        assert!(lag.is_busy(), "they came just now");
        lag.heard(at(7), sighting(7, 30));
        assert_eq!(lag.report(ms(7500), []).seconds, 0.0, "no more do");
    }

    #[test]
    fn while_a_source_may_only_be_slow_no_truth_is_further_than_the_grain() {
        let mut lag = Lag::new(Offset(10));
        lag.heard(at(4), sighting(4, 10));
        for silent in (0..=1000).map(Duration::from_millis) {
            let told = lag.report(at(4) + silent, []).seconds;
            let [idle, written_at_once] = [0.0, silent.as_secs_f64()].map(|truth| (told - truth).abs());
            assert!(idle <= 0.5 + 1e-9 && written_at_once <= 0.5 + 1e-9, "{told} after {silent:?}");
        }
    }

    #[test]
    fn an_answer_that_was_on_its_way_for_long_is_as_old_as_that() {
        let mut lag = Lag::new(Offset(10));
        lag.heard(at(1), sighting(1, 10));
        lag.heard(at(9), sighting(2, 30));
        lag.durable(Offset(30));
        let report = lag.report(at(9), []);
        assert_eq!((report.seconds, report.silence), (7.0, Some(Duration::ZERO)), "what came since 2 s is not known");
        lag.heard(at(10), sighting(10, 90));
        lag.durable(Offset(50));
        assert_eq!(lag.report(at(10), []).seconds, 8.0, "a record from behind 2 s is missing");
        lag.durable(Offset(90));
        assert_eq!(lag.report(at(10), []).seconds, 0.0);
    }

    #[test]
    fn an_answer_that_was_overtaken_changes_nothing() {
        let mut lag = Lag::new(Offset(10));
        lag.heard(at(1), sighting(1, 10));
        lag.heard(at(5), sighting(5, 40));
        let before = lag.report(at(5), []);
        lag.heard(at(5), sighting(2, 20));
        assert_eq!(lag.report(at(5), []), before);
    }

    #[test]
    fn a_source_whose_clock_is_set_back_is_not_taken_for_late() {
        let mut lag = Lag::new(Offset(10));
        for second in 1..50 {
            lag.heard(at(second), sighting(second as i64, 10));
        }
        lag.heard(at(50), sighting(20, 10));
        assert_eq!(lag.report(at(50), []).seconds, 0.0);
        lag.heard(at(51), sighting(21, 30));
        assert_eq!(lag.report(at(51), []).seconds, 1.0);
    }

    #[test]
    fn while_it_catches_up_each_answer_says_how_old_is_what_it_begins_with() {
        let mut lag = Lag::new(Offset(10));
        lag.heard(at(1), sighting(1, 10));
        let catching_up = |from, oldest| Sighting { from: Offset(from), ..hinted(9, 90, oldest) };
        lag.heard(at(9), catching_up(10, 2));
        assert_eq!(lag.report(at(9), []).seconds, 7.0);
        lag.heard(at(9), catching_up(40, 5));
        assert_eq!(lag.report(at(9), []).seconds, 7.0, "nothing of it is on disk yet");
        lag.durable(Offset(40));
        assert_eq!(lag.report(at(9), []).seconds, 4.0);
    }

    #[test]
    fn between_two_answers_a_backlog_ages() {
        let mut lag = Lag::new(Offset(10));
        lag.heard(at(1), sighting(1, 10));
        lag.heard(at(2), sighting(2, 30));
        assert_eq!(lag.report(at(4), []).seconds, 3.0);
    }

    #[test]
    fn holes_do_not_count() {
        let mut lag = Lag::new(Offset(10));
        lag.copied(4, 400);
        lag.heard(at(1), sighting(1, 1_000_020));
        let report = lag.report(at(1), [OffsetRange::new(Offset(15), Offset(1_000_015))]);
        assert_eq!((report.records, report.bytes), (10, 1000));
    }

    #[test]
    fn what_was_never_heard_of_has_no_numbers() {
        assert_eq!(Lag::new(Offset(10)).report(at(9), []), LagReport::default());
    }

    #[test]
    fn thousands_of_answers_without_progress_stay_bounded_and_keep_the_age() {
        let mut lag = Lag::new(Offset(10));
        lag.heard(at(0), sighting(0, 10));
        for second in 1..5000 {
            lag.heard(at(second), sighting(second as i64, 10 + second as i64));
        }
        assert!(lag.sightings.len() <= SIGHTINGS_MAX);
        assert_eq!(lag.report(at(4999), []).seconds, 4999.0);
    }
}
