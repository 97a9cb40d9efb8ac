//! Commits that the source has no more.

use super::{AttachedError, GroupSync, Round, Seat};
use mirror_core::attached::groups::Farewell;
use model::{Offset, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};
use wire::ErrorCode;
use wire::client::{ClientError, GroupOffset};

impl GroupSync {
    /// Parts with every commit in `copied` partitions that is not among the `present` ones of the source, when its time has
    /// come.
    pub(super) async fn let_go(
        &mut self,
        present: &BTreeSet<Seat>,
        copied: &BTreeSet<(String, i32)>,
        round: &mut Round,
    ) -> Result<(), AttachedError> {
        let is_copied = |seat: &Seat| copied.contains(&(seat.topic.clone(), seat.partition));
        let mut gone = BTreeMap::<String, Vec<Seat>>::new();
        for seat in self.ledger.keys().filter(|seat| !present.contains(seat) && is_copied(seat)) {
            gone.entry(seat.group.clone()).or_default().push(seat.clone());
        }
        let mut is_changed = false;
        for (group, seats) in gone {
            is_changed |= self.part(&group, seats, round).await?;
        }
        if is_changed { self.save().await } else { Ok(()) }
    }

    /// Whether the ledger has changed.
    async fn part(&mut self, group: &str, seats: Vec<Seat>, round: &mut Round) -> Result<bool, AttachedError> {
        let found = committed_or_none(self.target.committed(group).await).map_err(AttachedError::of_target)?;
        let (now, mut due, mut is_changed) = (now(), Vec::new(), false);
        for seat in seats {
            let at = found.iter().find(|found| found.topic == seat.topic && found.partition == seat.partition);
            let at = at.map(|found| Offset(found.offset)).filter(|found| found.0 >= 0);
            let written = self.ledger.get(&seat).copied().unwrap_or_default();
            match written.part(at, now, self.grace) {
                Farewell::Wait(waiting) => {
                    round.gone += 1;
                    is_changed |= waiting != written;
                    self.ledger.insert(seat, waiting);
                }
                Farewell::Delete => due.push(seat),
                Farewell::Forget => is_changed |= self.ledger.remove(&seat).is_some(),
            }
        }
        let is_deleted = !due.is_empty();
        self.delete(group, due, found.len(), round).await?;
        Ok(is_changed || is_deleted)
    }

    /// Deletes commits in the target, of `all` that the group has there.
    async fn delete(
        &mut self,
        group: &str,
        due: Vec<Seat>,
        all: usize,
        round: &mut Round,
    ) -> Result<(), AttachedError> {
        if due.is_empty() {
            return Ok(());
        }
        let places: Vec<_> = due.iter().map(|seat| (seat.topic.clone(), seat.partition)).collect();
        match self.target.delete_offsets(group, &places).await {
            Ok(()) => round.deleted += due.len(),
            // It consumes there by itself, or somebody was faster.
            Err(error) if is_no_longer_ours(error.code()) => {}
            Err(error) => return Err(AttachedError::of_target(error)),
        }
        due.iter().for_each(|seat| _ = self.ledger.remove(seat));
        tracing::info!(group, commits = due.len(), "deleted in the target as they are in the source");
        if due.len() == all {
            // Nothing is left of it; with members there it stays.
            if let Err(error) = self.target.delete_group(group).await {
                tracing::debug!(group, %error, "the group without commits stays");
            }
        }
        Ok(())
    }
}

/// No group means no commits.
pub(super) fn committed_or_none(found: Result<Vec<GroupOffset>, ClientError>) -> Result<Vec<GroupOffset>, ClientError> {
    match found {
        Err(error) if error.code() == Some(ErrorCode::GROUP_ID_NOT_FOUND) => Ok(Vec::new()),
        found => found,
    }
}

fn is_no_longer_ours(code: Option<ErrorCode>) -> bool {
    let codes = [ErrorCode::GROUP_SUBSCRIBED_TO_TOPIC, ErrorCode::GROUP_ID_NOT_FOUND, ErrorCode::NON_EMPTY_GROUP];
    code.is_some_and(|code| codes.contains(&code))
}

fn now() -> Timestamp {
    Timestamp(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64))
}
