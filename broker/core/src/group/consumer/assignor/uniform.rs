use super::{Partitions, Subscriber, named, readers};
use crate::group::MemberId;
use model::{PartitionId, TopicId};
use std::collections::{BTreeMap, BTreeSet};

/// As evenly as the subscriptions allow, moving as little as possible.
///
/// Who owned a partition keeps it; what nobody owns goes to its least loaded reader; then partitions move from the most
/// to the least loaded of their readers for as long as that evens out anything. Where all read the same, nobody ends up
/// with more than one partition more than anybody else, and no more partitions move than that needs.
pub(super) fn assign(members: &BTreeMap<MemberId, Subscriber>) -> BTreeMap<MemberId, Partitions> {
    let mut pools = pools(members);
    let mut load = vec![0; members.len()];
    for pool in &mut pools {
        pool.keep(members, &mut load);
    }
    for pool in &mut pools {
        pool.hand_out(&mut load);
    }
    let mut evened_out = pools.len();
    while evened_out > 0 {
        evened_out = pools.iter_mut().map(|pool| usize::from(pool.even_out(&mut load))).sum();
    }
    let mut parts = vec![Partitions::default(); members.len()];
    for pool in pools {
        for (at, owned) in pool.owned {
            owned.into_iter().for_each(|(topic, partition)| {
                parts[at].insert(topic, partition);
            });
        }
    }
    named(members, parts)
}

/// The topics that the same members read.
struct Pool {
    readers: Vec<usize>,
    /// What each reader owns of it.
    owned: BTreeMap<usize, Vec<(TopicId, PartitionId)>>,
    unowned: BTreeSet<(TopicId, PartitionId)>,
}

fn pools(members: &BTreeMap<MemberId, Subscriber>) -> Vec<Pool> {
    let mut pools: BTreeMap<Vec<usize>, BTreeSet<_>> = BTreeMap::new();
    for (topic, readers) in readers(members).into_values() {
        pools.entry(readers.into_iter().collect()).or_default().extend(topic.each());
    }
    pools.into_iter().map(|(readers, unowned)| Pool { readers, owned: BTreeMap::new(), unowned }).collect()
}

impl Pool {
    fn keep(&mut self, members: &BTreeMap<MemberId, Subscriber>, load: &mut [usize]) {
        let before: Vec<&Partitions> = members.values().map(|member| &member.before).collect();
        for at in &self.readers {
            let owned = self.owned.entry(*at).or_default();
            for partition in before[*at].iter() {
                if self.unowned.remove(&partition) {
                    owned.push(partition);
                    load[*at] += 1;
                }
            }
        }
    }

    fn hand_out(&mut self, load: &mut [usize]) {
        let mut by_load: BTreeSet<(usize, usize)> = self.readers.iter().map(|at| (load[*at], *at)).collect();
        for partition in std::mem::take(&mut self.unowned) {
            let Some((_, least)) = by_load.pop_first() else { return };
            self.owned.entry(least).or_default().push(partition);
            load[least] += 1;
            by_load.insert((load[least], least));
        }
    }

    /// Moves partitions of the pool until no move evens out anything; whether there was one.
    fn even_out(&mut self, load: &mut [usize]) -> bool {
        let mut moved = false;
        let mut by_load: BTreeSet<(usize, usize)> = self.readers.iter().map(|at| (load[*at], *at)).collect();
        let mut givers: BTreeSet<(usize, usize)> =
            self.owned.iter().filter(|(_, owned)| !owned.is_empty()).map(|(at, _)| (load[*at], *at)).collect();
        while let (Some((most, from)), Some((least, to))) = (givers.last().copied(), by_load.first().copied()) {
            if most < least + 2 {
                break;
            }
            let Some(partition) = self.owned.get_mut(&from).and_then(Vec::pop) else { break };
            self.owned.entry(to).or_default().push(partition);
            by_load.remove(&(least, to));
            by_load.remove(&(most, from));
            givers.remove(&(most, from));
            givers.remove(&(least, to));
            (load[from], load[to]) = (most - 1, least + 1);
            by_load.extend([(load[from], from), (load[to], to)]);
            givers.insert((load[to], to));
            if self.owned.get(&from).is_some_and(|owned| !owned.is_empty()) {
                givers.insert((load[from], from));
            }
            moved = true;
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{groups, remembering, topic};
    use super::*;
    use proptest::prelude::*;

    fn moved(before: &BTreeMap<MemberId, Partitions>, after: &BTreeMap<MemberId, Partitions>) -> usize {
        let gone = |(id, part): (&MemberId, &Partitions)| after.get(id).map_or(0, |kept| part.without(kept).len());
        before.iter().map(gone).sum()
    }

    fn sizes(parts: &BTreeMap<MemberId, Partitions>) -> Vec<usize> {
        parts.values().map(Partitions::len).collect()
    }

    fn all_reading(names: &[&str], partitions: i32) -> BTreeMap<MemberId, Subscriber> {
        let member = Subscriber { topics: vec![topic(1, partitions)], ..Default::default() };
        names.iter().map(|name| (MemberId::new(name), member.clone())).collect()
    }

    #[test]
    fn a_member_that_comes_takes_only_its_share() {
        let before = assign(&all_reading(&["a", "b"], 6));
        let after = assign(&remembering(&all_reading(&["a", "b", "c"], 6), &before));
        assert_eq!(sizes(&after), [2, 2, 2]);
        assert_eq!(moved(&before, &after), 2);
    }

    #[test]
    fn what_a_member_leaves_behind_is_all_that_moves() {
        let before = assign(&all_reading(&["a", "b", "c"], 9));
        let after = assign(&remembering(&all_reading(&["a", "b"], 9), &before));
        assert_eq!(moved(&before, &after), 0);
        assert!(sizes(&after).iter().all(|size| (4..=5).contains(size)));
    }

    proptest! {
        #[test]
        fn no_move_could_even_out_anything(members in groups()) {
            let parts = assign(&members);
            for (id, part) in &parts {
                for (topic, _) in part.iter() {
                    for (other, _) in members.iter().filter(|(_, m)| m.topics.iter().any(|read| read.id == topic)) {
                        prop_assert!(part.len() <= parts[other].len() + 1, "{} could give to {}", id, other);
                    }
                }
            }
        }

        #[test]
        fn members_that_come_and_go_move_only_what_balance_needs(
            partitions in 0_i32..40, stay in 1_usize..6, come in 0_usize..4, go in 0_usize..4,
        ) {
            let names: Vec<String> = (0..stay + come + go).map(|at| format!("m{at}")).collect();
            let group = |range: std::ops::Range<usize>| {
                all_reading(&names[range].iter().map(String::as_str).collect::<Vec<_>>(), partitions)
            };
            let before = assign(&group(0..stay + go));
            let mut later = group(0..stay);
            later.extend(group(stay + go..stay + go + come));
            let after = assign(&remembering(&later, &before));
            // Whoever stays may give away only what is above the smallest share it can have.
            let least = partitions as usize / later.len();
            let needed: usize = before.iter().filter(|(id, _)| later.contains_key(*id))
                .map(|(_, part)| part.len().saturating_sub(least)).sum();
            prop_assert!(moved(&before, &after) <= needed);
            let sizes = sizes(&after);
            prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1);
        }
    }
}
