//! How fast writers may go while the copy that is waited for is far behind.
//!
//! ```text
//!   words of the link --> how many records a second the copy takes, and since when it lacks what was here
//!   a write ------------> the copy is near: it goes on
//!                         it is not: writers get half of what the copy takes, and the other half brings it nearer
//! ```
//!
//! So a copy that is behind by what it takes `b` seconds to fetch is near after about `2 b`, however much is there to be
//! written, and who writes less than that half never notices. Without it a line that carries a little less than is written
//! would keep a group out of SYNC for ever. What is near here is well below what the council takes for near, whose figure
//! is older. A copy that says nothing slows nobody down: that is the line's fault, which the group's policy deals with.

use model::{Incarnation, Offset, RegionName, SyncRule, limits};
use std::time::Duration;

/// A copy that holds within this time what is here now is near.
const NEAR: Duration = Duration::from_millis(500);
/// How much of what the copy takes writers get.
const SHARE: f64 = 0.5;
/// Over how long the copy's rate is measured.
const WINDOW: Duration = Duration::from_millis(500);
/// A copy that has said nothing for this long slows nobody down.
const HEARD_WITHIN: Duration = Duration::from_millis(1500);
/// The longest that a writer is silent after one write.
pub const SILENCE_MAX: Duration = Duration::from_secs(2);

/// The pace of one partition's writers, on its leader.
#[derive(Clone, Debug)]
pub struct Pace {
    target: RegionName,
    incarnation: Incarnation,
    /// What the copy held when it was last heard of.
    copy: Option<Mark>,
    /// Where the copy was when the rate's window began.
    window: Option<Mark>,
    /// How many records a second it takes; `None` before one window was measured.
    rate: Option<f64>,
    /// What was here at a moment, until the copy holds it.
    lacks: Option<Mark>,
    /// How long it took to get what it lacked last.
    took: Duration,
    /// How many records were written ahead of the writers' share, and when that was.
    owed: (f64, Duration),
}

/// Where a log ended at a time since boot.
#[derive(Clone, Copy, Debug)]
struct Mark {
    at: Duration,
    end: Offset,
}

impl Pace {
    /// For the copy that `rule` names; nothing was heard of it.
    pub fn of(rule: &SyncRule) -> Self {
        Self {
            target: rule.target.clone(),
            incarnation: rule.incarnation,
            copy: None,
            window: None,
            rate: None,
            lacks: None,
            took: Duration::ZERO,
            owed: (0.0, Duration::ZERO),
        }
    }

    /// Whether it is for the copy that `rule` names.
    pub fn is_for(&self, rule: &SyncRule) -> bool {
        rule.is_for(&self.target, self.incarnation)
    }

    /// The copy in `region` says at `now` that it holds everything below `durable`.
    pub fn hear(&mut self, now: Duration, region: &RegionName, incarnation: Incarnation, durable: Offset) {
        if (region, incarnation) != (&self.target, self.incarnation) {
            return;
        }
        self.measure(now, durable);
        self.copy = Some(Mark { at: now, end: durable });
        if let Some(lacked) = self.lacks.take_if(|lacked| lacked.end <= durable) {
            self.took = now.saturating_sub(lacked.at);
        }
    }

    /// `records` were written at `now`, and the log ends at `tail` with them. How long their writer is to be silent.
    pub fn charge(&mut self, now: Duration, tail: Offset, records: u64) -> Duration {
        match (self.lag(now, tail), self.rate) {
            (Some(lag), Some(rate)) if lag > NEAR => self.owe(now, rate * SHARE, records),
            _ => {
                self.owed = (0.0, now);
                Duration::ZERO
            }
        }
    }

    /// How long the copy takes for what is here now, at least; `None` where it was not heard of lately.
    fn lag(&mut self, now: Duration, tail: Offset) -> Option<Duration> {
        let copy = self.copy.filter(|copy| now.saturating_sub(copy.at) <= HEARD_WITHIN)?;
        if copy.end >= tail {
            self.took = Duration::ZERO;
            return Some(Duration::ZERO);
        }
        let lacked = self.lacks.get_or_insert(Mark { at: now, end: tail });
        Some(self.took.max(now.saturating_sub(lacked.at)))
    }

    /// A window in which the copy was cut back, or crossed the hole that a failover leaves, says nothing of its rate.
    fn measure(&mut self, now: Duration, durable: Offset) {
        let began = *self.window.get_or_insert(Mark { at: now, end: durable });
        let (passed, came) = (now.saturating_sub(began.at), durable.since(began.end));
        let is_odd = durable < began.end || came >= limits::PROMOTE_HOLE_OFFSETS.unsigned_abs();
        if passed < WINDOW && !is_odd {
            return;
        }
        self.window = Some(Mark { at: now, end: durable });
        if !is_odd {
            let rate = came as f64 / passed.as_secs_f64();
            self.rate = Some(self.rate.map_or(rate, |known| f64::midpoint(known, rate)));
        }
    }

