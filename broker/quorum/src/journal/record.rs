//! One record of a segment, as bytes.
//!
//! ```text
//! len u32 | crc32c u32 | durable u32 | body: kind u8, ...
//! ```
//!
//! Numbers are little-endian. `len` counts the body; the checksum covers `len`, `durable` and the body. `durable` is how
//! much of this segment was on stable storage when the record was written: whatever lies below it cannot be a torn
//! write, so damage there is corruption and is never cut off in silence.

use crate::{NodeId, Position};
use bytes::{Buf, BufMut, Bytes};

/// The largest body of a record.
pub(crate) const BODY_BYTES_MAX: usize = 24 << 20;
const HEADER_BYTES: usize = 12;
const POSITION_BYTES: usize = 24;

/// What a segment is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// The first record of each segment: the position before its first entry.
    Start { previous: Option<Position> },
    /// A log entry.
    Entry { position: Position, body: Bytes },
    /// Everything up to here is known to be committed; a hint.
    Committed(Position),
    /// Everything up to here is in a snapshot and may be gone.
    Purged(Position),
}

const FORMAT: u8 = 1;
const START: u8 = 1;
const ENTRY: u8 = 2;
const COMMITTED: u8 = 3;
const PURGED: u8 = 4;

/// A record found in a segment, and where.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) record: Record,
    /// Where an entry's own bytes begin.
    pub(crate) body_start: usize,
}

/// What a segment's bytes hold.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) found: Vec<Found>,
    /// Where the last whole record ends.
    pub(crate) tail: usize,
    /// Where bytes are damaged that had been durable.
    pub(crate) corrupt_at: Option<usize>,
}

impl Record {
    /// Appends the record to `out`; returns where in `out` an entry's own bytes begin.
    pub(crate) fn encode(&self, durable: u32, out: &mut Vec<u8>) -> usize {
        let start = out.len();
        out.put_bytes(0, HEADER_BYTES);
        let body_start = self.encode_body(out);
        let len = (out.len() - start - HEADER_BYTES) as u32;
        out[start..start + 4].copy_from_slice(&len.to_le_bytes());
        out[start + 8..start + 12].copy_from_slice(&durable.to_le_bytes());
        let crc = checksum(&out[start..]);
        out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
        body_start
    }

    fn encode_body(&self, out: &mut Vec<u8>) -> usize {
        match self {
            Self::Start { previous } => {
                out.put_slice(&[START, FORMAT, u8::from(previous.is_some())]);
                put_position(out, previous.unwrap_or_default());
            }
            Self::Entry { position, body } => {
                out.put_u8(ENTRY);
                put_position(out, *position);
                out.put_slice(body);
                return out.len() - body.len();
            }
            Self::Committed(position) => {
                out.put_u8(COMMITTED);
                put_position(out, *position);
            }
            Self::Purged(position) => {
                out.put_u8(PURGED);
                put_position(out, *position);
            }
        }
        out.len()
    }

    fn decode(mut body: Bytes) -> Option<Self> {
        if body.is_empty() {
            return None;
        }
        match body.get_u8() {
            START if body.len() == 2 + POSITION_BYTES && body.get_u8() == FORMAT => {
                let present = body.get_u8() == 1;
                Some(Self::Start { previous: read_position(&mut body).filter(|_| present) })
            }
            ENTRY => Some(Self::Entry { position: read_position(&mut body)?, body }),
            COMMITTED => Some(Self::Committed(read_position(&mut body)?)),
            PURGED => Some(Self::Purged(read_position(&mut body)?)),
            _ => None,
        }
    }
}

/// The checksum of a record: everything but the checksum itself.
fn checksum(record: &[u8]) -> u32 {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    digest.update(&record[..4]);
    digest.update(&record[8..]);
    digest.finalize() as u32
}

fn put_position(out: &mut Vec<u8>, position: Position) {
    out.put_u64_le(position.term);
    out.put_u64_le(position.leader.into());
    out.put_u64_le(position.index);
}

