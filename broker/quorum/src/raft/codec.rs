//! Log entries as bytes, the same in the journal and between nodes.
//!
//! ```text
//! kind u8: 0 blank | 1 commands: count u32, (len u32, bytes)* | 2 membership: JSON
//! ```

use super::{Commands, LogId, RaftEntry};
use crate::Position;
use crate::journal::Entry;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use openraft::EntryPayload;
use std::io;

const BLANK: u8 = 0;
const COMMANDS: u8 = 1;
const MEMBERSHIP: u8 = 2;

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a log entry cannot be read: {what}"))
}

/// The entry as the journal keeps it.
pub(crate) fn encode(entry: &RaftEntry) -> io::Result<Entry> {
    let mut body = BytesMut::new();
    match &entry.payload {
        EntryPayload::Blank => body.put_u8(BLANK),
        EntryPayload::Normal(Commands(commands)) => {
            body.reserve(5 + commands.iter().map(|command| command.len() + 4).sum::<usize>());
            body.put_u8(COMMANDS);
            put_list(&mut body, commands);
        }
        EntryPayload::Membership(membership) => {
            body.put_u8(MEMBERSHIP);
            body.put_slice(&serde_json::to_vec(membership)?);
        }
    }
    Ok(Entry { position: Position::from(entry.log_id), body: body.freeze() })
}

/// The entry as the consensus knows it.
pub(crate) fn decode(entry: Entry) -> io::Result<RaftEntry> {
    let mut body = entry.body;
    if body.is_empty() {
        return Err(bad("it is empty"));
    }
    let payload = match body.get_u8() {
        BLANK => EntryPayload::Blank,
        COMMANDS => EntryPayload::Normal(Commands(read_list(&mut body)?)),
        MEMBERSHIP => EntryPayload::Membership(serde_json::from_slice(&body)?),
        kind => return Err(bad(&format!("its kind {kind} is unknown"))),
    };
    Ok(RaftEntry { log_id: LogId::from(entry.position), payload })
}

/// Appends a list of byte strings.
pub(crate) fn put_list(out: &mut BytesMut, list: &[Bytes]) {
    out.put_u32_le(list.len() as u32);
    for item in list {
        out.put_u32_le(item.len() as u32);
        out.put_slice(item);
    }
}

/// Reads a list of byte strings; its counts are bounded by the bytes that remain.
pub(crate) fn read_list(bytes: &mut Bytes) -> io::Result<Vec<Bytes>> {
    let count = read_u32(bytes)?;
    if count > bytes.len() / 4 {
        return Err(bad("it counts more parts than it has bytes"));
    }
    (0..count).map(|_| read_bytes(bytes)).collect()
}

/// Reads one byte string with its length.
pub(crate) fn read_bytes(bytes: &mut Bytes) -> io::Result<Bytes> {
    let len = read_u32(bytes)?;
    if len > bytes.len() {
        return Err(bad("it is cut short"));
    }
    Ok(bytes.split_to(len))
}

fn read_u32(bytes: &mut Bytes) -> io::Result<usize> {
    if bytes.len() < 4 {
        return Err(bad("it is cut short"));
    }
    Ok(bytes.get_u32_le() as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use openraft::entry::RaftPayload;

    #[test]
    fn commands_survive_the_round_trip() {
        let commands = Commands(vec![Bytes::from_static(b"one"), Bytes::new(), Bytes::from_static(b"three")]);
        let log_id = LogId::from(Position { term: 2, leader: 9.into(), index: 4 });
        let entry = RaftEntry { log_id, payload: EntryPayload::Normal(commands) };
        let decoded = decode(encode(&entry).unwrap()).unwrap();
        assert_eq!(decoded, entry);
        assert!(!decoded.is_blank());
    }

    #[test]
    fn a_count_beyond_the_bytes_is_refused() {
        let mut list = Bytes::from_static(&[0xff, 0xff, 0xff, 0x7f, 1, 2]);
        assert!(read_list(&mut list).is_err());
        let mut list = Bytes::from_static(&[1, 0, 0, 0, 9, 0, 0, 0, 1]);
        assert!(read_list(&mut list).is_err());
    }
}
