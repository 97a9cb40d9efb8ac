use super::*;
use crate::attached::{Begin, Identity, Planned};
use model::{ProducerId, TopicId};
use proptest::prelude::*;
use uuid::Uuid;

fn place() -> Place {
    ("orders".into(), 3)
}

fn begun() -> Copy {
    let topic = TopicId(Uuid::from_u128(1));
    let mut copy = Copy::new(Begin { source_topic: topic, target_topic: topic, source: Offset(0), target: Offset(0) });
    let identity = Identity { producer: ProducerId(70), epoch: 0 };
    copy.apply(&Entry::Identity { identity, sequence: 0 }).unwrap();
    copy
}

/// Copies `count` records behind a hole of `hole` offsets.
fn copy_on(copy: &mut Copy, hole: i64, count: u32) {
    let (from, base) = (copy.position().plus(hole), copy.map().target_end());
    let plan = copy.plan(vec![(from, count)], from.plus(i64::from(count)));
    copy.apply(&plan).unwrap();
    copy.apply(&Entry::Landed { base }).unwrap();
}

/// What of a copy can be told in a chart: nothing that is only planned.
fn settled(copy: &Copy) -> Copy {
    let told = copy.snapshot().into_iter().filter(|entry| !matches!(entry, Entry::Plan(_)));
    Copy::replay(told).unwrap().unwrap()
}

fn charted(topic: &[Record]) -> Chart {
    let mut charts = BTreeMap::new();
    topic.iter().for_each(|record| Chart::take_into(&mut charts, record.clone()));
    charts.remove(&place()).unwrap_or_default()
}

fn read(topic: &[Record]) -> Option<Copy> {
    charted(topic).copy()
}

/// The topic after its cleaner came by.
fn compacted(topic: &[Record]) -> Vec<Record> {
    let is_last = |at: usize| !topic[at + 1..].iter().any(|later| later.key == topic[at].key);
    (0..topic.len()).filter(|at| is_last(*at)).map(|at| topic[at].clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn what_is_written_is_read_again_also_when_it_is_cut_off_anywhere(
        steps in prop::collection::vec((0i64..3, 1u32..4, any::<bool>(), 0i64..40), 1..120),
        cut in any::<prop::sample::Index>(),
    ) {
        let (mut copy, mut chart, mut topic) = (begun(), Chart::default(), Vec::new());
        let mut told = vec![];
        for (hole, count, is_published, forgotten) in steps {
            copy_on(&mut copy, hole, count);
            if forgotten > 35 {
                copy.forget_below(copy.position().plus(-forgotten));
            }
            if is_published {
                let (records, next) = chart.follow(&place(), &copy);
                topic.extend(records);
                chart = next;
                prop_assert_eq!(read(&topic), Some(settled(&copy)));
                prop_assert_eq!(read(&compacted(&topic)), Some(settled(&copy)));
                prop_assert_eq!(&charted(&topic), &chart);
                told.push(settled(&copy));
            }
        }
        // A reader in the middle of a change sees what was there before, what comes, or that it is no map: nothing else.
        let cut = cut.index(topic.len() + 1);
        let found = read(&topic[..cut]);
        prop_assert!(found.as_ref().is_none_or(|found| told.contains(found)), "{found:?}");
    }
}

#[test]
fn long_maps_take_several_records_and_only_the_last_is_written_again() {
    let mut copy = begun();
    (0..2 * RUNS_PER_RECORD + 10).for_each(|_| copy_on(&mut copy, 1, 1));
    let (records, chart) = Chart::default().follow(&place(), &copy);
    assert_eq!(records.len(), 4);
    copy_on(&mut copy, 1, 5);
    let (more, _) = chart.follow(&place(), &copy);
    assert_eq!(more.len(), 2, "the last runs, and the head");
    assert_eq!(read(&[records, more].concat()), Some(settled(&copy)));
}

#[test]
fn a_map_with_a_record_missing_is_none() {
    let mut copy = begun();
    (0..RUNS_PER_RECORD + 10).for_each(|_| copy_on(&mut copy, 1, 1));
    let (records, chart) = Chart::default().follow(&place(), &copy);
    for missing in 0..records.len() {
        let rest: Vec<_> =
            records.iter().enumerate().filter(|(at, _)| *at != missing).map(|(_, r)| r.clone()).collect();
        assert_eq!(read(&rest), None, "without {}", records[missing].key);
    }
    let mut damaged = records.clone();
    damaged[0].value.as_mut().unwrap()[20] ^= 1;
    assert_eq!(read(&damaged), None);
    // Another copy takes its place, and nothing of it stays.
    let mut other = begun();
    copy_on(&mut other, 3, 3);
    let (instead, _) = chart.replace(&place(), &other);
    assert_eq!(charted(&[records, instead].concat()), Chart::default().follow(&place(), &other).1);
}

#[test]
fn what_is_only_planned_is_not_told() {
    let mut copy = begun();
    copy_on(&mut copy, 0, 5);
    let planned = Planned { sequence: 5, runs: vec![(Offset(5), 2)], end: Offset(7) };
    copy.apply(&Entry::Plan(planned)).unwrap();
    let (records, _) = Chart::default().follow(&place(), &copy);
    let found = read(&records).unwrap();
    assert!(found.planned().is_empty());
    assert_eq!(found.position(), Offset(5));
    assert_eq!(found.plan(vec![(Offset(5), 1)], Offset(6)), copy_with_sequence_5());
}

fn copy_with_sequence_5() -> Entry {
    Entry::Plan(Planned { sequence: 5, runs: vec![(Offset(5), 1)], end: Offset(6) })
}
