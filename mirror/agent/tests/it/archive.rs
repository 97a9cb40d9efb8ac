use crate::logs::{MemoryLog, batch, range};
use crate::shelf::{Faulty, Shelf};
use env::ObjectStore;
use env::sim::{ManualClock, MemoryObjects};
use mirror::archive::{
    Archive, ArchiveFailure, BackupReceipt, BackupRequest, Progress, RestoreReceipt, RestoreRequest, RestoredTopic,
};
use mirror_core::archive::{Layout, Problem, WriterSettings};
use model::{
    ByteCount, Commit, GroupId, LeaderEpoch, Offset, OffsetRange, OwnershipEpoch, PartitionId, ProtectionGroup,
    RegionName, Timestamp, TopicId, TopicName, TopicSpec, TopicState, limits,
};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

const ORDERS: TopicId = TopicId(uuid::Uuid::from_u128(1));
const BILLS: TopicId = TopicId(uuid::Uuid::from_u128(2));
const RESTORED: u128 = 100;

fn silent(_: Progress) {}

fn name(topic: TopicId) -> TopicName {
    TopicName::new(if topic == ORDERS { "orders" } else { "bills" }).unwrap()
}

fn restored(topic: TopicId) -> TopicId {
    TopicId(uuid::Uuid::from_u128(topic.0.as_u128() + RESTORED))
}

/// Two lineages with a hole between them; the first batch begins below the log start.
fn crossed(seed: u64) -> MemoryLog {
    let mut log = MemoryLog::empty_at(40);
    let base = 100 + limits::PROMOTE_HOLE_OFFSETS;
    (0..20).for_each(|n| log.append(&batch(40 + n * 3, 3, 4096, seed)));
    log.append(&record::leader_change(Offset(base), LeaderEpoch(8192), 1, Timestamp(9)).into());
    (0..20).for_each(|n| log.append(&batch(base + 1 + n * 2, 2, 8192 + n as i32 / 10, seed)));
    log.start = Offset(41);
    log
}

fn plain(records: i64, seed: u64) -> MemoryLog {
    let mut log = MemoryLog::default();
    (0..records).for_each(|n| log.append(&batch(n * 2, 2, 4096, seed)));
    log
}

fn region() -> Shelf {
    let key = |topic, partition| (topic, PartitionId(partition));
    let shelf = Shelf::new([
        (key(ORDERS, 0), plain(50, 1)),
        (key(ORDERS, 1), crossed(2)),
        (key(ORDERS, 2), MemoryLog::default()),
        (key(ORDERS, 3), MemoryLog::empty_at(700)),
        (key(BILLS, 0), plain(3, 3)),
    ]);
    shelf.state().commits = vec![commit(ORDERS, 0, Some(17)), commit(BILLS, 0, Some(2)), commit(BILLS, 0, None)];
    Shelf { read_bytes: 700, ..shelf }
}

fn commit(topic: TopicId, partition: i32, offset: Option<i64>) -> Commit {
    Commit {
        consumer_group: GroupId::new("readers"),
        topic: name(topic),
        topic_id: topic,
        partition: PartitionId(partition),
        offset: offset.map(Offset),
        leader_epoch: LeaderEpoch(4096),
        metadata: "note".into(),
        commit_time: Timestamp(77),
        expire_time: None,
    }
}

fn topics(shelf: &Shelf) -> Vec<TopicSpec> {
    let mut partitions = BTreeMap::new();
    shelf.state().logs.keys().for_each(|(topic, _)| *partitions.entry(*topic).or_insert(0) += 1);
    let spec = |(id, partitions)| TopicSpec {
        id,
        name: name(id),
        partitions,
        config: BTreeMap::from([("retention.ms".to_owned(), "1000".to_owned())]),
        group: ProtectionGroup::new("default").unwrap(),
        state: TopicState::Live,
        epochs_above: None,
    };
    partitions.into_iter().map(spec).collect()
}

fn archive(store: Arc<dyn ObjectStore>) -> Archive {
    Archive::new(store, Layout::new("farshore"), Arc::new(ManualClock::at(Timestamp(1000))))
}

fn request(shelf: &Shelf, backup: &str) -> BackupRequest {
    BackupRequest {
        backup: backup.parse().unwrap(),
        group: ProtectionGroup::new("default").unwrap(),
        region: RegionName::new("r1").unwrap(),
        topics: topics(shelf),
        parallel: 3,
        settings: WriterSettings { chunk_bytes: ByteCount(300), segment_bytes: ByteCount(2000) },
    }
}

