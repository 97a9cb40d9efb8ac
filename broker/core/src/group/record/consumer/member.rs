use super::super::RecordError;
use super::super::bytes_of::{
    Reader, put_compact_bytes, put_compact_count, put_compact_nullable_text, put_compact_text, put_varint,
};
use crate::group::consumer::state::{Classic, Member};
use crate::group::{InstanceId, Protocol};
use bytes::{BufMut, BytesMut};
use std::time::Duration;

/// What a member of the classic protocol brought.
const CLASSIC_TAG: u32 = 0;

pub(super) fn put(out: &mut BytesMut, member: &Member) {
    put_compact_nullable_text(out, member.instance.as_ref().map(InstanceId::as_str));
    put_compact_nullable_text(out, member.rack.as_deref());
    put_compact_text(out, &member.client_id);
    put_compact_text(out, &member.client_host);
    put_compact_count(out, member.topics.len());
    member.topics.iter().for_each(|topic| put_compact_text(out, topic));
    put_compact_nullable_text(out, member.pattern.as_deref());
    out.put_i32(millis(member.rebalance_timeout));
    put_compact_nullable_text(out, member.assignor.as_deref());
    put_varint(out, u32::from(member.classic.is_some()));
    if let Some(classic) = &member.classic {
        let mut field = BytesMut::new();
        put_classic(&mut field, classic);
        put_varint(out, CLASSIC_TAG);
        put_varint(out, field.len() as u32);
        out.put_slice(&field);
    }
}

fn put_classic(out: &mut BytesMut, classic: &Classic) {
    // A structure that could be null begins with a mark that it is there.
    out.put_i8(1);
    out.put_i32(millis(classic.session_timeout));
    put_compact_count(out, classic.protocols.len());
    for protocol in &classic.protocols {
        put_compact_text(out, &protocol.name);
        put_compact_bytes(out, &protocol.metadata);
        put_varint(out, 0);
    }
    put_varint(out, 0);
}

pub(super) fn read(reader: &mut Reader) -> Result<Member, RecordError> {
    let instance = reader.compact_nullable_text()?.map(InstanceId::new);
    let rack = reader.compact_nullable_text()?;
    let (client_id, client_host) = (reader.compact_text()?, reader.compact_text()?);
    let topics = (0..reader.compact_count(1)?).map(|_| reader.compact_text()).collect::<Result<_, _>>()?;
    let pattern = reader.compact_nullable_text()?.filter(|pattern| !pattern.is_empty());
    let rebalance_timeout = duration(reader.i32()?);
    let assignor = reader.compact_nullable_text()?;
    let mut classic = None;
    reader.tagged(|tag, mut field| {
        if tag == CLASSIC_TAG {
            classic = read_classic(&mut field)?;
        }
        Ok(())
    })?;
    let told = Member { instance, rack, client_id, client_host, topics, pattern, ..Member::default() };
    Ok(Member { rebalance_timeout, assignor, classic, ..told })
}

fn read_classic(reader: &mut Reader) -> Result<Option<Classic>, RecordError> {
    if reader.i8()? < 0 {
        return Ok(None);
    }
    let session_timeout = duration(reader.i32()?);
    let protocols = (0..reader.compact_count(3)?).map(|_| read_protocol(reader)).collect::<Result<_, _>>()?;
    Ok(Some(Classic { session_timeout, protocols }))
}

fn read_protocol(reader: &mut Reader) -> Result<Protocol, RecordError> {
    let protocol = Protocol { name: reader.compact_text()?, metadata: reader.compact_bytes()? };
    reader.tagged(|_, _| Ok(()))?;
    Ok(protocol)
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

fn duration(millis: i32) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}
