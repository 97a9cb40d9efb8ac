use super::{Observation, SILENCE_MAX};
use crate::inventory::{Inventory, LinkFacts};
use model::{RegionName, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// What observers and mirrors together say of a region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "detection")]
pub enum Detection {
    /// It answers somebody, and too few say otherwise.
    Serving,
    /// Nobody who could say has said anything.
    Unknown,
    /// Some do not hear it; not enough of them, or no mirror that could confirm it.
    Suspect {
        /// How many observers do not hear it.
        silent: usize,
        /// How many make a quorum.
        needed: usize,
        /// Whether a mirror has lost it too.
        corroborated: bool,
    },
    /// A quorum of observers does not hear it, but a mirror still gets its records: no failover.
    UnreachableButServing {
        /// How many observers do not hear it.
        silent: usize,
    },
    /// A quorum of observers and the mirrors have not heard it for 3 s. Of a region that owns nothing nobody copies, so
    /// there is no mirror to ask.
    Lost {
        /// When anybody last heard it.
        last_sign: Timestamp,
    },
}

impl fmt::Display for Detection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serving => f.write_str("it answers"),
            Self::Unknown => f.write_str("nobody could say anything of it"),
            Self::Suspect { silent, needed, corroborated } => {
                let mirror = if *corroborated { "and no mirror hears it" } else { "but no mirror confirms it" };
                write!(f, "{silent} of the {needed} observers needed do not hear it, {mirror}")
            }
            Self::UnreachableButServing { silent } => {
                write!(f, "{silent} observers do not hear it, but a mirror does")
            }
            Self::Lost { last_sign } => write!(f, "it was last heard of at {last_sign}"),
        }
    }
}

/// What `inventory` says of `region`.
///
/// Observers are the council members other than the region itself; more than half of *all* of them must have said so
/// themselves, recently. Whoever abstains or says nothing is counted against silence.
pub fn detect(inventory: &Inventory, region: &RegionName) -> Detection {
    let observers = inventory.council.members.iter().filter(|member| *member != region);
    let needed = observers.count() / 2 + 1;
    let votes = votes(inventory, region);
    let silent = votes.iter().filter(|vote| vote.seen.is_silence()).count();
    let mirrors = mirrors(inventory, region);
    let advancing = mirrors.iter().any(|link| !is_silent(link));
    match (silent, advancing) {
        (0, _) if votes.iter().any(|vote| vote.seen.is_answer()) => Detection::Serving,
        (0, _) => Detection::Unknown,
        (silent, true) if silent >= needed => Detection::UnreachableButServing { silent },
        (silent, _) if silent >= needed && (!mirrors.is_empty() || !owns_anything(inventory, region)) => {
            Detection::Lost { last_sign: last_sign(inventory, &votes, &mirrors) }
        }
        (silent, _) => Detection::Suspect { silent, needed, corroborated: !mirrors.is_empty() && !advancing },
    }
}

fn votes<'a>(inventory: &'a Inventory, region: &RegionName) -> Vec<&'a Observation> {
    let counts = |vote: &&Observation| {
        let entitled = vote.observer != *region && inventory.council.members.contains(&vote.observer);
        vote.target == *region && entitled && inventory.is_recent(vote.observed_at)
    };
    inventory.observations.iter().filter(counts).collect()
}

fn mirrors<'a>(inventory: &'a Inventory, region: &RegionName) -> Vec<&'a LinkFacts> {
    let copies = |link: &&LinkFacts| link.source == *region && inventory.is_recent(link.observed_at);
    inventory.links.iter().filter(copies).collect()
}

fn owns_anything(inventory: &Inventory, region: &RegionName) -> bool {
    inventory.grants.iter().any(|grant| grant.owner == *region)
}

/// As the target said, without the time since: it may have heard the source meanwhile.
fn is_silent(link: &LinkFacts) -> bool {
    Duration::from_millis(link.silent_ms) >= SILENCE_MAX
}

fn last_sign(inventory: &Inventory, votes: &[&Observation], mirrors: &[&LinkFacts]) -> Timestamp {
    let before = |at: Timestamp, ms: u64| Timestamp(at.0.saturating_sub(i64::try_from(ms).unwrap_or(i64::MAX)));
    let seen = votes.iter().filter_map(|vote| match vote.seen {
        super::Seen::Silent { for_ms } => Some(before(vote.observed_at, for_ms)),
        super::Seen::Abstains => None,
    });
    let copied = mirrors.iter().map(|link| before(link.observed_at, link.silent_ms));
    let last = seen.chain(copied).max().unwrap_or(inventory.observed_at);
    last.max(Timestamp(0))
}
