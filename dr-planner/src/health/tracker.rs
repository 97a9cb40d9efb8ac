use super::{CONFIDENCE_MIN, Score};
use model::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Below this score a region is failing.
const BAD: f64 = 30.0;
/// Above this score it does well.
const GOOD: f64 = 80.0;
/// How long it has to be failing until it has failed.
const FAILS_AFTER: Duration = Duration::from_secs(15);
/// How many evaluations in a row have to say so.
const FAILS_AFTER_EVALUATIONS: u32 = 3;
/// How long it has to do well until it has recovered: ten times as long as it took to fail.
const RECOVERS_AFTER: Duration = Duration::from_secs(150);

/// How a region does, without flapping: quick to worry, slow to trust again.
///
/// ```text
///  healthy <-> degraded <-> suspect --(< 30 for 15 s, 3 times)--> failed <-> recovering --(> 80 for 150 s)--> healthy
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Above 80.
    Healthy,
    /// Between 30 and 80.
    Degraded,
    /// Below 30, not yet for long enough.
    Suspect,
    /// It was below 30 for long enough, and has not done well since.
    Failed,
    /// It has failed and does well now, not yet for long enough.
    Recovering,
}

/// Follows the score of one region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tracker {
    condition: Condition,
    /// Since when the region has been below 30 ([`Condition::Suspect`]) or above 80 ([`Condition::Recovering`]).
    since: Timestamp,
    evaluations: u32,
}

impl Tracker {
    /// A region that is taken to be well.
    pub fn new(now: Timestamp) -> Self {
        Self { condition: Condition::Healthy, since: now, evaluations: 0 }
    }

    /// How the region does.
    pub fn condition(&self) -> Condition {
        self.condition
    }

    /// Takes note of a score. One of too little confidence says nothing: it ends every count and changes nothing else.
    pub fn on_score(&mut self, now: Timestamp, score: &Score) {
        let next = if score.confidence < CONFIDENCE_MIN { self.uncertain() } else { self.next(now, score.value) };
        if next != self.condition || !matches!(next, Condition::Suspect | Condition::Recovering) {
            (self.since, self.evaluations) = (now, 0);
        }
        self.evaluations += 1;
        self.condition = next;
    }

    fn uncertain(self) -> Condition {
        match self.condition {
            Condition::Suspect => Condition::Degraded,
            Condition::Recovering => Condition::Failed,
            other => other,
        }
    }

    fn next(self, now: Timestamp, value: f64) -> Condition {
        let held = now.since(self.since);
        match (self.condition, value) {
            (Condition::Failed, value) if value > GOOD => Condition::Recovering,
            (Condition::Recovering, value) if value > GOOD && held >= RECOVERS_AFTER => Condition::Healthy,
            (Condition::Recovering, value) if value > GOOD => Condition::Recovering,
            (Condition::Failed | Condition::Recovering, _) => Condition::Failed,
            (Condition::Suspect, value) if value < BAD && self.has_failed(held) => Condition::Failed,
            (_, value) if value < BAD => Condition::Suspect,
            (_, value) if value > GOOD => Condition::Healthy,
            _ => Condition::Degraded,
        }
    }

    fn has_failed(self, held: Duration) -> bool {
        // The evaluation at hand is one more.
        held >= FAILS_AFTER && self.evaluations + 1 >= FAILS_AFTER_EVALUATIONS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(value: f64) -> Score {
        Score { value, confidence: 1.0, parts: vec![] }
    }

    /// Feeds (second, score) and says the condition after each.
    fn after(scores: &[(i64, f64)]) -> Vec<Condition> {
        let mut tracker = Tracker::new(Timestamp(0));
        let mut feed = |(second, value): &(i64, f64)| {
            tracker.on_score(Timestamp(second * 1000), &score(*value));
            tracker.condition()
        };
        scores.iter().map(&mut feed).collect()
    }

    #[test]
    fn fifteen_seconds_below_thirty_are_failure() {
        let conditions = after(&[(0, 90.0), (1, 20.0), (8, 20.0), (15, 20.0), (16, 20.0)]);
        use Condition::{Failed, Healthy, Suspect};
        assert_eq!(conditions, [Healthy, Suspect, Suspect, Suspect, Failed]);
    }

    #[test]
    fn two_bad_evaluations_are_not_enough_however_far_apart() {
        assert_eq!(after(&[(1, 20.0), (30, 20.0)])[1], Condition::Suspect);
        assert_eq!(after(&[(1, 20.0), (30, 20.0), (31, 20.0)])[2], Condition::Failed);
    }

    #[test]
    fn one_good_answer_ends_the_count() {
        let conditions = after(&[(1, 20.0), (10, 50.0), (16, 20.0), (20, 20.0), (25, 20.0)]);
        assert_eq!(conditions[4], Condition::Suspect);
    }

    #[test]
    fn trust_comes_back_ten_times_as_slowly() {
        let fail = [(1, 0.0), (10, 0.0), (20, 0.0)];
        let with = |more: &[(i64, f64)]| *after(&[&fail[..], more].concat()).last().unwrap();
        assert_eq!(with(&[]), Condition::Failed);
        assert_eq!(with(&[(30, 79.0)]), Condition::Failed);
        assert_eq!(with(&[(30, 90.0), (179, 90.0)]), Condition::Recovering);
        assert_eq!(with(&[(30, 90.0), (180, 90.0)]), Condition::Healthy);
        assert_eq!(with(&[(30, 90.0), (100, 70.0), (110, 90.0), (200, 90.0)]), Condition::Recovering);
    }

    #[test]
    fn a_score_of_little_confidence_says_nothing() {
        let mut tracker = Tracker::new(Timestamp(0));
        for second in 0..60 {
            tracker.on_score(Timestamp(second * 1000), &Score { value: 0.0, confidence: 0.5, parts: vec![] });
        }
        assert_eq!(tracker.condition(), Condition::Healthy);
    }
}
