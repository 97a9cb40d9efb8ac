use crate::council::{Council, addresses, group, partition, region, run_id, step};
use catalog::command::{ChangeMode, JoinRegion, NoteExposure, Pivot, Revoke, UpdateGroup};
use catalog::view::Group;
use catalog::{Answer, Outcome, Refusal};
use dr_planner::plan::Kind;
use dr_planner::policy::Mode;
use mirror_core::mode::Change;
use model::{AtRisk, Exposure, ExposureReason, Incarnation, ModeEpoch, ModePhase, Offset, Opening, OwnershipEpoch};

impl Council {
    fn group(&self) -> Group {
        self.catalog.view().group(&group("default")).unwrap().clone()
    }

    async fn want(&mut self, mode: Mode) -> Outcome {
        let mut policy = self.group().policy;
        policy.mode = mode;
        self.decide(UpdateGroup { policy, expected: None }).await
    }

    async fn change(&mut self, change: Change) -> Outcome {
        let asked = self.asked(change);
        self.decide(asked).await
    }

    fn asked(&self, change: Change) -> ChangeMode {
        let grant = self.group().grant;
        let (ownership_epoch, mode_epoch) = (grant.ownership_epoch, grant.mode.epoch);
        ChangeMode { group: group("default"), ownership_epoch, mode_epoch, change }
    }

    /// Waiting for the copy in r2.
    async fn synced() -> Self {
        let mut council = Self::formed().await;
        council.create(&["orders"]).await;
        council.want(Mode::Sync).await.unwrap();
        council.change(converge("r2", 2)).await.unwrap();
        council.change(Change::Enter).await.unwrap();
        council
    }

    async fn revoke(&mut self) {
        let (run, group, ownership_epoch) = (run_id("run-1"), group("default"), OwnershipEpoch(1));
        self.decide(Revoke { run, step: step("revoke"), group, ownership_epoch }).await.unwrap();
    }

    fn pivot(&self, owner: &str) -> Pivot {
        let (common_end, base) = (Offset(10), Offset(10 + (1 << 40)));
        let opening = Opening { topic: self.topic("orders").id, partition: partition(0), common_end, base };
        Pivot {
            run: run_id("run-1"),
            step: step("pivot"),
            group: group("default"),
            from: OwnershipEpoch(1),
            owner: region(owner),
            ownership_epoch: OwnershipEpoch(2),
            openings: vec![opening],
        }
    }

    /// Fails over to `owner` across a hole; whether the pivot finds that none is needed, once and again.
    async fn finds_proven(&mut self, owner: &str) -> bool {
        self.revoke().await;
        let Ok(Answer::Grant { grant }) = self.decide(self.pivot(owner)).await else { panic!("refused") };
        let Ok(Answer::Grant { grant: repeated }) = self.decide(self.pivot(owner)).await else { panic!("refused") };
        assert_eq!(repeated, grant, "a repeat is answered as the first was, though the mode is another one by now");
        assert_eq!(self.group().grant.openings, grant.openings);
        assert_eq!(grant.openings[0].common_end, Offset(10));
        !grant.openings[0].leaves_hole()
    }

    async fn ledger(&self) -> Vec<(ExposureReason, bool)> {
        let ledger = self.catalog.reader().exposures(&group("default")).await.unwrap();
        ledger.into_iter().map(|Exposure { reason, to, .. }| (reason, to.is_none())).collect()
    }
}

fn converge(target: &str, incarnation: u16) -> Change {
    Change::Converge { target: region(target), incarnation: Incarnation(incarnation) }
}

fn approach(target: &str, incarnation: u16) -> Change {
    Change::Approach { target: region(target), incarnation: Incarnation(incarnation) }
}

fn leave(reason: ExposureReason) -> Change {
    Change::Leave { reason }
}

#[tokio::test]
async fn a_group_is_exposed_until_it_is_in_sync_and_again_from_when_it_leaves() {
    let mut council = Council::synced().await;
    let Group { grant, exposure, .. } = council.group();
    assert_eq!((grant.mode.phase, grant.mode.epoch), (ModePhase::Sync, ModeEpoch(2)));
    assert_eq!(grant.mode.proven().unwrap().target, region("r2"));
    assert_eq!((exposure, council.ledger().await), (None, vec![(ExposureReason::Created, false)]));
    council.change(leave(ExposureReason::TargetSlow)).await.unwrap();
    let worst = AtRisk { records: 5, bytes: 50, millis: 500 };
    let note = |mode_epoch, worst| NoteExposure { group: group("default"), mode_epoch: ModeEpoch(mode_epoch), worst };
    council.decide(note(3, worst)).await.unwrap();
    council.decide(note(3, AtRisk { records: 2, bytes: 70, millis: 1 })).await.unwrap();
    council.decide(note(2, AtRisk { records: 900, ..worst })).await.unwrap();
    let open = council.group().exposure.unwrap();
    assert_eq!((open.mode_epoch, open.worst), (ModeEpoch(3), AtRisk { records: 5, bytes: 70, millis: 500 }));
    let ledger = [(ExposureReason::TargetSlow, true), (ExposureReason::Created, false)];
    assert_eq!(council.ledger().await, ledger);
    council.change(converge("r2", 2)).await.unwrap();
    assert_eq!(council.ledger().await, ledger, "nothing is promised yet");
}

