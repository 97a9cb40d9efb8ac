//! `partition.metadata`: which topic a directory belongs to, in Kafka's format.

use crate::{OpenError, files};
use model::TopicId;
use std::path::Path;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const TEXT_CHARS: usize = 22;

/// Checks that `dir` belongs to `topic`; a directory that belongs to none becomes its.
pub(crate) fn claim(dir: &Path, topic: TopicId) -> Result<(), OpenError> {
    let path = dir.join(files::METADATA);
    let Some(bytes) = files::read(&path)? else {
        let content = format!("version: 0\ntopic_id: {}", encode(topic));
        return Ok(files::replace_durably(&path, content.as_bytes())?);
    };
    let text = String::from_utf8_lossy(&bytes);
    let found = text.lines().find_map(|line| decode(line.strip_prefix("topic_id:")?.trim()));
    match found {
        Some(found) if found == topic => Ok(()),
        Some(found) => Err(OpenError::OtherTopic { dir: dir.to_owned(), found, expected: topic }),
        None => Err(OpenError::Metadata { path, reason: "it names no topic id".into() }),
    }
}

/// The topic that `dir` belongs to; `None` where it belongs to none, or nobody can say.
pub fn topic_of(dir: &Path) -> Option<TopicId> {
    let text = String::from_utf8(files::read(&dir.join(files::METADATA)).ok()??).ok()?;
    text.lines().find_map(|line| decode(line.strip_prefix("topic_id:")?.trim()))
}

/// Kafka's text form of an id: its 16 bytes in URL-safe base64 without padding.
fn encode(topic: TopicId) -> String {
    let bits = topic.0.as_u128();
    // 22 characters of six bits, of which the last has two.
    let digit = |at: usize| if at < TEXT_CHARS - 1 { bits >> (122 - 6 * at) } else { bits << 4 };
    (0..TEXT_CHARS).map(|at| char::from(ALPHABET[digit(at) as usize & 63])).collect()
}

fn decode(text: &str) -> Option<TopicId> {
    let digits = text.bytes().map(|c| ALPHABET.iter().position(|a| *a == c).map(|d| d as u128));
    let digits: Vec<_> = digits.collect::<Option<_>>()?;
    let (last, first) = digits.split_last().filter(|_| digits.len() == TEXT_CHARS)?;
    let bits = first.iter().fold(0, |bits: u128, digit| bits << 6 | digit);
    Some(TopicId(uuid::Uuid::from_u128(bits << 2 | last >> 4)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_as_kafka_writes_them() {
        let id = TopicId(uuid::Uuid::from_bytes(*b"\x00\x10\x83\x10\x51\x87\x20\x92\x8b\x30\xd3\x8f\x41\x14\x93\x51"));
        assert_eq!(encode(id), "ABCDEFGHIJKLMNOPQRSTUQ");
        assert_eq!(decode("ABCDEFGHIJKLMNOPQRSTUQ"), Some(id));
        let ones = TopicId(uuid::Uuid::from_u128(u128::MAX));
        assert_eq!(encode(ones), "_____________________w");
        assert_eq!(decode(&encode(ones)), Some(ones));
        assert_eq!(decode("short"), None);
    }

    #[test]
    fn a_directory_belongs_to_one_topic() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (TopicId(uuid::Uuid::from_u128(1)), TopicId(uuid::Uuid::from_u128(2)));
        claim(dir.path(), one).unwrap();
        claim(dir.path(), one).unwrap();
        assert!(matches!(claim(dir.path(), other), Err(OpenError::OtherTopic { found, .. }) if found == one));
        std::fs::write(dir.path().join(files::METADATA), "nonsense").unwrap();
        assert!(matches!(claim(dir.path(), one), Err(OpenError::Metadata { .. })));
    }
}
