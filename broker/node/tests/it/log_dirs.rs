//! Brokers with several directories of logs, of which one fills up, fails, or is gone.

use crate::cluster::Cluster;
use crate::disks::Disk;
use crate::harness::{Client, batch, eventually, large};
use crate::world::World;
use broker::Broker;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use wire::ErrorCode;
use wire::api::{describe_log_dirs, list_offsets, metadata, offset_commit, offset_fetch};

/// The directories of a broker: whether each can be used, and which partitions of which topics are in it.
async fn directories(client: &Client) -> BTreeMap<PathBuf, (ErrorCode, BTreeSet<(String, i32)>)> {
    let request = describe_log_dirs::Request { topics: None, ..Default::default() };
    let described = client.0.call(&request, 4).await.unwrap();
    let places = |topic: describe_log_dirs::TopicResponse| {
        let name = topic.name;
        topic.partitions.into_iter().map(move |log| (name.clone(), log.partition_index)).collect::<Vec<_>>()
    };
    let entry = |dir: describe_log_dirs::Directory| {
        (PathBuf::from(dir.log_dir), (dir.error_code, dir.topics.into_iter().flat_map(places).collect()))
    };
    described.results.into_iter().map(entry).collect()
}

/// The partitions of `topic` in each of two directories.
async fn split(client: &Client, topic: &str, dirs: [&Path; 2]) -> [Vec<i32>; 2] {
    let found = directories(client).await;
    dirs.map(|dir| found[dir].1.iter().filter(|(name, _)| name == topic).map(|(_, number)| *number).collect())
}

async fn client(broker: &Broker) -> Client {
    Client::at(broker.addresses().unwrap().clients).await
}

async fn code(client: &Client, partition: i32, value: &str) -> ErrorCode {
    client.produce("t", partition, batch(&[value])).await.error_code
}

/// One broker with the directories, and the topic `t` of six partitions.
async fn region(world: &std::sync::Arc<World>, dir: &Path, dirs: &[&Path]) -> Broker {
    let log_dirs: Vec<_> = dirs.iter().map(|dir| (*dir).to_owned()).collect();
    world.start_with("r1", dir, |config| config.log_dirs = log_dirs).await
}

