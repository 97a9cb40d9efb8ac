//! A backup and its restore, over a store in a map.

use bytes::Bytes;
use mirror_core::archive::{
    ArchiveError, BackupKind, BackupManifest, Layout, NewObject, ObjectFact, ObjectHash, OffsetsObject,
    PartitionManifest, PartitionReader, PartitionRef, PartitionWriter, PlanError, Problem, RestoreFacts, RestorePlan,
    SegmentIdentity, SegmentIndex, SegmentObject, SegmentWriter, Selection, TopicsObject, WorkQueue, WriterSettings,
    preflight,
};
use model::{
    ByteCount, LeaderEpoch, Offset, OffsetRange, OwnershipEpoch, PartitionId, ProtectionGroup, RegionName, Timestamp,
    TopicId, TopicName, limits,
};
use proptest::prelude::*;
use record::{BatchBuilder, BatchView};
use std::collections::BTreeMap;
use std::time::Duration;

const TOPIC: TopicId = TopicId(uuid::Uuid::from_u128(0xABCD));
const SMALL: WriterSettings = WriterSettings { chunk_bytes: ByteCount(300), segment_bytes: ByteCount(1500) };

fn batch(base: i64, records: i64, epoch: i32) -> Vec<u8> {
    let builder = BatchBuilder::new().base_offset(Offset(base)).leader_epoch(LeaderEpoch(epoch));
    (0..records).fold(builder, |builder, n| builder.record(base * 10 + n, None, Some(&[n as u8; 40]), &[])).build()
}

/// A log of 40 batches over two lineages with a hole between them.
fn log() -> (Vec<Vec<u8>>, OffsetRange) {
    let base = 60 + limits::PROMOTE_HOLE_OFFSETS;
    let mut batches: Vec<_> = (0..20).map(|n| batch(n * 3, 3, 4096)).collect();
    batches.push(record::leader_change(Offset(base), LeaderEpoch(8192), 1, Timestamp(9)).to_vec());
    batches.extend((0..20).map(|n| batch(base + 1 + n * 2, 2, 8192 + n as i32 / 10)));
    (batches, OffsetRange::new(Offset(0), Offset(base + 41)))
}

fn writer(range: OffsetRange) -> PartitionWriter {
    let topic = (TOPIC, TopicName::new("orders").unwrap());
    PartitionWriter::new(Layout::new("test"), SMALL, topic, PartitionId(3), range)
}

#[derive(Default)]
struct Store(BTreeMap<String, Bytes>);

impl Store {
    fn put(&mut self, objects: impl IntoIterator<Item = NewObject>) {
        for NewObject { object, body } in objects {
            object.verify(&body).unwrap();
            assert!(self.0.insert(object.key.clone(), body).is_none(), "{} is written twice", object.key);
        }
    }

    fn facts(&self) -> RestoreFacts {
        let fact = |body: &Bytes| ObjectFact { bytes: body.len() as u64, hash: Some(ObjectHash::of(body)) };
        let objects = self.0.iter().map(|(key, body)| (key.clone(), fact(body))).collect();
        RestoreFacts { topics: BTreeMap::new(), objects }
    }
}

/// Backs up the log in reads of `read_bytes`, which end within batches.
fn back_up(read_bytes: usize) -> (Store, PartitionRef) {
    let (batches, range) = log();
    let (mut store, mut writer) = (Store::default(), writer(range));
    while !writer.is_complete() {
        let from = writer.tail();
        let unread = batches.iter().filter(|batch| BatchView::parse(batch).unwrap().next_offset() > from);
        let bytes: Vec<u8> = unread.flatten().copied().take(read_bytes).collect();
        store.put(writer.push(&bytes).unwrap());
        assert!(writer.tail() > from, "a read of {read_bytes} bytes goes on");
    }
    let finished = writer.finish().unwrap();
    let listed = PartitionRef::from(&finished);
    store.put(finished.objects);
    (store, listed)
}

fn restore(store: &Store, listed: &PartitionRef) -> Result<(Vec<u8>, OffsetRange), ArchiveError> {
    let key = &listed.manifest.key;
    listed.manifest.verify(&store.0[key])?;
    let mut reader = PartitionReader::new(key, PartitionManifest::decode(key, &store.0[key])?);
    let mut restored = Vec::new();
    while let Some(wanted) = reader.wanted() {
        let body = store.0[&wanted.object.key].clone();
        reader.accept(body)?.iter().for_each(|chunk| restored.extend_from_slice(chunk));
    }
    let checked = reader.finish()?;
    assert_eq!(checked.content_hash, listed.content_hash);
    Ok((restored, checked.range))
}