#[tokio::test]
async fn a_change_that_was_decided_in_another_mode_or_for_another_copy_is_refused() {
    let mut council = Council::formed().await;
    let async_ = council.asked(converge("r2", 2));
    assert!(matches!(council.refusal(async_).await, Refusal::NotEligible { .. }), "nobody asked for sync");
    council.want(Mode::Sync).await.unwrap();
    for (target, incarnation) in [("r1", 1), ("r2", 9)] {
        let asked = council.asked(converge(target, incarnation));
        assert!(matches!(council.refusal(asked).await, Refusal::NotEligible { .. }));
    }
    let enter = council.asked(Change::Enter);
    assert!(matches!(council.refusal(enter.clone()).await, Refusal::ModeOutOfOrder { .. }));
    council.change(converge("r2", 2)).await.unwrap();
    assert!(matches!(council.refusal(enter).await, Refusal::OtherMode { current: ModeEpoch(1), .. }));
    let late = ChangeMode { ownership_epoch: OwnershipEpoch(7), ..council.asked(Change::Enter) };
    assert!(matches!(council.refusal(late).await, Refusal::OtherEpoch { .. }));
}

#[tokio::test]
async fn whoever_asks_for_async_or_takes_the_target_away_ends_sync_with_the_same_entry() {
    let mut council = Council::synced().await;
    council.want(Mode::Async).await.unwrap();
    assert_eq!((council.group().grant.mode.phase, council.group().grant.mode.rule), (ModePhase::Async, None));
    assert_eq!(council.group().exposure.unwrap().reason, ExposureReason::Operator);
    let mut council = Council::synced().await;
    let mut policy = council.group().policy;
    policy.standbys = vec![region("r3")];
    council.decide(UpdateGroup { policy, expected: None }).await.unwrap();
    assert_eq!(council.group().grant.mode.phase, ModePhase::Async);
}

#[tokio::test]
async fn a_target_that_comes_back_empty_ends_sync() {
    let mut council = Council::synced().await;
    let rejoin = JoinRegion { region: region("r2"), index: 1, disk_id: "disk-new".into(), addresses: addresses(1) };
    council.decide(rejoin).await.unwrap();
    assert_eq!(council.group().grant.mode.phase, ModePhase::Degraded);
    assert_eq!(council.group().exposure.unwrap().reason, ExposureReason::TargetLost);
}

#[tokio::test]
async fn a_revoked_grant_keeps_what_is_proven_until_the_pivot_ends_it() {
    let mut council = Council::synced().await;
    council.start("run-1", Kind::Failover, "r2").await.unwrap();
    council.revoke().await;
    let slow = council.asked(leave(ExposureReason::TargetSlow));
    assert!(matches!(council.refusal(slow).await, Refusal::Revoked { .. }), "the survivors count on it");
    assert!(council.want(Mode::Async).await.is_err());
    assert!(council.group().grant.mode.proven().is_some());
    let pivot = council.pivot("r2");
    council.decide(pivot).await.unwrap();
    let mode = council.group().grant.mode;
    assert_eq!((mode.phase, mode.rule), (ModePhase::Degraded, None));
    assert_eq!(council.group().exposure.unwrap().reason, ExposureReason::Moved);
}

#[tokio::test]
async fn a_copy_that_is_far_behind_is_approached_before_it_is_waited_for() {
    let mut council = Council::formed().await;
    council.create(&["orders"]).await;
    assert!(matches!(council.change(approach("r2", 2)).await, Err(Refusal::NotEligible { .. })), "its mode is async");
    council.want(Mode::Sync).await.unwrap();
    assert!(matches!(council.change(approach("r2", 1)).await, Err(Refusal::NotEligible { .. })), "it was another one");
    council.change(approach("r2", 2)).await.unwrap();
    let mode = council.group().grant.mode;
    assert_eq!((mode.phase, mode.waits(), mode.proven()), (ModePhase::Converging, false, None));
    assert!(matches!(council.change(Change::Enter).await, Err(Refusal::ModeOutOfOrder { .. })), "nobody waits for it");
    council.change(converge("r2", 2)).await.unwrap();
    council.change(Change::Enter).await.unwrap();
    let mode = council.group().grant.mode;
    assert_eq!(mode.proven().map(|rule| (rule.target.clone(), rule.waits())), Some((region("r2"), true)));
    assert_eq!(council.ledger().await, [(ExposureReason::Created, false)]);
}

#[tokio::test]
async fn a_pivot_in_sync_to_the_very_copy_finds_that_nothing_can_be_missing() {
    let mut council = Council::synced().await;
    council.start("run-1", Kind::Failover, "r2").await.unwrap();
    assert!(council.finds_proven("r2").await);
    let grant = council.group().grant;
    assert_eq!((grant.mode.phase, grant.openings[0].base), (ModePhase::Degraded, Offset(10)));
}

#[tokio::test]
async fn a_pivot_elsewhere_or_out_of_sync_by_then_finds_nothing_proven() {
    let mut other = Council::synced().await;
    other.start("run-1", Kind::Failover, "r3").await.unwrap();
    assert!(!other.finds_proven("r3").await, "the copy of another region");

    let mut left = Council::synced().await;
    left.start("run-1", Kind::Failover, "r2").await.unwrap();
    left.change(leave(ExposureReason::TargetSlow)).await.unwrap();
    assert!(!left.finds_proven("r2").await, "it left SYNC after the plan was made");

    let mut emptied = Council::synced().await;
    emptied.start("run-1", Kind::Failover, "r2").await.unwrap();
    let rejoin = JoinRegion { region: region("r2"), index: 1, disk_id: "disk-new".into(), addresses: addresses(1) };
    emptied.decide(rejoin).await.unwrap();
    assert!(!emptied.finds_proven("r2").await, "that copy is gone");

    let mut early = Council::formed().await;
    early.create(&["orders"]).await;
    early.want(Mode::Sync).await.unwrap();
    early.change(converge("r2", 2)).await.unwrap();
    early.start("run-1", Kind::Failover, "r2").await.unwrap();
    assert!(!early.finds_proven("r2").await, "the copy is only catching up");
}