async fn back_up(store: &Arc<MemoryObjects>, shelf: &Arc<Shelf>) -> BackupReceipt {
    archive(store.clone()).backup(shelf.clone(), request(shelf, "b1"), &silent).await.unwrap()
}

fn restore_request() -> RestoreRequest {
    let topic = |id| RestoredTopic { archived: name(id), name: name(id), id: restored(id) };
    RestoreRequest {
        backup: "b1".parse().unwrap(),
        topics: vec![topic(ORDERS), topic(BILLS)],
        with_offsets: true,
        parallel: 3,
    }
}

async fn restore(store: &Arc<MemoryObjects>, target: &Arc<Shelf>) -> Result<RestoreReceipt, ArchiveFailure> {
    archive(store.clone()).restore(target.clone(), restore_request(), &silent).await
}

fn assert_equal(source: &Shelf, target: &Shelf) {
    for (key, log) in &source.state().logs {
        let new = target.log((restored(key.0), key.1));
        assert_eq!((new.start, new.tail(), new.bytes()), (log.start, log.tail(), log.bytes()), "{key:?}");
    }
    assert_eq!(target.state().finished.len(), source.state().logs.len());
}

#[tokio::test]
async fn a_restored_region_is_byte_equal_with_its_commits() {
    let (store, source, target) = (Arc::<MemoryObjects>::default(), Arc::new(region()), Arc::new(Shelf::new([])));
    let receipt = back_up(&store, &source).await;
    assert_eq!((receipt.partitions, receipt.records, receipt.commits), (5, 100 + 100 + 6, 2));
    let done = restore(&store, &target).await.unwrap();
    assert_equal(&source, &target);
    assert_eq!(done.partitions.iter().map(|log| log.bytes).sum::<u64>(), receipt.bytes);
    assert_eq!(done.commits, 2);
    assert!((2..=3).contains(&done.at_once), "{} partitions at once", done.at_once);
    let expected = [commit(ORDERS, 0, Some(17)), commit(BILLS, 0, Some(2))];
    let expected = expected.map(|commit| Commit { topic_id: restored(commit.topic_id), ..commit });
    assert_eq!(target.state().commits, expected);
    assert_eq!(target.state().calls.last(), Some(&"apply commits"), "commits come behind the data");
}

#[tokio::test]
async fn commits_are_read_before_the_ends_of_the_logs() {
    let (store, source) = (Arc::<MemoryObjects>::default(), Arc::new(region()));
    back_up(&store, &source).await;
    let calls = source.state().calls.clone();
    let first = |call| calls.iter().position(|found| *found == call).unwrap();
    assert!(first("commits") < first("extents") && first("extents") < first("read"), "{calls:?}");
    assert_eq!(calls.last(), Some(&"ownership"));
}

#[tokio::test]
async fn what_is_written_during_a_backup_is_not_in_it() {
    let (store, source, target) = (Arc::<MemoryObjects>::default(), Arc::new(region()), Arc::new(Shelf::new([])));
    let key = (ORDERS, PartitionId(0));
    let (before, grown) = (source.log(key), Arc::new(Mutex::new(false)));
    let writing = {
        let source = source.clone();
        move |_: Progress| {
            if !std::mem::replace(&mut *grown.lock().unwrap(), true) {
                source.state().logs.get_mut(&key).unwrap().append(&batch(100, 5, 4096, 9));
            }
        }
    };
    archive(store.clone()).backup(source.clone(), request(&source, "b1"), &writing).await.unwrap();
    assert!(source.log(key).tail() > before.tail());
    restore(&store, &target).await.unwrap();
    assert_eq!(target.log((restored(ORDERS), PartitionId(0))), before);
}

#[tokio::test]
async fn an_inspection_tells_what_a_restore_needs() {
    let (store, source) = (Arc::<MemoryObjects>::default(), Arc::new(region()));
    back_up(&store, &source).await;
    let inspection = archive(store.clone()).inspect(&"b1".parse().unwrap()).await.unwrap();
    assert!(inspection.is_complete);
    let orders = &inspection.topics.iter().find(|topic| topic.topic.name == name(ORDERS)).unwrap();
    assert_eq!((orders.last_epoch, orders.records, orders.topic.partitions), (LeaderEpoch(8193), 200, 4));
    assert_eq!(orders.topic, topics(&source)[0]);
    assert_eq!(archive(store.clone()).backups().await.unwrap(), ["b1".parse().unwrap()]);
    let unknown = archive(store).inspect(&"b2".parse().unwrap()).await;
    assert!(matches!(unknown, Err(ArchiveFailure::UnknownBackup(_))));
}

