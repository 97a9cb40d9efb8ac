use super::failure::ArchiveFailure;
use super::patience::patiently;
use bytes::Bytes;
use env::{ObjectError, ObjectInfo, ObjectStore};
use mirror_core::archive::{Defect, NewObject, ObjectRef, limits::MANIFEST_BYTES_MAX};
use std::sync::Arc;

/// The object store, with patience.
#[derive(Clone)]
pub(super) struct Objects {
    store: Arc<dyn ObjectStore>,
}

impl Objects {
    pub(super) fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store }
    }

    /// Writes an object whose name carries its hash, unless it is there. An object that is there is known by its size;
    /// whoever reads it looks at its hash.
    pub(super) async fn put(&self, new: NewObject) -> Result<(), ArchiveFailure> {
        if self.is_there(&new.object).await? {
            return Ok(());
        }
        match self.put_new(&new).await {
            Err(ObjectError::Exists { .. }) => self.is_there(&new.object).await.map(drop),
            outcome => Ok(outcome?),
        }
    }

    /// Writes an object whose name says nothing about its content.
    pub(super) async fn put_new(&self, new: &NewObject) -> Result<(), ObjectError> {
        patiently(|| self.store.put_new(&new.object.key, new.body.clone())).await
    }

    async fn is_there(&self, object: &ObjectRef) -> Result<bool, ArchiveFailure> {
        match patiently(|| self.store.head(&object.key)).await {
            Ok(found) if found.size == object.bytes => Ok(true),
            Ok(found) => Err(Defect::Size { expected: object.bytes, found: found.size }.of(&object.key).into()),
            Err(ObjectError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads an object that `object` describes. Its hash is not looked at.
    pub(super) async fn read(&self, object: &ObjectRef) -> Result<Bytes, ArchiveFailure> {
        Ok(patiently(|| self.store.read(&object.key)).await?)
    }

    /// Reads a manifest or its like, once its size is known to be sound.
    pub(super) async fn read_small(&self, key: &str) -> Result<Bytes, ArchiveFailure> {
        let found = patiently(|| self.store.head(key)).await?.size;
        if found > MANIFEST_BYTES_MAX.0 {
            return Err(Defect::TooLarge { what: "it", found, limit: MANIFEST_BYTES_MAX.0 }.of(key).into());
        }
        Ok(patiently(|| self.store.read(key)).await?)
    }

    /// The same of an object that another one describes.
    pub(super) async fn read_checked(&self, object: &ObjectRef) -> Result<Bytes, ArchiveFailure> {
        let body = self.read_small(&object.key).await?;
        object.verify(&body)?;
        Ok(body)
    }

    /// What is there below `prefix`.
    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, ArchiveFailure> {
        Ok(patiently(|| self.store.list(prefix)).await?)
    }
}
