use super::super::error::{ArchiveError, Defect, same};
use super::super::hash::ObjectHash;
use super::super::limits::{CHUNK_BYTES_MAX, INDEX_BYTES_MAX, SEGMENT_BYTES_MAX};
use crc_fast::{CrcAlgorithm, checksum};
use model::{Offset, OffsetRange, PartitionId, Timestamp, TopicId};

const HEAD: &[u8; 8] = b"FARSHSEG";
const TAIL: &[u8; 8] = b"GESHSRAF";
const VERSION: u16 = 1;
pub(super) const HEADER_BYTES: usize = 44;
pub(super) const TRAILER_BYTES: usize = 56;
const ENTRY_BYTES: usize = 50;

/// Whose batches a segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentIdentity {
    /// The topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: PartitionId,
    /// The first offset it covers.
    pub first: Offset,
}

/// What the index says of one chunk. Bytes on disk: stored u32, plain u32, start i64, end i64, first time i64, last time
/// i64, records u32, crc32c of the stored bytes u32, codec u8, flags u8 (1: transactional, 2: control batches).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkEntry {
    /// Where it begins in the object; not stored, but the sum of those before.
    pub at: u64,
    /// Bytes as stored.
    pub stored_bytes: u32,
    /// Bytes of its batches.
    pub plain_bytes: u32,
    /// The offsets it covers, from the end of the chunk before.
    pub range: OffsetRange,
    /// The smallest time a batch begins with.
    pub first_time: Timestamp,
    /// The largest time in it.
    pub last_time: Timestamp,
    /// Data records.
    pub records: u32,
    /// The CRC-32C of its stored bytes.
    pub crc: u32,
    /// Whether batches of transactions are in it.
    pub transactional: bool,
    /// Whether control batches are in it.
    pub control: bool,
}

pub(super) fn crc(bytes: &[u8]) -> u32 {
    checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

pub(super) fn header(identity: &SegmentIdentity) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES);
    out.extend(HEAD);
    out.extend(VERSION.to_be_bytes());
    out.extend([0, 0]);
    out.extend(identity.partition.0.to_be_bytes());
    out.extend(identity.topic.0.as_bytes());
    out.extend(identity.first.0.to_be_bytes());
    out.extend(crc(&out).to_be_bytes());
    out
}

/// Reads the header of `object` back.
pub(super) fn parse_header(bytes: &[u8]) -> Result<SegmentIdentity, Defect> {
    let mut fields = Fields(bytes.get(..HEADER_BYTES).ok_or(Defect::Kind("segment"))?);
    if fields.take::<8>() != *HEAD {
        return Err(Defect::Kind("segment"));
    }
    let version = u16::from_be_bytes(fields.take());
    if version != VERSION {
        return Err(Defect::Format { found: version.into(), newest: VERSION.into() });
    }
    let _reserved: [u8; 2] = fields.take();
    let identity = SegmentIdentity {
        partition: PartitionId(i32::from_be_bytes(fields.take())),
        topic: TopicId(uuid::Uuid::from_bytes(fields.take())),
        first: Offset(i64::from_be_bytes(fields.take())),
    };
    let sound = crc(&bytes[..HEADER_BYTES - 4]) == u32::from_be_bytes(fields.take());
    if sound { Ok(identity) } else { Err(Defect::Checksum { what: "the header", at: 0 }) }
}

pub(super) fn index(entries: &[ChunkEntry]) -> Vec<u8> {
    let mut out = Vec::with_capacity(4 + entries.len() * ENTRY_BYTES);
    out.extend((entries.len() as u32).to_be_bytes());
    for entry in entries {
        out.extend(entry.stored_bytes.to_be_bytes());
        out.extend(entry.plain_bytes.to_be_bytes());
        out.extend(entry.range.start.0.to_be_bytes());
        out.extend(entry.range.end.0.to_be_bytes());
        out.extend(entry.first_time.0.to_be_bytes());
        out.extend(entry.last_time.0.to_be_bytes());
        out.extend(entry.records.to_be_bytes());
        out.extend(entry.crc.to_be_bytes());
        out.extend([0, u8::from(entry.transactional) | u8::from(entry.control) << 1]);
    }
    out
}

/// The trailer without its hash, which covers everything up to it.
pub(super) fn trailer_head(index_at: u64, index: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(TRAILER_BYTES);
    out.extend(index_at.to_be_bytes());
    out.extend((index.len() as u32).to_be_bytes());
    out.extend(crc(index).to_be_bytes());
    out
}

pub(super) fn trailer_tail(hash: ObjectHash) -> Vec<u8> {
    [&hash.bytes()[..], TAIL].concat()
}

/// Where the chunks of a segment object are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentIndex {
    chunks: Vec<ChunkEntry>,
    index_at: u64,
    pub(super) hash: ObjectHash,
}

impl SegmentIndex {
    /// How many bytes at the end of an object say where its index is.
    pub const TRAILER_BYTES: u64 = TRAILER_BYTES as u64;

    /// Where the index of `object` with `bytes` bytes begins, from its last [`Self::TRAILER_BYTES`] bytes.
    ///
    /// # Errors
    /// [`ArchiveError`] when they are no trailer.
    pub fn locate(object: &str, bytes: u64, trailer: &[u8]) -> Result<u64, ArchiveError> {
        parse_trailer(bytes, trailer).map(|trailer| trailer.index_at).map_err(|defect| defect.of(object))
    }

