//! Which translated commits of consumer groups go to the target, and which must not.
//!
//! A group that consumes in the target, after a failover or beside its other half, commits there itself. What it committed
//! is its own and is never overwritten; what this link wrote may be, forwards and backwards as the group does in the
//! source. To tell the two apart the link writes down what it is about to commit before it does.
//!
//! A commit that is gone in the source, because it expired or somebody deleted it, is the source's decision and is followed,
//! but not at once: what was deleted by mistake, or was lost with the source, stays where it is needed then.
//!
//! ```text
//!             gone in the source              for as long as the grace
//!   Written ----------------------> waiting ---------------------------> deleted, if it is still what the link wrote
//!      ^                               |
//!      '------- there again -----------'
//! ```

use model::{Offset, Timestamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What the link has committed for one group in one partition of the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// What it committed last, as far as it knows.
    pub done: Option<Offset>,
    /// What it was about to commit when it wrote this down: it may be there, or not.
    pub intended: Option<Offset>,
    /// Since when the source has no such commit any more.
    #[serde(default)]
    pub gone_since: Option<Timestamp>,
}

/// What to do about one commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing: the target says so already.
    Keep,
    /// Commit the translated offset.
    Commit,
    /// Leave the group alone: it has committed in the target by itself.
    Foreign {
        /// What it committed there.
        found: Offset,
    },
}

/// What to do about a commit that the source has no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Farewell {
    /// Wait, and remember this.
    Wait(Written),
    /// Delete it in the target, too.
    Delete,
    /// Forget it: in the target it is gone, or somebody else's.
    Forget,
}

impl Written {
    /// Whether the target surely says `translated` already, unless somebody else has committed there.
    pub fn is_done(&self, translated: Offset) -> bool {
        self.done == Some(translated) && self.intended.is_none_or(|intended| intended == translated)
    }

    /// What to do when the group should be at `translated` and the target says `found`.
    pub fn decide(&self, found: Option<Offset>, translated: Offset) -> Decision {
        match found {
            Some(found) if found == translated => Decision::Keep,
            Some(found) if self.done != Some(found) && self.intended != Some(found) => Decision::Foreign { found },
            _ => Decision::Commit,
        }
    }

    /// To be written down before `translated` is committed.
    #[must_use]
    pub const fn intending(self, found: Option<Offset>, translated: Offset) -> Self {
        Self { done: found, intended: Some(translated), gone_since: None }
    }

    /// After it was committed, or found there.
    pub const fn committed(translated: Offset) -> Self {
        Self { done: Some(translated), intended: None, gone_since: None }
    }

    /// When the source has the commit, perhaps again.
    #[must_use]
    pub const fn present(self) -> Self {
        Self { gone_since: None, ..self }
    }

    /// What to do at `now` when the source has the commit no more and the target says `found`.
    pub fn part(self, found: Option<Offset>, now: Timestamp, grace: Duration) -> Farewell {
        let Some(found) = found else { return Farewell::Forget };
        if self.done != Some(found) && self.intended != Some(found) {
            return Farewell::Forget;
        }
        match self.gone_since {
            Some(since) if now.since(since) >= grace => Farewell::Delete,
            Some(_) => Farewell::Wait(self),
            None if grace.is_zero() => Farewell::Delete,
            None => Farewell::Wait(Self { gone_since: Some(now), ..self }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Offset = Offset(5);
    const NEXT: Offset = Offset(9);

    #[test]
    fn a_group_is_followed_forwards_and_backwards() {
        assert_eq!(Written::default().decide(None, FIRST), Decision::Commit);
        assert_eq!(Written::committed(FIRST).decide(Some(FIRST), NEXT), Decision::Commit);
        assert_eq!(Written::committed(NEXT).decide(Some(NEXT), FIRST), Decision::Commit);
        assert!(Written::committed(FIRST).is_done(FIRST) && !Written::committed(FIRST).is_done(NEXT));
    }

    #[test]
    fn what_a_group_committed_in_the_target_is_its_own() {
        assert_eq!(Written::committed(FIRST).decide(Some(Offset(7)), NEXT), Decision::Foreign { found: Offset(7) });
        assert_eq!(Written::default().decide(Some(FIRST), NEXT), Decision::Foreign { found: FIRST });
        assert_eq!(Written::default().decide(Some(NEXT), NEXT), Decision::Keep);
    }

    #[test]
    fn a_commit_that_was_cut_off_is_still_known_as_ours() {
        let intended = Written::committed(FIRST).intending(Some(FIRST), NEXT);
        assert!(!intended.is_done(FIRST) && !intended.is_done(NEXT));
        // The group has moved on since.
        assert_eq!(intended.decide(Some(FIRST), Offset(12)), Decision::Commit);
        assert_eq!(intended.decide(Some(NEXT), Offset(12)), Decision::Commit);
    }

    #[test]
    fn what_is_gone_in_the_source_goes_after_a_grace() {
        let (grace, at) = (Duration::from_secs(60), Timestamp);
        let written = Written::committed(FIRST);
        let Farewell::Wait(waiting) = written.part(Some(FIRST), at(1_000), grace) else { panic!("at once") };
        assert_eq!(waiting.part(Some(FIRST), at(60_999), grace), Farewell::Wait(waiting));
        assert_eq!(waiting.part(Some(FIRST), at(61_000), grace), Farewell::Delete);
        assert_eq!(waiting.present(), written, "it came back, and the grace begins anew");
        assert_eq!(written.part(Some(FIRST), at(0), Duration::ZERO), Farewell::Delete);
        // Not ours, or not there.
        assert_eq!(waiting.part(Some(NEXT), at(99_000), grace), Farewell::Forget);
        assert_eq!(waiting.part(None, at(99_000), grace), Farewell::Forget);
        let intended = written.intending(Some(FIRST), NEXT);
        assert!(matches!(intended.part(Some(NEXT), at(0), grace), Farewell::Wait(_)));
    }

    #[test]
    fn a_ledger_of_old_is_read() {
        let old: Written = serde_json::from_str(r#"{"done":5,"intended":null}"#).unwrap();
        assert_eq!(old, Written::committed(FIRST));
    }
}
