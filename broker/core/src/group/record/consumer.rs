//! Records of groups of the consumer protocol (KIP-848).
//!
//! ```text
//!   key   i16  3 | group             value i16 0 | group epoch, tag 0: hash of the topics
//!   key   i16  5 | group | member    value i16 0 | what the member told about itself
//!   key   i16  6 | group             value i16 0 | epoch of the targets
//!   key   i16  7 | group | member    value i16 0 | what it should own
//!   key   i16  8 | group | member    value i16 0 | its epochs, what it may own and has to give back
//!   key   i16 16 | group | pattern   value i16 0 | the topics the pattern holds for
//! ```

mod member;

use super::RecordError;
use super::bytes_of::{Reader, put_compact_count, put_compact_text, put_text, put_varint};
use crate::group::MemberId;
use crate::group::consumer::Partitions;
use crate::group::consumer::journal::Told;
use crate::group::consumer::state::{Matched, Member, Progress};
use bytes::{BufMut, Bytes, BytesMut};
use model::{GroupId, PartitionId, TopicId};
use uuid::Uuid;

const EPOCH: i16 = 3;
const MEMBER: i16 = 5;
const TARGET_EPOCH: i16 = 6;
const TARGET: i16 = 7;
const ASSIGNMENT: i16 = 8;
const PATTERN: i16 = 16;
const VALUE_VERSION: i16 = 0;
/// The hash of the topics, in the record of a group's epoch.
const HASH_TAG: u32 = 0;

/// What of a group a record is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsumerKey {
    /// Its epoch.
    Epoch,
    /// What a member told about itself.
    Member(MemberId),
    /// The epoch of its targets.
    TargetEpoch,
    /// What a member should own.
    Target(MemberId),
    /// Where a member stands.
    Assignment(MemberId),
    /// What a pattern holds for.
    Pattern(String),
}

