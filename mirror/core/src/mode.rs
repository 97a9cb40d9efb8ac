//! How a protection group comes into SYNC and out of it.
//!
//! ```text
//!           Approach           Converge           Enter
//!   ASYNC ----------> CONVERGING ----> CONVERGING ----> SYNC
//!     ^  DEGRADED --^ slows writers ^    waits   |       |  the rule is on in CONVERGING and SYNC
//!     |     ^     |       |         |            |       |
//!     |     |     '-------|-Converge'            |       |  from there at once where the copy is near already
//!     |     '--- Leave ---+----------------------+-------'  target slow or lost, moved
//!     '--------- Leave as it is wished: by an operator, or by `auto` for the line (see [`auto`])
//! ```
//!
//! A copy that is far behind is not waited for, acknowledgements would stand still; until it is near, writers are slowed
//! down to less than the line carries. `auto` never slows anybody down: it waits until the copy is near.
//!
//! Each arrow is one entry of the council, made by [`next`], which every node applies alike; [`decide`] says which one is
//! due. The order of things makes the promise: the rule is on everywhere, and everything that readers were ever shown is in
//! the copy, before `Enter` is proposed; and `Leave` is committed before any leader is told to commit without the copy. A
//! source that cannot have `Leave` committed goes on waiting.
//!
//! A group is exposed unless it is in SYNC: one entry of the ledger is open then, and none in SYNC ([`ledger`]).

pub mod auto;

use model::{
    ExposureReason, Incarnation, ModeEpoch, ModePhase, ModeState, Patience, RegionName, SlowTarget, SyncRule, Timestamp,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A copy that lacks more than this is not waited for: acknowledgements would stand still for as long.
pub const LAG_MAX: Duration = Duration::from_secs(1);
/// How long a write may wait for the target before a group that degrades does.
pub const SLOW_MAX: Duration = Duration::from_secs(2);
/// How long the target of a group in SYNC may say that it lacks something that was shown: a new leader of its copy does so
/// until it has heard of its replicas.
pub const LACKING_MAX: Duration = Duration::from_secs(5);
/// How long a group that degrades stays in CONVERGING.
pub const CONVERGE_MAX: Duration = Duration::from_secs(10);
/// How long a group stays degraded before SYNC is tried again.
pub const DEGRADED_MIN: Duration = Duration::from_secs(10);

/// A change of a group's mode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "to")]
pub enum Change {
    /// Leaders begin to slow writers down, so that the copy of this region comes near.
    Approach {
        /// The region.
        target: RegionName,
        /// Its incarnation.
        incarnation: Incarnation,
    },
    /// Leaders begin to wait for the copy of this region.
    Converge {
        /// The region.
        target: RegionName,
        /// Its incarnation.
        incarnation: Incarnation,
    },
    /// The copy holds what was ever shown: from now on acknowledgements of acks=all promise two regions.
    Enter,
    /// They promise one region only, and leaders wait for nobody.
    Leave {
        /// Why.
        reason: ExposureReason,
    },
}

/// A change that does not follow from where the group is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{change} does not follow from {phase:?}")]
pub struct OutOfOrder {
    /// Where it is.
    pub phase: ModePhase,
    /// What was asked for.
    pub change: &'static str,
}

/// Where a group is after `change` at `at`.
///
/// # Errors
/// [`OutOfOrder`]: nothing changes.
pub fn next(state: &ModeState, change: &Change, at: Timestamp) -> Result<ModeState, OutOfOrder> {
    use ModePhase::{Async, Converging, Degraded, Sync};
    let epoch = state.epoch.next();
    let rule = |mode_epoch, target: &RegionName, incarnation, patience| {
        Some(SyncRule { mode_epoch, target: target.clone(), incarnation, patience })
    };
    let (phase, rule) = match (state.phase, change) {
        (Async | Degraded, Change::Approach { target, incarnation }) => {
            (Converging, rule(epoch, target, *incarnation, Patience::SlowsDown))
        }
        (Async | Degraded, Change::Converge { target, incarnation }) => {
            (Converging, rule(epoch, target, *incarnation, Patience::Waits))
        }
        (Converging, Change::Converge { target, incarnation }) if !state.waits() => {
            (Converging, rule(epoch, target, *incarnation, Patience::Waits))
        }
        (Converging, Change::Enter) if state.waits() => (Sync, state.rule.clone()),
        (Converging | Sync | Degraded, Change::Leave { reason: ExposureReason::Operator | ExposureReason::Line }) => {
            (Async, None)
        }
        (Converging | Sync, Change::Leave { .. }) => (Degraded, None),
        (phase, change) => return Err(OutOfOrder { phase, change: change.name() }),
    };
    Ok(ModeState { phase, epoch, rule, since: at })
}

impl Change {
    const fn name(&self) -> &'static str {
        match self {
            Self::Approach { .. } => "slowing writers down",
            Self::Converge { .. } => "converging",
            Self::Enter => "entering sync",
            Self::Leave { .. } => "leaving sync",
        }
    }
}

