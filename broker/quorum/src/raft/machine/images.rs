//! Snapshots on disk: the current image and what it holds.
//!
//! ```text
//! dir/current.json        the current image's name, checksum and meta, replaced atomically
//! dir/<index>-<id>.image  an image; every other one is a leftover
//! ```

use crate::journal::{replace, sync_dir};
use crate::{Applied, Member, NodeId};
use env::{Entropy, real::SystemEntropy};
use openraft::SnapshotMeta;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

type Meta = SnapshotMeta<NodeId, Member>;

/// The largest image that is taken from another node.
const IMAGE_BYTES_MAX: u64 = 4 << 30;

#[derive(serde::Serialize, serde::Deserialize)]
struct Current {
    image: String,
    crc32c: u64,
    meta: Meta,
}

/// The directory of the snapshots.
pub(crate) struct Images {
    dir: PathBuf,
}

impl Images {
    /// Opens the directory, or makes it, and removes leftovers.
    pub(crate) fn open(dir: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        let images = Self { dir };
        images.sweep()?;
        Ok(images)
    }

    fn read_current(&self) -> io::Result<Option<Current>> {
        match fs::read(self.dir.join("current.json")) {
            Ok(json) => Ok(Some(serde_json::from_slice(&json)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Removes every image but the current one.
    fn sweep(&self) -> io::Result<()> {
        let current = self.read_current()?.map(|current| current.image);
        for file in fs::read_dir(&self.dir)? {
            let name = file?.file_name().to_string_lossy().into_owned();
            if name != "current.json" && Some(&name) != current.as_ref() {
                fs::remove_file(self.dir.join(name))?;
            }
        }
        Ok(())
    }

    /// A path for a new image.
    pub(crate) fn draft(&self) -> PathBuf {
        self.dir.join(format!("{:016x}.draft", SystemEntropy.next_u64()))
    }

    /// A file without a name, to receive an image in.
    pub(crate) fn receive(&self) -> io::Result<File> {
        let path = self.draft();
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        fs::remove_file(path)?;
        Ok(file)
    }

    /// Makes the image at `draft`, which holds the state `applied`, the current one.
    pub(crate) fn publish(&self, draft: &Path, applied: &Applied) -> io::Result<(Meta, File)> {
        let index = applied.position.map_or(0, |position| position.index);
        let meta = Meta {
            last_log_id: applied.position.map(Into::into),
            last_membership: applied.stored_membership(),
            snapshot_id: format!("{index}-{:016x}", SystemEntropy.next_u64()),
        };
        self.make_current(draft, &meta)?;
        let file = File::open(self.path_of(&meta))?;
        Ok((meta, file))
    }

    fn path_of(&self, meta: &Meta) -> PathBuf {
        self.dir.join(image_name(meta))
    }

    fn make_current(&self, draft: &Path, meta: &Meta) -> io::Result<()> {
        let file = File::open(draft)?;
        let crc32c = checksum(&file)?;
        file.sync_all()?;
        let old = self.read_current()?;
        let image = image_name(meta);
        fs::rename(draft, self.dir.join(&image))?;
        sync_dir(&self.dir)?;
        let current = serde_json::to_vec(&Current { image: image.clone(), crc32c, meta: meta.clone() })?;
        replace(&self.dir.join("current.json"), &current)?;
        match old.filter(|old| old.image != image) {
            Some(old) => fs::remove_file(self.dir.join(old.image)),
            None => Ok(()),
        }
    }

    /// Makes an image that was received the current one, and says where it is.
    pub(crate) fn adopt(&self, meta: &Meta, mut received: File) -> io::Result<PathBuf> {
        let draft = self.draft();
        received.rewind()?;
        let mut file = File::create_new(&draft)?;
        if io::copy(&mut received.take(IMAGE_BYTES_MAX + 1), &mut file)? > IMAGE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the snapshot is larger than any of ours"));
        }
        self.make_current(&draft, meta)?;
        Ok(self.path_of(meta))
    }

    /// The current image.
    pub(crate) fn current(&self) -> io::Result<Option<(Meta, File)>> {
        let Some(current) = self.read_current()? else { return Ok(None) };
        let file = File::open(self.dir.join(&current.image))?;
        Ok(Some((current.meta, file)))
    }

    /// The current image's place and state, once it has been checked against its checksum.
    pub(crate) fn verified(&self) -> io::Result<Option<(PathBuf, Applied)>> {
        let Some(current) = self.read_current()? else { return Ok(None) };
        let path = self.dir.join(&current.image);
        if checksum(&File::open(&path)?)? != current.crc32c {
            let what = format!("the snapshot {} is damaged; rejoin as a new incarnation", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        Ok(Some((path, Applied::of_snapshot(&current.meta))))
    }
}

/// A name from what we know, never from another node's words.
fn image_name(meta: &Meta) -> String {
    let index = meta.last_log_id.map_or(0, |id| id.index);
    let tag = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, meta.snapshot_id.as_bytes());
    format!("{index:020}-{tag:016x}.image")
}

fn checksum(mut file: &File) -> io::Result<u64> {
    let mut digest = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    let mut buffer = vec![0; 256 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(digest.finalize()),
            len => digest.update(&buffer[..len]),
        }
    }
}
