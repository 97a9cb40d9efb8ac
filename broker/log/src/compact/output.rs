//! One cleaned segment on its way to the disk, under names that mean nothing yet.

use super::swap::CLEANED;
use crate::segment::Segment;
use crate::tail::Tail;
use crate::{Config, FileError, ReadError, files};
use model::Offset;
use record::{BatchView, Header};
use std::io::IoSlice;
use std::path::Path;
use std::sync::Arc;

/// How much is written at once.
const BUFFER_BYTES: usize = 1 << 20;

pub(super) struct Output {
    tail: Tail,
    config: Config,
    /// Batches that are not written yet, and their headers.
    pending: Vec<u8>,
    headers: Vec<Header>,
}

impl Output {
    pub(super) fn create(dir: &Path, base: Offset, config: &Config) -> Result<Self, FileError> {
        let segment = Segment::create_beside(dir, base, config, CLEANED)?;
        let (pending, headers) = (Vec::new(), Vec::new());
        Ok(Self { tail: Tail::of_empty(Arc::new(segment)), config: config.clone(), pending, headers })
    }

    pub(super) fn append(&mut self, batch: &[u8]) -> Result<(), ReadError> {
        self.headers.push(*BatchView::parse(batch).expect("a batch that was checked or made here").header());
        self.pending.extend_from_slice(batch);
        if self.pending.len() >= BUFFER_BYTES { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), ReadError> {
        let segment = &self.tail.segment;
        let written = segment.write(&mut [IoSlice::new(&self.pending)]);
        written.map_err(files::failed("write", &segment.path))?;
        self.headers.iter().for_each(|header| self.tail.note(header, &self.config));
        self.pending.clear();
        self.headers.clear();
        Ok(())
    }

    /// Makes it durable, with the aborted transactions of `from` whose markers it still has. Gives its bytes.
    pub(super) fn finish(mut self, from: &[Arc<Segment>]) -> Result<u64, ReadError> {
        self.write()?;
        let segment = &self.tail.segment;
        let mut aborted = Vec::new();
        from.iter().for_each(|segment| _ = segment.txns.collect(Offset::ZERO, Offset(i64::MAX), &mut aborted));
        for transaction in aborted {
            if self.has_batch_at(transaction.last_offset)? {
                segment.txns.push(transaction);
            }
        }
        segment.trim()?;
        // There even when it is empty, so that the swap has one file of each kind to put in place.
        files::open(segment.txns.path())?;
        segment.sync_all()?;
        Ok(segment.size())
    }

    fn has_batch_at(&self, offset: Offset) -> Result<bool, ReadError> {
        let segment = &self.tail.segment;
        let found = crate::reader::first_batch(segment, offset, segment.size())?;
        Ok(found.is_some_and(|found| found.header.base_offset == offset))
    }
}
