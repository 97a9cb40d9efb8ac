//! Who owns a protection group: compare, then set.

use super::{Applied, Applying};
use crate::column::{json, signed, to_json, to_word};
use crate::command::{Pivot, Redirect, Regrant, Revoke};
use crate::row::{GroupRow, TopicRow};
use crate::{Answer, Refusal, limits};
use dr_planner::plan::{Kind, Plan};
use dr_planner::run::State;
use model::{ExposureReason, GrantState, Offset, Opening, OwnershipEpoch, ProtectionGroup, RegionName, RunId, StepId};
use sqlx::Row;
use std::collections::BTreeSet;

impl Applying<'_> {
    pub(super) async fn revoke(&mut self, args: &Revoke) -> Applied<Answer> {
        if let Some(answer) = self.done_before(&args.run, &args.step, "revoke").await? {
            return Ok(answer);
        }
        let Acting { mut group, .. } = self.group_of_run(&args.run, &args.group).await?;
        check_grant(&group, args.ownership_epoch)?;
        self.write_state(&mut group, GrantState::Revoked).await?;
        self.done(&args.run, &args.step, "revoke", Answer::Grant { grant: group.grant() }).await
    }

    pub(super) async fn regrant(&mut self, args: &Regrant) -> Applied<Answer> {
        if let Some(answer) = self.done_before(&args.run, &args.step, "regrant").await? {
            return Ok(answer);
        }
        let Acting { mut group, .. } = self.group_of_run(&args.run, &args.group).await?;
        check_grant(&group, args.ownership_epoch)?;
        check_holder(&group, &args.owner)?;
        if self.incarnation_of(&group.owner).await? != group.owner_incarnation {
            let reason = "it came back with an empty disk since it was granted; fail over to a region with a copy";
            return Err(not_eligible(&args.group, &args.owner, reason));
        }
        self.write_state(&mut group, GrantState::Held).await?;
        self.done(&args.run, &args.step, "regrant", Answer::Grant { grant: group.grant() }).await
    }

    pub(super) async fn pivot(&mut self, args: &Pivot) -> Applied<Answer> {
        if let Some(answer) = self.done_before(&args.run, &args.step, "pivot").await? {
            return Ok(answer);
        }
        let Acting { mut group, plan, state } = self.group_of_run(&args.run, &args.group).await?;
        check_forward(&args.run, state)?;
        check_grant(&group, args.from)?;
        check_epoch(&args.group, args.ownership_epoch, args.from)?;
        check_target(&group, &plan, &args.owner)?;
        check_fenced(&group, &plan, &args.openings)?;
        group.owner_incarnation = self.incarnation_of(&args.owner).await?;
        group.openings = self.usable_openings(&group, &args.openings).await?;
        // As the mode is now: the group may have left SYNC since the plan was made.
        if group.mode.proven().is_some_and(|rule| rule.is_for(&args.owner, group.owner_incarnation)) {
            group.openings.iter_mut().for_each(|opening| *opening = opening.without_hole());
        }
        group.owner = args.owner.clone();
        group.ownership_epoch = args.ownership_epoch;
        group.state = GrantState::Held;
        self.leave_sync(&mut group, ExposureReason::Moved).await?;
        self.write_grant(&group, "pivot", Some(&args.run)).await?;
        self.done(&args.run, &args.step, "pivot", Answer::Grant { grant: group.grant() }).await
    }

    pub(super) async fn redirect(&mut self, args: &Redirect) -> Applied<Answer> {
        if let Some(answer) = self.done_before(&args.run, &args.step, "redirect").await? {
            return Ok(answer);
        }
        let Acting { group, .. } = self.group_of_run(&args.run, &args.group).await?;
        check_grant(&group, args.ownership_epoch)?;
        check_holder(&group, &args.owner)?;
        check_held(&group)?;
        let route_epoch = self.write_route(&group).await?;
        self.done(&args.run, &args.step, "redirect", Answer::Route { route_epoch }).await
    }

    /// Gives the group to its owner again under an epoch above its own and `above`, because batches from there come in.
    pub(super) async fn raise(&mut self, group: &GroupRow, above: OwnershipEpoch, reason: &str) -> Applied<()> {
        let mut raised = group.clone();
        raised.ownership_epoch.advance(above);
        check_epoch(group.name(), raised.ownership_epoch.next(), raised.ownership_epoch)?;
        raised.ownership_epoch = raised.ownership_epoch.next();
        raised.openings.clear();
        self.write_grant(&raised, reason, None).await?;
        self.write_route(&raised).await?;
        Ok(())
    }

    /// The region came back with nothing of what it owned.
    pub(super) async fn revoke_all_of(&mut self, region: &RegionName) -> Applied<()> {
        let changed = sqlx::query(
            "UPDATE protection_groups SET state = 'revoked', changed_at = ? WHERE owner = ? AND state = 'held'",
        )
        .bind(self.at.0)
        .bind(region.as_str())
        .execute(&mut *self.connection)
        .await?;
        if changed.rows_affected() > 0 {
            self.touch().groups = true;
        }
        Ok(())
    }

    /// The answer this step got before.
    async fn done_before(&mut self, run: &RunId, step: &StepId, effect: &str) -> Applied<Option<Answer>> {
        let row = sqlx::query("SELECT effect, answer FROM effects WHERE run = ? AND step = ?")
            .bind(run.as_str())
            .bind(step.as_str())
            .fetch_optional(&mut *self.connection)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let done: String = row.try_get("effect")?;
        if done != effect {
            return Err(Refusal::StepSpent { run: run.clone(), step: step.clone(), done }.into());
        }
        Ok(Some(json(&row, "answer")?))
    }

    async fn done(&mut self, run: &RunId, step: &StepId, effect: &str, answer: Answer) -> Applied<Answer> {
        sqlx::query("INSERT INTO effects (run, step, effect, answer, log_index) VALUES (?, ?, ?, ?, ?)")
            .bind(run.as_str())
            .bind(step.as_str())
            .bind(effect)
            .bind(to_json(&answer))
            .bind(signed(self.index))
            .execute(&mut *self.connection)
            .await?;
        Ok(answer)
    }

    /// The group, if the run is its run in progress.
    async fn group_of_run(&mut self, run: &RunId, group: &ProtectionGroup) -> Applied<Acting> {
        let (state, plan) = self.run_in_progress(run).await?;
        if plan.group != *group {
            return Err(Refusal::OtherRun { run: run.clone(), group: plan.group }.into());
        }
        if plan.kind == Kind::Drill {
            return Err(not_eligible(group, &plan.target, "the run is a drill, which changes no ownership"));
        }
        Ok(Acting { group: self.group(group).await?, plan, state })
    }

    async fn write_state(&mut self, group: &mut GroupRow, state: GrantState) -> Applied<()> {
        if group.state == state {
            return Ok(());
        }
        group.state = state;
        sqlx::query("UPDATE protection_groups SET state = ?, changed_at = ? WHERE name = ?")
            .bind(to_word(&state))
            .bind(self.at.0)
            .bind(group.name().as_str())
            .execute(&mut *self.connection)
            .await?;
        self.touch().groups = true;
        Ok(())
    }

    async fn write_grant(&mut self, group: &GroupRow, reason: &str, run: Option<&RunId>) -> Applied<()> {
        sqlx::query(
            "UPDATE protection_groups SET owner = ?, owner_incarnation = ?, ownership_epoch = ?, state = ?, \
             openings = ?, changed_at = ? WHERE name = ?",
        )
        .bind(group.owner.as_str())
        .bind(i64::from(group.owner_incarnation.0))
        .bind(i64::from(group.ownership_epoch.0))
        .bind(to_word(&group.state))
        .bind(to_json(&group.openings))
        .bind(self.at.0)
        .bind(group.name().as_str())
        .execute(&mut *self.connection)
        .await?;
        self.touch().groups = true;
        self.remember_grant(group, reason, run).await
    }

    pub(super) async fn remember_grant(&mut self, group: &GroupRow, reason: &str, run: Option<&RunId>) -> Applied<()> {
        sqlx::query(
            "INSERT INTO grants (group_name, ownership_epoch, owner, granted_at, reason, run, openings) \
             VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(group.name().as_str())
        .bind(i64::from(group.ownership_epoch.0))
        .bind(group.owner.as_str())
        .bind(self.at.0)
        .bind(reason)
        .bind(run.map(RunId::as_str))
        .bind(to_json(&group.openings))
        .execute(&mut *self.connection)
        .await?;
        Ok(())
    }

    async fn write_route(&mut self, group: &GroupRow) -> Applied<u64> {
        let route_epoch = self.next_number("route epoch").await?;
        sqlx::query("UPDATE protection_groups SET route_owner = ?, route_grant = ?, route_epoch = ? WHERE name = ?")
            .bind(group.owner.as_str())
            .bind(i64::from(group.ownership_epoch.0))
            .bind(signed(route_epoch))
            .bind(group.name().as_str())
            .execute(&mut *self.connection)
            .await?;
        self.touch().groups = true;
        Ok(route_epoch)
    }

    /// The openings of topics that are still there. A topic deleted since it was sealed does not hold up a failover.
    async fn usable_openings(&mut self, group: &GroupRow, openings: &[Opening]) -> Applied<Vec<Opening>> {
        let mut usable = Vec::with_capacity(openings.len());
        let mut seen = BTreeSet::new();
        let mut last: Option<TopicRow> = None;
        for opening in openings {
            if !seen.insert((opening.topic, opening.partition)) {
                return Err(bad_opening(opening, "it is listed twice".into()));
            }
            if last.as_ref().map(|topic| topic.spec.id) != Some(opening.topic) {
                last = TopicRow::of_id(self.connection, opening.topic).await?;
            }
            if let Some(topic) = last.as_ref().filter(|topic| topic.deleted_at.is_none()) {
                check_opening(group, topic, opening)?;
                usable.push(*opening);
            }
        }
        Ok(usable)
    }
}

