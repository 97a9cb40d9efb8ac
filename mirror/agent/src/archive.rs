//! Backups in an object store. A backup is a sink of this region's logs, a restore a source for a new topic's; what
//! objects look like and when they are believed says `mirror_core::archive`.
//!
//! ```text
//!   backup   commits, then ends  -->  partitions side by side: read, cut up, put  -->  topics, commits  -->  manifest
//!   restore  manifest --> preflight -->  partitions side by side: get, check, append, read back  -->  commits
//! ```
//!
//! - The manifest is written last: without it nothing else is a backup.
//! - Commits are read before the ends of the logs, so that none points behind the data.
//! - A restore believes no object whose hash is another than the manifest says, and names it; a partition is restored
//!   when what was read back from its new log has the hash of what was backed up.
//! - Both may be broken off at any point and begun again under the same name: objects that are there are not written
//!   again, and a restore goes on at each log's tail.
//! - Memory: at most three segments per partition that is under way.

mod backup;
mod contents;
mod failure;
mod files;
mod objects;
mod patience;
mod pool;
mod ports;
mod proof;
mod restore;

pub use backup::{BackupReceipt, BackupRequest};
pub use contents::{ArchivedTopic, Inspection};
pub use failure::ArchiveFailure;
pub use files::KeptFile;
pub use pool::Progress;
pub use ports::{BackupSource, Extent, LogRead, LogSpan, RegionError, RestoreTarget};
pub use restore::{RestoreReceipt, RestoreRequest, RestoredLog, RestoredTopic};

use env::{Clock, ObjectStore};
use mirror_core::archive::Layout;
use objects::Objects;
use std::sync::Arc;

/// What is told how far a backup or restore has come.
pub type ProgressListener<'a> = &'a (dyn Fn(Progress) + Send + Sync);

/// How many bytes of a log are read at a time.
const READ_BYTES: u32 = 4 << 20;
/// How many partitions are under way at a time at the most.
const PARALLEL_MAX: usize = 64;

/// One repository of backups.
#[derive(Clone)]
pub struct Archive {
    objects: Objects,
    layout: Layout,
    clock: Arc<dyn Clock>,
}

impl Archive {
    /// The repository that `layout` describes in `store`.
    pub fn new(store: Arc<dyn ObjectStore>, layout: Layout, clock: Arc<dyn Clock>) -> Self {
        Self { objects: Objects::new(store), layout, clock }
    }
}
