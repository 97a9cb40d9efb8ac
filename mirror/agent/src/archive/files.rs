//! Files of a region, kept in the object store as they are: the diverged tails that it cut off.
//!
//! ```text
//! <prefix>/files/<region>/<file>/<n>-<hash>.part    a piece of the file
//! <prefix>/files/<region>/<file>/<hash>.manifest    its pieces in order, and what the whole is; written last
//! ```
//!
//! Names carry hashes, so that keeping a file again writes nothing, and another file of the same name is kept beside it.

use super::{Archive, ArchiveFailure};
use bytes::Bytes;
use mirror_core::archive::{NewObject, ObjectHash, ObjectRef};
use model::RegionName;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// How much of a file goes into one object.
const PART_BYTES: usize = 8 << 20;

/// What is kept of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptFile {
    /// The region it is from.
    pub region: RegionName,
    /// Its name.
    pub file: String,
    /// How many bytes it has.
    pub bytes: u64,
    /// Its pieces, in order.
    pub parts: Vec<ObjectRef>,
}

impl Archive {
    /// Keeps the file at `path`; answers what its manifest is called. Nothing is written that is there already.
    ///
    /// # Errors
    /// [`ArchiveFailure`]: some of it may be kept; the same call goes on there.
    pub async fn keep_file(&self, region: &RegionName, path: &Path) -> Result<String, ArchiveFailure> {
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let place = self.layout.file(region, &file);
        let failed = |source| ArchiveFailure::File { file: path.display().to_string(), source };
        let (mut open, mut parts, mut bytes) = (File::open(path).map_err(failed)?, vec![], 0);
        loop {
            let (part, rest) = read_part(open).await.map_err(failed)?;
            open = rest;
            if part.is_empty() {
                break;
            }
            bytes += part.len() as u64;
            let key = format!("{place}{:05}-{}.part", parts.len(), ObjectHash::of(&part).short());
            let object = ObjectRef::of(key, &part);
            self.objects.put(NewObject { object: object.clone(), body: part }).await?;
            parts.push(object);
        }
        let kept = KeptFile { region: region.clone(), file, bytes, parts };
        let body = Bytes::from(serde_json::to_vec_pretty(&kept).expect("it has no map"));
        let object = ObjectRef::of(format!("{place}{}.manifest", ObjectHash::of(&body).short()), &body);
        self.objects.put(NewObject { object: object.clone(), body }).await?;
        Ok(object.key)
    }

    /// The manifests of what is kept under the name of a file.
    ///
    /// # Errors
    /// [`ArchiveFailure`] when the store does not answer.
    pub async fn kept_files(&self, region: &RegionName, file: &str) -> Result<Vec<String>, ArchiveFailure> {
        let found = self.objects.list(&self.layout.file(region, file)).await?;
        Ok(found.into_iter().map(|object| object.key).filter(|key| key.ends_with(".manifest")).collect())
    }
}

/// The next piece of a file, none at its end.
async fn read_part(mut file: File) -> io::Result<(Bytes, File)> {
    let reading = tokio::task::spawn_blocking(move || {
        let mut part = vec![];
        Read::by_ref(&mut file).take(PART_BYTES as u64).read_to_end(&mut part)?;
        Ok((part.into(), file))
    });
    reading.await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use env::ObjectStore;
    use env::real::SystemClock;
    use env::sim::MemoryObjects;
    use mirror_core::archive::Layout;
    use std::sync::Arc;

    #[tokio::test]
    async fn a_file_is_kept_whole_and_once_and_another_of_its_name_beside_it() {
        let directory = tempfile::tempdir().unwrap();
        let (path, region) = (directory.path().join("orders-0-1.log"), RegionName::new("r1").unwrap());
        let store = Arc::new(MemoryObjects::default());
        let archive = Archive::new(store.clone(), Layout::new("diverged"), Arc::new(SystemClock));
        let content: Vec<u8> = (0..PART_BYTES + 1000).map(|at| (at % 251) as u8).collect();
        std::fs::write(&path, &content).unwrap();
        let manifest = archive.keep_file(&region, &path).await.unwrap();
        assert_eq!(archive.keep_file(&region, &path).await.unwrap(), manifest);
        assert_eq!(store.list("").await.unwrap().len(), 3, "two pieces and a manifest");
        let kept: KeptFile = serde_json::from_slice(&store.read(&manifest).await.unwrap()).unwrap();
        let mut read = vec![];
        for part in &kept.parts {
            let body = store.read(&part.key).await.unwrap();
            part.verify(&body).unwrap();
            read.extend_from_slice(&body);
        }
        assert!(read == content && kept.bytes == content.len() as u64 && kept.file == "orders-0-1.log");
        std::fs::write(&path, b"another").unwrap();
        let other = archive.keep_file(&region, &path).await.unwrap();
        let mut both = vec![manifest, other];
        both.sort();
        assert_eq!(archive.kept_files(&region, "orders-0-1.log").await.unwrap(), both);
        assert!(archive.kept_files(&region, "orders-0").await.unwrap().is_empty());
    }
}