    /// The index of `object` with `bytes` bytes, from its last bytes: at least from where [`Self::locate`] says.
    ///
    /// # Errors
    /// [`ArchiveError`] when they are damaged or no segment's.
    pub fn open(object: &str, bytes: u64, tail: &[u8]) -> Result<Self, ArchiveError> {
        parse_tail(bytes, tail).map_err(|defect| defect.of(object))
    }

    /// The chunks in the order of their offsets.
    pub fn chunks(&self) -> &[ChunkEntry] {
        &self.chunks
    }

    /// The chunks that hold records at or after `from`.
    pub fn chunks_from(&self, from: Offset) -> &[ChunkEntry] {
        &self.chunks[self.chunks.partition_point(|chunk| chunk.range.end <= from)..]
    }

    pub(super) const fn index_at(&self) -> u64 {
        self.index_at
    }
}

struct Trailer {
    index_at: u64,
    index_bytes: usize,
    index_crc: u32,
    hash: ObjectHash,
}

fn parse_trailer(object_bytes: u64, tail: &[u8]) -> Result<Trailer, Defect> {
    if object_bytes > SEGMENT_BYTES_MAX.0 {
        return Err(Defect::TooLarge { what: "it", found: object_bytes, limit: SEGMENT_BYTES_MAX.0 });
    }
    let bytes = tail.last_chunk::<TRAILER_BYTES>().ok_or(Defect::Kind("segment"))?;
    let mut fields = Fields(bytes);
    let trailer = Trailer {
        index_at: u64::from_be_bytes(fields.take()),
        index_bytes: u32::from_be_bytes(fields.take()) as usize,
        index_crc: u32::from_be_bytes(fields.take()),
        hash: ObjectHash::from_bytes(fields.take()),
    };
    if fields.take::<8>() != *TAIL {
        return Err(Defect::Kind("segment"));
    }
    let found = trailer.index_bytes as u64;
    if found > INDEX_BYTES_MAX.0 {
        return Err(Defect::TooLarge { what: "its index", found, limit: INDEX_BYTES_MAX.0 });
    }
    let end = trailer.index_at.checked_add(found + TRAILER_BYTES as u64);
    same("where the index ends", object_bytes, end.unwrap_or(u64::MAX))?;
    Ok(trailer)
}

fn parse_tail(object_bytes: u64, tail: &[u8]) -> Result<SegmentIndex, Defect> {
    let trailer = parse_trailer(object_bytes, tail)?;
    let from_end = trailer.index_bytes + TRAILER_BYTES;
    let start = tail.len().checked_sub(from_end).ok_or(Defect::Kind("whole index"))?;
    let index = &tail[start..start + trailer.index_bytes];
    if crc(index) != trailer.index_crc {
        return Err(Defect::Checksum { what: "the index", at: trailer.index_at });
    }
    let chunks = parse_index(index, trailer.index_at)?;
    Ok(SegmentIndex { chunks, index_at: trailer.index_at, hash: trailer.hash })
}

fn parse_index(index: &[u8], index_at: u64) -> Result<Vec<ChunkEntry>, Defect> {
    let (count, entries) = index.split_first_chunk::<4>().ok_or(Defect::Kind("segment"))?;
    let count = u32::from_be_bytes(*count) as usize;
    same("the length of the index", count.saturating_mul(ENTRY_BYTES), entries.len())?;
    let mut at = HEADER_BYTES as u64;
    let mut chunks: Vec<ChunkEntry> = Vec::with_capacity(count);
    for entry in entries.chunks_exact(ENTRY_BYTES) {
        let chunk = parse_entry(entry, at)?;
        let tail = chunks.last().map_or(chunk.range.start, |last| last.range.end);
        if chunk.range.start != tail || chunk.range.is_empty() {
            return Err(Defect::Order { tail, found: chunk.range.start });
        }
        at += u64::from(chunk.stored_bytes);
        chunks.push(chunk);
    }
    same("where the chunks end", index_at, at)?;
    Ok(chunks)
}

fn parse_entry(entry: &[u8], at: u64) -> Result<ChunkEntry, Defect> {
    let mut fields = Fields(entry);
    let (stored_bytes, plain_bytes) = (u32::from_be_bytes(fields.take()), u32::from_be_bytes(fields.take()));
    let range = OffsetRange::new(Offset(i64::from_be_bytes(fields.take())), Offset(i64::from_be_bytes(fields.take())));
    let first_time = Timestamp(i64::from_be_bytes(fields.take()));
    let last_time = Timestamp(i64::from_be_bytes(fields.take()));
    let (records, crc) = (u32::from_be_bytes(fields.take()), u32::from_be_bytes(fields.take()));
    let [codec, flags] = fields.take();
    if codec != 0 {
        return Err(Defect::Mismatch { what: "a chunk's codec", expected: "0".into(), found: codec.to_string() });
    }
    let largest = u64::from(stored_bytes.max(plain_bytes));
    if largest > CHUNK_BYTES_MAX.0 {
        return Err(Defect::TooLarge { what: "a chunk", found: largest, limit: CHUNK_BYTES_MAX.0 });
    }
    let (transactional, control) = (flags & 1 != 0, flags & 2 != 0);
    Ok(ChunkEntry { at, stored_bytes, plain_bytes, range, first_time, last_time, records, crc, transactional, control })
}

/// Fields one after the other; whoever makes one has checked that they are all there.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let (field, rest) = self.0.split_first_chunk().expect("the length was checked");
        self.0 = rest;
        *field
    }
}