async fn keys(store: &MemoryObjects) -> Vec<String> {
    store.list("").await.unwrap().into_iter().map(|object| object.key).collect()
}

#[tokio::test]
async fn a_flipped_bit_in_any_object_is_refused_by_name() {
    let (store, source) = (Arc::new(MemoryObjects::default()), Arc::new(region()));
    back_up(&store, &source).await;
    let keys = keys(&store).await;
    for class in [".seg", ".pm", ".meta", ".off", "/manifest"] {
        assert!(keys.iter().any(|key| key.ends_with(class)), "{class}");
    }
    for key in keys {
        let sound = store.read(&key).await.unwrap();
        for at in [0, sound.len() / 3, sound.len() - 1] {
            let mut damaged = sound.to_vec();
            damaged[at] ^= 4;
            store.corrupt(&key, damaged.into());
            let target = Arc::new(Shelf::new([]));
            let failure = restore(&store, &target).await.unwrap_err();
            assert!(failure.to_string().contains(&key) && !failure.is_retryable(), "{key}: {failure}");
            assert!(target.state().commits.is_empty());
        }
        store.corrupt(&key, sound);
    }
}

#[tokio::test]
async fn a_missing_or_cut_object_is_refused_by_name_before_anything_is_written() {
    let (store, source) = (Arc::new(MemoryObjects::default()), Arc::new(region()));
    back_up(&store, &source).await;
    for key in keys(&store).await {
        let sound = store.read(&key).await.unwrap();
        for damaged in [None, Some(sound.slice(..sound.len() - 1))] {
            store.delete(&key).await.unwrap();
            damaged.into_iter().for_each(|damaged| store.corrupt(&key, damaged));
            let target = Arc::new(Shelf::new([]));
            let failure = restore(&store, &target).await.unwrap_err();
            let names_it = failure.to_string().contains(&key) || matches!(failure, ArchiveFailure::UnknownBackup(_));
            assert!(names_it, "{key}: {failure}");
            if key.ends_with(".seg") {
                assert!(matches!(&failure, ArchiveFailure::Preflight(problems)
                    if matches!(problems[..], [Problem::MissingObject { .. } | Problem::ObjectSize { .. }])));
                assert_eq!(target.state().calls, [] as [&str; 0]);
            }
        }
        store.corrupt(&key, sound);
    }
}

#[tokio::test]
async fn an_interrupted_restore_goes_on_at_the_tails() {
    let (store, source) = (Arc::new(MemoryObjects::default()), Arc::new(region()));
    let receipt = back_up(&store, &source).await;
    let target = Arc::new(Shelf::new([]));
    for _ in 0..1000 {
        target.appends_left.store(3, Ordering::SeqCst);
        match restore(&store, &target).await {
            Ok(_) => break,
            Err(failure) => assert!(failure.to_string().contains("disk is full"), "{failure}"),
        }
    }
    assert_equal(&source, &target);
    assert_eq!(target.appended_bytes.load(Ordering::SeqCst) as u64, receipt.bytes, "nothing is written twice");
}

#[tokio::test]
async fn a_restore_that_is_resumed_does_not_fetch_what_is_there() {
    let (store, source) = (Arc::new(MemoryObjects::default()), Arc::new(region()));
    back_up(&store, &source).await;
    let target = Arc::new(Shelf::new([]));
    let first = restore(&store, &target).await.unwrap();
    let watched = Arc::new(Faulty { objects: store, ..Faulty::default() });
    let again = archive(watched.clone());
    target.state().finished.clear();
    let second = again.restore(target.clone(), restore_request(), &silent).await.unwrap();
    assert_eq!((second.partitions, second.commits), (first.partitions, first.commits));
    assert!(!watched.reads.lock().unwrap().iter().any(|key| key.ends_with(".seg")));
    assert_equal(&source, &target);
}