fn read_position(body: &mut Bytes) -> Option<Position> {
    if body.len() < POSITION_BYTES {
        return None;
    }
    let (term, leader, index) = (body.get_u64_le(), body.get_u64_le(), body.get_u64_le());
    Some(Position { term, leader: NodeId::from(leader), index })
}

/// Reads all whole records from the start of `bytes`.
pub(crate) fn scan(bytes: &Bytes) -> Scan {
    let mut scan = Scan { found: Vec::new(), tail: 0, corrupt_at: None };
    while let Some((record, _, end)) = record_at(bytes, scan.tail) {
        let body_start = match &record {
            Record::Entry { body, .. } => end - body.len(),
            _ => end,
        };
        scan.found.push(Found { record, body_start });
        scan.tail = end;
    }
    scan.corrupt_at = later_proof(bytes, scan.tail).then_some(scan.tail);
    scan
}

/// Whether a whole record after `damage` says that the bytes at `damage` had been durable.
fn later_proof(bytes: &Bytes, damage: usize) -> bool {
    (damage + 1..bytes.len().saturating_sub(HEADER_BYTES))
        .any(|start| record_at(bytes, start).is_some_and(|(_, durable, _)| durable as usize > damage))
}

/// The whole record that begins at `start`, what it knew to be durable, and where it ends.
fn record_at(bytes: &Bytes, start: usize) -> Option<(Record, u32, usize)> {
    let header = bytes.get(start..start + HEADER_BYTES)?;
    let word = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let (len, crc, durable) = (word(0) as usize, word(4), word(8));
    if len == 0 || len > BODY_BYTES_MAX {
        return None;
    }
    let end = start + HEADER_BYTES + len;
    if checksum(bytes.get(start..end)?) != crc {
        return None;
    }
    Some((Record::decode(bytes.slice(start + HEADER_BYTES..end))?, durable, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(index: u64) -> Position {
        Position { term: 3, leader: NodeId::from(65537), index }
    }

    fn records() -> Vec<Record> {
        vec![
            Record::Start { previous: None },
            Record::Start { previous: Some(position(6)) },
            Record::Entry { position: position(7), body: Bytes::from_static(b"seven") },
            Record::Committed(position(7)),
            Record::Purged(position(5)),
        ]
    }

    #[test]
    fn records_survive_the_round_trip() {
        let mut bytes = Vec::new();
        for record in records() {
            record.encode(0, &mut bytes);
        }
        let scan = scan(&bytes.clone().into());
        let found: Vec<_> = scan.found.into_iter().map(|found| found.record).collect();
        assert_eq!((found, scan.tail, scan.corrupt_at), (records(), bytes.len(), None));
    }

    #[test]
    fn the_bytes_of_a_record_are_pinned() {
        let mut bytes = Vec::new();
        Record::Entry { position: position(7), body: Bytes::from_static(b"x") }.encode(9, &mut bytes);
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let body = "02030000000000000001000100000000000700000000000000";
        assert_eq!(text[..8], *"1a000000");
        assert_eq!(text[16..], format!("09000000{body}78"));
        assert_eq!(text[8..16], *"3768a4be");
    }

    #[test]
    fn a_flipped_bit_below_the_durable_mark_is_corruption() {
        let mut bytes = Vec::new();
        Record::Entry { position: position(1), body: Bytes::from_static(b"one") }.encode(0, &mut bytes);
        let durable = bytes.len();
        Record::Entry { position: position(2), body: Bytes::from_static(b"two") }.encode(durable as u32, &mut bytes);
        bytes[20] ^= 1;
        assert_eq!(scan(&bytes.into()).corrupt_at, Some(0));
    }

    #[test]
    fn a_hole_in_a_write_that_was_never_flushed_is_only_torn() {
        let mut bytes = Vec::new();
        Record::Entry { position: position(1), body: Bytes::from_static(b"one") }.encode(0, &mut bytes);
        Record::Entry { position: position(2), body: Bytes::from_static(b"two") }.encode(0, &mut bytes);
        bytes[20] ^= 1;
        let scan = scan(&bytes.into());
        assert_eq!((scan.tail, scan.corrupt_at), (0, None));
    }
}
