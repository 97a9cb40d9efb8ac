//! What people want of a protection group: where it lives, who takes over, how much may be lost and how long it may take.

mod invalid;

pub use invalid::Invalid;

use model::{ConflictPolicy, Coverage, LineLimits, Pattern, ProtectionGroup, RegionName, ResetPolicy, SlowTarget};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// The seconds of writes that may be lost unless the group says otherwise.
pub const RPO_DEFAULT: Duration = Duration::from_secs(5);
/// The time a recovery may take unless the group says otherwise.
pub const RTO_DEFAULT: Duration = Duration::from_secs(10);
/// How long nothing is done automatically after an automatic action that nobody has acknowledged.
pub const BLOCK_PERIOD_DEFAULT: Duration = Duration::from_secs(3600);
/// How many automatic actions one day may see unless the group says otherwise.
pub const AUTOMATIC_ACTIONS_PER_DAY_DEFAULT: u32 = 3;
/// How slowly `auto` may change its mind.
const MIND_MAX_MS: u32 = 3_600_000;

/// Topics and consumer groups that fail over together, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Group {
    /// Its name.
    pub name: ProtectionGroup,
    /// The region it begins at and returns to.
    pub home: RegionName,
    /// The regions that keep copies, in the order in which they take over.
    pub standbys: Vec<RegionName>,
    /// What belongs to it.
    pub coverage: Coverage,
    /// What an acknowledgement promises.
    pub mode: Mode,
    /// What becomes of writes in `sync` while the target is slow or out of reach.
    #[serde(default, skip_serializing_if = "SlowTarget::is_default")]
    pub slow_target: SlowTarget,
    /// What `auto` accepts of the line to the target.
    #[serde(default, skip_serializing_if = "LineLimits::is_default")]
    pub auto: LineLimits,
    /// What becomes of copies when a topic is deleted and made again under its name.
    #[serde(default, skip_serializing_if = "ResetPolicy::is_default")]
    pub topic_reset: ResetPolicy,
    /// Set for a group that every region takes writes for, each for its own clients: which of two writes stands that
    /// knew nothing of each other. Nothing of it ever moves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_active: Option<ConflictPolicy>,
    /// The most seconds of writes an unplanned failover may lose.
    #[serde(with = "crate::millis", rename = "rpo_ms")]
    pub rpo: Duration,
    /// The longest time from the incident to the first produce and consume at the new owner.
    #[serde(with = "crate::millis", rename = "rto_ms")]
    pub rto: Duration,
    /// Whether the loss of the owner region starts a failover by itself.
    pub automatic_failover: bool,
    /// Smaller numbers go first where several groups move at once.
    pub priority: u16,
    /// The groups that must be open in the target region before this one is.
    pub depends_on: Vec<ProtectionGroup>,
    /// What keeps an old owner from acknowledging writes.
    pub fencing: Fencing,
    /// How long after an automatic action no other one is taken, unless a person acknowledges it.
    #[serde(with = "crate::millis", rename = "block_period_ms")]
    pub block_period: Duration,
    /// The most automatic actions within 24 hours, unless a person acknowledges them.
    pub automatic_actions_per_day_max: u32,
    /// Whether diverged tails of its topics are published: topic `<topic>.diverged.<epoch>` gets all of their records.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub diverged_topics: bool,
}

const fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it so")]
const fn is_yes(value: &bool) -> bool {
    *value
}

/// What an acknowledgement of a write promises across regions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The write is safe in the owner region; the copies follow.
    #[default]
    Async,
    /// The write is safe in two regions.
    Sync,
    /// `Sync` while the link is good enough, `Async` otherwise.
    Auto,
}

/// What keeps an old owner from acknowledging writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fencing {
    /// Its lease of the council runs out.
    #[default]
    Lease,
    /// A person says that it is down. The promise of one writer is given up.
    Operator,
}

impl Group {
    /// The regions that take over from `owner`, the first choice first: the ring home, standbys, read on from the
    /// owner. So the region that was lost last is tried last.
    pub fn standbys_of(&self, owner: &RegionName) -> Vec<RegionName> {
        let ring: Vec<_> = self.members().collect();
        let next = ring.iter().position(|region| *region == owner).map_or(0, |at| at + 1);
        let from_next = ring[next..].iter().chain(&ring[..next]);
        from_next.filter(|region| **region != owner).map(|region| (*region).clone()).collect()
    }

    /// Home and standbys.
    pub fn members(&self) -> impl Iterator<Item = &RegionName> {
        std::iter::once(&self.home).chain(&self.standbys)
    }

