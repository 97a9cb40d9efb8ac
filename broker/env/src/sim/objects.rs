use crate::{ObjectError, ObjectInfo, ObjectStore, PortFuture};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::future::ready;
use std::sync::{Mutex, MutexGuard};

/// A store of objects that lives as long as the test.
#[derive(Debug, Default)]
pub struct MemoryObjects(Mutex<BTreeMap<String, Bytes>>);

impl MemoryObjects {
    /// Puts `body` where `key` is, whatever was there: what a disk or an intruder may do, but no caller of the port.
    pub fn corrupt(&self, key: &str, body: Bytes) {
        self.objects().insert(key.to_owned(), body);
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<String, Bytes>> {
        self.0.lock().expect("no holder of this lock panics")
    }

    fn find(&self, key: &str) -> Result<Bytes, ObjectError> {
        self.objects().get(key).cloned().ok_or_else(|| ObjectError::NotFound { key: key.to_owned() })
    }

    fn put(&self, key: &str, body: Bytes) -> Result<(), ObjectError> {
        match self.objects().entry(key.to_owned()) {
            Entry::Occupied(_) => Err(ObjectError::Exists { key: key.to_owned() }),
            Entry::Vacant(place) => {
                place.insert(body);
                Ok(())
            }
        }
    }

    fn range(&self, key: &str, start: u64, len: u64) -> Result<Bytes, ObjectError> {
        let body = self.find(key)?;
        let end = start.checked_add(len).filter(|end| *end <= body.len() as u64);
        end.map(|end| body.slice(start as usize..end as usize)).ok_or_else(|| ObjectError::Refused {
            what: "read",
            key: key.to_owned(),
            reason: format!("bytes {start} to {start} + {len} are not within its {} bytes", body.len()),
        })
    }

    fn infos(&self, prefix: &str) -> Vec<ObjectInfo> {
        let objects = self.objects();
        let matching = objects.iter().filter(|(key, _)| key.starts_with(prefix));
        matching.map(|(key, body)| ObjectInfo { key: key.clone(), size: body.len() as u64 }).collect()
    }
}

impl ObjectStore for MemoryObjects {
    fn put_new<'a>(&'a self, key: &'a str, body: Bytes) -> PortFuture<'a, Result<(), ObjectError>> {
        Box::pin(ready(self.put(key, body)))
    }

    fn read<'a>(&'a self, key: &'a str) -> PortFuture<'a, Result<Bytes, ObjectError>> {
        Box::pin(ready(self.find(key)))
    }

    fn read_range<'a>(&'a self, key: &'a str, start: u64, len: u64) -> PortFuture<'a, Result<Bytes, ObjectError>> {
        Box::pin(ready(self.range(key, start, len)))
    }

    fn head<'a>(&'a self, key: &'a str) -> PortFuture<'a, Result<ObjectInfo, ObjectError>> {
        let info = self.find(key).map(|body| ObjectInfo { key: key.to_owned(), size: body.len() as u64 });
        Box::pin(ready(info))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> PortFuture<'a, Result<Vec<ObjectInfo>, ObjectError>> {
        Box::pin(ready(Ok(self.infos(prefix))))
    }

    fn delete<'a>(&'a self, key: &'a str) -> PortFuture<'a, Result<(), ObjectError>> {
        self.objects().remove(key);
        Box::pin(ready(Ok(())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_written_once_and_read_by_range() {
        let store = MemoryObjects::default();
        store.put("a/1", Bytes::from_static(b"hello")).unwrap();
        assert!(matches!(store.put("a/1", Bytes::new()), Err(ObjectError::Exists { .. })));
        assert_eq!(store.range("a/1", 1, 3).unwrap().as_ref(), b"ell");
        assert!(store.range("a/1", 3, 3).is_err());
        assert_eq!(store.infos("a/").len(), 1);
    }
}