/// A run in progress, its plan, and its group as it is now.
struct Acting {
    group: GroupRow,
    plan: Plan,
    state: State,
}

/// An executor that was away while another one began to unwind the run must not pivot any more.
fn check_forward(run: &RunId, state: State) -> Applied<()> {
    match state {
        State::Unwinding => Err(Refusal::RunOver { run: run.clone(), state }.into()),
        _ => Ok(()),
    }
}

pub(super) fn check_grant(group: &GroupRow, asked: OwnershipEpoch) -> Applied<()> {
    if group.ownership_epoch == asked {
        return Ok(());
    }
    Err(Refusal::OtherEpoch { group: group.name().clone(), current: group.ownership_epoch, asked }.into())
}

fn check_holder(group: &GroupRow, owner: &RegionName) -> Applied<()> {
    if group.owner == *owner {
        return Ok(());
    }
    Err(not_eligible(group.name(), owner, &format!("{} holds this grant", group.owner)))
}

fn check_held(group: &GroupRow) -> Applied<()> {
    match group.state {
        GrantState::Held => Ok(()),
        GrantState::Revoked => {
            Err(Refusal::Revoked { group: group.name().clone(), epoch: group.ownership_epoch }.into())
        }
    }
}

/// Whether `asked` can be granted after `above`.
pub(super) fn check_epoch(group: &ProtectionGroup, asked: OwnershipEpoch, above: OwnershipEpoch) -> Applied<()> {
    let limit = OwnershipEpoch(limits::OWNERSHIP_EPOCH_MAX);
    if above < asked && asked <= limit {
        return Ok(());
    }
    Err(Refusal::BadEpoch { group: group.clone(), asked, above, limit }.into())
}

