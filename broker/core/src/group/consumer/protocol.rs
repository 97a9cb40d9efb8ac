//! What consumers of the classic protocol put into its opaque bytes (`ConsumerProtocolSubscription` and
//! `ConsumerProtocolAssignment`): Kafka's own layout, of which later versions add fields at the end.

use super::{Partitions, Topics};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use model::PartitionId;
use std::collections::BTreeSet;

/// The first version of a subscription that says what the member owns.
const FIRST_WITH_OWNED: i16 = 1;

/// What a member told about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Subscription {
    /// The version it speaks; assignments are written in it.
    pub(super) version: i16,
    pub(super) topics: BTreeSet<String>,
    /// What it owns, of the topics there are. A member that gives up everything before it joins owns nothing.
    pub(super) owned: Partitions,
}

/// Reads a subscription; `None` when it is none.
pub(super) fn read_subscription(bytes: &Bytes, topics: &Topics) -> Option<Subscription> {
    let mut rest = bytes.clone();
    let version = rest.try_get_i16().ok().filter(|version| *version >= 0)?;
    let names = (0..count(&mut rest, 2)?).map(|_| text(&mut rest)).collect::<Option<_>>()?;
    let mut owned = Partitions::default();
    if version >= FIRST_WITH_OWNED {
        skip_user_data(&mut rest)?;
        owned = partitions(&mut rest, topics)?;
    }
    Some(Subscription { version, topics: names, owned })
}

/// Reads an assignment: no bytes are nothing. `None` when it is none, or carries data of an assignor of the user's own.
pub(super) fn read_assignment(bytes: &Bytes, topics: &Topics) -> Option<Partitions> {
    if bytes.is_empty() {
        return Some(Partitions::default());
    }
    let mut rest = bytes.clone();
    rest.try_get_i16().ok().filter(|version| *version >= 0)?;
    let assigned = partitions(&mut rest, topics)?;
    let is_plain = rest.is_empty() || skip_user_data(&mut rest)? == 0;
    is_plain.then_some(assigned)
}

/// Writes an assignment. Partitions of topics that are gone have no name and are left out.
pub(super) fn assignment(version: i16, assigned: &Partitions, topics: &Topics) -> Bytes {
    let named: Vec<_> = assigned.topics().filter_map(|(id, numbers)| Some((topics.name(id)?, numbers))).collect();
    let mut out = BytesMut::new();
    out.put_i16(version);
    out.put_i32(named.len() as i32);
    for (name, numbers) in named {
        out.put_i16(name.len() as i16);
        out.put_slice(name.as_bytes());
        out.put_i32(numbers.len() as i32);
        numbers.iter().for_each(|number| out.put_i32(number.0));
    }
    out.put_i32(-1);
    out.freeze()
}

/// The length of an array whose elements take at least `least` bytes each.
fn count(rest: &mut Bytes, least: usize) -> Option<usize> {
    let count = usize::try_from(rest.try_get_i32().ok()?).ok()?;
    (count <= rest.remaining() / least).then_some(count)
}

fn text(rest: &mut Bytes) -> Option<String> {
    let length = usize::try_from(rest.try_get_i16().ok()?).ok()?;
    let bytes = (length <= rest.remaining()).then(|| rest.split_to(length))?;
    String::from_utf8(bytes.to_vec()).ok()
}

/// Passes over data of an assignor, and says how much it was.
fn skip_user_data(rest: &mut Bytes) -> Option<usize> {
    let length = usize::try_from(rest.try_get_i32().ok()?).unwrap_or(0);
    (length <= rest.remaining()).then(|| rest.advance(length))?;
    Some(length)
}

fn partitions(rest: &mut Bytes, topics: &Topics) -> Option<Partitions> {
    let mut all = Partitions::default();
    for _ in 0..count(rest, 6)? {
        let topic = topics.named(&text(rest)?);
        for _ in 0..count(rest, 4)? {
            let number = PartitionId(rest.try_get_i32().ok()?);
            if let Some(topic) = topic {
                all.insert(topic.id, number);
            }
        }
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::TopicShape;
    use model::TopicId;
    use uuid::Uuid;

    fn topics() -> Topics {
        [("t", TopicShape { id: TopicId(Uuid::from_u128(1)), partitions: 4 })].into_iter().collect()
    }

    #[test]
    fn an_assignment_survives_the_round_trip() {
        let id = TopicId(Uuid::from_u128(1));
        let owned: Partitions = [(id, PartitionId(0)), (id, PartitionId(3))].into_iter().collect();
        assert_eq!(read_assignment(&assignment(1, &owned, &topics()), &topics()), Some(owned));
        assert_eq!(read_assignment(&Bytes::new(), &topics()), Some(Partitions::default()));
        assert_eq!(read_assignment(&Bytes::from_static(b"\0\x01\0\0\0\0\0\0\0\x01x"), &topics()), None, "user data");
    }

    #[test]
    fn a_subscription_says_what_is_read_and_owned() {
        let bytes = Bytes::from_static(
            b"\0\x02\0\0\0\x01\0\x01t\xff\xff\xff\xff\0\0\0\x01\0\x01t\0\0\0\x01\0\0\0\x02\0\0\0\x05",
        );
        let read = read_subscription(&bytes, &topics()).unwrap();
        assert_eq!((read.version, read.topics.len(), read.owned.len()), (2, 1, 1));
        let eager =
            read_subscription(&Bytes::from_static(b"\0\0\0\0\0\x01\0\x01t\xff\xff\xff\xff"), &topics()).unwrap();
        assert!(eager.owned.is_empty());
        for end in 0..bytes.len() - 4 {
            assert_eq!(read_subscription(&bytes.slice(..end), &topics()), None, "cut at {end}");
        }
    }
}
