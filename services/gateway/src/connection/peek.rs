//! What is looked at of requests that are passed on: fields near the beginning of their bodies. `None` when the frame is
//! too short or not what it says, in which case the region will say so.

use model::GroupId;
use wire::ApiKey;

/// `acks` of a Produce request: behind the transactional id.
pub(super) fn acks(frame: &[u8], version: i16) -> Option<i16> {
    let is_flexible = version >= ApiKey::Produce.flexible_from();
    let (_, rest) = string(body(frame, is_flexible)?, is_flexible)?;
    Some(i16::from_be_bytes(*rest.first_chunk()?))
}

/// The consumer group that a member speaks for, or somebody commits for.
pub(super) fn group(frame: &[u8], api_key: i16, version: i16) -> Option<GroupId> {
    use ApiKey::{ConsumerGroupHeartbeat, Heartbeat, JoinGroup, LeaveGroup, OffsetCommit, SyncGroup};
    let of_groups = [JoinGroup, SyncGroup, Heartbeat, LeaveGroup, OffsetCommit, ConsumerGroupHeartbeat];
    let key = of_groups.into_iter().find(|key| key.number() == api_key)?;
    let is_flexible = version >= key.flexible_from();
    let (group, _) = string(body(frame, is_flexible)?, is_flexible)?;
    Some(GroupId::new(std::str::from_utf8(group).ok()?))
}

/// What follows the header.
fn body(frame: &[u8], is_flexible: bool) -> Option<&[u8]> {
    let client_id_len = i16::from_be_bytes(frame.get(8..10)?.try_into().ok()?);
    let rest = frame.get(10 + usize::try_from(client_id_len).unwrap_or(0)..)?;
    if is_flexible { skip_tags(rest) } else { Some(rest) }
}

/// A string, none of which is as good as an empty one, and what follows it.
fn string(bytes: &[u8], is_flexible: bool) -> Option<(&[u8], &[u8])> {
    let (len, rest) = if is_flexible {
        varint(bytes).map(|(len, rest)| (len.saturating_sub(1) as usize, rest))?
    } else {
        let (len, rest) = bytes.split_first_chunk()?;
        (usize::try_from(i16::from_be_bytes(*len)).unwrap_or(0), rest)
    };
    rest.split_at_checked(len)
}

/// What follows a section of tagged fields.
fn skip_tags(bytes: &[u8]) -> Option<&[u8]> {
    let (count, mut rest) = varint(bytes)?;
    for _ in 0..count {
        let (_tag, behind) = varint(rest)?;
        let (len, behind) = varint(behind)?;
        rest = behind.get(len as usize..)?;
    }
    Some(rest)
}

fn varint(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let mut value = 0u32;
    for (at, byte) in bytes.iter().take(5).enumerate() {
        value |= u32::from(byte & 0x7f).checked_shl(7 * at as u32)?;
        if byte & 0x80 == 0 {
            return Some((value, &bytes[at + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::api::{consumer_group_heartbeat, heartbeat, join_group, leave_group, offset_commit, produce, sync_group};
    use wire::{Message, Request};

    #[test]
    fn acks_are_found_in_every_version() {
        for version in produce::Request::VERSIONS.min..=9 {
            for (transactional_id, acks) in [(None, 0), (Some("t".to_owned()), -1), (None, 1)] {
                let request = produce::Request { transactional_id, acks, ..Default::default() };
                let frame = wire::frame::encode_request(1, Some("client"), version, &request).unwrap();
                assert_eq!(super::acks(&frame[4..], version), Some(acks), "version {version}");
            }
        }
    }

    fn finds<R: Request>(request: &R) {
        for version in R::VERSIONS.min..=R::VERSIONS.max {
            let Ok(frame) = wire::frame::encode_request(1, Some("client"), version, request) else { continue };
            let key = R::KEY;
            assert_eq!(group(&frame[4..], key, version), Some(GroupId::new("g7")), "{key} version {version}");
            assert_eq!(group(&frame[4..12], key, version), None, "it is cut short");
        }
    }

    #[test]
    fn a_member_s_group_is_found_in_every_version() {
        let group_id = || "g7".to_owned();
        finds(&join_group::Request { group_id: group_id(), ..Default::default() });
        finds(&sync_group::Request { group_id: group_id(), ..Default::default() });
        finds(&heartbeat::Request { group_id: group_id(), ..Default::default() });
        finds(&leave_group::Request { group_id: group_id(), ..Default::default() });
        finds(&offset_commit::Request { group_id: group_id(), ..Default::default() });
        finds(&consumer_group_heartbeat::Request { group_id: group_id(), ..Default::default() });
        let produce = wire::frame::encode_request(1, None, 9, &produce::Request::default()).unwrap();
        assert_eq!(group(&produce[4..], ApiKey::Produce.number(), 9), None);
    }
}
