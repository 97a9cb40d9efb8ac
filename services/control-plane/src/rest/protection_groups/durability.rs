//! What acknowledgements promise across regions, in documents.

use super::super::shapes::{duration_ms, maybe_time, time};
use ::api::protection_groups as shown;
use catalog::view::Group;
use dr_planner::policy::Mode;
use mirror_core::mode::auto::Judgement;
use model::{Exposure, ExposureReason, LineLimits, ModePhase, ResetPolicy, SlowTarget, Timestamp};

/// How a group stands between `async` and `sync`.
pub(super) fn durability(group: &Group) -> shown::Durability {
    let mode = &group.grant.mode;
    shown::Durability {
        phase: match mode.phase {
            ModePhase::Async => shown::ModePhase::Async,
            ModePhase::Converging => shown::ModePhase::Converging,
            ModePhase::Sync => shown::ModePhase::Sync,
            ModePhase::Degraded => shown::ModePhase::Degraded,
        },
        mode_epoch: mode.epoch.0,
        target: mode.rule.as_ref().map(|rule| rule.target.to_string()),
        slows_writers: mode.rule.as_ref().is_some_and(|rule| !rule.waits()),
        since: time(mode.since),
        exposed_by: group.exposure.as_ref().map(|open| shown_reason(open.reason)),
        auto: None,
    }
}

/// What the council's leader makes of a group's line.
pub(super) fn shown_judgement(judged: &Judgement) -> shown::AutoJudgement {
    shown::AutoJudgement {
        asks_for: if judged.asks_for_sync { shown::Mode::Sync } else { shown::Mode::Async },
        reason: judged.to_string(),
        round_trip_ms: judged.line.round_trip_us.map(|trip| trip as f64 / 1000.0),
        requests: judged.line.requests,
        failures: judged.line.failures,
    }
}

const fn shown_reason(reason: ExposureReason) -> shown::ExposureReason {
    match reason {
        ExposureReason::Created => shown::ExposureReason::Created,
        ExposureReason::Operator => shown::ExposureReason::Operator,
        ExposureReason::TargetSlow => shown::ExposureReason::TargetSlow,
        ExposureReason::TargetLost => shown::ExposureReason::TargetLost,
        ExposureReason::NotConverged => shown::ExposureReason::NotConverged,
        ExposureReason::Moved => shown::ExposureReason::Moved,
        ExposureReason::Line => shown::ExposureReason::Line,
    }
}

/// An entry of the ledger at `now`.
pub(super) fn shown_exposure(exposure: &Exposure, now: Timestamp) -> shown::Exposure {
    shown::Exposure {
        mode_epoch: exposure.mode_epoch.0,
        from: time(exposure.from),
        to: maybe_time(exposure.to),
        reason: shown_reason(exposure.reason),
        duration_ms: duration_ms(exposure.from, exposure.to, now),
        records: exposure.worst.records,
        bytes: exposure.worst.bytes,
        at_risk_ms: exposure.worst.millis,
    }
}

/// A mode as it is asked for.
pub(super) const fn asked_mode(mode: shown::Mode) -> Mode {
    match mode {
        shown::Mode::Async => Mode::Async,
        shown::Mode::Sync => Mode::Sync,
        shown::Mode::Auto => Mode::Auto,
    }
}

/// What `auto` accepts with a change that is asked for.
pub(super) fn changed_auto(limits: LineLimits, change: shown::UpdateAutoLimits) -> LineLimits {
    LineLimits {
        round_trip_max_ms: change.round_trip_max_ms.unwrap_or(limits.round_trip_max_ms),
        errors_max_ppm: change.errors_max_ppm.unwrap_or(limits.errors_max_ppm),
        good_for_ms: change.good_for_ms.unwrap_or(limits.good_for_ms),
        bad_for_ms: change.bad_for_ms.unwrap_or(limits.bad_for_ms),
        dwell_ms: change.dwell_ms.unwrap_or(limits.dwell_ms),
    }
}

/// A policy for topics made again as it is asked for.
pub(super) const fn asked_topic_reset(policy: shown::ResetPolicy) -> ResetPolicy {
    match policy {
        shown::ResetPolicy::Follow => ResetPolicy::Follow,
        shown::ResetPolicy::Stop => ResetPolicy::Stop,
    }
}

/// A policy for a slow target as it is asked for.
pub(super) const fn asked_slow_target(policy: shown::SlowTarget) -> SlowTarget {
    match policy {
        shown::SlowTarget::Degrade => SlowTarget::Degrade,
        shown::SlowTarget::Block => SlowTarget::Block,
    }
}