    /// A debt of more than the longest silence pays back is let off.
    fn owe(&mut self, now: Duration, allowed: f64, records: u64) -> Duration {
        let (owed, at) = self.owed;
        let paid = allowed * now.saturating_sub(at).as_secs_f64();
        let most = allowed * SILENCE_MAX.as_secs_f64();
        let owed = (owed - paid).max(0.0) + records as f64;
        self.owed = (owed.min(most), now);
        Duration::try_from_secs_f64(owed / allowed).map_or(SILENCE_MAX, |silence| silence.min(SILENCE_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{ModeEpoch, Patience};
    use proptest::prelude::*;

    const TICK: Duration = Duration::from_millis(10);

    fn region(name: &str) -> RegionName {
        RegionName::new(name).unwrap()
    }

    fn pace() -> Pace {
        let (mode_epoch, incarnation) = (ModeEpoch(1), Incarnation(4));
        Pace::of(&SyncRule { mode_epoch, target: region("r2"), incarnation, patience: Patience::SlowsDown })
    }

    /// Writers that write as much as they may, over a line that carries less.
    struct World {
        pace: Pace,
        now: Duration,
        tail: f64,
        copied: f64,
        /// What the line carries in a second.
        line: f64,
        /// What each writer writes in a second, ten times a second, and until when it is silent.
        each: f64,
        silent: Vec<Duration>,
        written: f64,
    }

    impl World {
        fn new(line: f64, writers: usize, overload: f64, behind: f64) -> Self {
            let (each, silent) = (line * overload / writers as f64, vec![Duration::ZERO; writers]);
            let (now, tail) = (Duration::from_secs(9), line * behind);
            Self { pace: pace(), now, tail, copied: 0.0, line, each, silent, written: 0.0 }
        }

        fn tick(&mut self, number: u32) {
            self.now += TICK;
            self.copied = (self.copied + self.line * TICK.as_secs_f64()).min(self.tail);
            if number.is_multiple_of(5) {
                self.pace.hear(self.now, &region("r2"), Incarnation(4), Offset(self.copied as i64));
            }
            let due = (0..self.silent.len()).filter(|writer| (number as usize + writer).is_multiple_of(10));
            for writer in due.collect::<Vec<_>>() {
                if self.silent[writer] <= self.now {
                    let records = self.each / 10.0;
                    self.tail += records;
                    self.written += records;
                    let tail = Offset(self.tail as i64);
                    self.silent[writer] = self.now + self.pace.charge(self.now, tail, records as u64);
                }
            }
        }

        /// Plays so many seconds; the most that the copy was behind in them, in seconds of the line.
        fn play(&mut self, seconds: f64) -> f64 {
            let mut worst = 0.0_f64;
            for number in 1..=(seconds * 100.0) as u32 {
                self.tick(number);
                worst = worst.max((self.tail - self.copied) / self.line);
            }
            worst
        }
    }

    #[test]
    fn a_copy_comes_near_and_stays_near_whatever_is_there_to_be_written() {
        let mut world = World::new(20_000.0, 4, 3.0, 10.0);
        world.play(30.0);
        assert!(world.written > 20_000.0 * 30.0 * 0.3, "gently: {}", world.written);
        let worst = world.play(20.0);
        assert!(worst < 3.0, "{worst} seconds behind");
        let near = (0..2000).filter(|_| world.play(0.01) < 1.0).count();
        assert!(near > 200, "near enough for the council to see it: {near} of 2000 looks");
    }

    #[test]
    fn writers_of_less_than_the_line_carries_are_never_slowed_down_once_the_copy_is_near() {
        let mut world = World::new(20_000.0, 4, 0.8, 0.0);
        world.play(20.0);
        let most = 20_000.0 * 20.0 * 0.8;
        assert!(world.written > most * 0.99, "{} of {most}", world.written);
    }

    #[test]
    fn nobody_waits_for_a_copy_that_says_nothing_or_for_another_one() {
        let mut pace = pace();
        let now = Duration::from_secs;
        pace.hear(now(1), &region("r3"), Incarnation(4), Offset(0));
        pace.hear(now(1), &region("r2"), Incarnation(3), Offset(0));
        assert_eq!(pace.charge(now(9), Offset(1_000_000), 1000), Duration::ZERO, "neither is the one");
        for second in 1..=9 {
            pace.hear(now(second), &region("r2"), Incarnation(4), Offset(second as i64));
            pace.charge(now(second), Offset(1_000_000), 1);
        }
        assert_eq!(pace.charge(now(9), Offset(1_000_000), 1000), SILENCE_MAX);
        assert_eq!(pace.charge(now(11), Offset(1_000_000), 1000), Duration::ZERO, "it is silent by now");
    }

    #[test]
    fn the_hole_of_a_failover_is_no_progress() {
        let mut pace = pace();
        let hole = limits::PROMOTE_HOLE_OFFSETS;
        for (second, held) in [(1, 0), (2, 100), (3, hole + 200), (4, hole + 300)] {
            pace.hear(Duration::from_secs(second), &region("r2"), Incarnation(4), Offset(held));
        }
        assert_eq!(pace.rate, Some(100.0));
    }

    proptest! {
        #[test]
        fn no_copy_stays_far_behind(
            line in 500.0_f64..100_000.0,
            writers in 1_usize..6,
            overload in 0.1_f64..6.0,
            behind in 0.0_f64..20.0,
        ) {
            let mut world = World::new(line, writers, overload, behind);
            world.play(behind.mul_add(3.0, 20.0));
            let worst = world.play(10.0);
            prop_assert!(worst < 3.0 + overload, "{worst} seconds behind");
            let near = (0..2000).any(|_| world.play(0.01) < 1.0);
            prop_assert!(near, "never near for 20 seconds");
        }
    }
}
