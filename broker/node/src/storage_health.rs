//! Whether the disk has room, and what it looks like to whoever asks.

use crate::Broker;
use model::{ByteCount, DiskStatus};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// The file system of a directory of logs.
///
/// Records are refused while less than the reserve is free: what is left is for metadata, without which the region
/// could not even say what is wrong. Nothing has to be restarted when there is space again.
#[derive(Debug)]
pub(crate) struct Disk {
    dir: PathBuf,
    reserve: ByteCount,
    /// Less than the reserve was free at the last look.
    short: AtomicBool,
    /// A write was refused for lack of space and none has succeeded since.
    full: AtomicBool,
}

impl Disk {
    /// The file system that `dir` is on.
    pub(crate) fn of(dir: &Path, reserve: ByteCount) -> Self {
        let disk = Self { dir: dir.to_owned(), reserve, short: AtomicBool::new(false), full: AtomicBool::new(false) };
        disk.look();
        disk
    }

    /// Looks how much is free. Call it every second or so.
    pub(crate) fn look(&self) {
        let Some((free, _)) = self.space() else { return };
        let short = free < self.reserve;
        if self.short.swap(short, Ordering::Relaxed) != short {
            let (dir, reserve) = (self.dir.display(), self.reserve);
            if short {
                tracing::error!(%dir, %free, %reserve, "disk is nearly full; writes are refused until there is space");
            } else {
                tracing::info!(%dir, %free, %reserve, "disk has space again; writes go on");
            }
        }
    }

    /// Whether less than the reserve is free.
    pub(crate) fn is_short(&self) -> bool {
        self.short.load(Ordering::Relaxed)
    }

    /// Whether records may be written.
    pub(crate) fn has_room(&self) -> bool {
        let room = !self.is_short();
        if !room {
            self.full.store(true, Ordering::Relaxed);
        }
        room
    }

    /// Takes note of how a write went.
    pub(crate) fn note_write(&self, refused_for_space: bool) {
        // Loaded first: the line is shared by all who write, and nearly always says what it did before.
        if self.full.load(Ordering::Relaxed) != refused_for_space {
            self.full.store(refused_for_space, Ordering::Relaxed);
        }
    }

    /// Whether a write was refused for lack of space and none has succeeded since.
    pub(crate) fn is_full(&self) -> bool {
        self.full.load(Ordering::Relaxed)
    }

    /// The disk as a region's status shows it.
    pub(crate) fn status(&self) -> DiskStatus {
        let (free, total) = self.space().unwrap_or_default();
        DiskStatus { path: self.dir.display().to_string(), free, total, full: self.is_full() }
    }

    /// Free for this process, and all.
    fn space(&self) -> Option<(ByteCount, ByteCount)> {
        let stat = rustix::fs::statvfs(&self.dir).ok()?;
        let bytes = |blocks: u64| ByteCount(blocks.saturating_mul(stat.f_frsize));
        Some((bytes(stat.f_bavail), bytes(stat.f_blocks)))
    }
}

impl Broker {
    /// The file system of its logs; of the first directory where there are several.
    pub fn disk(&self) -> DiskStatus {
        self.0.storage.dirs.all()[0].disk().status()
    }

    /// Looks how much is free, and whether somebody met an error when he read. Call it every second or so.
    pub(crate) fn look_at_disks(&self) {
        self.0.storage.dirs.look();
        self.0.partitions.held().partitions().for_each(|partition| partition.note_disk());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_the_reserve_nothing_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::of(dir.path(), ByteCount(0));
        assert!(disk.has_room());
        let status = disk.status();
        assert!(status.total.0 > 0 && status.free <= status.total && !status.full);
        let disk = Disk::of(dir.path(), ByteCount(u64::MAX));
        assert!(!disk.has_room());
        assert!(disk.status().full, "a write was refused");
    }

    #[test]
    fn a_write_that_succeeds_ends_a_full_disk() {
        let dir = tempfile::tempdir().unwrap();
        let disk = Disk::of(dir.path(), ByteCount(0));
        disk.note_write(true);
        assert!(disk.is_full() && disk.has_room(), "the next write may try");
        disk.note_write(false);
        assert!(!disk.is_full());
    }
}
