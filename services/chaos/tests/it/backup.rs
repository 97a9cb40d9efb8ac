//! One story: a schedule backs up, the topic is deleted, a restore brings it back under a consumer that never went away;
//! and a restore that meets a flipped bit refuses.

use crate::cluster::start;
use crate::librdkafka::create_replicated;
use crate::load::{consumer, fill, unique};
use crate::regions::equal_tails;
use crate::rest::{get, list};
use api::backups::{Backup, WorkState};
use api::consumer_groups::ConsumerGroup;
use api::restores::Restore;
use api::schedules::{FiringState, Schedule};
use api::topics::{Topic, TopicState};
use chaos::platform::Platform;
use rdkafka::Offset;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::Message;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(crate) const PARTITIONS: i32 = 4;
pub(crate) const RECORDS: i64 = 1000;
/// Where the member is when the backup is made, and where when the topic is deleted.
pub(crate) const BACKED_UP: i64 = 200;
pub(crate) const LATER: i64 = 600;
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn a_deleted_topic_comes_back_from_a_scheduled_backup_and_its_readers_go_on() {
    let story = Story::begin(start(), "kept", 1);
    story.member.read_and_commit(0, BACKED_UP);
    let backup = story.scheduled_backup();
    let before = story.copies();
    story.member.read_and_commit(BACKED_UP, LATER);
    story.delete();
    story.member.idle_until("it has heard that the topic is gone", |member| member.partitions() == 0);
    let restored = story.restore(&backup).unwrap_or_else(|refusal| panic!("{refusal}\n{}", story.platform.logs()));
    let summary = restored.summary.as_ref().expect("a completed restore has a summary");
    assert_eq!((summary.partitions, summary.records), (PARTITIONS as u64, (PARTITIONS as i64 * RECORDS) as u64));
    assert_eq!(summary.group_offsets, PARTITIONS as u64);
    assert!(summary.partitions_at_once > 1, "one partition after the other: {summary:?}");
    story.member.read_and_commit(BACKED_UP, RECORDS);
    story.wait_for_equal_copies(&before);
    story.check_committed(RECORDS);
    story.delete();
    for kind in ["seg", "pm", "bkp"] {
        story.check_refused_by_name(&backup, kind);
    }
    story.restore(&backup).unwrap_or_else(|refusal| panic!("no bit is flipped any more: {refusal}"));
    story.wait_for_equal_copies(&before);
}

pub(crate) struct Story {
    pub(crate) platform: Platform,
    pub(crate) topic: String,
    pub(crate) member: Member,
}

impl Story {
    /// A topic of that kind is full, in every region, and a member of a group has joined.
    pub(crate) fn begin(platform: Platform, kind: &str, replicas: i32) -> Self {
        let (gateway, topic) = (platform.endpoints().gateway.clone(), unique(kind));
        create_replicated(&gateway, &topic, PARTITIONS, replicas).expect("a topic is made");
        for partition in 0..PARTITIONS {
            let first = partition as u64 * RECORDS as u64;
            fill(&gateway, &topic, partition, first..first + RECORDS as u64);
        }
        equal_tails(&platform, &topic, PARTITIONS);
        Self { member: Member::join(&gateway, &topic), platform, topic }
    }

    pub(crate) fn command(&self, words: &[&str]) -> String {
        self.platform.command(words).unwrap_or_else(|error| panic!("{error}\n{}", self.platform.logs()))
    }

    pub(crate) fn api(&self) -> &str {
        &self.platform.endpoints().api
    }

    pub(crate) fn wait(&self, what: &str, condition: impl FnMut() -> bool) {
        let waited = self.platform.wait_for(what, PATIENCE, condition);
        waited.unwrap_or_else(|error| panic!("{error}\n{}", self.platform.logs()));
    }