/// What becomes of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ledger {
    /// The open entry stays open, or there is none.
    Keep,
    /// The open entry is closed: nothing is at risk any more.
    Close,
    /// An entry is opened.
    Open(ExposureReason),
}

/// What `change` of a group that was in `before` does to the ledger.
pub fn ledger(before: ModePhase, change: &Change) -> Ledger {
    match (before, change) {
        (_, Change::Enter) => Ledger::Close,
        (ModePhase::Sync, Change::Leave { reason }) => Ledger::Open(*reason),
        _ => Ledger::Keep,
    }
}

/// What is asked of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Whether acknowledgements shall promise two regions.
    pub sync: bool,
    /// Why they shall not.
    pub otherwise: ExposureReason,
    /// What becomes of writes when the target is slow.
    pub slow_target: SlowTarget,
    /// Whether writers are slowed down for a copy that is far behind.
    pub slows_writers: bool,
}

/// What the leaders of a group say of the rule that is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Whether each of them obeys it, and was told by the copy of at least everything it has ever shown.
    pub confirmed: bool,
    /// The longest that a write has waited for the copy.
    pub waiting: Duration,
    /// The longest that the copy has been lacking something that was shown under the rule.
    pub lacking: Duration,
}

/// A region whose copy could be waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The region.
    pub region: RegionName,
    /// Its incarnation.
    pub incarnation: Incarnation,
    /// How far its copy is behind; `None` where nobody knows, or some of it is no copy.
    pub lag: Option<Duration>,
    /// Whether a part of its copy cannot be used any more: its log is lost or has to be built anew.
    pub is_broken: bool,
}

impl Candidate {
    fn is_near(&self) -> bool {
        self.lag.is_some_and(|lag| lag <= LAG_MAX)
    }

    const fn is_reachable(&self) -> bool {
        self.lag.is_some() && !self.is_broken
    }

    fn converge(&self) -> Change {
        Change::Converge { target: self.region.clone(), incarnation: self.incarnation }
    }

    fn approach(&self) -> Change {
        Change::Approach { target: self.region.clone(), incarnation: self.incarnation }
    }
}

/// What is known of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// When.
    pub now: Timestamp,
    /// Its owner; `None` while not all of its leaders answer.
    pub source: Option<Source>,
    /// Its standbys, the first choice first.
    pub standbys: Vec<Candidate>,
}

/// The change of mode that is due, if any.
pub fn decide(wish: Wish, state: &ModeState, facts: &Facts) -> Option<Change> {
    let leave = |reason| Some(Change::Leave { reason });
    match (&state.rule, wish.sync) {
        (None, false) if state.phase == ModePhase::Degraded => leave(wish.otherwise),
        (None, false) => None,
        (None, true) => begin(wish, state, facts),
        (Some(_), false) => leave(wish.otherwise),
        (Some(rule), true) if is_lost(rule, facts) => leave(ExposureReason::TargetLost),
        (Some(rule), true) if !rule.waits() => draw_near(wish, state, rule, facts),
        (Some(_), true) if state.phase == ModePhase::Converging => settle(wish, state, facts),
        // It is exposed already, whatever writes shall do.
        (Some(_), true) if facts.source.is_some_and(|source| source.lacking >= LACKING_MAX) => {
            leave(ExposureReason::TargetLost)
        }
        (Some(_), true) => {
            let is_slow = facts.source.is_some_and(|source| source.waiting >= SLOW_MAX);
            if is_slow && wish.slow_target == SlowTarget::Degrade { leave(ExposureReason::TargetSlow) } else { None }
        }
    }
}

/// Whether `candidate` is the region whose copy is waited for.
fn is_meant(rule: &SyncRule, candidate: &Candidate) -> bool {
    rule.is_for(&candidate.region, candidate.incarnation)
}

/// Whether the region that is waited for is no standby any more, or has lost its copy.
fn is_lost(rule: &SyncRule, facts: &Facts) -> bool {
    !facts.standbys.iter().any(|known| is_meant(rule, known) && !known.is_broken)
}

