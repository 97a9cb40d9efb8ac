//! The durability of a group's writes, and the RPO ledger.

use super::ownership::check_grant;
use super::{Applied, Applying};
use crate::column::{signed, to_json, to_word};
use crate::command::{ChangeMode, NoteExposure};
use crate::row::GroupRow;
use crate::{Answer, Refusal, limits};
use dr_planner::policy::Mode;
use mirror_core::mode::{Change, Ledger, ledger, next};
use model::{ExposureReason, GrantState, Incarnation, ModeEpoch, ProtectionGroup, RegionName};

impl Applying<'_> {
    pub(super) async fn change_mode(&mut self, args: &ChangeMode) -> Applied<Answer> {
        let mut group = self.group(&args.group).await?;
        check_grant(&group, args.ownership_epoch)?;
        check_held(&group)?;
        if group.mode.epoch != args.mode_epoch {
            let (group, current, asked) = (args.group.clone(), group.mode.epoch, args.mode_epoch);
            return Err(Refusal::OtherMode { group, current, asked }.into());
        }
        match &args.change {
            Change::Approach { target, incarnation } | Change::Converge { target, incarnation } => {
                self.check_idle(&group).await?;
                self.check_target(&group, target, *incarnation).await?;
            }
            Change::Enter => self.check_idle(&group).await?,
            Change::Leave { .. } => {}
        }
        self.set_mode(&mut group, &args.change).await?;
        Ok(Answer::Grant { grant: group.grant() })
    }

    async fn check_target(&mut self, group: &GroupRow, target: &RegionName, incarnation: Incarnation) -> Applied<()> {
        let reason = if group.policy.mode == Mode::Async {
            "its mode is async"
        } else if !group.policy.members().any(|member| member == target) || group.owner == *target {
            "it is no standby"
        } else if self.incarnation_of(target).await? != incarnation {
            "it has another incarnation by now"
        } else {
            return Ok(());
        };
        let (group, region) = (group.name().clone(), target.clone());
        Err(Refusal::NotEligible { group, region, reason: reason.to_owned() }.into())
    }

    /// Makes a change that was found to be right.
    pub(super) async fn set_mode(&mut self, group: &mut GroupRow, change: &Change) -> Applied<()> {
        let before = group.mode.phase;
        let out_of_order = |error: mirror_core::mode::OutOfOrder| Refusal::ModeOutOfOrder {
            group: group.policy.name.clone(),
            reason: error.to_string(),
        };
        group.mode = next(&group.mode, change, self.at).map_err(out_of_order)?;
        sqlx::query("UPDATE protection_groups SET mode = ? WHERE name = ?")
            .bind(to_json(&group.mode))
            .bind(group.name().as_str())
            .execute(&mut *self.connection)
            .await?;
        match ledger(before, change) {
            Ledger::Keep => {}
            Ledger::Close => self.close_exposure(group.name()).await?,
            Ledger::Open(reason) => self.open_exposure(group.name(), group.mode.epoch, reason).await?,
        }
        self.touch().groups = true;
        Ok(())
    }

    /// Ends SYNC, or the way to it, if the group is there.
    pub(super) async fn leave_sync(&mut self, group: &mut GroupRow, reason: ExposureReason) -> Applied<()> {
        match group.mode.rule {
            Some(_) => self.set_mode(group, &Change::Leave { reason }).await,
            None => Ok(()),
        }
    }

    /// What a region knew that came back with an empty disk is waited for by nobody.
    pub(super) async fn forget_target(&mut self, region: &RegionName) -> Applied<()> {
        for mut group in GroupRow::all(self.connection).await? {
            if group.mode.rule.as_ref().is_some_and(|rule| rule.target == *region) {
                self.leave_sync(&mut group, ExposureReason::TargetLost).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn open_exposure(
        &mut self,
        group: &ProtectionGroup,
        mode_epoch: ModeEpoch,
        reason: ExposureReason,
    ) -> Applied<()> {
        sqlx::query(
            "INSERT INTO exposures (group_name, mode_epoch, opened_at, reason, records, bytes, millis) \
             VALUES (?, ?, ?, ?, 0, 0, 0)",
        )
        .bind(group.as_str())
        .bind(signed(mode_epoch.0))
        .bind(self.at.0)
        .bind(to_word(&reason))
        .execute(&mut *self.connection)
        .await?;
        sqlx::query(
            "DELETE FROM exposures WHERE group_name = ?1 AND id NOT IN \
             (SELECT id FROM exposures WHERE group_name = ?1 ORDER BY id DESC LIMIT ?2)",
        )
        .bind(group.as_str())
        .bind(limits::EXPOSURES_PER_GROUP_MAX)
        .execute(&mut *self.connection)
        .await?;
        Ok(())
    }

    pub(super) async fn close_exposure(&mut self, group: &ProtectionGroup) -> Applied<()> {
        sqlx::query("UPDATE exposures SET closed_at = ? WHERE group_name = ? AND closed_at IS NULL")
            .bind(self.at.0)
            .bind(group.as_str())
            .execute(&mut *self.connection)
            .await?;
        Ok(())
    }

    pub(super) async fn note_exposure(&mut self, args: &NoteExposure) -> Applied<Answer> {
        self.group(&args.group).await?;
        let bounded = |figure: u64| i64::try_from(figure).unwrap_or(i64::MAX);
        let changed = sqlx::query(
            "UPDATE exposures SET records = max(records, ?1), bytes = max(bytes, ?2), millis = max(millis, ?3) \
             WHERE group_name = ?4 AND mode_epoch = ?5 AND closed_at IS NULL \
             AND (records < ?1 OR bytes < ?2 OR millis < ?3)",
        )
        .bind(bounded(args.worst.records))
        .bind(bounded(args.worst.bytes))
        .bind(bounded(args.worst.millis))
        .bind(args.group.as_str())
        .bind(signed(args.mode_epoch.0))
        .execute(&mut *self.connection)
        .await?;
        if changed.rows_affected() > 0 {
            self.touch().groups = true;
        }
        Ok(Answer::Done)
    }
}

/// A survivor may be at work on what the mode says of the copies.
fn check_held(group: &GroupRow) -> Applied<()> {
    match group.state {
        GrantState::Held => Ok(()),
        GrantState::Revoked => {
            Err(Refusal::Revoked { group: group.name().clone(), epoch: group.ownership_epoch }.into())
        }
    }
}
