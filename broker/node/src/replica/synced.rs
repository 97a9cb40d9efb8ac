//! The SYNC rule on both ends of a link.

use super::{Held, Marks, Partition, Standing};
use broker_core::pace::Pace;
use broker_core::partition::LinkWord;
use log::Appended;
use model::{CopyTerm, Incarnation, ModeEpoch, ModeState, Offset, RegionName, SyncRule, SyncStatus};
use std::time::Duration;

/// Under what the leader of a copy speaks to its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncTerms {
    /// The rule.
    pub mode_epoch: ModeEpoch,
    /// Its own leadership.
    pub term: CopyTerm,
}

impl Partition {
    /// Follows what the metadata says of the group's durability.
    pub(super) fn obey_mode(&self, held: &mut Held, mode: &ModeState) {
        if held.mode == *mode {
            return;
        }
        held.mode = mode.clone();
        let pace = held.pace.take();
        let known = |rule: &SyncRule| pace.filter(|pace| pace.is_for(rule));
        held.pace = mode.rule.as_ref().map(|rule| known(rule).unwrap_or_else(|| Pace::of(rule)));
        let outcome = held.core.set_sync(self.boot(), mode.rule.as_ref());
        self.settle(held, outcome);
    }

    /// A link, whose log is a beginning of this one, says how far its copy is.
    pub(crate) fn hear_link(&self, word: &LinkWord) {
        let mut held = self.held();
        let Some(pace) = &mut held.pace else { return };
        pace.hear(self.boot(), &word.region, word.incarnation, word.durable);
        let outcome = held.core.on_link(self.boot(), word);
        self.settle(&mut held, outcome);
        self.publish(&mut held);
    }

    /// How long the writer of what was `appended` is to be silent for the copy that is far behind.
    pub(super) fn silence(&self, held: &mut Held, appended: &Appended) -> Duration {
        let Some(pace) = held.pace.as_mut().filter(|_| !appended.duplicate) else { return Duration::ZERO };
        pace.charge(self.boot(), appended.next_offset, appended.next_offset.since(appended.first_offset))
    }

    /// How far the link of `region` may read: what is committed; the whole flushed log where its copy is waited for.
    pub(crate) fn readable_by(
        &self,
        region: &RegionName,
        incarnation: Incarnation,
        mode: ModeEpoch,
        marks: &Marks,
    ) -> Offset {
        let held = self.held();
        let is_meant = held.core.sync_rule().is_some_and(|rule| rule.is_heard(region, incarnation, mode));
        if is_meant { marks.flushed.max(marks.high_watermark) } else { marks.high_watermark }
    }

    /// Under what a copy in `region` speaks; `None` where its source does not wait for it.
    pub(crate) fn sync_terms(&self, region: &RegionName, incarnation: Incarnation) -> Option<SyncTerms> {
        let held = self.held();
        let Standing::Copy { term, sealed: false } = held.standing else { return None };
        let rule = held.mode.rule.as_ref()?;
        rule.is_for(region, incarnation).then_some(SyncTerms { mode_epoch: rule.mode_epoch, term })
    }

    /// How it stands to the rule.
    pub(crate) fn sync_status(&self) -> Option<SyncStatus> {
        self.held().core.sync_status(self.boot())
    }
}
