use super::{Partitions, Subscriber, named, readers};
use crate::group::MemberId;
use model::PartitionId;
use std::collections::BTreeMap;

/// Each topic in runs: its readers, in the order of their static names or else their own, get consecutive partitions,
/// the first ones one more where it does not come out even.
pub(super) fn assign(members: &BTreeMap<MemberId, Subscriber>) -> BTreeMap<MemberId, Partitions> {
    let order: Vec<(&str, usize)> = members
        .iter()
        .enumerate()
        .map(|(at, (id, member))| (member.instance.as_deref().unwrap_or(id.as_str()), at))
        .collect();
    let mut parts = vec![Partitions::default(); members.len()];
    for (topic, reading) in readers(members).into_values() {
        let mut readers: Vec<_> = order.iter().filter(|(_, at)| reading.contains(at)).collect();
        readers.sort_unstable();
        let mut next = 0;
        for (place, (_, at)) in readers.iter().enumerate() {
            let end = next + share(topic.partitions, readers.len(), place);
            (next..end).for_each(|partition| {
                parts[*at].insert(topic.id, PartitionId(partition));
            });
            next = end;
        }
    }
    named(members, parts)
}

fn share(partitions: i32, readers: usize, place: usize) -> i32 {
    let (partitions, extra) = (partitions as usize / readers, partitions as usize % readers);
    (partitions + usize::from(place < extra)) as i32
}

#[cfg(test)]
mod tests {
    use super::super::tests::{groups, topic};
    use super::*;
    use proptest::prelude::*;

    fn reading(topics: &[super::super::TopicShape]) -> Subscriber {
        Subscriber { topics: topics.to_vec(), ..Default::default() }
    }

    #[test]
    fn equal_topics_are_cut_at_the_same_places() {
        let (a, b) = (topic(1, 7), topic(2, 7));
        let members: BTreeMap<_, _> = ["x", "y", "z"].map(|name| (MemberId::new(name), reading(&[a, b]))).into();
        let parts = assign(&members);
        for part in parts.values() {
            let of = |id| part.topics().find(|(topic, _)| *topic == id).map(|(_, partitions)| partitions.clone());
            assert_eq!(of(a.id), of(b.id));
        }
        assert_eq!(parts[&MemberId::new("x")].len(), 6);
        assert_eq!(parts[&MemberId::new("z")].len(), 4);
    }

    #[test]
    fn a_static_member_keeps_its_place_under_another_name() {
        let a = topic(1, 4);
        let named = |name: &str, instance: &str| {
            (MemberId::new(name), Subscriber { instance: Some(instance.into()), ..reading(&[a]) })
        };
        let before = assign(&[named("p", "i1"), named("q", "i2")].into());
        let after = assign(&[named("z", "i1"), named("q", "i2")].into());
        assert_eq!(before[&MemberId::new("p")], after[&MemberId::new("z")]);
    }

    proptest! {
        #[test]
        fn each_topic_is_in_runs_that_differ_by_one_at_most(members in groups()) {
            let parts = assign(&members);
            for (id, (shape, readers)) in super::readers(&members) {
                let mut sizes = vec![];
                for (at, part) in parts.values().enumerate().filter(|(at, _)| readers.contains(at)) {
                    let run: Vec<i32> = part.iter().filter(|(topic, _)| *topic == id).map(|(_, p)| p.0).collect();
                    prop_assert!(run.windows(2).all(|pair| pair[1] == pair[0] + 1), "{} {:?}", at, run);
                    sizes.push(run.len());
                }
                prop_assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{:?}", shape);
            }
        }
    }
}
