use super::{Policy, Relation, Version};

/// The versions of one key that no other one has seen: one, or several that conflict.
///
/// It is a join-semilattice over the writes of one history: [`Siblings::merge`] is commutative, associative and
/// idempotent, and what stands is a function of the set. That holds where "has seen" is transitive, which it is when no
/// region takes a record before what its writer's region had received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Siblings(Vec<Version>);

impl Siblings {
    /// Those of `versions` that no other of them has seen, in the order of their dots.
    pub fn of<'a>(versions: impl IntoIterator<Item = &'a Version> + Clone) -> Self {
        let alone = |version: &Version| {
            let mut others = versions.clone().into_iter();
            !others.any(|other| other.relation(version) == Relation::After)
        };
        let mut siblings: Vec<_> = versions.clone().into_iter().filter(|version| alone(version)).cloned().collect();
        siblings.sort_by_key(|version| version.dot);
        siblings.dedup_by_key(|version| version.dot);
        Self(siblings)
    }

    /// What remains of both.
    #[must_use]
    pub fn merge(&self, other: &Self) -> Self {
        Self::of(self.0.iter().chain(&other.0))
    }

    /// The one that stands; `None` when there is none at all.
    pub fn standing(&self, policy: &Policy) -> Option<&Version> {
        self.0.iter().max_by_key(|version| policy.rank(version))
    }

    /// All of them, in the order of their dots.
    pub fn versions(&self) -> &[Version] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::active::{Conflict, Dot, HybridTime, Vector};
    use model::{Incarnation, Offset};
    use proptest::prelude::*;
    use std::sync::Arc;

    const REGIONS: usize = 4;

    /// Writes of one key in some regions that take each other's records in causal order.
    #[derive(Clone, Debug)]
    enum Step {
        Write { region: usize, time: u64 },
        Take { to: usize, from: usize, count: usize },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..REGIONS, 0..5_u64).prop_map(|(region, time)| Step::Write { region, time }),
            (0..REGIONS, 0..REGIONS, 1..4_usize).prop_map(|(to, from, count)| Step::Take { to, from, count }),
        ]
    }

    fn history(steps: &[Step]) -> Vec<Version> {
        let mut logs = vec![Vec::<Version>::new(); REGIONS];
        let mut received = vec![Vector::default(); REGIONS];
        for step in steps {
            match *step {
                Step::Write { region, time } => {
                    let dot = Dot {
                        origin: Incarnation(region as u16),
                        offset: received[region].tail(Incarnation(region as u16)),
                    };
                    let seen = Arc::new(received[region].clone());
                    logs[region].push(Version { dot, seen, time: HybridTime(time) });
                    received[region].advance(dot.origin, dot.offset.plus(1));
                }
                Step::Take { to, from, count } => {
                    let news: Vec<_> = logs[from]
                        .iter()
                        .filter(|version| !received[to].covers(version.dot))
                        .take(count)
                        .cloned()
                        .collect();
                    for version in news {
                        received[to].advance(version.dot.origin, version.dot.offset.plus(1));
                        logs[to].push(version);
                    }
                }
            }
        }
        let mut all = logs.concat();
        all.sort_by_key(|version| version.dot);
        all.dedup_by_key(|version| version.dot);
        all
    }

    fn policies() -> [Policy; 4] {
        let order = vec![Incarnation(2), Incarnation(0)];
        [Policy::LastWriterWins, Policy::RegionPriority { order }, Policy::KeepBoth, Policy::Quarantine]
    }

    fn split(versions: &[Version], sides: &[u8], side: u8) -> Siblings {
        let of_side =
            versions.iter().zip(sides.iter().cycle()).filter(|(_, of)| **of == side).map(|(version, _)| version);
        Siblings::of(&of_side.cloned().collect::<Vec<_>>())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(500))]

        #[test]
        fn merging_is_commutative_associative_and_idempotent(
            steps in prop::collection::vec(step(), 1..40),
            sides in prop::collection::vec(0..3_u8, 1..16),
        ) {
            let versions = history(&steps);
            let [a, b, c] = [0, 1, 2].map(|side| split(&versions, &sides, side));
            prop_assert_eq!(a.merge(&b), b.merge(&a));
            prop_assert_eq!(a.merge(&b).merge(&c), a.merge(&b.merge(&c)));
            prop_assert_eq!(&a.merge(&a), &a);
            prop_assert_eq!(a.merge(&b).merge(&b), a.merge(&b));
            prop_assert_eq!(a.merge(&b).merge(&c), Siblings::of(&versions));
        }

        #[test]
        fn what_stands_depends_on_no_order(steps in prop::collection::vec(step(), 1..40), turn in 0..40_usize) {
            let versions = history(&steps);
            let mut turned = versions.clone();
            turned.rotate_left(turn % versions.len().max(1));
            turned.reverse();
            for policy in policies() {
                let (one, other) = (Siblings::of(&versions), Siblings::of(&turned));
                prop_assert_eq!(one.standing(&policy), other.standing(&policy));
                prop_assert_eq!(one.standing(&policy).is_some(), !versions.is_empty());
            }
        }

        #[test]
        fn having_seen_is_transitive_in_a_causal_history(steps in prop::collection::vec(step(), 1..40)) {
            let versions = history(&steps);
            let after = |a: &Version, b: &Version| a.relation(b) == Relation::After;
            let pairs = versions.iter().flat_map(|a| versions.iter().map(move |b| (a, b)));
            for (a, b) in pairs.filter(|(a, b)| after(a, b)) {
                for c in versions.iter().filter(|c| after(b, c)) {
                    prop_assert_eq!(a.relation(c), Relation::After);
                }
            }
        }

        #[test]
        fn two_that_conflict_lose_and_win_the_same_way_on_both_sides(steps in prop::collection::vec(step(), 1..40)) {
            let versions = history(&steps);
            for policy in policies() {
                for (a, b) in versions.iter().flat_map(|a| versions.iter().map(move |b| (a, b))) {
                    let (one, other) = (Conflict::between(&policy, a, b), Conflict::between(&policy, b, a));
                    prop_assert_eq!(&one, &other);
                    prop_assert_eq!(one.is_some(), a.relation(b) == Relation::Concurrent);
                }
            }
        }
    }

    fn version(origin: u16, offset: i64, seen: &[(u16, i64)], time: u64) -> Version {
        let seen = seen.iter().map(|(origin, tail)| (Incarnation(*origin), Offset(*tail))).collect();
        let dot = Dot { origin: Incarnation(origin), offset: Offset(offset) };
        Version { dot, seen: Arc::new(seen), time: HybridTime(time) }
    }

    #[test]
    fn a_write_stands_over_what_it_has_seen_whatever_the_clocks_say() {
        let future = version(1, 0, &[], 1_000_000);
        let later = version(2, 0, &[(1, 1)], 5);
        for policy in policies() {
            let siblings = Siblings::of(&[future.clone(), later.clone()]);
            assert_eq!(siblings.standing(&policy), Some(&later));
        }
    }

    #[test]
    fn each_policy_chooses_as_it_says() {
        let (early, late) = (version(1, 0, &[], 5), version(3, 0, &[], 9));
        let siblings = Siblings::of(&[early.clone(), late.clone()]);
        assert_eq!(siblings.standing(&Policy::LastWriterWins), Some(&late));
        assert_eq!(siblings.standing(&Policy::KeepBoth), Some(&late));
        assert_eq!(siblings.standing(&Policy::Quarantine), Some(&early));
        let order = |order: &[u16]| Policy::RegionPriority { order: order.iter().copied().map(Incarnation).collect() };
        assert_eq!(siblings.standing(&order(&[1, 3])), Some(&early));
        assert_eq!(siblings.standing(&order(&[3, 1])), Some(&late));
        assert_eq!(siblings.standing(&order(&[1])), Some(&early));
        assert_eq!(siblings.standing(&order(&[])), Some(&late));
    }
}