#[test]
fn a_restored_log_is_byte_equal() {
    let (batches, range) = log();
    let (store, listed) = back_up(1000);
    assert!(store.0.len() > 4, "several segments: {:?}", store.0.keys());
    assert_eq!(restore(&store, &listed).unwrap(), (batches.concat(), range));
    assert_eq!((listed.records, listed.range), (100, range));
}

#[test]
fn a_backup_is_the_same_however_it_was_read() {
    assert_eq!(back_up(400).1, back_up(1 << 20).1);
}

#[test]
fn the_manifest_knows_the_epochs_and_the_hole() {
    let (store, listed) = back_up(1000);
    let manifest = PartitionManifest::decode("pm", &store.0[&listed.manifest.key]).unwrap();
    let hole: Vec<_> = manifest.epochs.holes().collect();
    assert_eq!(hole, [OffsetRange::new(Offset(60), Offset(60 + limits::PROMOTE_HOLE_OFFSETS))]);
    assert_eq!((manifest.epochs.entries().len(), manifest.last_epoch()), (3, LeaderEpoch(8193)));
}

#[test]
fn any_flipped_bit_in_any_object_is_refused_by_name() {
    let (store, listed) = back_up(1000);
    for key in store.0.keys() {
        for at in (0..store.0[key].len()).step_by(7) {
            let mut damaged = Store(store.0.clone());
            let mut body = store.0[key].to_vec();
            body[at] ^= 1 << (at % 8);
            damaged.0.insert(key.clone(), body.into());
            let error = restore(&damaged, &listed).unwrap_err();
            assert_eq!(&error.object, key, "byte {at}: {error}");
        }
    }
}

#[test]
fn a_segment_proves_itself_without_its_manifest() {
    let (store, _) = back_up(1000);
    let (key, body) = store.0.iter().find(|(key, _)| key.contains("/seg/")).unwrap();
    let segment = SegmentObject::open(key, body.clone()).unwrap();
    assert_eq!((segment.identity().topic, segment.identity().partition), (TOPIC, PartitionId(3)));
    for at in 0..body.len() {
        let mut damaged = body.to_vec();
        damaged[at] ^= 0x40;
        assert!(SegmentObject::open(key, damaged.into()).is_err(), "byte {at}");
        assert!(SegmentObject::open(key, body.slice(..at)).is_err(), "cut at {at}");
    }
}

#[test]
fn the_index_is_found_from_the_end_and_leads_to_a_chunk() {
    let (store, _) = back_up(1000);
    let (key, body) = store.0.iter().find(|(key, _)| key.contains("/seg/")).unwrap();
    let bytes = body.len() as u64;
    let trailer = body.slice(body.len() - SegmentIndex::TRAILER_BYTES as usize..);
    let at = SegmentIndex::locate(key, bytes, &trailer).unwrap();
    let index = SegmentIndex::open(key, bytes, &body.slice(at as usize..)).unwrap();
    let whole = SegmentObject::open(key, body.clone()).unwrap();
    assert_eq!(whole.index(), &index);
    assert!(index.chunks().len() > 2);
    let late = index.chunks_from(Offset(10))[0];
    assert!(late.range.contains(Offset(10)));
    let number = index.chunks().iter().position(|chunk| *chunk == late).unwrap();
    let range = late.at as usize..late.at as usize + late.stored_bytes as usize;
    assert_eq!(whole.chunk(number).unwrap(), body.slice(range));
}

#[test]
fn what_the_source_dropped_meanwhile_is_declared_and_nothing_else_may_be_missing() {
    let (batches, range) = log();
    let mut writer = writer(range);
    let mut store = Store::default();
    store.put(writer.push(&batches[..5].concat()).unwrap());
    store.put(writer.skip_to(Offset(30)));
    store.put(writer.push(&batches[10..].concat()).unwrap());
    let finished = writer.finish().unwrap();
    let listed = PartitionRef::from(&finished);
    assert_eq!(listed.gaps, [OffsetRange::new(Offset(15), Offset(30))]);
    store.put(finished.objects);
    let expected = [batches[..5].concat(), batches[10..].concat()].concat();
    assert_eq!(restore(&store, &listed).unwrap().0, expected);

    let hidden = PartitionManifest { gaps: Vec::new(), ..finished.manifest };
    let error = PartitionManifest::decode("pm/x", &serde_json::to_vec(&hidden).unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "object pm/x: offsets [15, 30) are missing and no gap or epoch explains it");
}

#[test]
fn a_backup_that_did_not_reach_its_cut_has_no_manifest() {
    let (batches, range) = log();
    let mut writer = writer(range);
    writer.push(&batches[..5].concat()).unwrap();
    assert!(writer.finish().unwrap_err().to_string().contains("are missing"));
}

