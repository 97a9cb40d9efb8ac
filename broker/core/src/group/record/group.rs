use super::RecordError;
use super::bytes_of::{Reader, put_bytes, put_nullable_text, put_text};
use crate::group::{InstanceId, MemberId};
use bytes::{BufMut, Bytes, BytesMut};
use model::{GroupId, Timestamp};
use std::time::Duration;

const KEY_VERSION: i16 = 2;
const VALUE_VERSION: i16 = 3;
/// The fewest bytes a member takes.
const MEMBER_BYTES_MIN: usize = 18;

/// A group as it is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRecord {
    /// `consumer`, `connect`, ...
    pub protocol_type: String,
    /// Its generation.
    pub generation: i32,
    /// What its members agreed on.
    pub protocol: Option<String>,
    /// Its leader.
    pub leader: Option<MemberId>,
    /// When it came to this.
    pub at: Timestamp,
    /// Its members.
    pub members: Vec<MemberRecord>,
}

/// A member as it is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberRecord {
    /// Its name.
    pub member: MemberId,
    /// Its static name.
    pub instance: Option<InstanceId>,
    /// What its client calls itself.
    pub client_id: String,
    /// Where it came from.
    pub client_host: String,
    /// How long a rebalance waits for it.
    pub rebalance_timeout: Duration,
    /// How long it may be silent.
    pub session_timeout: Duration,
    /// What it told about itself.
    pub subscription: Bytes,
    /// What it was given.
    pub assignment: Bytes,
}

/// The key of a group's record.
pub fn group_key(group: &GroupId) -> Bytes {
    let mut out = BytesMut::new();
    out.put_i16(KEY_VERSION);
    put_text(&mut out, group.as_str());
    out.freeze()
}

/// The value of a group's record.
pub fn group_value(record: &GroupRecord) -> Bytes {
    let mut out = BytesMut::new();
    out.put_i16(VALUE_VERSION);
    put_text(&mut out, &record.protocol_type);
    out.put_i32(record.generation);
    put_nullable_text(&mut out, record.protocol.as_deref());
    put_nullable_text(&mut out, record.leader.as_ref().map(MemberId::as_str));
    out.put_i64(record.at.0);
    out.put_i32(record.members.len() as i32);
    for member in &record.members {
        put_member(&mut out, member);
    }
    out.freeze()
}

fn put_member(out: &mut BytesMut, member: &MemberRecord) {
    put_text(out, member.member.as_str());
    put_nullable_text(out, member.instance.as_ref().map(InstanceId::as_str));
    put_text(out, &member.client_id);
    put_text(out, &member.client_host);
    out.put_i32(millis(member.rebalance_timeout));
    out.put_i32(millis(member.session_timeout));
    put_bytes(out, &member.subscription);
    put_bytes(out, &member.assignment);
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

/// Reads the value of a group's record.
///
/// # Errors
/// [`RecordError`] when it is cut off or of an unknown version.
pub fn read_group(value: &Bytes) -> Result<GroupRecord, RecordError> {
    let mut reader = Reader(value.clone());
    let version = reader.i16()?;
    if !(0..=VALUE_VERSION).contains(&version) {
        return Err(RecordError::Version(version));
    }
    let protocol_type = reader.text()?;
    let generation = reader.i32()?;
    let protocol = reader.nullable_text()?;
    let leader = reader.nullable_text()?.map(MemberId::new);
    let at = if version >= 2 { Timestamp(reader.i64()?) } else { Timestamp::NONE };
    let members = (0..reader.count(MEMBER_BYTES_MIN)?).map(|_| read_member(&mut reader, version));
    Ok(GroupRecord { protocol_type, generation, protocol, leader, at, members: members.collect::<Result<_, _>>()? })
}

fn read_member(reader: &mut Reader, version: i16) -> Result<MemberRecord, RecordError> {
    let member = MemberId::new(reader.text()?);
    let instance = if version >= 3 { reader.nullable_text()?.map(InstanceId::new) } else { None };
    let (client_id, client_host) = (reader.text()?, reader.text()?);
    let rebalance = if version >= 1 { Some(timeout(reader)?) } else { None };
    let session_timeout = timeout(reader)?;
    Ok(MemberRecord {
        member,
        instance,
        client_id,
        client_host,
        rebalance_timeout: rebalance.unwrap_or(session_timeout),
        session_timeout,
        subscription: reader.bytes()?,
        assignment: reader.bytes()?,
    })
}

fn timeout(reader: &mut Reader) -> Result<Duration, RecordError> {
    u64::try_from(reader.i32()?).map(Duration::from_millis).map_err(|_| RecordError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> GroupRecord {
        GroupRecord {
            protocol_type: "consumer".into(),
            generation: 3,
            protocol: Some("range".into()),
            leader: Some(MemberId::new("m-1")),
            at: Timestamp(11),
            members: vec![MemberRecord {
                member: MemberId::new("m-1"),
                instance: None,
                client_id: "c".into(),
                client_host: "/127.0.0.1".into(),
                rebalance_timeout: Duration::from_secs(300),
                session_timeout: Duration::from_secs(45),
                subscription: Bytes::from_static(b"s"),
                assignment: Bytes::from_static(b"a"),
            }],
        }
    }

    #[test]
    fn a_group_survives_the_round_trip() {
        assert_eq!(read_group(&group_value(&sample())), Ok(sample()));
        let empty = GroupRecord { protocol: None, leader: None, members: vec![], ..sample() };
        assert_eq!(read_group(&group_value(&empty)), Ok(empty));
    }

    #[test]
    fn a_group_cut_off_anywhere_is_refused() {
        let whole = group_value(&sample());
        for end in 0..whole.len() {
            assert!(read_group(&whole.slice(..end)).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn a_member_count_beyond_the_bytes_takes_no_memory() {
        let mut bytes = BytesMut::from(&group_value(&GroupRecord { members: vec![], ..sample() })[..]);
        let at = bytes.len() - 4;
        bytes[at..].copy_from_slice(&i32::MAX.to_be_bytes());
        assert_eq!(read_group(&bytes.freeze()), Err(RecordError::Malformed));
    }
}