    /// Whether the group can be kept as it is described, in a platform of `regions` whose council has `voters` members.
    ///
    /// # Errors
    /// [`Invalid`] names the first value that cannot be had, and the remedy.
    pub fn validate(&self, regions: &[RegionName], voters: usize) -> Result<(), Invalid> {
        self.check_available()?;
        self.check_objective("rpo", self.rpo)?;
        self.check_objective("rto", self.rto)?;
        self.check_coverage()?;
        self.check_regions(regions)?;
        self.check_active(regions)?;
        if self.automatic_failover { self.check_automatic(voters) } else { Ok(()) }
    }

    fn check_available(&self) -> Result<(), Invalid> {
        let group = self.name.clone();
        match (self.mode, self.fencing) {
            (_, Fencing::Operator) => Err(Invalid::FencingUnavailable { group }),
            (Mode::Sync | Mode::Auto, _) if self.standbys.is_empty() => Err(Invalid::SyncWithoutStandby { group }),
            _ => self.check_line(),
        }
    }

    fn check_line(&self) -> Result<(), Invalid> {
        let limits = self.auto;
        let bounded = [
            ("round_trip_max_ms", limits.round_trip_max_ms, 1..=60_000),
            ("errors_max_ppm", limits.errors_max_ppm, 0..=999_999),
            ("good_for_ms", limits.good_for_ms, 0..=MIND_MAX_MS),
            ("bad_for_ms", limits.bad_for_ms, 0..=MIND_MAX_MS),
            ("dwell_ms", limits.dwell_ms, 0..=MIND_MAX_MS),
        ];
        let beyond = bounded.into_iter().find(|(_, value, range)| !range.contains(value));
        beyond.map_or(Ok(()), |(what, value, _)| Err(Invalid::LineLimits { group: self.name.clone(), what, value }))
    }

    fn check_objective(&self, objective: &'static str, value: Duration) -> Result<(), Invalid> {
        let below = Invalid::ObjectiveZero { group: self.name.clone(), objective, value };
        if value.as_millis() == 0 { Err(below) } else { Ok(()) }
    }

    fn check_coverage(&self) -> Result<(), Invalid> {
        let patterns = || self.coverage.topics.iter().chain(&self.coverage.consumer_groups);
        let empty =
            |pattern: &Pattern| matches!(pattern, Pattern::Exact(name) | Pattern::Prefix(name) if name.is_empty());
        if patterns().next().is_none() {
            return Err(Invalid::CoversNothing { group: self.name.clone() });
        }
        if patterns().any(empty) { Err(Invalid::EmptyPattern { group: self.name.clone() }) } else { Ok(()) }
    }

    fn check_regions(&self, regions: &[RegionName]) -> Result<(), Invalid> {
        let mut seen = BTreeSet::new();
        for region in self.members() {
            let (group, region) = (self.name.clone(), region.clone());
            if !regions.contains(&region) {
                let known = regions.iter().map(RegionName::as_str).collect::<Vec<_>>().join(", ");
                return Err(Invalid::UnknownRegion { group, region, known });
            }
            if !seen.insert(region.clone()) {
                return Err(Invalid::RegionTwice { group, region });
            }
        }
        Ok(())
    }

    /// What is asked of a group that every region takes writes for.
    fn check_active(&self, regions: &[RegionName]) -> Result<(), Invalid> {
        let Some(policy) = &self.active_active else { return Ok(()) };
        let refused = |what, remedy| Err(Invalid::ActiveActive { group: self.name.clone(), what, remedy });
        if regions.len() < 2 || self.members().count() != regions.len() {
            return refused("it names only some of the regions", "name every region as home or standby, at least two");
        }
        if self.mode != Mode::Async {
            return refused("its mode is not async", "every region acknowledges what it has itself; set mode to async");
        }
        if self.automatic_failover {
            return refused("it fails over automatically", "there is nothing to move; set automatic_failover to false");
        }
        match policy {
            ConflictPolicy::RegionPriority { order } if !is_order_of(order, regions) => {
                refused("its priority names an unknown region, or one twice", "name each region once at most")
            }
            _ => Ok(()),
        }
    }

    fn check_automatic(&self, voters: usize) -> Result<(), Invalid> {
        let (group, home) = (self.name.clone(), self.home.clone());
        if self.standbys.is_empty() {
            return Err(Invalid::AutomaticWithoutStandby { group });
        }
        let left = voters.saturating_sub(1);
        if left <= voters / 2 {
            return Err(Invalid::AutomaticWithoutQuorum { group, home, voters, left });
        }
        Ok(())
    }
}

fn is_order_of(order: &[RegionName], regions: &[RegionName]) -> bool {
    let distinct: BTreeSet<_> = order.iter().collect();
    distinct.len() == order.len() && order.iter().all(|region| regions.contains(region))
}

