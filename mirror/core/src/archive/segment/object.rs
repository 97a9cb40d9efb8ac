use super::super::error::{ArchiveError, Defect, same};
use super::super::hash::ObjectHash;
use super::format::{ChunkEntry, SegmentIdentity, SegmentIndex, crc, parse_header};
use bytes::Bytes;
use model::{Offset, OffsetRange};
use record::Batches;

/// A whole segment object whose hash, header and index were checked.
#[derive(Clone, Debug)]
pub struct SegmentObject {
    name: String,
    bytes: Bytes,
    identity: SegmentIdentity,
    index: SegmentIndex,
}

impl SegmentObject {
    /// Opens the object called `name`.
    ///
    /// # Errors
    /// [`ArchiveError`] names the object and what is wrong with it.
    pub fn open(name: &str, bytes: Bytes) -> Result<Self, ArchiveError> {
        let index = SegmentIndex::open(name, bytes.len() as u64, &bytes)?;
        Self::check(name, bytes, index).map_err(|defect| defect.of(name))
    }

    fn check(name: &str, bytes: Bytes, index: SegmentIndex) -> Result<Self, Defect> {
        let identity = parse_header(&bytes)?;
        let hashed = bytes.len() - (32 + 8);
        let found = ObjectHash::of(&bytes[..hashed]);
        if found != index.hash {
            return Err(Defect::Hash { expected: index.hash, found });
        }
        let first = index.chunks().first().map_or(identity.first, |chunk| chunk.range.start);
        same("the first offset", identity.first, first)?;
        Ok(Self { name: name.to_owned(), bytes, identity, index })
    }

    /// Whose batches these are.
    pub const fn identity(&self) -> &SegmentIdentity {
        &self.identity
    }

    /// Its chunks.
    pub const fn index(&self) -> &SegmentIndex {
        &self.index
    }

    /// The offsets it covers.
    pub fn range(&self) -> OffsetRange {
        let end = self.index.chunks().last().map_or(self.identity.first, |chunk| chunk.range.end);
        OffsetRange::new(self.identity.first, end)
    }

    /// The batches of chunk `number`, checked one by one.
    ///
    /// # Errors
    /// [`ArchiveError`] when the chunk does not hold what the index says.
    ///
    /// # Panics
    /// When there is no chunk of that number.
    pub fn chunk(&self, number: usize) -> Result<Bytes, ArchiveError> {
        let entry = &self.index.chunks()[number];
        let start = entry.at as usize;
        debug_assert!(entry.at + u64::from(entry.stored_bytes) <= self.index.index_at());
        let chunk = self.bytes.slice(start..start + entry.stored_bytes as usize);
        check_chunk(number, entry, &chunk).map_err(|defect| defect.of(&self.name))?;
        Ok(chunk)
    }

    /// All chunks in order.
    pub fn chunks(&self) -> impl Iterator<Item = Result<Bytes, ArchiveError>> {
        (0..self.index.chunks().len()).map(|number| self.chunk(number))
    }
}

/// Checks the stored bytes of a chunk against what the index says of it.
fn check_chunk(number: usize, entry: &ChunkEntry, chunk: &[u8]) -> Result<(), Defect> {
    if crc(chunk) != entry.crc {
        return Err(Defect::Checksum { what: "a chunk", at: entry.at });
    }
    same("a chunk's bytes", entry.plain_bytes, chunk.len() as u32)?;
    let (mut tail, mut records) = (entry.range.start, 0);
    let mut batches = Batches::new(chunk);
    for batch in batches.by_ref() {
        let unsound = |error| Defect::Batch { chunk: number, error };
        let batch = batch.map_err(unsound)?;
        batch.verify().map_err(unsound)?;
        let may_overlap = number == 0 && tail == entry.range.start;
        check_order(tail, batch.base_offset, batch.next_offset(), may_overlap)?;
        tail = batch.next_offset();
        records += if batch.attributes.is_control() { 0 } else { batch.count as u32 };
    }
    same("bytes behind a chunk's last batch", 0, batches.rest().len())?;
    same("a chunk's end", entry.range.end, tail)?;
    same("a chunk's records", entry.records, records)
}

/// A batch comes behind the last one; the first of a log may begin below the log start.
fn check_order(tail: Offset, base: Offset, next: Offset, may_overlap: bool) -> Result<(), Defect> {
    let in_order = base >= tail || may_overlap && next > tail;
    if in_order { Ok(()) } else { Err(Defect::Order { tail, found: base }) }
}
