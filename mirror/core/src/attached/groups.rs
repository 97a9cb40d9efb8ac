//! Which translated commits of consumer groups go to the target, and which must not.
//!
//! A group that consumes in the target, after a failover or beside its other half, commits there itself. What it committed
//! is its own and is never overwritten; what this link wrote may be, forwards and backwards as the group does in the
//! source. To tell the two apart the link writes down what it is about to commit before it does.

use model::Offset;
use serde::{Deserialize, Serialize};

/// What the link has committed for one group in one partition of the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// What it committed last, as far as it knows.
    pub done: Option<Offset>,
    /// What it was about to commit when it wrote this down: it may be there, or not.
    pub intended: Option<Offset>,
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
        Self { done: found, intended: Some(translated) }
    }

    /// After it was committed, or found there.
    pub const fn committed(translated: Offset) -> Self {
        Self { done: Some(translated), intended: None }
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
}