/// The first standby that is near; else, where that is wished, the first of which it is known how far it is.
fn begin(wish: Wish, state: &ModeState, facts: &Facts) -> Option<Change> {
    if state.phase == ModePhase::Degraded && facts.now.since(state.since) < DEGRADED_MIN {
        return None;
    }
    let far = || facts.standbys.iter().find(|standby| wish.slows_writers && standby.is_reachable());
    facts.standbys.iter().find(|standby| standby.is_near()).map(Candidate::converge).or_else(|| Some(far()?.approach()))
}

/// A copy that nobody hears of any more does not come near; perhaps another one does.
fn draw_near(wish: Wish, state: &ModeState, rule: &SyncRule, facts: &Facts) -> Option<Change> {
    let meant = facts.standbys.iter().find(|standby| is_meant(rule, standby))?;
    let is_silent = !meant.is_reachable() && facts.now.since(state.since) >= CONVERGE_MAX;
    if meant.is_near() {
        Some(meant.converge())
    } else if is_silent || !wish.slows_writers {
        Some(Change::Leave { reason: ExposureReason::NotConverged })
    } else {
        None
    }
}

fn settle(wish: Wish, state: &ModeState, facts: &Facts) -> Option<Change> {
    if facts.source.is_some_and(|source| source.confirmed) {
        return Some(Change::Enter);
    }
    let is_slow = facts.source.is_some_and(|source| source.waiting >= SLOW_MAX);
    let is_late = is_slow || facts.now.since(state.since) >= CONVERGE_MAX;
    let gives_up = is_late && wish.slow_target == SlowTarget::Degrade;
    gives_up.then_some(Change::Leave { reason: ExposureReason::NotConverged })
}

