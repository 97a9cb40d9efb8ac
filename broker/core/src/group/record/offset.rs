use super::RecordError;
use super::bytes_of::{Reader, put_compact_text, put_text, put_varint};
use bytes::{BufMut, Bytes, BytesMut};
use model::{GroupId, LeaderEpoch, Offset, OwnershipEpoch, PartitionId, Timestamp, TopicId, TopicName, TopicPartition};
use uuid::Uuid;

const KEY_VERSION: i16 = 1;
const VALUE_VERSION: i16 = 4;
/// Kafka's tag for the topic id.
const TOPIC_ID_TAG: u32 = 0;
/// Ours for the ownership epoch; Kafka skips tags it does not know.
const OWNERSHIP_TAG: u32 = 4000;

/// What a committed offset is of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommitKey {
    /// The consumer group.
    pub group: GroupId,
    /// The partition.
    pub partition: TopicPartition,
}

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffsetRecord {
    /// The next record the group will read.
    pub offset: Offset,
    /// The leader epoch of the last record it read.
    pub leader_epoch: LeaderEpoch,
    /// Whatever the client put beside it.
    pub metadata: String,
    /// When it was committed, on the owner's clock.
    pub commit_time: Timestamp,
    /// The topic it is of; [`TopicId::ZERO`] when unknown.
    pub topic_id: TopicId,
    /// The grant under which it counts; 0 when unknown. A commit of an older grant never replaces one of a newer.
    pub ownership_epoch: OwnershipEpoch,
}

/// The key of a committed offset's record.
pub fn offset_key(key: &CommitKey) -> Bytes {
    let mut out = BytesMut::new();
    out.put_i16(KEY_VERSION);
    put_text(&mut out, key.group.as_str());
    put_text(&mut out, key.partition.topic.as_str());
    out.put_i32(key.partition.partition.0);
    out.freeze()
}

pub(super) fn read_offset_key(reader: &mut Reader) -> Result<CommitKey, RecordError> {
    let group = GroupId::new(reader.text()?);
    let topic = TopicName::new(reader.text()?).map_err(|_| RecordError::Malformed)?;
    Ok(CommitKey { group, partition: TopicPartition { topic, partition: PartitionId(reader.i32()?) } })
}

/// The value of a committed offset's record.
pub fn offset_value(record: &OffsetRecord) -> Bytes {
    let mut out = BytesMut::new();
    out.put_i16(VALUE_VERSION);
    out.put_i64(record.offset.0);
    out.put_i32(record.leader_epoch.0);
    put_compact_text(&mut out, &record.metadata);
    out.put_i64(record.commit_time.0);
    let topic_id = (record.topic_id != TopicId::ZERO).then_some(record.topic_id);
    let ownership = (record.ownership_epoch != OwnershipEpoch(0)).then_some(record.ownership_epoch);
    put_varint(&mut out, u32::from(topic_id.is_some()) + u32::from(ownership.is_some()));
    if let Some(id) = topic_id {
        put_varint(&mut out, TOPIC_ID_TAG);
        put_varint(&mut out, 16);
        out.put_slice(id.0.as_bytes());
    }
    if let Some(epoch) = ownership {
        put_varint(&mut out, OWNERSHIP_TAG);
        put_varint(&mut out, 4);
        out.put_u32(epoch.0);
    }
    out.freeze()
}

/// Reads the value of a committed offset's record.
///
/// # Errors
/// [`RecordError`] when it is cut off or of an unknown version.
pub fn read_offset(value: &Bytes) -> Result<OffsetRecord, RecordError> {
    let mut reader = Reader(value.clone());
    let version = reader.i16()?;
    if !(0..=VALUE_VERSION).contains(&version) {
        return Err(RecordError::Version(version));
    }
    let offset = Offset(reader.i64()?);
    let leader_epoch = if version >= 3 { LeaderEpoch(reader.i32()?) } else { LeaderEpoch::NONE };
    let metadata = if version >= 4 { reader.compact_text()? } else { reader.text()? };
    let commit_time = Timestamp(reader.i64()?);
    let mut record = OffsetRecord {
        offset,
        leader_epoch,
        metadata,
        commit_time,
        topic_id: TopicId::ZERO,
        ownership_epoch: OwnershipEpoch(0),
    };
    if version >= 4 {
        reader.tagged(|tag, field| read_tag(&mut record, tag, field))?;
    }
    Ok(record)
}

fn read_tag(record: &mut OffsetRecord, tag: u32, mut field: Reader) -> Result<(), RecordError> {
    match tag {
        TOPIC_ID_TAG => record.topic_id = TopicId(Uuid::from_u128(field.u128()?)),
        OWNERSHIP_TAG => record.ownership_epoch = OwnershipEpoch(field.i32()? as u32),
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::{Key, read_key};
    use super::*;
    use proptest::prelude::*;

    fn key(group: &str, topic: &str, partition: i32) -> CommitKey {
        let (topic, partition) = (TopicName::new(topic).unwrap(), PartitionId(partition));
        CommitKey { group: GroupId::new(group), partition: TopicPartition { topic, partition } }
    }

    #[test]
    fn a_key_is_laid_out_as_kafka_does() {
        let bytes = offset_key(&key("g", "t", 7));
        assert_eq!(&bytes[..], b"\0\x01\0\x01g\0\x01t\0\0\0\x07");
        assert_eq!(read_key(&bytes), Ok(Key::Offset(key("g", "t", 7))));
    }

    #[test]
    fn a_value_without_our_fields_is_kafkas_version_4() {
        let record = OffsetRecord {
            offset: Offset(5),
            leader_epoch: LeaderEpoch(2),
            metadata: "m".into(),
            commit_time: Timestamp(9),
            topic_id: TopicId::ZERO,
            ownership_epoch: OwnershipEpoch(0),
        };
        let expected = b"\0\x04\0\0\0\0\0\0\0\x05\0\0\0\x02\x02m\0\0\0\0\0\0\0\x09\0";
        assert_eq!(&offset_value(&record)[..], expected);
    }

    #[test]
    fn kafkas_version_3_is_read() {
        let bytes = Bytes::from_static(b"\0\x03\0\0\0\0\0\0\0\x05\0\0\0\x02\0\x01m\0\0\0\0\0\0\0\x09");
        let record = read_offset(&bytes).unwrap();
        assert_eq!((record.offset, record.leader_epoch, record.metadata.as_str()), (Offset(5), LeaderEpoch(2), "m"));
        assert_eq!(read_offset(&Bytes::from_static(b"\0\x05")), Err(RecordError::Version(5)));
    }

    proptest! {
        #[test]
        fn a_committed_offset_survives_the_round_trip(
            offset in any::<i64>(), epoch in any::<i32>(), metadata in "\\PC{0,300}", time in any::<i64>(),
            id in any::<u128>(), ownership in any::<u32>(),
        ) {
            let record = OffsetRecord {
                offset: Offset(offset),
                leader_epoch: LeaderEpoch(epoch),
                metadata,
                commit_time: Timestamp(time),
                topic_id: TopicId(Uuid::from_u128(id)),
                ownership_epoch: OwnershipEpoch(ownership),
            };
            prop_assert_eq!(read_offset(&offset_value(&record)), Ok(record));
        }

        #[test]
        fn no_bytes_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let bytes = Bytes::from(bytes);
            let _ = (read_key(&bytes), read_offset(&bytes), super::super::read_group(&bytes));
        }
    }
}
