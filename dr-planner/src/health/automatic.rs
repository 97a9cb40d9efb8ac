use crate::policy::Group;
use model::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long after an automatic run that moved nothing the next one may start.
const RETRY_PAUSE: Duration = Duration::from_secs(10);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// What has been done automatically about one protection group. Manual runs are never blocked by it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Automatic {
    /// Runs that nobody asked for, oldest first.
    pub actions: Vec<AutomaticAction>,
    /// When a person last said that all of them are in order. They block nothing any more.
    pub acknowledged_at: Option<Timestamp>,
}

/// One run that nobody asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutomaticAction {
    /// When it was created.
    pub at: Timestamp,
    /// Whether it moved the group, or may have ([`crate::run::Machine::may_have_pivoted`]).
    pub moved: bool,
}

/// Nothing is done automatically now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "blocked")]
pub enum Blocked {
    /// The last one is too recent.
    #[error("an automatic run at {at} blocks another until {until}; acknowledge it, or start one by hand")]
    TooRecent {
        /// When it was.
        at: Timestamp,
        /// Until when.
        until: Timestamp,
    },
    /// There were too many.
    #[error("{count} automatic runs within 24 hours are the most allowed; acknowledge them, or start one by hand")]
    TooMany {
        /// How many there were.
        count: u32,
    },
}

impl Automatic {
    /// Whether another automatic run of this group may start at `now`.
    ///
    /// # Errors
    /// [`Blocked`] says by what, and what a person can do.
    pub fn permit(&self, policy: &Group, now: Timestamp) -> Result<(), Blocked> {
        // One of the very instant of the acknowledgement came perhaps after it.
        let open = || self.actions.iter().filter(|action| Some(action.at) >= self.acknowledged_at);
        let today = open().filter(|action| now.since(action.at) < DAY).count() as u32;
        if let Some(last) = open().max_by_key(|action| action.at) {
            let until = last.at.plus(if last.moved { policy.block_period } else { RETRY_PAUSE });
            if now < until {
                return Err(Blocked::TooRecent { at: last.at, until });
            }
        }
        if today >= policy.automatic_actions_per_day_max { Err(Blocked::TooMany { count: today }) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::RegionName;

    fn policy() -> Group {
        let regions = ["r1", "r2"].map(|name| RegionName::new(name).unwrap());
        crate::policy::default_group(&regions).unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp(second * 1000)
    }

    fn after(actions: &[(i64, bool)], acknowledged_at: Option<i64>) -> Automatic {
        let actions = actions.iter().map(|(second, moved)| AutomaticAction { at: at(*second), moved: *moved });
        Automatic { actions: actions.collect(), acknowledged_at: acknowledged_at.map(at) }
    }

    #[test]
    fn an_hour_passes_before_the_next_automatic_run() {
        let automatic = after(&[(100, true)], None);
        assert_eq!(automatic.permit(&policy(), at(3699)), Err(Blocked::TooRecent { at: at(100), until: at(3700) }));
        assert_eq!(automatic.permit(&policy(), at(3700)), Ok(()));
    }

    #[test]
    fn an_acknowledgement_lifts_the_block() {
        assert_eq!(after(&[(100, true)], Some(101)).permit(&policy(), at(102)), Ok(()));
        assert!(after(&[(100, true), (110, true)], Some(101)).permit(&policy(), at(112)).is_err());
    }

    #[test]
    fn a_run_that_moved_nothing_may_be_tried_again_soon_but_not_for_ever() {
        let policy = policy();
        assert!(after(&[(100, false)], None).permit(&policy, at(105)).is_err());
        assert_eq!(after(&[(100, false)], None).permit(&policy, at(110)), Ok(()));
        let thrice = after(&[(100, false), (110, false), (120, false)], None);
        assert_eq!(thrice.permit(&policy, at(200)), Err(Blocked::TooMany { count: 3 }));
        assert_eq!(thrice.permit(&policy, at(100 + 24 * 3600)), Ok(()));
    }
}
