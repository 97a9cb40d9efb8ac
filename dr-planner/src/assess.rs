//! What could be done about a protection group, what each option would cost, and why some cannot be had.

use crate::inventory::{Inventory, LinkFacts};
use crate::plan::Kind;
use crate::policy::Group;
use crate::report::Loss;
use model::{Grant, GrantState, OwnershipEpoch, ProtectionGroup, RegionName, TopicPartition, copy_states, limits};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The longest a planned switch waits for the target to catch up: writes are stopped meanwhile.
pub const CATCH_UP_MAX: Duration = Duration::from_secs(30);
/// The new owner waits this much longer than the lease lasts, in percent of the lease.
pub const LEASE_MARGIN_PERCENT: u32 = 105;
/// What a move takes besides waiting and catching up: council entries, opening, redirecting, a canary.
const MOVE_TIME: Duration = Duration::from_millis(1500);

/// How long no lease of an old owner can outlast its last renewal.
pub fn lease_wait() -> Duration {
    limits::LEASE_TTL * LEASE_MARGIN_PERCENT / 100
}

/// What could be done about one protection group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Assessment {
    /// The group.
    pub group: ProtectionGroup,
    /// Its owner.
    pub owner: RegionName,
    /// Under this grant.
    pub ownership_epoch: OwnershipEpoch,
    /// What could be done: waiting first, then each standby in order.
    pub choices: Vec<Choice>,
}

/// One thing that could be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// What.
    pub option: Choosable,
    /// What it would lose, as far as is known.
    pub loss: Option<Loss>,
    /// How long it would take until clients go on, as far as is known.
    pub time_ms: Option<u64>,
    /// Whether the loss is within the group's RPO.
    pub rpo_met: Option<bool>,
    /// Whether the time is within the group's RTO.
    pub rto_met: Option<bool>,
    /// Why it cannot be had; empty when it can.
    pub refusals: Vec<Refusal>,
}

/// What can be chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "option")]
pub enum Choosable {
    /// Do nothing and wait for the owner.
    Wait,
    /// Move the group.
    Move {
        /// How.
        kind: Kind,
        /// Where to.
        target: RegionName,
    },
}

/// Why something cannot be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "refusal")]
pub enum Refusal {
    /// No such group.
    #[error("there is no protection group {group}")]
    UnknownGroup {
        /// The name asked for.
        group: ProtectionGroup,
    },
    /// It is there already.
    #[error("{region} owns {group} already")]
    AlreadyOwner {
        /// The group.
        group: ProtectionGroup,
        /// The region.
        region: RegionName,
    },
    /// It keeps no copy.
    #[error("{region} is no standby of {group}; its standbys are {standbys}")]
    NotAStandby {
        /// The group.
        group: ProtectionGroup,
        /// The region.
        region: RegionName,
        /// Those that are.
        standbys: String,
    },
    /// Nobody could decide anything.
    #[error("the council has no leader, so nothing can be decided; bring {members} members of it back")]
    NoQuorum {
        /// How many make a quorum.
        members: usize,
    },
    /// Another run is on its way.
    #[error("{group} has a run that has not ended; wait for it or cancel it")]
    Busy {
        /// The group.
        group: ProtectionGroup,
    },
    /// The target says nothing.
    #[error("{region} has not answered for {} ms or more; it cannot take over", limit.as_millis())]
    TargetSilent {
        /// The region.
        region: RegionName,
        /// How recent an answer has to be.
        limit: Duration,
    },
    /// The target cannot write.
    #[error("a disk of {region} is full; free some space first")]
    TargetFull {
        /// The region.
        region: RegionName,
    },
    /// The target has broken logs.
    #[error("{partitions} partitions of {region} refuse writes since a failed flush; restart it first")]
    TargetFailed {
        /// The region.
        region: RegionName,
        /// How many partitions.
        partitions: usize,
    },
    /// The copy is none.
    #[error("the copy of {partition} in {region} is {state} and no standby; {}", remedy(state))]
    CopyUnusable {
        /// The region.
        region: RegionName,
        /// The partition.
        partition: TopicPartition,
        /// What the link says of it.
        state: String,
    },
    /// The copy never began.
    #[error(
        "{region} has never heard of {source_region} for {partitions} partitions of {group}; let its link connect first"
    )]
    NeverConnected {
        /// The group.
        group: ProtectionGroup,
        /// The target.
        region: RegionName,
        /// The source.
        source_region: RegionName,
        /// How many partitions.
        partitions: usize,
    },
    /// A planned switch without an owner to talk to.
    #[error("the owner {region} does not serve {group}, so nothing can be switched over in order; use a failover")]
    SourceUnserved {
        /// The group.
        group: ProtectionGroup,
        /// The owner.
        region: RegionName,
    },
    /// A planned switch that would stop writes for too long.
    #[error(
        "{region} is {seconds} s behind; a switchover would stop writes too long, wait until it is below {limit} s"
    )]
    TooFarBehind {
        /// The target.
        region: RegionName,
        /// How far, rounded up.
        seconds: u64,
        /// How far it may be.
        limit: u64,
    },
    /// What it depends on is not there.
    #[error("{group} depends on {dependency}, which nobody serves; move that one first")]
    DependencyUnserved {
        /// The group.
        group: ProtectionGroup,
        /// What it depends on.
        dependency: ProtectionGroup,
    },
    /// A rehearsal or move that leads nowhere.
    #[error("{group} has no standby left to go to")]
    NoStandby {
        /// The group.
        group: ProtectionGroup,
    },
}