/// The group every fresh platform has: over all topics but internal ones, home in the first region, automatic failover
/// on where there is a region to go to. `None` without a region.
pub fn default_group(regions: &[RegionName]) -> Option<Group> {
    let (home, standbys) = regions.split_first()?;
    Some(Group {
        name: ProtectionGroup::new("default").expect("`default` is a name"),
        home: home.clone(),
        standbys: standbys.to_vec(),
        coverage: Coverage { topics: vec![Pattern::Any], consumer_groups: vec![Pattern::Any] },
        mode: Mode::Async,
        slow_target: SlowTarget::Degrade,
        auto: LineLimits::default(),
        topic_reset: ResetPolicy::Follow,
        active_active: None,
        rpo: RPO_DEFAULT,
        rto: RTO_DEFAULT,
        automatic_failover: !standbys.is_empty(),
        priority: 100,
        depends_on: vec![],
        fencing: Fencing::Lease,
        block_period: BLOCK_PERIOD_DEFAULT,
        automatic_actions_per_day_max: AUTOMATIC_ACTIONS_PER_DAY_DEFAULT,
        diverged_topics: true,
    })
}

/// Whether `groups` can be kept together: names are unique, dependencies exist and lead nowhere back.
///
/// # Errors
/// [`Invalid`] names the first that cannot.
pub fn validate_all(groups: &[Group]) -> Result<(), Invalid> {
    let mut names = BTreeSet::new();
    for group in groups {
        if !names.insert(&group.name) {
            return Err(Invalid::NameTwice { group: group.name.clone() });
        }
    }
    groups.iter().try_for_each(|group| check_dependencies(group, groups))
}

/// The groups in the order in which they move: what others depend on first, then by priority, then by name. Groups that
/// cannot be ordered ([`validate_all`] refuses those) come last.
pub fn in_order(groups: &[Group]) -> Vec<&Group> {
    let mut left: Vec<&Group> = groups.iter().collect();
    left.sort_by_key(|group| (group.priority, &group.name));
    let mut ordered = vec![];
    while !left.is_empty() {
        let waits = |group: &Group| left.iter().any(|other| group.depends_on.contains(&other.name));
        let next = left.iter().position(|group| !waits(group)).unwrap_or(0);
        ordered.push(left.remove(next));
    }
    ordered
}

