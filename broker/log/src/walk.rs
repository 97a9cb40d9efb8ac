//! From batch to batch through a segment file, reading headers only.

use crate::{ReadError, files};
use record::{BatchError, HEADER_BYTES, Header};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

const CHUNK_BYTES_MIN: usize = 1 << 10;
const CHUNK_BYTES_MAX: usize = 64 << 10;

/// A batch in a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) header: Header,
    pub(crate) position: u64,
}

impl Found {
    /// The position behind the batch.
    pub(crate) fn end(&self) -> u64 {
        self.position + self.header.size_bytes as u64
    }
}

/// The batches of `[position, end)`. An error is the last item.
pub(crate) struct Walk<'a> {
    file: &'a File,
    path: &'a Path,
    position: u64,
    end: u64,
    chunk: Vec<u8>,
    chunk_at: u64,
    chunk_bytes: usize,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(file: &'a File, path: &'a Path, position: u64, end: u64) -> Self {
        Self { file, path, position, end, chunk: Vec::new(), chunk_at: position, chunk_bytes: CHUNK_BYTES_MIN }
    }

    fn header(&mut self) -> Result<Header, ReadError> {
        let here = self.chunk.get((self.position - self.chunk_at) as usize..);
        if here.is_none_or(|bytes| bytes.len() < HEADER_BYTES) {
            // Small batches: several headers came with one read, so read more at once.
            let dense = self.position - self.chunk_at < self.chunk_bytes as u64 && !self.chunk.is_empty();
            self.chunk_bytes = if dense { CHUNK_BYTES_MAX.min(self.chunk_bytes * 2) } else { CHUNK_BYTES_MIN };
            self.fill()?;
        }
        let here = &self.chunk[(self.position - self.chunk_at) as usize..];
        let header = Header::parse(here).map_err(|error| self.damaged(error))?;
        let available = self.end - self.position;
        if header.size_bytes as u64 > available {
            let available = available as usize;
            return Err(self.damaged(BatchError::Truncated { needed: header.size_bytes, available }));
        }
        Ok(header)
    }

    fn fill(&mut self) -> Result<(), ReadError> {
        let wanted = (self.end - self.position).min(self.chunk_bytes as u64) as usize;
        self.chunk.resize(wanted, 0);
        self.chunk_at = self.position;
        self.file.read_exact_at(&mut self.chunk, self.position).map_err(files::failed("read", self.path))?;
        Ok(())
    }

    fn damaged(&self, error: BatchError) -> ReadError {
        ReadError::Damaged { path: self.path.to_owned(), position: self.position, error }
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<Found, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.position >= self.end {
            return None;
        }
        match self.header() {
            Ok(header) => {
                let found = Found { header, position: self.position };
                self.position = found.end();
                Some(Ok(found))
            }
            Err(error) => {
                self.position = self.end;
                Some(Err(error))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Offset;
    use record::BatchBuilder;

    #[test]
    fn every_batch_is_found_whatever_its_size() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let mut bytes = Vec::new();
        let sizes = [10, 10, 10, 5000, 20, 200_000, 30, 900, 960, 970, 1, 1];
        for (n, size) in sizes.into_iter().chain(std::iter::repeat_n(7, 3000)).enumerate() {
            let builder = BatchBuilder::new().base_offset(Offset(n as i64));
            bytes.extend(builder.record(1, None, Some(&vec![0; size]), &[]).build());
        }
        std::fs::write(&path, &bytes).unwrap();
        let file = File::open(&path).unwrap();
        let found: Vec<_> = Walk::new(&file, &path, 0, bytes.len() as u64).map(Result::unwrap).collect();
        assert_eq!(found.len(), 3012);
        assert!(found.iter().enumerate().all(|(n, f)| f.header.base_offset == Offset(n as i64)));
        assert_eq!(found.last().unwrap().end(), bytes.len() as u64);
        let mut cut = Walk::new(&file, &path, 0, bytes.len() as u64 - 1);
        assert!(cut.by_ref().last().unwrap().is_err());
        assert!(cut.next().is_none());
    }
}
