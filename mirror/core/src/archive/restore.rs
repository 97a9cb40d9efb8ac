use super::error::{ArchiveError, Defect, same};
use super::hash::{ContentHasher, ObjectHash};
use super::partition::{PartitionManifest, SegmentRef};
use super::segment::SegmentObject;
use crate::EpochList;
use bytes::Bytes;
use model::{Offset, OffsetRange};
use record::Batches;

/// Restores one partition: objects in, checked batches out. At its end the restored log is known to be byte-equal to
/// what was backed up.
#[derive(Clone, Debug)]
pub struct PartitionReader {
    name: String,
    manifest: PartitionManifest,
    next: usize,
    tail: Offset,
    records: u64,
    content: ContentHasher,
    epochs: EpochList,
}

/// A partition whose restore was checked to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoredPartition {
    /// The offsets.
    pub range: OffsetRange,
    /// Data records.
    pub records: u64,
    /// The hash over its batches.
    pub content_hash: ObjectHash,
    /// The leader epochs of its batches.
    pub epochs: EpochList,
    /// Offsets the backup declares missing.
    pub gaps: Vec<OffsetRange>,
}

impl PartitionReader {
    /// Restores what `manifest`, called `name`, lists.
    pub fn new(name: &str, manifest: PartitionManifest) -> Self {
        let tail = manifest.range.start;
        let (content, epochs) = (ContentHasher::default(), EpochList::default());
        Self { name: name.to_owned(), manifest, next: 0, tail, records: 0, content, epochs }
    }

    /// The segment to fetch next; `None` at the end.
    pub fn wanted(&self) -> Option<&SegmentRef> {
        self.manifest.segments.get(self.next)
    }

    /// Checks the object that was wanted and gives its batches, chunk by chunk, ready to be appended.
    ///
    /// # Errors
    /// [`ArchiveError`] names the object and what is wrong with it; nothing was taken then.
    ///
    /// # Panics
    /// When none was wanted.
    pub fn accept(&mut self, body: Bytes) -> Result<Vec<Bytes>, ArchiveError> {
        let wanted = self.manifest.segments[self.next].clone();
        wanted.object.verify(&body)?;
        let segment = SegmentObject::open(&wanted.object.key, body)?;
        self.check(&wanted, &segment).map_err(|defect| defect.of(&wanted.object.key))?;
        let chunks = segment.chunks().collect::<Result<Vec<_>, _>>()?;
        self.tail = wanted.range.start;
        chunks.iter().for_each(|chunk| self.take(chunk));
        self.next += 1;
        Ok(chunks)
    }

    fn check(&self, wanted: &SegmentRef, segment: &SegmentObject) -> Result<(), Defect> {
        same("its topic", self.manifest.topic_id, segment.identity().topic)?;
        same("its partition", self.manifest.partition, segment.identity().partition)?;
        same("its offsets", wanted.range, segment.range())
    }

    fn take(&mut self, chunk: &Bytes) {
        self.content.update(chunk);
        for batch in Batches::new(chunk).map_while(Result::ok) {
            self.epochs.note(batch.leader_epoch, self.tail.min(batch.base_offset), batch.base_offset);
            self.tail = batch.next_offset();
            self.records += if batch.attributes.is_control() { 0 } else { batch.count as u64 };
        }
    }

    /// Checks that what was restored is what was backed up.
    ///
    /// # Errors
    /// [`ArchiveError`] names the manifest and what differs.
    pub fn finish(self) -> Result<RestoredPartition, ArchiveError> {
        let found = self.content.hash();
        self.compare(found).map_err(|defect| defect.of(&self.name))?;
        let PartitionManifest { range, gaps, .. } = self.manifest;
        Ok(RestoredPartition { range, records: self.records, content_hash: found, epochs: self.epochs, gaps })
    }

    fn compare(&self, found: ObjectHash) -> Result<(), Defect> {
        same("the segments restored", self.manifest.segments.len(), self.next)?;
        same("the records restored", self.manifest.records, self.records)?;
        same("the hash of the batches", self.manifest.content_hash, found)?;
        same("the number of leader epochs", self.manifest.epochs.entries().len(), self.epochs.entries().len())?;
        same("the last leader epoch", self.manifest.last_epoch(), self.epochs.last_epoch())
    }
}
