use super::super::error::Defect;
use super::super::hash::ObjectHash;
use super::super::limits::{CHUNK_FULL_MAX, CHUNKS_MAX, SEGMENT_FULL_MAX};
use super::format::{ChunkEntry, SegmentIdentity, crc, header, index, trailer_head, trailer_tail};
use model::{ByteCount, Offset, OffsetRange, Timestamp};
use record::BatchView;
use sha2::{Digest, Sha256};

/// What a finished segment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentSummary {
    /// The hash of the whole object.
    pub hash: ObjectHash,
    /// Its size.
    pub bytes: u64,
    /// The offsets it covers.
    pub range: OffsetRange,
    /// Data records in it.
    pub records: u64,
    /// Bytes of its batches.
    pub batch_bytes: u64,
    /// The smallest time a batch begins with; [`Timestamp::NONE`] without batches.
    pub first_time: Timestamp,
    /// The largest time; [`Timestamp::NONE`] without batches.
    pub last_time: Timestamp,
}

/// Makes a segment object: batches in, bytes out.
#[derive(Clone, Debug)]
pub struct SegmentWriter {
    identity: SegmentIdentity,
    chunk_bytes: usize,
    /// Bytes of the object that were not taken yet.
    out: Vec<u8>,
    /// How many bytes of the object there are, taken or not.
    at: u64,
    hasher: Sha256,
    entries: Vec<ChunkEntry>,
    chunk: Vec<u8>,
    open: Option<ChunkEntry>,
    tail: Offset,
}

impl SegmentWriter {
    /// A segment that begins at `identity.first`; chunks are closed at `chunk_bytes`, 4 MiB at most.
    pub fn new(identity: SegmentIdentity, chunk_bytes: ByteCount) -> Self {
        let mut writer = Self {
            identity,
            chunk_bytes: chunk_bytes.min(CHUNK_FULL_MAX).0 as usize,
            out: Vec::new(),
            at: 0,
            hasher: Sha256::new(),
            entries: Vec::new(),
            chunk: Vec::new(),
            open: None,
            tail: identity.first,
        };
        writer.put(&header(&identity));
        writer
    }

    fn put(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.out.extend_from_slice(bytes);
        self.at += bytes.len() as u64;
    }

    /// The offset behind the last batch.
    pub const fn tail(&self) -> Offset {
        self.tail
    }

    /// How many bytes the object has so far.
    pub const fn bytes(&self) -> u64 {
        self.at + self.chunk.len() as u64
    }

    /// Whether it has come to `segment_bytes`, or to what a reader takes.
    pub fn is_full(&self, segment_bytes: ByteCount) -> bool {
        self.bytes() >= segment_bytes.min(SEGMENT_FULL_MAX).0 || self.entries.len() >= CHUNKS_MAX
    }

    /// Adds a batch, as it stands in the log. The first may begin below the segment's first offset.
    ///
    /// # Errors
    /// [`Defect`] for a damaged batch or one that does not come behind the last.
    pub fn push(&mut self, batch: &BatchView<'_>) -> Result<(), Defect> {
        batch.verify().map_err(|error| Defect::Batch { chunk: self.entries.len(), error })?;
        let is_first = self.open.is_none() && self.entries.is_empty();
        let in_order = batch.base_offset >= self.tail || is_first && batch.next_offset() > self.tail;
        if !in_order {
            return Err(Defect::Order { tail: self.tail, found: batch.base_offset });
        }
        let entry = self.open.unwrap_or_else(|| self.fresh(batch.base_timestamp));
        self.open = Some(extended(entry, batch));
        self.tail = batch.next_offset();
        self.chunk.extend_from_slice(batch.bytes());
        if self.chunk.len() >= self.chunk_bytes {
            self.close_chunk();
        }
        Ok(())
    }

    fn fresh(&self, first_time: Timestamp) -> ChunkEntry {
        ChunkEntry {
            at: self.at,
            stored_bytes: 0,
            plain_bytes: 0,
            range: OffsetRange::new(self.tail, self.tail),
            first_time,
            last_time: Timestamp::NONE,
            records: 0,
            crc: 0,
            transactional: false,
            control: false,
        }
    }

    fn close_chunk(&mut self) {
        let Some(entry) = self.open.take() else { return };
        let chunk = std::mem::take(&mut self.chunk);
        self.entries.push(ChunkEntry { stored_bytes: chunk.len() as u32, crc: crc(&chunk), ..entry });
        self.put(&chunk);
    }

    /// The bytes of the object that are ready and were not taken yet.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// Closes the segment: the bytes not yet taken, and what it holds.
    pub fn finish(mut self) -> (Vec<u8>, SegmentSummary) {
        self.close_chunk();
        let index_at = self.at;
        let index = index(&self.entries);
        self.put(&index);
        self.put(&trailer_head(index_at, &index));
        let before = ObjectHash::finish(self.hasher.clone());
        self.put(&trailer_tail(before));
        let times = || self.entries.iter();
        let summary = SegmentSummary {
            hash: ObjectHash::finish(self.hasher.clone()),
            bytes: self.at,
            range: OffsetRange::new(self.identity.first, self.tail),
            records: self.entries.iter().map(|entry| u64::from(entry.records)).sum(),
            batch_bytes: self.entries.iter().map(|entry| u64::from(entry.plain_bytes)).sum(),
            first_time: times().map(|entry| entry.first_time).min().unwrap_or(Timestamp::NONE),
            last_time: times().map(|entry| entry.last_time).max().unwrap_or(Timestamp::NONE),
        };
        (self.out, summary)
    }
}

fn extended(entry: ChunkEntry, batch: &BatchView<'_>) -> ChunkEntry {
    let control = batch.attributes.is_control();
    ChunkEntry {
        plain_bytes: entry.plain_bytes + batch.size_bytes as u32,
        range: OffsetRange::new(entry.range.start, batch.next_offset()),
        first_time: entry.first_time.min(batch.base_timestamp),
        last_time: entry.last_time.max(batch.max_timestamp),
        records: entry.records + if control { 0 } else { batch.count as u32 },
        transactional: entry.transactional || batch.attributes.is_transactional(),
        control: entry.control || control,
        ..entry
    }
}