/// How a copy in such a state becomes a standby.
pub fn remedy(state: &str) -> &'static str {
    match state {
        copy_states::INCOMPLETE => "wait until its link has caught up with what its source has compacted",
        copy_states::TOPIC_RESET => {
            "the topic was deleted and made again: have the new one copied (farshore topic follow); if the source is gone for \
             good, fail over with --accept-unusable-copies"
        }
        _ => {
            "have it copied anew first, while its source is there: farshore link rebuild; if the source is gone for good, \
             fail over with --accept-unusable-copies"
        }
    }
}

/// What could be done about `policy`'s group.
///
/// # Errors
/// [`Refusal::UnknownGroup`] when the council has no grant for it.
pub fn assess(inventory: &Inventory, policy: &Group) -> Result<Assessment, Refusal> {
    let unknown = || Refusal::UnknownGroup { group: policy.name.clone() };
    let grant = inventory.grant(&policy.name).ok_or_else(unknown)?;
    let standbys = policy.standbys_of(&grant.owner);
    let moves = standbys.iter().flat_map(|target| [Kind::Failover, Kind::Switchover].map(|kind| (kind, target)));
    let choices = moves.map(|(kind, target)| weigh(inventory, policy, grant, kind, target));
    Ok(Assessment {
        group: policy.name.clone(),
        owner: grant.owner.clone(),
        ownership_epoch: grant.ownership_epoch,
        choices: std::iter::once(waiting()).chain(choices).collect(),
    })
}

fn waiting() -> Choice {
    Choice {
        option: Choosable::Wait,
        loss: Some(Loss::default()),
        time_ms: None,
        rpo_met: Some(true),
        rto_met: None,
        refusals: vec![],
    }
}

fn weigh(inventory: &Inventory, policy: &Group, grant: &Grant, kind: Kind, target: &RegionName) -> Choice {
    let link = inventory.link(&policy.name, &grant.owner, target);
    let is_proven = inventory.is_proven(grant, target);
    let loss = match kind.is_unplanned() && !is_proven {
        true => link.map(|link| expected_loss(inventory, link)),
        false => Some(Loss::default()),
    };
    let time = expected_time(kind, link);
    Choice {
        option: Choosable::Move { kind, target: target.clone() },
        loss,
        time_ms: time.map(|time| time.as_millis() as u64),
        rpo_met: loss.map(|loss| loss.seconds <= policy.rpo.as_secs_f64()),
        rto_met: time.map(|time| time <= policy.rto),
        refusals: refusals(inventory, policy, grant, kind, target),
    }
}

/// What the target lacked when it last heard of the source; what the source wrote since is added by its silence.
fn expected_loss(inventory: &Inventory, link: &LinkFacts) -> Loss {
    let since = if link.silence(inventory.observed_at) > FOLLOWING {
        inventory.observed_at.since(link.observed_at)
    } else {
        Duration::ZERO
    };
    Loss { records: link.lag_records, bytes: link.lag_bytes, seconds: link.lag_seconds + since.as_secs_f64() }
}

/// A link that was answered within this time follows its source.
const FOLLOWING: Duration = Duration::from_secs(1);