    /// Has a schedule make a backup, and takes the schedule away again; answers the backup.
    fn scheduled_backup(&self) -> String {
        self.command(&["schedule", "create", "often", "--cron", "*/2 * * * * *"]);
        let mut made = None;
        self.wait("the schedule has made a backup", || {
            let backups = list::<Backup>(self.api(), "/v1/backups", "").unwrap_or_default();
            let ours =
                |backup: &Backup| backup.state == WorkState::Completed && backup.schedule.as_deref() == Some("often");
            made = backups.into_iter().find(ours).map(|backup| backup.id);
            made.is_some()
        });
        let often: Schedule = get(self.api(), "/v1/schedules/often").unwrap();
        let fired = often.firings.iter().filter(|firing| firing.state == FiringState::Succeeded).count();
        assert!(fired > 0 || often.firings.iter().any(|firing| firing.state == FiringState::Claimed), "{often:?}");
        self.command(&["schedule", "delete", "often"]);
        made.expect("it was made")
    }

    fn find(&self) -> Result<Topic, String> {
        get(self.api(), &format!("/v1/topics/{}?hashes=true", self.topic))
    }

    /// Range and hash of every partition, by region; of those that answer.
    pub(crate) fn copies(&self) -> Copies {
        let topic = self.find().unwrap();
        let copy = |replica: api::topics::Replica| {
            let place = (replica.region, replica.partition);
            (place, (replica.start_offset, replica.tail_offset, replica.hash.unwrap_or_default()))
        };
        topic.replicas.into_iter().map(copy).collect()
    }

    pub(crate) fn wait_for_equal_copies(&self, before: &Copies) {
        let regions = self.platform.endpoints().regions.len();
        assert_eq!(before.len(), regions * PARTITIONS as usize, "{before:?}");
        assert!(before.values().all(|(_, _, hash)| !hash.is_empty()), "{before:?}");
        let mut last = Copies::new();
        let waited = self.platform.wait_for("every region holds what it held", PATIENCE, || {
            last = self.copies();
            last == *before
        });
        waited.unwrap_or_else(|error| panic!("{error}\n{last:?} is not\n{before:?}\n{}", self.platform.logs()));
        assert_eq!(self.find().unwrap().state, TopicState::Live);
    }

    pub(crate) fn delete(&self) {
        self.command(&["topic", "delete", "--yes", &self.topic]);
        self.wait("the topic is gone", || self.find().is_err());
    }

    pub(crate) fn restore(&self, backup: &str) -> Result<Restore, String> {
        let ran = self.platform.command(&["restore", "create", "--backup", backup, "--topic", &self.topic, "--json"]);
        let printed = ran.map_err(|error| error.to_string())?;
        serde_json::from_str(&printed).map_err(|error| format!("{error} in {printed}"))
    }

    pub(crate) fn check_committed(&self, offset: i64) {
        let committed = || -> Result<Vec<i64>, String> {
            let group: ConsumerGroup = get(self.api(), &format!("/v1/consumer-groups/{}-group", self.topic))?;
            Ok(group.offsets.iter().map(|committed| committed.offset).collect())
        };
        self.wait("the group's offsets are what was committed", || {
            committed() == Ok(vec![offset; PARTITIONS as usize])
        });
    }

    /// Flips one bit of one object of `kind` on the server's disk: no restore is made, and the object is named.
    fn check_refused_by_name(&self, backup: &str, kind: &str) {
        let root = self.platform.directory().join("s3/buckets");
        let found = object(&root, &Objects { kind, backup });
        let (file, key) = found.unwrap_or_else(|| panic!("no {kind} object in {}", root.display()));
        let sound = fs::read(&file).unwrap();
        let mut flipped = sound.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 0x10;
        fs::write(&file, flipped).unwrap();
        let refusal = self.restore(backup).expect_err("a flipped bit is found");
        println!("{refusal}");
        assert!(refusal.contains(&key), "{refusal} does not name {key}");
        assert!(!refusal.contains("503 "), "{refusal}: asking again does not mend it");
        self.wait("nothing of it is left", || self.find().is_err());
        fs::write(&file, sound).unwrap();
    }
}