fn check_dependencies(start: &Group, groups: &[Group]) -> Result<(), Invalid> {
    let mut ways = vec![vec![start]];
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop() {
        let last = way[way.len() - 1];
        for name in &last.depends_on {
            let Some(next) = groups.iter().find(|group| group.name == *name) else {
                return Err(Invalid::UnknownDependency { group: last.name.clone(), dependency: name.clone() });
            };
            if next.name == start.name {
                let path = way.iter().map(|group| group.name.as_str()).collect::<Vec<_>>().join(" -> ");
                return Err(Invalid::DependencyCycle { group: start.name.clone(), path });
            }
            if seen.insert(&next.name) {
                ways.push(way.iter().copied().chain([next]).collect());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regions(names: &[&str]) -> Vec<RegionName> {
        names.iter().map(|name| RegionName::new(name).unwrap()).collect()
    }

    fn three() -> (Vec<RegionName>, Group) {
        let regions = regions(&["r1", "r2", "r3"]);
        let group = default_group(&regions).unwrap();
        (regions, group)
    }

    fn named(name: &str, depends_on: &[&str]) -> Group {
        let depends_on = depends_on.iter().map(|name| ProtectionGroup::new(name).unwrap()).collect();
        Group { name: ProtectionGroup::new(name).unwrap(), depends_on, ..three().1 }
    }

    #[test]
    fn the_default_group_protects_a_newcomer() {
        let (regions, group) = three();
        assert_eq!(group.validate(&regions, 3), Ok(()));
        assert!(group.automatic_failover);
        assert_eq!(group.standbys, regions[1..]);
        assert!(!default_group(&regions[..1]).unwrap().automatic_failover);
        assert_eq!(default_group(&[]), None);
    }

    #[test]
    fn the_region_that_was_lost_last_is_tried_last() {
        let (regions, group) = three();
        let [r1, r2, r3] = [&regions[0], &regions[1], &regions[2]];
        assert_eq!(group.standbys_of(r1), [r2.clone(), r3.clone()]);
        assert_eq!(group.standbys_of(r2), [r3.clone(), r1.clone()]);
        assert_eq!(group.standbys_of(r3), [r1.clone(), r2.clone()]);
    }

    #[test]
    fn what_auto_accepts_of_a_line_has_bounds() {
        let (regions, group) = three();
        let group = Group { mode: Mode::Auto, ..group };
        assert_eq!(group.validate(&regions, 3), Ok(()));
        let usual = LineLimits::default();
        let beyond = [
            LineLimits { round_trip_max_ms: 0, ..usual },
            LineLimits { round_trip_max_ms: 60_001, ..usual },
            LineLimits { errors_max_ppm: 1_000_000, ..usual },
            LineLimits { dwell_ms: 3_600_001, ..usual },
        ];
        for auto in beyond {
            let group = Group { auto, ..group.clone() };
            assert!(matches!(group.validate(&regions, 3), Err(Invalid::LineLimits { .. })), "{auto:?}");
        }
        let alone = Group { standbys: vec![], automatic_failover: false, ..group };
        assert!(matches!(alone.validate(&regions, 3), Err(Invalid::SyncWithoutStandby { .. })));
    }

    #[test]
    fn a_group_that_every_region_writes_has_all_of_them_and_moves_nowhere() {
        let (regions, group) = three();
        let active = |policy| Group { active_active: Some(policy), automatic_failover: false, ..group.clone() };
        let sound = active(ConflictPolicy::LastWriterWins);
        assert_eq!(sound.validate(&regions, 3), Ok(()));
        let order = |order: &[usize]| ConflictPolicy::RegionPriority {
            order: order.iter().map(|at| regions[*at].clone()).collect(),
        };
        assert_eq!(active(order(&[2, 0])).validate(&regions, 3), Ok(()));
        let unsound = [
            Group { standbys: regions[1..2].to_vec(), ..sound.clone() },
            Group { mode: Mode::Sync, ..sound.clone() },
            Group { automatic_failover: true, ..sound },
            active(order(&[2, 2])),
        ];
        for group in unsound {
            assert!(matches!(group.validate(&regions, 3), Err(Invalid::ActiveActive { .. })), "{group:?}");
        }
    }

    #[test]
    fn fencing_of_a_later_version_is_refused_by_name() {
        let (regions, group) = three();
        let group = Group { fencing: Fencing::Operator, ..group };
        assert!(matches!(group.validate(&regions, 3), Err(Invalid::FencingUnavailable { .. })));
    }

    #[test]
    fn an_unknown_or_repeated_region_is_refused() {
        let (regions, group) = three();
        let unknown = Group { standbys: vec![RegionName::new("mars").unwrap()], ..group.clone() };
        assert!(
            matches!(unknown.validate(&regions, 3), Err(Invalid::UnknownRegion { known, .. }) if known == "r1, r2, r3")
        );
        let twice = Group { standbys: vec![group.home.clone()], ..group };
        assert!(matches!(twice.validate(&regions, 3), Err(Invalid::RegionTwice { .. })));
    }

    #[test]
    fn automatic_failover_needs_a_standby_and_a_quorum_without_the_home() {
        let (regions, group) = three();
        let alone = Group { standbys: vec![], ..group.clone() };
        assert!(matches!(alone.validate(&regions, 3), Err(Invalid::AutomaticWithoutStandby { .. })));
        assert!(matches!(group.validate(&regions, 2), Err(Invalid::AutomaticWithoutQuorum { left: 1, .. })));
        let by_hand = Group { automatic_failover: false, ..group };
        assert_eq!(by_hand.validate(&regions, 2), Ok(()));
    }

    #[test]
    fn nothing_covered_and_zero_objectives_are_refused() {
        let (regions, group) = three();
        let nothing = Group { coverage: Coverage::default(), ..group.clone() };
        assert!(matches!(nothing.validate(&regions, 3), Err(Invalid::CoversNothing { .. })));
        let zero = Group { rto: Duration::ZERO, ..group };
        assert!(matches!(zero.validate(&regions, 3), Err(Invalid::ObjectiveZero { objective: "rto", .. })));
    }

    #[test]
    fn dependencies_must_exist_and_lead_nowhere_back() {
        assert_eq!(validate_all(&[named("a", &["b", "c"]), named("b", &["c"]), named("c", &[])]), Ok(()));
        assert!(matches!(validate_all(&[named("a", &["x"])]), Err(Invalid::UnknownDependency { .. })));
        let cycle = validate_all(&[named("a", &["b"]), named("b", &["c"]), named("c", &["a"])]);
        assert!(matches!(cycle, Err(Invalid::DependencyCycle { path, .. }) if path == "a -> b -> c"));
        assert!(matches!(validate_all(&[named("a", &[]), named("a", &[])]), Err(Invalid::NameTwice { .. })));
    }

    #[test]
    fn groups_move_after_what_they_depend_on_and_by_priority() {
        let urgent = Group { priority: 1, ..named("urgent", &["base"]) };
        let groups = [named("b", &[]), named("a", &[]), urgent, Group { priority: 200, ..named("base", &[]) }];
        let names: Vec<_> = in_order(&groups).iter().map(|group| group.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "base", "urgent"]);
    }

    #[test]
    fn a_group_survives_its_json() {
        let (_, group) = three();
        let json = serde_json::to_string(&group).unwrap();
        assert!(json.contains("\"rpo_ms\":5000"));
        assert_eq!(serde_json::from_str::<Group>(&json).unwrap(), group);
    }
}