fn expected_time(kind: Kind, link: Option<&LinkFacts>) -> Option<Duration> {
    if kind.is_unplanned() {
        return Some(lease_wait() + MOVE_TIME);
    }
    link.map(|link| Duration::try_from_secs_f64(link.lag_seconds).unwrap_or(Duration::MAX).saturating_add(MOVE_TIME))
}

/// Every reason why the group of `policy` cannot be moved to `target` in this way. None: it can.
pub fn refusals(inventory: &Inventory, policy: &Group, grant: &Grant, kind: Kind, target: &RegionName) -> Vec<Refusal> {
    // What is no standby at all needs no further reasons.
    if let Some(refusal) = membership(policy, grant, target) {
        return vec![refusal];
    }
    let mut found = control(inventory, policy);
    found.extend(readiness(inventory, target));
    found.extend(copy(inventory, policy, grant, kind, target));
    found.extend(source(inventory, policy, grant, kind));
    found
}

fn membership(policy: &Group, grant: &Grant, target: &RegionName) -> Option<Refusal> {
    let (group, region) = (policy.name.clone(), target.clone());
    if grant.owner == *target {
        return Some(Refusal::AlreadyOwner { group, region });
    }
    let standbys = policy.standbys_of(&grant.owner);
    if standbys.contains(target) {
        return None;
    }
    let standbys = standbys.iter().map(RegionName::as_str).collect::<Vec<_>>().join(", ");
    Some(Refusal::NotAStandby { group, region, standbys })
}

fn control(inventory: &Inventory, policy: &Group) -> Vec<Refusal> {
    let mut found = vec![];
    if inventory.council.leader.is_none() {
        found.push(Refusal::NoQuorum { members: inventory.council.members.len() / 2 + 1 });
    }
    if inventory.busy.contains(&policy.name) {
        found.push(Refusal::Busy { group: policy.name.clone() });
    }
    found
}

fn readiness(inventory: &Inventory, target: &RegionName) -> Vec<Refusal> {
    let region = target.clone();
    let Some(facts) = inventory.region(target) else {
        return vec![Refusal::TargetSilent { region, limit: crate::inventory::FACT_AGE_MAX }];
    };
    let mut found = vec![];
    if facts.disk_full {
        found.push(Refusal::TargetFull { region: region.clone() });
    }
    if facts.failed_partitions > 0 {
        found.push(Refusal::TargetFailed { region, partitions: facts.failed_partitions });
    }
    found
}

fn copy(inventory: &Inventory, policy: &Group, grant: &Grant, kind: Kind, target: &RegionName) -> Vec<Refusal> {
    let expected = inventory.partitions(&policy.name).len();
    let never = |partitions| Refusal::NeverConnected {
        group: policy.name.clone(),
        region: target.clone(),
        source_region: grant.owner.clone(),
        partitions,
    };
    let Some(link) = inventory.link(&policy.name, &grant.owner, target) else {
        return if expected == 0 { vec![] } else { vec![never(expected)] };
    };
    let unusable = link.unusable.iter().map(|(partition, state)| Refusal::CopyUnusable {
        region: target.clone(),
        partition: partition.clone(),
        state: state.clone(),
    });
    // A planned switch needs every partition's source; a failover takes what is there, but not a copy that never began.
    let unheard = if kind.is_unplanned() { link.holding == 0 && link.never_heard == link.partitions } else { true };
    let unheard = (unheard && link.never_heard > 0).then(|| never(link.never_heard));
    unusable.chain(unheard).chain(distance(kind, link)).collect()
}

fn distance(kind: Kind, link: &LinkFacts) -> Option<Refusal> {
    let limit = CATCH_UP_MAX.as_secs();
    let too_far = !kind.is_unplanned() && link.lag_seconds > limit as f64;
    too_far.then(|| Refusal::TooFarBehind {
        region: link.target.clone(),
        seconds: link.lag_seconds.ceil() as u64,
        limit,
    })
}

fn source(inventory: &Inventory, policy: &Group, grant: &Grant, kind: Kind) -> Vec<Refusal> {
    let group = || policy.name.clone();
    if !kind.is_unplanned() {
        let served = grant.state == GrantState::Held && inventory.is_served(&policy.name);
        let unserved = Refusal::SourceUnserved { group: group(), region: grant.owner.clone() };
        return if served { vec![] } else { vec![unserved] };
    }
    let unserved = policy.depends_on.iter().filter(|dependency| !inventory.is_served(dependency));
    unserved.map(|dependency| Refusal::DependencyUnserved { group: group(), dependency: dependency.clone() }).collect()
}
