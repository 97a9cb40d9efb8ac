use serde::{Deserialize, Serialize};

/// Below this confidence nothing is done automatically.
pub const CONFIDENCE_MIN: f64 = 0.6;

/// What was measured of a region lately; `None` where nothing was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Readings {
    /// The share of canaries that went through, 0 to 1.
    pub canaries_ok: Option<f64>,
    /// Their time from produce to consume, in milliseconds.
    pub canary_ms: Option<f64>,
    /// The share of partitions without a leader that takes writes, 0 to 1.
    pub leaderless: Option<f64>,
    /// Whether its metadata quorum has a leader.
    pub quorum: Option<bool>,
    /// The smallest share of free space among its disks, 0 to 1.
    pub disk_free: Option<f64>,
    /// Whether a disk refuses writes.
    pub disk_full: Option<bool>,
    /// How far its best copy elsewhere is behind, in seconds.
    pub lag_seconds: Option<f64>,
    /// The share of requests that ended in an error of its own, 0 to 1.
    pub errors: Option<f64>,
}

/// How well a region does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// 0 (nothing works) to 100 (everything does).
    pub value: f64,
    /// The share of the signals, by weight, that say anything: 0 to 1.
    pub confidence: f64,
    /// What it is made of.
    pub parts: Vec<Part>,
}

/// What one signal adds to a score.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// The signal.
    pub signal: Signal,
    /// How much it weighs.
    pub weight: f64,
    /// How good it is, 0 to 1; `None` where it is not known.
    pub value: Option<f64>,
}

/// What a score is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Signal {
    /// Canaries go through.
    Canary,
    /// They do so quickly.
    CanaryTime,
    /// Partitions have leaders.
    Leaders,
    /// The metadata quorum has a leader.
    Quorum,
    /// There is room on the disks.
    Disk,
    /// The copies are close.
    Lag,
    /// Requests succeed.
    Errors,
}

/// The score of a region: `100 x (sum of weight x value) / (sum of weight)` over the signals that are known, and at most
/// 20 without a quorum, at most 40 with a full disk.
pub fn score(readings: &Readings) -> Score {
    let parts = parts(readings);
    let known = || parts.iter().filter_map(|part| part.value.map(|value| (part.weight, value)));
    let weight: f64 = known().map(|(weight, _)| weight).sum();
    let good: f64 = known().map(|(weight, value)| weight * value).sum();
    let all: f64 = parts.iter().map(|part| part.weight).sum();
    let mean = if weight > 0.0 { 100.0 * good / weight } else { 0.0 };
    Score { value: mean.min(ceiling(readings)), confidence: weight / all, parts }
}

fn ceiling(readings: &Readings) -> f64 {
    match (readings.quorum, readings.disk_full) {
        (Some(false), _) => 20.0,
        (_, Some(true)) => 40.0,
        _ => 100.0,
    }
}

fn parts(readings: &Readings) -> Vec<Part> {
    let part = |signal, weight, value| Part { signal, weight, value };
    let quorum = readings.quorum.map(|quorum| if quorum { 1.0 } else { 0.0 });
    vec![
        part(Signal::Canary, 30.0, readings.canaries_ok.map(|share| between(share, 0.5, 1.0))),
        part(Signal::CanaryTime, 10.0, readings.canary_ms.map(|ms| between(ms, 2000.0, 50.0))),
        part(Signal::Leaders, 20.0, readings.leaderless.map(|share| between(share, 0.2, 0.0))),
        part(Signal::Quorum, 15.0, quorum),
        part(Signal::Disk, 10.0, readings.disk_free.map(|share| between(share, 0.02, 0.15))),
        part(Signal::Lag, 5.0, readings.lag_seconds.map(|seconds| between(seconds, 60.0, 2.0))),
        part(Signal::Errors, 10.0, readings.errors.map(|share| between(share, 0.5, 0.01))),
    ]
}

/// 0 at `bad` and beyond, 1 at `good` and beyond, a straight line between. What is no number is bad.
fn between(value: f64, bad: f64, good: f64) -> f64 {
    let share = (value - bad) / (good - bad);
    if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn well() -> Readings {
        Readings {
            canaries_ok: Some(1.0),
            canary_ms: Some(12.0),
            leaderless: Some(0.0),
            quorum: Some(true),
            disk_free: Some(0.4),
            disk_full: Some(false),
            lag_seconds: Some(0.1),
            errors: Some(0.0),
        }
    }

    #[test]
    fn a_region_that_does_well_scores_a_hundred() {
        let score = score(&well());
        assert_eq!((score.value, score.confidence), (100.0, 1.0));
    }

    #[test]
    fn what_is_not_known_lowers_the_confidence_not_the_score() {
        let score = score(&Readings { canaries_ok: None, canary_ms: None, leaderless: None, ..well() });
        assert_eq!(score.value, 100.0);
        assert!(score.confidence < CONFIDENCE_MIN);
    }

    #[test]
    fn nothing_known_is_no_confidence_at_all() {
        let score = score(&Readings::default());
        assert_eq!((score.value, score.confidence), (0.0, 0.0));
    }

    #[test]
    fn hard_gates_hold_whatever_else_is_well() {
        assert_eq!(score(&Readings { quorum: Some(false), ..well() }).value, 20.0);
        assert_eq!(score(&Readings { disk_full: Some(true), ..well() }).value, 40.0);
    }

    #[test]
    fn a_region_whose_canaries_die_is_no_good() {
        let readings = Readings {
            canaries_ok: Some(0.0),
            canary_ms: Some(9000.0),
            leaderless: Some(1.0),
            errors: Some(0.9),
            ..well()
        };
        assert!(score(&readings).value <= 30.0);
        assert_eq!(between(f64::NAN, 0.0, 1.0), 0.0);
    }
}