/// Range and hash by region and partition.
pub(crate) type Copies = BTreeMap<(String, i32), (i64, i64, String)>;

/// Objects of one kind that a backup needs. The schedule may have made another backup meanwhile: it shares all but the
/// manifest.
struct Objects<'a> {
    kind: &'a str,
    backup: &'a str,
}

impl Objects<'_> {
    fn hold(&self, path: &Path) -> bool {
        let has = |name: &str| path.components().any(|part| part.as_os_str() == name);
        has(self.kind) && (self.kind != "bkp" || has(self.backup))
    }
}

/// A file below the buckets that is one of these, and its object's name.
fn object(root: &Path, wanted: &Objects) -> Option<(PathBuf, String)> {
    let mut waiting = vec![root.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(&directory).ok()?.flatten() {
            let path = entry.path();
            if path.is_dir() {
                waiting.push(path);
            } else if wanted.hold(&path) {
                let name = path.file_name()?.to_str()?.trim_start_matches('=').to_owned();
                return Some((path, name));
            }
        }
    }
    None
}

/// A member of a group that stays for the whole story.
pub(crate) struct Member {
    consumer: BaseConsumer,
    topic: String,
}

impl Member {
    fn join(bootstrap: &str, topic: &str) -> Self {
        let changes = [("enable.auto.commit", "false"), ("topic.metadata.refresh.interval.ms", "500")];
        let consumer = consumer(bootstrap, &format!("{topic}-group"), &changes);
        consumer.subscribe(&[topic]).unwrap();
        Self { consumer, topic: topic.to_owned() }
    }

    /// How many partitions it has.
    pub(crate) fn partitions(&self) -> usize {
        self.consumer.assignment().unwrap().count()
    }

    /// Polls without reading on until `condition` holds.
    pub(crate) fn idle_until(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition(self) {
            assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
            if let Some(Ok(message)) = self.consumer.poll(Duration::from_millis(100)) {
                panic!("given {}-{} at {}", message.topic(), message.partition(), message.offset());
            }
        }
    }

    /// Is given `from..until` of every partition, in order, each once, and nothing before; commits `until` and stops there.
    pub(crate) fn read_and_commit(&self, from: i64, until: i64) {
        let (mut next, deadline) = (vec![from; PARTITIONS as usize], Instant::now() + PATIENCE);
        while next.iter().any(|next| *next < until) {
            assert!(Instant::now() < deadline, "at {next:?} of {until}, having {:?}", self.consumer.assignment());
            // Errors are transient: an unknown topic, a coordinator that is asked too early.
            let Some(Ok(message)) = self.consumer.poll(Duration::from_millis(100)) else {
                self.resume(&next, until);
                continue;
            };
            let place = &mut next[message.partition() as usize];
            assert_eq!(message.offset(), *place, "in {}-{}", message.topic(), message.partition());
            *place += 1;
            if *place == until {
                self.consumer.pause(&self.at(message.partition(), until)).unwrap();
            }
        }
        for partition in 0..PARTITIONS {
            self.commit(&self.at(partition, until), deadline);
        }
    }

    /// A sync commit of librdkafka ends with the first error; a coordinator that has just moved is asked again.
    fn commit(&self, at: &TopicPartitionList, deadline: Instant) {
        while let Err(error) = self.consumer.commit(at, CommitMode::Sync) {
            assert!(Instant::now() < deadline, "it cannot commit: {error}");
            // Whoever polls learns of the coordinator. Every partition is paused: there is nothing to take.
            let _paused = self.consumer.poll(Duration::from_millis(100));
        }
    }

    /// librdkafka keeps a partition paused over a new assignment.
    fn resume(&self, next: &[i64], until: i64) {
        let behind = (0..PARTITIONS).filter(|partition| next[*partition as usize] < until);
        behind.for_each(|partition| self.consumer.resume(&self.at(partition, until)).unwrap_or_default());
    }

    fn at(&self, partition: i32, offset: i64) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, partition, Offset::Offset(offset)).unwrap();
        list
    }
}
