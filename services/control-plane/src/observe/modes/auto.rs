//! What `auto` asks for: it follows the line to the region that is waited for, or would be.

use super::Look;
use dr_planner::policy::Mode;
use mirror_core::mode::auto::{Judgement, Watch};
use model::{Line, ModePhase, ProtectionGroup};
use std::collections::BTreeMap;

/// The lines of groups in `auto`, and what was last thought of them.
#[derive(Default)]
pub(super) struct Lines(BTreeMap<ProtectionGroup, (Watch, Option<Judgement>)>);

impl Lines {
    /// Whether SYNC is asked for, by the group's policy or, where that leaves it to the line, by what the line is like.
    pub(super) fn asks_for_sync(&mut self, look: &Look<'_>) -> bool {
        let (grant, policy) = (&look.group.grant, &look.group.policy);
        if policy.mode != Mode::Auto {
            self.0.remove(&grant.group);
            return policy.mode == Mode::Sync;
        }
        // Another leader of the council, or another policy, left the group as it is.
        let fresh = || match grant.mode.is_initial() {
            true => Watch::default(),
            false => Watch::resume(grant.mode.phase != ModePhase::Async, grant.mode.since),
        };
        let (watch, last) = self.0.entry(grant.group.clone()).or_insert_with(|| (fresh(), None));
        let judged = watch.observe(look.picture.inventory.observed_at, look.line(), policy.auto);
        *last = Some(judged);
        judged.asks_for_sync
    }

    /// What was last thought of each line.
    pub(super) fn judgements(&self) -> BTreeMap<ProtectionGroup, Judgement> {
        self.0.iter().filter_map(|(group, (_, last))| Some((group.clone(), (*last)?))).collect()
    }
}

impl Look<'_> {
    fn line(&self) -> Line {
        let grant = &self.group.grant;
        let waited_for = grant.mode.rule.as_ref().map(|rule| rule.target.clone());
        let target = waited_for.or_else(|| self.group.policy.standbys_of(&grant.owner).into_iter().next());
        let inventory = &self.picture.inventory;
        let link = target.and_then(|target| self.link_to(&target)).filter(|link| inventory.is_recent(link.observed_at));
        link.and_then(|link| link.line).unwrap_or_default()
    }
}