#[test]
fn an_empty_partition_is_backed_up_and_restored() {
    let finished = writer(OffsetRange::new(Offset(7), Offset(7))).finish().unwrap();
    let listed = PartitionRef::from(&finished);
    let mut store = Store::default();
    store.put(finished.objects);
    assert_eq!(restore(&store, &listed).unwrap(), (Vec::new(), OffsetRange::new(Offset(7), Offset(7))));
}

#[test]
fn records_behind_the_cut_are_left_out() {
    let (batches, _) = log();
    let mut writer = writer(OffsetRange::new(Offset(0), Offset(30)));
    writer.push(&batches.concat()).unwrap();
    let finished = writer.finish().unwrap();
    assert_eq!((finished.manifest.records, finished.manifest.range.end), (30, Offset(30)));
}

fn backup(partitions: Vec<PartitionRef>) -> BackupManifest {
    let layout = Layout::new("test");
    BackupManifest {
        format: BackupManifest::FORMAT,
        id: "2026-11-21-a".parse().unwrap(),
        kind: BackupKind::Full,
        group: ProtectionGroup::new("default").unwrap(),
        region: RegionName::new("r1").unwrap(),
        ownership_epoch: OwnershipEpoch(2),
        started_at: Timestamp(1),
        cut_at: Timestamp(2),
        ended_at: Timestamp(3),
        topics: TopicsObject::new(Vec::new()).object(&layout).object,
        offsets: OffsetsObject::new(Timestamp(1), Vec::new()).object(&layout).object,
        partitions,
    }
}

#[test]
fn the_backup_manifest_proves_itself() {
    let manifest = backup(vec![back_up(1000).1]);
    let NewObject { object, body } = manifest.object(&Layout::new("test"));
    assert_eq!(object.key, "test/bkp/2026-11-21-a/manifest");
    assert_eq!(BackupManifest::decode(&object.key, &body).unwrap(), manifest);
    assert!(manifest.is_complete() && manifest.records() == 100);
    for at in 0..body.len() {
        let mut damaged = body.to_vec();
        damaged[at] ^= 1;
        assert_eq!(BackupManifest::decode(&object.key, &damaged).unwrap_err().object, object.key);
        assert!(BackupManifest::decode(&object.key, &body[..at]).is_err());
    }
}

#[test]
fn a_newer_format_and_a_partition_listed_twice_are_refused() {
    let layout = Layout::new("");
    let newer = BackupManifest { format: 2, ..backup(Vec::new()) }.object(&layout);
    let error = BackupManifest::decode("bkp/x/manifest", &newer.body).unwrap_err();
    assert_eq!(error.to_string(), "object bkp/x/manifest: it has format 2; this version reads up to 1");
    let listed = back_up(1000).1;
    let twice = backup(vec![listed.clone(), listed]).object(&layout);
    assert!(BackupManifest::decode("m", &twice.body).unwrap_err().to_string().contains("orders-3 twice"));
}

fn manifests() -> (BackupManifest, BTreeMap<String, PartitionManifest>, Store) {
    let (store, listed) = back_up(1000);
    let manifest = PartitionManifest::decode("pm", &store.0[&listed.manifest.key]).unwrap();
    let small = writer(OffsetRange::new(Offset(0), Offset(0))).finish().unwrap();
    let mut other = PartitionRef::from(&small);
    other.topic = TopicName::new("audit").unwrap();
    let mut renamed = small.manifest;
    renamed.topic = other.topic.clone();
    let found = BTreeMap::from([(listed.manifest.key.clone(), manifest), (other.manifest.key.clone(), renamed)]);
    (backup(vec![other, listed]), found, store)
}

#[test]
fn a_plan_lists_the_longest_first_and_the_epochs_a_restored_topic_begins_above() {
    let (backup, manifests, store) = manifests();
    let plan = RestorePlan::new(&backup, &manifests, &Selection::default()).unwrap();
    let targets: Vec<_> = plan.items.iter().map(|item| item.target.as_str()).collect();
    assert_eq!(targets, ["orders", "audit"]);
    assert_eq!(plan.epochs_above[&TopicName::new("orders").unwrap()], LeaderEpoch(8193));
    assert_eq!(preflight(&plan, &store.facts()), []);
    let stored = serde_json::to_string(&plan).unwrap();
    assert_eq!(serde_json::from_str::<RestorePlan>(&stored).unwrap(), plan);
}