fn check_target(group: &GroupRow, plan: &Plan, owner: &RegionName) -> Applied<()> {
    let reason = if plan.target != *owner {
        format!("the plan's target is {}", plan.target)
    } else if group.owner == *owner {
        "it is the owner".to_owned()
    } else if !group.policy.members().any(|member| member == owner) {
        "it is neither home nor standby".to_owned()
    } else {
        return Ok(());
    };
    Err(not_eligible(group.name(), owner, &reason))
}

/// Unplanned, the old owner may be alive and writing unless its grant is revoked. Planned, nothing is left behind.
fn check_fenced(group: &GroupRow, plan: &Plan, openings: &[Opening]) -> Applied<()> {
    let hole = openings.iter().any(|opening| opening.base > opening.common_end);
    if group.state == GrantState::Held && (hole || plan.kind.is_unplanned()) {
        return Err(Refusal::NotRevoked { group: group.name().clone(), epoch: group.ownership_epoch }.into());
    }
    Ok(())
}

fn check_opening(group: &GroupRow, topic: &TopicRow, opening: &Opening) -> Applied<()> {
    let reason = if topic.spec.group != *group.name() {
        format!("the topic belongs to protection group {}", topic.spec.group)
    } else if !(0..topic.spec.partitions).contains(&opening.partition.0) {
        format!("the topic has {} partitions", topic.spec.partitions)
    } else if opening.common_end < Offset::ZERO || opening.base < opening.common_end {
        format!("a base of {} cannot follow a common end of {}", opening.base, opening.common_end)
    } else {
        return Ok(());
    };
    Err(bad_opening(opening, reason))
}

fn bad_opening(opening: &Opening, reason: String) -> super::Stop {
    Refusal::BadOpening { topic: opening.topic, partition: opening.partition.0, reason }.into()
}

fn not_eligible(group: &ProtectionGroup, region: &RegionName, reason: &str) -> super::Stop {
    Refusal::NotEligible { group: group.clone(), region: region.clone(), reason: reason.to_owned() }.into()
}