#[tokio::test]
async fn a_dropped_restore_stops_and_can_be_repeated() {
    let (store, source) = (Arc::new(MemoryObjects::default()), Arc::new(region()));
    back_up(&store, &source).await;
    let target = Arc::new(Shelf::new([]));
    for polls in 1..40 {
        let restoring = std::pin::pin!(restore(&store, &target));
        let mut left = polls;
        let cut = std::future::poll_fn(|_| {
            left -= 1;
            if left == 0 { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
        });
        tokio::select! { biased; _ = restoring => {}, () = cut => {} }
        tokio::task::yield_now().await;
    }
    restore(&store, &target).await.unwrap();
    assert_equal(&source, &target);
}

#[tokio::test]
async fn a_log_with_other_records_is_refused() {
    let (store, source) = (Arc::new(MemoryObjects::default()), Arc::new(region()));
    back_up(&store, &source).await;
    let key = (restored(BILLS), PartitionId(0));
    let target = Arc::new(Shelf::new([(key, plain(2, 99))]));
    let failure = restore(&store, &target).await.unwrap_err();
    assert!(matches!(failure, ArchiveFailure::Differs { .. }), "{failure}");
    let target = Arc::new(Shelf::new([(key, plain(9, 3))]));
    let failure = restore(&store, &target).await.unwrap_err();
    assert!(matches!(failure, ArchiveFailure::Foreign { tail: Offset(18), .. }), "{failure}");
    assert!(!target.state().finished.contains(&key));
}

#[tokio::test]
async fn partitions_are_restored_side_by_side() {
    let source = Arc::new(Shelf::new((0..4).map(|partition| ((ORDERS, PartitionId(partition)), plain(1, 7)))));
    let store = Arc::new(MemoryObjects::default());
    back_up(&store, &source).await;
    // Each partition has one append, and none ends before three have begun.
    let target = Shelf { meeting: Some(tokio::sync::Barrier::new(3)), ..Shelf::new([]) };
    let mut request = restore_request();
    request.topics.truncate(1);
    request.parallel = 3;
    let (archive, target) = (archive(store), Arc::new(target));
    let restoring = archive.restore(target.clone(), request, &silent);
    let lonely = async {
        while target.state().finished.len() < 3 {
            tokio::task::yield_now().await;
        }
        // The fourth finds nobody to meet: two more come from here.
        let meeting = target.meeting.as_ref().unwrap();
        tokio::join!(meeting.wait(), meeting.wait());
    };
    let (done, ()) = tokio::join!(restoring, lonely);
    assert_eq!(done.unwrap().partitions.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn what_fails_for_a_while_is_tried_again() {
    for lost_answers in [false, true] {
        let store = Arc::new(Faulty { every: 3, lost_answers, ..Faulty::default() });
        let (source, target) = (Arc::new(region()), Arc::new(Shelf::new([])));
        source.state().not_ready = 3;
        let archive = archive(store.clone());
        archive.backup(source.clone(), request(&source, "b1"), &silent).await.unwrap();
        target.state().not_ready = 3;
        archive.restore(target.clone(), restore_request(), &silent).await.unwrap();
        assert_equal(&source, &target);
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_gone_is_an_error_that_may_pass() {
    let store = Arc::new(Faulty { every: 1, ..Faulty::default() });
    let source = Arc::new(region());
    let failure = archive(store).backup(source.clone(), request(&source, "b1"), &silent).await.unwrap_err();
    assert!(matches!(failure, ArchiveFailure::Store(_)) && failure.is_retryable(), "{failure}");
}

#[tokio::test]
async fn the_same_backup_asked_for_twice_is_one_backup() {
    let (store, source) = (Arc::new(MemoryObjects::default()), Arc::new(region()));
    let receipt = back_up(&store, &source).await;
    let objects = keys(&store).await;
    assert_eq!(objects.len() as u64, receipt.objects);
    assert_eq!(back_up(&store, &source).await, receipt);
    assert_eq!(keys(&store).await, objects);
    let other = BackupRequest { group: ProtectionGroup::new("other").unwrap(), ..request(&source, "b1") };
    let failure = archive(store).backup(source, other, &silent).await.unwrap_err();
    assert!(matches!(failure, ArchiveFailure::NameTaken { .. }), "{failure}");
}

#[tokio::test]
async fn a_later_backup_shares_the_objects_that_did_not_change() {
    let (store, source) = (Arc::new(Faulty::default()), Arc::new(region()));
    let archive = archive(store.clone());
    archive.backup(source.clone(), request(&source, "b1"), &silent).await.unwrap();
    let first = store.puts.load(Ordering::SeqCst);
    archive.backup(source.clone(), request(&source, "b2"), &silent).await.unwrap();
    // Time stands still here: the commits were read at the same moment, too.
    assert_eq!(store.puts.load(Ordering::SeqCst), first + 1, "only the manifest is new");
}

#[tokio::test]
async fn a_group_that_changes_hands_during_a_backup_makes_none() {
    let (store, source) = (Arc::new(MemoryObjects::default()), Arc::new(region()));
    let revoking = |_: Progress| source.state().ownership = OwnershipEpoch(2);
    let failure = archive(store.clone()).backup(source.clone(), request(&source, "b1"), &revoking).await.unwrap_err();
    assert!(matches!(failure, ArchiveFailure::ChangedHands { after: OwnershipEpoch(2), .. }), "{failure}");
    assert_eq!(archive(store).backups().await.unwrap(), []);
}

#[tokio::test]
async fn a_partition_that_is_not_there_makes_no_backup() {
    let (store, source) = (Arc::new(MemoryObjects::default()), Arc::new(region()));
    let request = request(&source, "b1");
    source.state().logs.remove(&(ORDERS, PartitionId(1)));
    let failure = archive(store).backup(source, request, &silent).await.unwrap_err();
    assert_eq!(failure.to_string(), "partition orders-1 is not in this region; it cannot be backed up from here");
}

/// Backs up `bills`, of which retention drops what lies below `start` while it is read, and restores it.
async fn outrun(start: i64) -> (RestoreReceipt, MemoryLog) {
    let (key, log) = ((BILLS, PartitionId(0)), plain(10, 5));
    let source = Arc::new(Shelf { read_bytes: 1, ..Shelf::new([(key, log)]) });
    source.state().retention.insert(key, Offset(start));
    let (store, target) = (Arc::new(MemoryObjects::default()), Arc::new(Shelf::new([])));
    back_up(&store, &source).await;
    assert!(!archive(store.clone()).inspect(&"b1".parse().unwrap()).await.unwrap().is_complete);
    let mut request = restore_request();
    request.topics.remove(0);
    let receipt = archive(store).restore(target.clone(), request, &silent).await.unwrap();
    (receipt, target.log((restored(BILLS), PartitionId(0))))
}

#[tokio::test]
async fn what_retention_takes_during_a_backup_is_declared_missing() {
    let (receipt, log) = outrun(12).await;
    assert_eq!(receipt.partitions[0].missing, [OffsetRange::new(Offset(2), Offset(12))]);
    let ranges: Vec<_> = log.batches.iter().map(|batch| range(batch).start.0).collect();
    assert_eq!(ranges, [0, 12, 14, 16, 18]);
}

#[tokio::test]
async fn a_log_whose_end_was_lost_does_not_give_its_offsets_out_again() {
    let (receipt, log) = outrun(20).await;
    assert_eq!(receipt.partitions[0].missing, [OffsetRange::new(Offset(0), Offset(20))]);
    assert_eq!((log.start, log.tail(), log.batches.len()), (Offset(20), Offset(20), 0));
}

#[tokio::test]
async fn a_topic_is_restored_alone_and_under_another_name() {
    let (store, source, target) = (Arc::<MemoryObjects>::default(), Arc::new(region()), Arc::new(Shelf::new([])));
    back_up(&store, &source).await;
    let copy = TopicName::new("bills-copy").unwrap();
    let topic = RestoredTopic { archived: name(BILLS), name: copy.clone(), id: restored(BILLS) };
    let request = RestoreRequest { topics: vec![topic], ..restore_request() };
    let done = archive(store.clone()).restore(target.clone(), request, &silent).await.unwrap();
    assert_eq!((done.partitions.len(), done.commits), (1, 1));
    assert_eq!(target.state().commits[0].topic, copy);
    let nowhere = RestoredTopic { archived: copy.clone(), name: copy, id: restored(BILLS) };
    let request = RestoreRequest { topics: vec![nowhere], ..restore_request() };
    let failure = archive(store).restore(target, request, &silent).await.unwrap_err();
    assert_eq!(failure.to_string(), "backup b1 has no topic bills-copy");
}

#[tokio::test]
async fn progress_only_grows_and_ends_complete() {
    let (store, source, target) = (Arc::<MemoryObjects>::default(), Arc::new(region()), Arc::new(Shelf::new([])));
    let heard = Mutex::new(Vec::new());
    let listener = |progress| heard.lock().unwrap().push(progress);
    let ends_complete = |heard: Vec<Progress>| {
        let last = heard.last().copied().unwrap();
        assert!(last.bytes_done == last.bytes_total && last.bytes_total > 0, "{last:?}");
        assert_eq!((last.partitions_done, last.partitions_total), (5, 5));
        assert!(heard.is_sorted_by_key(|progress| (progress.bytes_done, progress.partitions_done)));
    };
    let archive = archive(store);
    archive.backup(source.clone(), request(&source, "b1"), &listener).await.unwrap();
    ends_complete(std::mem::take(&mut heard.lock().unwrap()));
    archive.restore(target, restore_request(), &listener).await.unwrap();
    ends_complete(std::mem::take(&mut heard.lock().unwrap()));
}
