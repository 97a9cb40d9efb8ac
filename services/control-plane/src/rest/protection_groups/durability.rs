//! What acknowledgements promise across regions, in documents.

use super::super::shapes::{duration_ms, maybe_time, time};
use ::api::protection_groups as shown;
use catalog::view::Group;
use dr_planner::policy::Mode;
use model::{Exposure, ExposureReason, ModePhase, SlowTarget, Timestamp};

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
        since: time(mode.since),
    }
}

/// An entry of the ledger at `now`.
pub(super) fn shown_exposure(exposure: &Exposure, now: Timestamp) -> shown::Exposure {
    shown::Exposure {
        mode_epoch: exposure.mode_epoch.0,
        from: time(exposure.from),
        to: maybe_time(exposure.to),
        reason: match exposure.reason {
            ExposureReason::Created => shown::ExposureReason::Created,
            ExposureReason::Operator => shown::ExposureReason::Operator,
            ExposureReason::TargetSlow => shown::ExposureReason::TargetSlow,
            ExposureReason::TargetLost => shown::ExposureReason::TargetLost,
            ExposureReason::NotConverged => shown::ExposureReason::NotConverged,
            ExposureReason::Moved => shown::ExposureReason::Moved,
        },
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

/// A policy for a slow target as it is asked for.
pub(super) const fn asked_slow_target(policy: shown::SlowTarget) -> SlowTarget {
    match policy {
        shown::SlowTarget::Degrade => SlowTarget::Degrade,
        shown::SlowTarget::Block => SlowTarget::Block,
    }
}