/// What is written down.
pub(in crate::group) enum ConsumerRecord<'a> {
    Epoch { epoch: i32, hash: i64 },
    Member(&'a Member),
    TargetEpoch(i32),
    Target(&'a Partitions),
    Assignment(&'a Member),
    Pattern(&'a Matched),
}

/// The key of a record.
pub(in crate::group) fn key(group: &GroupId, key: &ConsumerKey) -> Bytes {
    let mut out = BytesMut::new();
    let (version, rest) = match key {
        ConsumerKey::Epoch => (EPOCH, None),
        ConsumerKey::Member(id) => (MEMBER, Some(id.as_str())),
        ConsumerKey::TargetEpoch => (TARGET_EPOCH, None),
        ConsumerKey::Target(id) => (TARGET, Some(id.as_str())),
        ConsumerKey::Assignment(id) => (ASSIGNMENT, Some(id.as_str())),
        ConsumerKey::Pattern(text) => (PATTERN, Some(text.as_str())),
    };
    out.put_i16(version);
    put_text(&mut out, group.as_str());
    if let Some(rest) = rest {
        put_text(&mut out, rest);
    }
    out.freeze()
}

/// Reads a key of this `version`; `None` when it is not one of these.
pub(super) fn read_key(version: i16, reader: &mut Reader) -> Result<Option<(GroupId, ConsumerKey)>, RecordError> {
    if ![EPOCH, MEMBER, TARGET_EPOCH, TARGET, ASSIGNMENT, PATTERN].contains(&version) {
        return Ok(None);
    }
    let group = GroupId::new(reader.text()?);
    let key = match version {
        EPOCH => ConsumerKey::Epoch,
        TARGET_EPOCH => ConsumerKey::TargetEpoch,
        MEMBER => ConsumerKey::Member(MemberId::new(reader.text()?)),
        TARGET => ConsumerKey::Target(MemberId::new(reader.text()?)),
        ASSIGNMENT => ConsumerKey::Assignment(MemberId::new(reader.text()?)),
        _ => ConsumerKey::Pattern(reader.text()?),
    };
    Ok(Some((group, key)))
}

/// The value of a record.
pub(in crate::group) fn value(record: &ConsumerRecord<'_>) -> Bytes {
    let mut out = BytesMut::new();
    out.put_i16(VALUE_VERSION);
    match record {
        ConsumerRecord::Epoch { epoch, hash } => put_epoch(&mut out, *epoch, *hash),
        ConsumerRecord::Member(member) => member::put(&mut out, member),
        ConsumerRecord::TargetEpoch(epoch) => {
            out.put_i32(*epoch);
            put_varint(&mut out, 0);
        }
        ConsumerRecord::Target(target) => {
            put_partitions(&mut out, target);
            put_varint(&mut out, 0);
        }
        ConsumerRecord::Assignment(member) => put_assignment(&mut out, member),
        ConsumerRecord::Pattern(matched) => put_matched(&mut out, matched),
    }
    out.freeze()
}

/// Reads a value whose key is `key`.
pub(in crate::group) fn read_value(key: &ConsumerKey, value: &Bytes) -> Result<Told, RecordError> {
    let mut reader = Reader(value.clone());
    let version = reader.i16()?;
    if version != VALUE_VERSION {
        return Err(RecordError::Version(version));
    }
    match key {
        ConsumerKey::Epoch => read_epoch(&mut reader),
        ConsumerKey::Member(_) => Ok(Told::Member(Box::new(member::read(&mut reader)?))),
        ConsumerKey::TargetEpoch => Ok(Told::TargetEpoch(reader.i32()?)),
        ConsumerKey::Target(_) => Ok(Told::Target(read_partitions(&mut reader)?)),
        ConsumerKey::Assignment(_) => Ok(Told::Assignment(Box::new(read_assignment(&mut reader)?))),
        ConsumerKey::Pattern(_) => Ok(Told::Pattern(read_matched(&mut reader)?)),
    }
}

fn put_epoch(out: &mut BytesMut, epoch: i32, hash: i64) {
    out.put_i32(epoch);
    put_varint(out, u32::from(hash != 0));
    if hash != 0 {
        put_varint(out, HASH_TAG);
        put_varint(out, 8);
        out.put_i64(hash);
    }
}

fn read_epoch(reader: &mut Reader) -> Result<Told, RecordError> {
    let (epoch, mut hash) = (reader.i32()?, 0);
    reader.tagged(|tag, mut field| {
        if tag == HASH_TAG {
            hash = field.i64()?;
        }
        Ok(())
    })?;
    Ok(Told::Epoch { epoch, hash })
}

fn put_partitions(out: &mut BytesMut, partitions: &Partitions) {
    put_compact_count(out, partitions.topics().count());
    for (topic, numbers) in partitions.topics() {
        out.put_slice(topic.0.as_bytes());
        put_compact_count(out, numbers.len());
        numbers.iter().for_each(|number| out.put_i32(number.0));
        put_varint(out, 0);
    }
}

fn read_partitions(reader: &mut Reader) -> Result<Partitions, RecordError> {
    let mut partitions = Partitions::default();
    for _ in 0..reader.compact_count(18)? {
        let topic = TopicId(Uuid::from_u128(reader.u128()?));
        for _ in 0..reader.compact_count(4)? {
            partitions.insert(topic, PartitionId(reader.i32()?));
        }
        reader.tagged(|_, _| Ok(()))?;
    }
    Ok(partitions)
}

fn put_assignment(out: &mut BytesMut, member: &Member) {
    out.put_i32(member.epoch);
    out.put_i32(member.previous_epoch);
    out.put_i8(match member.progress {
        Progress::Stable => 0,
        Progress::Revoking => 1,
        Progress::Waiting => 2,
    });
    put_partitions(out, &member.assigned);
    put_partitions(out, &member.revoking);
    put_varint(out, 0);
}

fn read_assignment(reader: &mut Reader) -> Result<Member, RecordError> {
    let (epoch, previous_epoch) = (reader.i32()?, reader.i32()?);
    let progress = match reader.i8()? {
        0 => Progress::Stable,
        1 => Progress::Revoking,
        2 => Progress::Waiting,
        _ => return Err(RecordError::Malformed),
    };
    let (assigned, revoking) = (read_partitions(reader)?, read_partitions(reader)?);
    Ok(Member { epoch, previous_epoch, progress, assigned, revoking, ..Member::default() })
}

fn put_matched(out: &mut BytesMut, matched: &Matched) {
    put_compact_count(out, matched.topics.len());
    matched.topics.iter().for_each(|topic| put_compact_text(out, topic));
    // Kafka notes the version of its metadata here; ours is counted per start and says nothing later.
    out.put_i64(0);
    out.put_i64(matched.at);
    put_varint(out, 0);
}

fn read_matched(reader: &mut Reader) -> Result<Matched, RecordError> {
    let topics = (0..reader.compact_count(1)?).map(|_| reader.compact_text()).collect::<Result<_, _>>()?;
    let _version = reader.i64()?;
    Ok(Matched { topics, at: reader.i64()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::consumer::state::Classic;
    use crate::group::{InstanceId, Protocol};
    use std::time::Duration;

    fn partitions(of: &[(u128, i32)]) -> Partitions {
        of.iter().map(|(topic, number)| (TopicId(Uuid::from_u128(*topic)), PartitionId(*number))).collect()
    }

    fn told() -> Member {
        Member {
            instance: Some(InstanceId::new("i")),
            rack: Some("r".into()),
            client_id: "c".into(),
            client_host: "/127.0.0.1".into(),
            topics: ["t".to_owned(), "u".to_owned()].into(),
            pattern: Some("p.*".into()),
            rebalance_timeout: Duration::from_secs(300),
            assignor: Some("range".into()),
            classic: Some(Classic {
                session_timeout: Duration::from_secs(45),
                protocols: vec![Protocol { name: "range".into(), metadata: Bytes::from_static(b"meta") }],
            }),
            ..Member::default()
        }
    }

    fn stands() -> Member {
        Member {
            epoch: 7,
            previous_epoch: 6,
            progress: Progress::Revoking,
            assigned: partitions(&[(1, 0), (1, 3), (2, 5)]),
            revoking: partitions(&[(1, 1)]),
            ..Member::default()
        }
    }

    fn samples() -> Vec<(ConsumerKey, Bytes, Told)> {
        let id = MemberId::new("m");
        let matched = Matched { topics: ["pa".to_owned()].into(), at: 11 };
        let target = partitions(&[(1, 0)]);
        let plain = Member { classic: None, ..told() };
        vec![
            (
                ConsumerKey::Epoch,
                value(&ConsumerRecord::Epoch { epoch: 3, hash: 9 }),
                Told::Epoch { epoch: 3, hash: 9 },
            ),
            (
                ConsumerKey::Epoch,
                value(&ConsumerRecord::Epoch { epoch: 3, hash: 0 }),
                Told::Epoch { epoch: 3, hash: 0 },
            ),
            (ConsumerKey::TargetEpoch, value(&ConsumerRecord::TargetEpoch(4)), Told::TargetEpoch(4)),
            (ConsumerKey::Member(id.clone()), value(&ConsumerRecord::Member(&told())), Told::Member(told().into())),
            (
                ConsumerKey::Member(id.clone()),
                value(&ConsumerRecord::Member(&plain)),
                Told::Member(plain.clone().into()),
            ),
            (ConsumerKey::Target(id.clone()), value(&ConsumerRecord::Target(&target)), Told::Target(target.clone())),
            (
                ConsumerKey::Assignment(id),
                value(&ConsumerRecord::Assignment(&stands())),
                Told::Assignment(stands().into()),
            ),
            (
                ConsumerKey::Pattern("p.*".into()),
                value(&ConsumerRecord::Pattern(&matched)),
                Told::Pattern(matched.clone()),
            ),
        ]
    }

    #[test]
    fn every_record_survives_the_round_trip() {
        for (known, bytes, told) in samples() {
            assert_eq!(read_value(&known, &bytes), Ok(told));
            let written = key(&GroupId::new("g"), &known);
            let mut reader = Reader(written.slice(2..));
            let version = i16::from_be_bytes([written[0], written[1]]);
            assert_eq!(read_key(version, &mut reader), Ok(Some((GroupId::new("g"), known))));
        }
    }

    #[test]
    fn a_record_cut_off_anywhere_takes_nothing_in_halves() {
        for (known, bytes, told) in samples() {
            for end in 0..bytes.len() {
                // Fields behind the last one that counts may be missing; what is read is never something else.
                let read = read_value(&known, &bytes.slice(..end));
                assert!(read.is_err() || read == Ok(told.clone()), "{known:?} cut at {end}");
            }
        }
    }

    #[test]
    fn a_count_beyond_the_bytes_takes_no_memory() {
        let mut bytes = BytesMut::new();
        bytes.put_i16(0);
        put_varint(&mut bytes, u32::MAX);
        let key = ConsumerKey::Target(MemberId::new("m"));
        assert_eq!(read_value(&key, &bytes.freeze()), Err(RecordError::Malformed));
    }

    #[test]
    fn records_are_laid_out_as_kafka_does() {
        let key = key(&GroupId::new("g"), &ConsumerKey::Assignment(MemberId::new("m")));
        assert_eq!(&key[..], b"\0\x08\0\x01g\0\x01m");
        let member = Member { epoch: 2, previous_epoch: 1, assigned: partitions(&[(1, 0)]), ..Member::default() };
        let bytes = value(&ConsumerRecord::Assignment(&member));
        let mut expected = vec![0, 0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 2];
        expected.extend(1_u128.to_be_bytes());
        expected.extend([2, 0, 0, 0, 0, 0, 1, 0]);
        assert_eq!(&bytes[..], &expected[..]);
    }
}
