//! Objects that arrive in parts. Nothing of an upload survives the server: a client begins again.

use super::backend::{Backend, BackendError, Info, WriteMode};
use super::key::ObjectPath;
use super::staged::Staged;
use crate::limits::{OBJECT_BYTES_MAX, UPLOADS_MAX};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

/// The uploads that are under way.
#[derive(Debug, Default)]
pub(crate) struct Uploads(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    serial: u64,
    uploads: BTreeMap<String, Upload>,
}

#[derive(Debug)]
struct Upload {
    bucket: String,
    key: String,
    parts: BTreeMap<i32, Arc<Part>>,
}

#[derive(Debug)]
struct Part {
    staged: Staged,
    bytes: u64,
    etag: String,
}

/// Why an upload in parts does not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    #[error("there is no such upload; it ended, or the server was started again")]
    Unknown,
    #[error("{UPLOADS_MAX} uploads are under way already")]
    TooMany,
    #[error("part {0} was not uploaded, is not the one named, or the parts are out of order")]
    Part(i32),
    #[error("no part is named")]
    Empty,
    #[error("the parts add up to more than {OBJECT_BYTES_MAX} bytes")]
    TooLarge,
    #[error(transparent)]
    Backend(#[from] BackendError),
}

impl Uploads {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().expect("no holder of this lock panics")
    }

    /// Begins an upload and names it.
    pub(crate) fn begin(&self, bucket: &str, key: &str) -> Result<String, UploadError> {
        let mut table = self.table();
        if table.uploads.len() == UPLOADS_MAX {
            return Err(UploadError::TooMany);
        }
        table.serial += 1;
        let id = format!("upload-{}", table.serial);
        let upload = Upload { bucket: bucket.to_owned(), key: key.to_owned(), parts: BTreeMap::new() };
        table.uploads.insert(id.clone(), upload);
        Ok(id)
    }

    /// Takes a part that has arrived, in place of an earlier one of that number, and returns its tag.
    pub(crate) fn add(
        &self,
        id: &str,
        bucket: &str,
        key: &str,
        number: i32,
        staged: Staged,
    ) -> Result<String, UploadError> {
        let bytes = staged.path().metadata().map_err(BackendError::from)?.len();
        let mut table = self.table();
        table.serial += 1;
        let etag = format!("part-{}", table.serial);
        let upload =
            table.uploads.get_mut(id).filter(|upload| upload.is_of(bucket, key)).ok_or(UploadError::Unknown)?;
        upload.parts.insert(number, Arc::new(Part { staged, bytes, etag: etag.clone() }));
        Ok(etag)
    }

    /// Ends an upload without an object.
    pub(crate) fn abort(&self, id: &str, bucket: &str, key: &str) -> Result<(), UploadError> {
        let mut table = self.table();
        table.uploads.get(id).filter(|upload| upload.is_of(bucket, key)).ok_or(UploadError::Unknown)?;
        table.uploads.remove(id);
        Ok(())
    }

    /// Makes the named parts one object and ends the upload.
    pub(crate) fn complete(&self, backend: &Backend, done: &Completion<'_>) -> Result<Info, UploadError> {
        let parts = self.chosen(done)?;
        if parts.iter().map(|part| part.bytes).sum::<u64>() > OBJECT_BYTES_MAX {
            return Err(UploadError::TooLarge);
        }
        let whole = Staged::fill(backend, |file| parts.iter().try_for_each(|part| append(file, part)));
        let info = backend.publish(&whole.map_err(BackendError::from)?, done.bucket, done.path, done.mode)?;
        self.table().uploads.remove(done.id);
        Ok(info)
    }

    fn chosen(&self, done: &Completion<'_>) -> Result<Vec<Arc<Part>>, UploadError> {
        let table = self.table();
        let upload = table.uploads.get(done.id).filter(|upload| upload.is_of(done.bucket, done.key));
        let upload = upload.ok_or(UploadError::Unknown)?;
        if done.parts.is_empty() {
            return Err(UploadError::Empty);
        }
        if let Some(pair) = done.parts.windows(2).find(|pair| pair[0].0 >= pair[1].0) {
            return Err(UploadError::Part(pair[1].0));
        }
        let chosen = done.parts.iter().map(|(number, etag)| {
            let part = upload.parts.get(number).filter(|part| part.etag == *etag);
            part.cloned().ok_or(UploadError::Part(*number))
        });
        chosen.collect()
    }
}

impl Upload {
    fn is_of(&self, bucket: &str, key: &str) -> bool {
        self.bucket == bucket && self.key == key
    }
}

/// What is to become an object.
#[derive(Debug)]
pub(crate) struct Completion<'a> {
    pub id: &'a str,
    pub bucket: &'a str,
    pub key: &'a str,
    pub path: &'a ObjectPath,
    pub mode: WriteMode,
    /// Number and tag of each part, in order.
    pub parts: Vec<(i32, String)>,
}

fn append(whole: &mut File, part: &Part) -> io::Result<()> {
    let copied = io::copy(&mut File::open(part.staged.path())?, whole)?;
    if copied == part.bytes { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}