#[test]
fn a_plan_takes_some_topics_under_other_names() {
    let (backup, manifests, _) = manifests();
    let name = |name: &str| TopicName::new(name).unwrap();
    let rename = BTreeMap::from([(name("orders"), name("orders-of-yesterday"))]);
    let selection = Selection { topics: Some(vec![name("orders")]), rename };
    let plan = RestorePlan::new(&backup, &manifests, &selection).unwrap();
    assert_eq!((plan.items.len(), plan.items[0].target.as_str()), (1, "orders-of-yesterday"));
    let unknown = Selection { topics: Some(vec![name("nothing")]), ..Selection::default() };
    let error = RestorePlan::new(&backup, &manifests, &unknown).unwrap_err();
    assert_eq!(error.to_string(), "backup 2026-11-21-a has no topic nothing");
    let error = RestorePlan::new(&backup, &BTreeMap::new(), &Selection::default()).unwrap_err();
    assert!(matches!(error, PlanError::MissingManifest { .. }));
}

#[test]
fn what_speaks_against_a_restore_is_named() {
    let (backup, manifests, store) = manifests();
    let plan = RestorePlan::new(&backup, &manifests, &Selection::default()).unwrap();
    let mut facts = store.facts();
    let orders = TopicName::new("orders").unwrap();
    facts.topics.insert(orders.clone(), true);
    facts.topics.insert(TopicName::new("audit").unwrap(), false);
    let [gone, cut, other] = [0, 1, 2].map(|at| plan.items[0].objects[at].object.key.clone());
    facts.objects.remove(&gone);
    facts.objects.get_mut(&cut).unwrap().bytes -= 1;
    facts.objects.get_mut(&other).unwrap().hash = Some(ObjectHash::of(b"other"));
    let problems = preflight(&plan, &facts);
    assert_eq!(problems.len(), 4, "{problems:?}");
    assert_eq!(problems[0], Problem::TopicHasData { topic: orders });
    assert_eq!(problems[1], Problem::MissingObject { key: gone });
    assert!(matches!(&problems[2], Problem::ObjectSize { key, .. } if *key == cut));
    assert!(matches!(&problems[3], Problem::ObjectHash { key, .. } if *key == other));
}

#[test]
fn a_free_worker_takes_the_longest_and_the_prediction_knows() {
    let (backup, manifests, _) = manifests();
    let mut plan = RestorePlan::new(&backup, &manifests, &Selection::default()).unwrap();
    let item = plan.items[0].clone();
    plan.items = [60, 50, 40, 30, 20].map(|bytes| mirror_core::archive::WorkItem { bytes, ..item.clone() }).into();
    let seconds = |workers| plan.predict(workers, 10, Duration::ZERO).duration.as_secs();
    assert_eq!((seconds(1), seconds(2), seconds(3), seconds(100)), (20, 11, 7, 6));
    let mut queue = WorkQueue::new(&plan);
    let mut taken = Vec::new();
    while let Some(item) = queue.take() {
        taken.push(item.bytes);
        queue.progress(item.bytes);
        queue.finish();
    }
    assert_eq!(taken, [60, 50, 40, 30, 20]);
    assert_eq!((queue.is_done(), queue.bytes()), (true, (200, 200)));
}

#[test]
fn a_segment_takes_no_batch_twice_and_none_that_is_damaged() {
    let mut writer = SegmentWriter::new(
        SegmentIdentity { topic: TOPIC, partition: PartitionId(0), first: Offset(1) },
        ByteCount::mib(1),
    );
    let first = batch(0, 3, 1);
    writer.push(&BatchView::parse(&first).unwrap()).unwrap();
    assert!(writer.push(&BatchView::parse(&first).unwrap()).is_err());
    let mut damaged = batch(3, 1, 1);
    *damaged.last_mut().unwrap() ^= 1;
    assert!(writer.push(&BatchView::parse(&damaged).unwrap()).is_err());
    let mut bytes = writer.take();
    let (rest, summary) = writer.finish();
    bytes.extend(rest);
    assert_eq!((summary.bytes, summary.hash), (bytes.len() as u64, ObjectHash::of(&bytes)));
    assert_eq!(summary.range, OffsetRange::new(Offset(1), Offset(3)));
    let segment = SegmentObject::open("seg", bytes.into()).unwrap();
    assert_eq!(segment.chunk(0).unwrap(), first);
}

proptest! {
    #[test]
    fn hostile_bytes_are_an_error_never_a_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..300), trailer in any::<bool>()) {
        if trailer {
            bytes.extend(b"GESHSRAF");
        }
        let len = bytes.len() as u64;
        prop_assert!(SegmentIndex::open("x", len, &bytes).is_err());
        prop_assert!(SegmentIndex::locate("x", len, &bytes).is_err());
        prop_assert!(PartitionManifest::decode("x", &bytes).is_err());
        prop_assert!(BackupManifest::decode("x", &bytes).is_err());
        prop_assert!(SegmentObject::open("x", bytes.into()).is_err());
    }
}