async fn written(client: &Client, partition: i32) {
    eventually("the write is taken", async || code(client, partition, "v").await == ErrorCode::NONE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fails_takes_its_partitions_and_no_others_until_it_is_mended() {
    let Some(disk) = Disk::ext4(24) else { return };
    let (bad, good, data) = (disk.path().join("logs"), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (dirs, world) = ([bad.as_path(), good.path()], World::new());
    let broker = region(&world, data.path(), &dirs).await;
    world.create("t", 6).await;
    let asker = client(&broker).await;
    for partition in 0..6 {
        written(&asker, partition).await;
    }
    let [theirs, others] = split(&asker, "t", dirs).await;
    assert_eq!((theirs.len(), others.len()), (3, 3), "new partitions go where the fewest are");

    disk.fail();
    assert_eq!(code(&asker, theirs[0], "lost").await, ErrorCode::KAFKA_STORAGE_ERROR);
    for partition in &others {
        assert_eq!(code(&asker, *partition, "w").await, ErrorCode::NONE);
        assert_eq!(asker.values("t", *partition, 0).await, ["v", "w"]);
    }
    eventually("all of its partitions are offline, whoever wrote to them", async || {
        let offline: Vec<_> = offline(&asker).await.into_iter().filter(|(_, nodes)| !nodes.is_empty()).collect();
        offline.iter().map(|(number, _)| *number).collect::<Vec<_>>() == theirs
    })
    .await;
    for partition in &theirs {
        assert_eq!(code(&asker, *partition, "lost").await, ErrorCode::KAFKA_STORAGE_ERROR);
    }
    let found = directories(&asker).await;
    assert_eq!((found[&bad].0, found[good.path()].0), (ErrorCode::KAFKA_STORAGE_ERROR, ErrorCode::NONE));
    world.stop(broker).await;

    disk.mend();
    let broker = region(&world, data.path(), &dirs).await;
    let asker = client(&broker).await;
    for partition in 0..6 {
        written(&asker, partition).await;
        let values = asker.values("t", partition, 0).await;
        let expected: &[_] = if theirs.contains(&partition) { &["v", "v"] } else { &["v", "w", "v"] };
        assert_eq!(values, expected);
    }
    world.stop(broker).await;
}

/// The brokers that cannot use their log, by partition of `t`.
async fn offline(client: &Client) -> Vec<(i32, Vec<i32>)> {
    let topic = metadata::Topic { name: Some("t".into()), ..Default::default() };
    let request = metadata::Request { topics: Some(vec![topic]), ..Default::default() };
    let answer = client.0.call(&request, 12).await.unwrap();
    let partitions = answer.topics.into_iter().flat_map(|topic| topic.partitions);
    partitions.map(|known| (known.partition_index, known.offline_replicas)).collect()
}

fn is_complete(led: &metadata::PartitionResponse) -> bool {
    led.isr_nodes.len() == 3
}

/// Writes `value` to every partition through its leader.
async fn write_all(cluster: &Cluster, partitions: i32, value: &str) {
    for partition in 0..partitions {
        eventually("the write is taken", async || {
            let led = cluster.metadata(1, "t").await.topics[0].partitions[partition as usize].leader_id;
            let Ok(slot) = u16::try_from(led - 1) else { return false };
            code(&cluster.client(slot).await, partition, value).await == ErrorCode::NONE
        })
        .await;
    }
}

async fn all_hold(cluster: &Cluster, partitions: i32, values: &[&str]) {
    for partition in 0..partitions {
        let mut found = cluster.read("t", partition).await;
        // A write that was refused may be there all the same, and was made again.
        found.dedup();
        assert_eq!(found, values);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn others_lead_what_was_on_a_disk_that_failed_and_the_broker_goes_on_with_the_rest() {
    let Some(disk) = Disk::ext4(32) else { return };
    let (bad, good) = (disk.path().join("logs"), tempfile::tempdir().unwrap());
    let dirs = [bad.as_path(), good.path()];
    let log_dirs = BTreeMap::from([(0, vec![bad.clone(), good.path().to_owned()])]);
    let mut cluster = Cluster::with_log_dirs(3, log_dirs).await;
    cluster.create(0, "t", 6).await;
    let before = cluster.leaders("t", is_complete).await;
    write_all(&cluster, 6, "a").await;
    let [theirs, others] = split(&cluster.client(0).await, "t", dirs).await;

    disk.fail();
    write_all(&cluster, 6, "b").await;
    let is_settled = |led: &metadata::PartitionResponse| {
        let is_lost = theirs.contains(&led.partition_index);
        led.leader_id > 0 && led.isr_nodes.contains(&1) != is_lost && (led.offline_replicas == [1]) == is_lost
    };
    let after = cluster.leaders("t", is_settled).await;
    for partition in &others {
        assert_eq!(after[*partition as usize], before[*partition as usize], "it is on another disk");
    }
    write_all(&cluster, 6, "c").await;
    all_hold(&cluster, 6, &["a", "b", "c"]).await;

    cluster.stop(0).await;
    disk.mend();
    cluster.start(0).await;
    cluster.leaders("t", is_complete).await;
    all_hold(&cluster, 6, &["a", "b", "c"]).await;
    cluster.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_disk_is_waited_for_and_an_empty_one_in_its_place_is_filled() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (dir.path().join("a"), dir.path().join("b"));
    let mut cluster = Cluster::with_log_dirs(3, BTreeMap::from([(0, vec![a.clone(), b.clone()])])).await;
    cluster.create(0, "t", 4).await;
    cluster.leaders("t", is_complete).await;
    write_all(&cluster, 4, "v").await;
    let [gone, kept] = split(&cluster.client(0).await, "t", [a.as_path(), b.as_path()]).await;
    assert_eq!((gone.len(), kept.len()), (2, 2));

    cluster.stop(0).await;
    std::fs::remove_dir_all(&a).unwrap();
    std::fs::write(&a, "no directory").unwrap();
    cluster.start(0).await;
    let is_back = |led: &metadata::PartitionResponse| led.isr_nodes.contains(&1) == kept.contains(&led.partition_index);
    cluster.leaders("t", is_back).await;
    assert!(gone.iter().all(|number| !b.join(format!("t-{number}")).exists()), "it is not made anew elsewhere");

    cluster.stop(0).await;
    std::fs::remove_file(&a).unwrap();
    cluster.start(0).await;
    cluster.leaders("t", is_complete).await;
    write_all(&cluster, 4, "w").await;
    all_hold(&cluster, 4, &["v", "w"]).await;
    cluster.end().await;
}

/// Writes to `partition` until it is refused; gives how many records are there.
async fn fill(client: &Client, partition: i32) -> i64 {
    // Large ones first, then small ones up to the last byte.
    let mut next = 0;
    for bytes in [100_000, 1_000, 10] {
        loop {
            let answer = client.produce("t", partition, large(bytes)).await;
            match answer.error_code {
                ErrorCode::NONE => next = answer.base_offset + 1,
                ErrorCode::KAFKA_STORAGE_ERROR => break,
                other => panic!("{other}"),
            }
        }
    }
    next
}

/// The partition of the offsets topic that a group's commits go to.
fn offsets_partition(group: &str) -> i32 {
    let hash = group.bytes().fold(0_i32, |hash, byte| hash.wrapping_mul(31).wrapping_add(i32::from(byte)));
    (hash & i32::MAX) % 50
}

async fn commit(client: &Client, group: &str, offset: i64) -> ErrorCode {
    let partition = offset_commit::Partition { committed_offset: offset, ..Default::default() };
    let topic = offset_commit::Topic { name: "t".into(), partitions: vec![partition], ..Default::default() };
    let request = offset_commit::Request { group_id: group.into(), topics: vec![topic], ..Default::default() };
    let answer = client.0.call(&request, 8).await.unwrap();
    answer.topics[0].partitions[0].error_code
}

async fn committed(client: &Client, group: &str) -> i64 {
    let group = offset_fetch::Group { group_id: group.into(), topics: None, ..Default::default() };
    let answer = client.0.call(&offset_fetch::Request { groups: vec![group], ..Default::default() }, 8).await.unwrap();
    answer.groups[0].topics.first().map_or(-1, |topic| topic.partitions[0].committed_offset)
}

async fn tail(client: &Client, partition: i32) -> i64 {
    let asked =
        list_offsets::Partition { partition_index: partition, timestamp: list_offsets::LATEST, ..Default::default() };
    let topic = list_offsets::Topic { name: "t".into(), partitions: vec![asked], ..Default::default() };
    let answer = client.0.call(&list_offsets::Request { topics: vec![topic], ..Default::default() }, 7).await.unwrap();
    answer.topics[0].partitions[0].offset
}

async fn a_full_disk_stops_its_partitions_only(disk: Disk) {
    let (small, large_one, data) =
        (disk.path().join("logs"), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (dirs, world) = ([small.as_path(), large_one.path()], World::new());
    let broker = region(&world, data.path(), &dirs).await;
    world.create("t", 4).await;
    let asker = client(&broker).await;
    for partition in 0..4 {
        written(&asker, partition).await;
    }
    let ballast = disk.ballast(3 << 20);
    let [full, free] = split(&asker, "t", dirs).await;
    let [_, offsets] = split(&asker, "__consumer_offsets", dirs).await;
    let group = (0..).map(|n| format!("g{n}")).find(|group| offsets.contains(&offsets_partition(group))).unwrap();

    let there = fill(&asker, full[0]).await;
    assert!(there > 10, "{there}");
    assert_eq!(code(&asker, full[1], "x".repeat(5000).as_str()).await, ErrorCode::KAFKA_STORAGE_ERROR);
    for partition in &free {
        assert_eq!(code(&asker, *partition, "w").await, ErrorCode::NONE, "it is on another disk");
    }
    eventually("commits on another disk go on", async || commit(&asker, &group, 7).await == ErrorCode::NONE).await;
    assert_eq!(tail(&asker, full[0]).await, there, "reads go on");
    assert_eq!(asker.values("t", full[0], 0).await.len() as i64, there);
    // What a broker that is killed now leaves.
    let killed = [&data, &large_one].map(|dir| copy_of(dir.path()));
    let small_copy = copy_of(&small);
    world.stop(broker).await;

    // A broker starts on a full disk, and what was acknowledged is there.
    let broker = region(&world, data.path(), &dirs).await;
    let asker = client(&broker).await;
    eventually("the log is led", async || tail(&asker, full[0]).await == there).await;
    assert_eq!(asker.values("t", full[0], 0).await.len() as i64, there);
    eventually("what was committed is there", async || committed(&asker, &group).await == 7).await;
    std::fs::remove_file(ballast).unwrap();
    eventually("writes go on by themselves", async || code(&asker, full[0], "after").await == ErrorCode::NONE).await;
    let values = asker.values("t", full[0], there).await;
    assert_eq!((tail(&asker, full[0]).await, values.as_slice()), (there + 1, &["after".to_owned()][..]));
    written(&asker, full[1]).await;
    world.stop(broker).await;

    let dirs = [small_copy.path(), killed[1].path()];
    let broker = region(&world, killed[0].path(), &dirs).await;
    let asker = client(&broker).await;
    eventually("the log is led", async || tail(&asker, full[0]).await == there).await;
    assert_eq!(asker.values("t", full[0], 0).await.len() as i64, there, "nothing is lost, and nothing is torn");
    world.stop(broker).await;
}

/// A copy of a directory with all that is in it.
fn copy_of(dir: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    let copied = std::process::Command::new("cp").arg("-a").arg(dir.join(".")).arg(copy.path()).status();
    assert!(copied.unwrap().success());
    copy
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tmpfs_filled_to_the_last_byte_stops_its_partitions_only() {
    let Some(disk) = Disk::tmpfs("16m") else { return };
    a_full_disk_stops_its_partitions_only(disk).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ext4_filled_to_the_last_byte_stops_its_partitions_only() {
    let Some(disk) = Disk::ext4(16) else { return };
    a_full_disk_stops_its_partitions_only(disk).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_moved_away_while_its_broker_was_down_is_put_aside() {
    let mut cluster = Cluster::of(3).await;
    cluster.create(0, "t", 1).await;
    cluster.leaders("t", is_complete).await;
    write_all(&cluster, 1, "v").await;
    cluster.stop(0).await;
    assert_eq!(cluster.reassign(1, "t", 0, Some(&[2, 3])).await, ErrorCode::NONE);
    cluster.leaders("t", |led| led.replica_nodes == [2, 3]).await;
    cluster.start(0).await;
    cluster.settle().await;
    let logs = cluster.config(0).data_dir.join("topics");
    eventually("it is put aside", async || {
        cluster.broker(0).clean().await;
        !logs.join("t-0").exists()
    })
    .await;
    let names = std::fs::read_dir(&logs).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let strays: Vec<_> = names.filter(|name| name.ends_with("-stray")).collect();
    assert_eq!(strays.len(), 1);
    assert!(strays[0].starts_with("t-0."), "{strays:?}");
    all_hold(&cluster, 1, &["v"]).await;
    cluster.end().await;
}