/// Whether what the leaders of a group say under `rule` makes SYNC true: each obeys it, and has heard that the copy holds
/// at least what it has shown. `partitions` has one entry for each partition of the group, `None` where nothing was said.
pub fn confirmed(
    rule: ModeEpoch,
    partitions: impl IntoIterator<Item = Option<(model::Offset, model::SyncStatus)>>,
) -> bool {
    let holds = |said: Option<(model::Offset, model::SyncStatus)>| {
        said.is_some_and(|(shown, status)| {
            status.mode_epoch == rule && status.copy_watermark.is_some_and(|held| shown <= held)
        })
    };
    partitions.into_iter().all(holds)
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Offset, SyncStatus};
    use proptest::prelude::*;

    const SYNC: Wish =
        Wish { sync: true, otherwise: ExposureReason::Operator, slow_target: SlowTarget::Degrade, slows_writers: true };
    const AUTO: Wish = Wish { otherwise: ExposureReason::Line, slows_writers: false, ..SYNC };
    const BLOCK: Wish = Wish { slow_target: SlowTarget::Block, ..SYNC };
    const ASYNC: Wish = Wish { sync: false, ..SYNC };

    fn standby(lag_ms: Option<u64>) -> Candidate {
        let (region, lag) = (RegionName::new("r2").unwrap(), lag_ms.map(Duration::from_millis));
        Candidate { region, incarnation: Incarnation(4), lag, is_broken: false }
    }

    fn facts(now: i64, source: Option<(bool, u64)>, lag_ms: Option<u64>) -> Facts {
        let source = source.map(|(confirmed, waiting)| Source {
            confirmed,
            waiting: Duration::from_millis(waiting),
            lacking: Duration::ZERO,
        });
        Facts { now: Timestamp(now), source, standbys: vec![standby(lag_ms)] }
    }

    fn after(changes: &[Change]) -> ModeState {
        changes.iter().fold(ModeState::default(), |state, change| next(&state, change, Timestamp(0)).unwrap())
    }

    fn converge() -> Change {
        Change::Converge { target: RegionName::new("r2").unwrap(), incarnation: Incarnation(4) }
    }

    fn approach() -> Change {
        Change::Approach { target: RegionName::new("r2").unwrap(), incarnation: Incarnation(4) }
    }

    fn leave(reason: ExposureReason) -> Option<Change> {
        Some(Change::Leave { reason })
    }

    #[test]
    fn sync_is_entered_when_the_copy_is_near_and_all_leaders_have_confirmed() {
        let state = ModeState::default();
        assert_eq!(decide(ASYNC, &state, &facts(0, None, Some(0))), None);
        assert_eq!(decide(SYNC, &state, &facts(0, None, None)), None, "nobody knows how far the copy is");
        assert_eq!(decide(AUTO, &state, &facts(0, None, Some(1001))), None);
        assert_eq!(decide(SYNC, &state, &facts(0, None, Some(999))), Some(converge()));
        let state = after(&[converge()]);
        assert_eq!(decide(SYNC, &state, &facts(5, Some((false, 0)), Some(0))), None);
        assert_eq!(decide(SYNC, &state, &facts(5, Some((true, 0)), Some(0))), Some(Change::Enter));
        let state = after(&[converge(), Change::Enter]);
        assert_eq!(
            (state.phase, state.epoch, state.rule.unwrap().mode_epoch),
            (ModePhase::Sync, ModeEpoch(2), ModeEpoch(1))
        );
    }

    #[test]
    fn writers_are_slowed_down_for_a_copy_that_is_far_and_wait_for_one_that_is_near() {
        assert_eq!(decide(SYNC, &ModeState::default(), &facts(0, None, Some(1001))), Some(approach()));
        let state = after(&[approach()]);
        assert_eq!((state.phase, state.waits()), (ModePhase::Converging, false));
        assert_eq!(decide(SYNC, &state, &facts(900_000, None, Some(1001))), None, "it may take its time");
        assert_eq!(decide(SYNC, &state, &facts(900_000, Some((true, 0)), Some(1001))), None, "no leader waits yet");
        assert!(next(&state, &Change::Enter, Timestamp(0)).is_err(), "no leader waits yet");
        assert_eq!(decide(SYNC, &state, &facts(5, None, Some(1000))), Some(converge()));
        let state = after(&[approach(), converge()]);
        assert_eq!(
            (state.phase, state.waits(), state.rule.unwrap().mode_epoch),
            (ModePhase::Converging, true, ModeEpoch(2))
        );
    }

    #[test]
    fn writers_are_slowed_down_for_no_copy_that_cannot_come_near() {
        let state = after(&[approach()]);
        assert_eq!(decide(SYNC, &state, &facts(9_999, None, None)), None);
        assert_eq!(decide(BLOCK, &state, &facts(10_000, None, None)), leave(ExposureReason::NotConverged));
        assert_eq!(decide(AUTO, &state, &facts(5, None, Some(1001))), leave(ExposureReason::NotConverged));
        assert_eq!(decide(ASYNC, &state, &facts(5, None, Some(1001))), leave(ExposureReason::Operator));
        let gone = Facts { standbys: vec![], ..facts(5, None, None) };
        assert_eq!(decide(SYNC, &state, &gone), leave(ExposureReason::TargetLost));
        let mut broken = facts(5, None, Some(2000));
        broken.standbys[0].is_broken = true;
        assert_eq!(decide(SYNC, &ModeState::default(), &broken), None);
    }

    #[test]
    fn a_slow_target_is_left_by_policy_only_and_a_silent_source_never() {
        let state = after(&[converge(), Change::Enter]);
        let slow = facts(5, Some((true, 2000)), None);
        assert_eq!(decide(SYNC, &state, &slow), leave(ExposureReason::TargetSlow));
        assert_eq!(decide(BLOCK, &state, &slow), None);
        assert_eq!(decide(SYNC, &state, &facts(1_000_000, None, None)), None, "who stops is not exposed");
        assert_eq!(decide(BLOCK, &state, &Facts { standbys: vec![], ..slow }), leave(ExposureReason::TargetLost));
        assert_eq!(decide(ASYNC, &state, &facts(5, None, None)), leave(ExposureReason::Operator));
    }

    #[test]
    fn a_target_that_came_back_empty_is_lost() {
        let state = after(&[converge(), Change::Enter]);
        let mut reborn = facts(5, Some((true, 0)), Some(0));
        reborn.standbys[0].incarnation = Incarnation(5);
        assert_eq!(decide(BLOCK, &state, &reborn), leave(ExposureReason::TargetLost));
        let mut broken = facts(5, Some((true, 0)), None);
        broken.standbys[0].is_broken = true;
        assert_eq!(decide(BLOCK, &state, &broken), leave(ExposureReason::TargetLost));
    }

    #[test]
    fn a_target_that_lost_what_it_held_is_left_whatever_the_policy() {
        let state = after(&[converge(), Change::Enter]);
        let lacking = |millis| {
            let source = Source { confirmed: false, waiting: Duration::ZERO, lacking: Duration::from_millis(millis) };
            Facts { source: Some(source), ..facts(5, None, Some(0)) }
        };
        assert_eq!(decide(BLOCK, &state, &lacking(4999)), None, "the new leader of a copy may not know yet");
        assert_eq!(decide(BLOCK, &state, &lacking(5000)), leave(ExposureReason::TargetLost));
        assert_eq!(decide(BLOCK, &after(&[converge()]), &lacking(5000)), None, "it has not promised anything");
    }

    #[test]
    fn convergence_ends_in_bounded_time_and_is_tried_again_after_a_while() {
        let state = after(&[converge()]);
        let late = facts(10_000, Some((false, 0)), Some(0));
        assert_eq!(decide(SYNC, &state, &late), leave(ExposureReason::NotConverged));
        assert_eq!(decide(BLOCK, &state, &late), None);
        let state = after(&[converge(), Change::Leave { reason: ExposureReason::NotConverged }]);
        assert_eq!(state.phase, ModePhase::Degraded);
        assert_eq!(decide(SYNC, &state, &facts(9_999, None, Some(0))), None);
        let by_auto = Wish { sync: false, otherwise: ExposureReason::Line, ..SYNC };
        assert_eq!(
            decide(by_auto, &state, &facts(1, None, Some(0))),
            leave(ExposureReason::Line),
            "it is wished no more"
        );
        let given_up = next(&state, &Change::Leave { reason: ExposureReason::Line }, Timestamp(1)).unwrap();
        assert_eq!((given_up.phase, decide(by_auto, &given_up, &facts(2, None, Some(0)))), (ModePhase::Async, None));
        assert_eq!(decide(SYNC, &state, &facts(10_000, None, Some(0))), Some(converge()));
    }

    #[test]
    fn leaders_confirm_only_under_this_rule_and_with_all_they_have_shown() {
        let said = |rule, copy, shown| {
            let status = SyncStatus { mode_epoch: ModeEpoch(rule), copy_watermark: copy, waiting_ms: 0, lacking_ms: 0 };
            Some((Offset(shown), status))
        };
        let held = |offset| Some(Offset(offset));
        assert!(confirmed(ModeEpoch(3), [said(3, held(7), 7), said(3, held(9), 2)]));
        for broken in [None, said(2, held(7), 7), said(3, None, 0), said(3, held(6), 7)] {
            assert!(!confirmed(ModeEpoch(3), [said(3, held(7), 7), broken]), "{broken:?}");
        }
    }

    fn any_facts() -> impl Strategy<Value = (Facts, [bool; 3])> {
        let source = prop::option::of((any::<bool>(), 0_u64..4000));
        (0_i64..8000, source, prop::option::of(0_u64..2000), any::<bool>(), any::<[bool; 3]>()).prop_map(
            |(step, source, lag, is_there, wish)| {
                let mut facts = facts(step, source, lag);
                if !is_there {
                    facts.standbys.clear();
                }
                (facts, wish)
            },
        )
    }

    proptest! {
        #[test]
        fn every_exposure_is_opened_and_closed_once(all in prop::collection::vec(any_facts(), 0..60)) {
            // A group begins exposed.
            let (mut state, mut open, mut opened, mut closed, mut now) = (ModeState::default(), true, 1, 0, 0);
            for (mut facts, [sync, block, slows_writers]) in all {
                now += facts.now.0;
                facts.now = Timestamp(now);
                let slow_target = if block { SlowTarget::Block } else { SlowTarget::Degrade };
                let Some(change) = decide(Wish { sync, slow_target, slows_writers, ..SYNC }, &state, &facts) else { continue };
                let after = next(&state, &change, facts.now).unwrap();
                prop_assert!(after.epoch == state.epoch.next());
                if change == Change::Enter {
                    prop_assert!(state.phase == ModePhase::Converging && facts.source.unwrap().confirmed);
                    prop_assert!(state.waits());
                }
                match ledger(state.phase, &change) {
                    Ledger::Keep => {}
                    Ledger::Close => {
                        prop_assert!(std::mem::replace(&mut open, false));
                        closed += 1;
                    }
                    Ledger::Open(_) => {
                        prop_assert!(!std::mem::replace(&mut open, true));
                        opened += 1;
                    }
                }
                state = after;
                prop_assert_eq!(open, state.phase != ModePhase::Sync);
                prop_assert_eq!(opened - closed, i32::from(open));
                prop_assert_eq!(state.rule.is_some(), matches!(state.phase, ModePhase::Converging | ModePhase::Sync));
            }
        }
    }
}
