//! What consumers of a group tell each other through their coordinator: Kafka's "consumer" protocol, version 0.
//!
//! ```text
//! subscription: version i16 | topics [string] | user data bytes
//! assignment:   version i16 | topics [string | partitions [i32]] | user data bytes
//! ```

use bytes::{Buf, BufMut, Bytes, BytesMut};

const VERSION: i16 = 0;
const NO_USER_DATA: i32 = -1;

/// A member wants `topic`.
pub(super) fn subscription(topic: &str) -> Bytes {
    let mut out = BytesMut::new();
    out.put_i16(VERSION);
    out.put_i32(1);
    put_string(&mut out, topic);
    out.put_i32(NO_USER_DATA);
    out.freeze()
}

/// A member gets `partitions` of `topic`.
pub(super) fn assignment(topic: &str, partitions: &[i32]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_i16(VERSION);
    out.put_i32(1);
    put_string(&mut out, topic);
    out.put_i32(partitions.len() as i32);
    partitions.iter().for_each(|partition| out.put_i32(*partition));
    out.put_i32(NO_USER_DATA);
    out.freeze()
}

fn put_string(out: &mut BytesMut, text: &str) {
    out.put_i16(text.len() as i16);
    out.put_slice(text.as_bytes());
}

/// The partitions of `topic` in an assignment; none when it cannot be read.
pub(super) fn assigned(mut bytes: Bytes, topic: &str) -> Option<Vec<i32>> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    bytes.try_get_i16().ok()?;
    let topics = bytes.try_get_i32().ok()?;
    let mut partitions = Vec::new();
    for _ in 0..topics {
        let length = usize::try_from(bytes.try_get_i16().ok()?).ok()?;
        let name = (bytes.len() >= length).then(|| bytes.split_to(length))?;
        for _ in 0..bytes.try_get_i32().ok()? {
            let partition = bytes.try_get_i32().ok()?;
            partitions.extend((name == topic.as_bytes()).then_some(partition));
        }
    }
    Some(partitions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_read_back() {
        assert_eq!(assigned(assignment("t", &[0, 3]), "t"), Some(vec![0, 3]));
        assert_eq!(assigned(assignment("t", &[0, 3]), "other"), Some(vec![]));
        assert_eq!(assigned(Bytes::new(), "t"), Some(vec![]));
        assert_eq!(assigned(assignment("t", &[0]).slice(..7), "t"), None);
    }

    #[test]
    fn a_subscription_is_what_kafka_writes() {
        assert_eq!(&subscription("ab")[..], [0, 0, 0, 0, 0, 1, 0, 2, b'a', b'b', 0xff, 0xff, 0xff, 0xff]);
    }
}
