//! Keeps the files of diverged tails in the object store: each before its tail is cut off, as far as the store answers in
//! time, and whatever is not there yet every now and then. A store that is away does not keep a region from following.

use crate::roles::context::Context;
use broker::Broker;
use env::Clock;
use mirror::archive::Archive;
use mirror_core::archive::Layout;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

/// How long a tail waits for its file to be kept before it is cut off all the same: its region has the file.
const KEPT_WITHIN: Duration = Duration::from_secs(10);
/// How often is looked for files that are not kept.
const LOOK_EVERY: Duration = Duration::from_secs(30);
const PREFIX: &str = "diverged";
/// The end of their names.
const ENDING: &str = "log";

/// Where a platform keeps diverged tails; `None` where it has no object store.
pub(super) fn archive(context: &Context, clock: Arc<dyn Clock>) -> Option<Archive> {
    context.has_objects().then(|| Archive::new(Arc::new(context.objects()), Layout::new(PREFIX), clock))
}

/// The files of one broker.
#[derive(Clone)]
pub(super) struct Vault {
    broker: Broker,
    archive: Option<Archive>,
    kept: Arc<Mutex<BTreeSet<Version>>>,
    /// Whoever has it archives or keeps: no file is kept that is just being written.
    turn: Arc<Semaphore>,
}

/// A file, its size, and when it was written.
type Version = (PathBuf, u64, SystemTime);

impl Vault {
    /// Starts looking for files that are not kept, for as long as the process lives.
    pub(super) fn start(broker: Broker, archive: Option<Archive>) -> Self {
        let vault = Self { broker, archive, kept: Arc::default(), turn: Arc::new(Semaphore::new(1)) };
        if vault.archive.is_some() {
            tokio::spawn(vault.clone().look());
        }
        vault
    }

    async fn look(self) {
        // What was being archived when this process ended is archived again first.
        let mut ticks = interval_at(Instant::now() + LOOK_EVERY, LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let turn = self.turn().await;
            self.keep_all().await;
            drop(turn);
        }
    }

    /// The right to write files here; held until it is dropped.
    pub(super) async fn turn(&self) -> OwnedSemaphorePermit {
        self.turn.clone().acquire_owned().await.expect("it is never closed")
    }

    async fn keep_all(&self) {
        for version in self.files().into_iter().filter(|version| !self.kept().contains(version)) {
            self.keep(version).await;
        }
    }

    fn files(&self) -> Vec<Version> {
        let entries = fs::read_dir(self.broker.config().diverged_dir()).into_iter().flatten().flatten();
        let files = entries.filter(|entry| entry.path().extension().is_some_and(|end| end == ENDING));
        let version = |entry: fs::DirEntry| {
            let about = entry.metadata().ok()?;
            Some((entry.path(), about.len(), about.modified().ok()?))
        };
        files.filter_map(version).collect()
    }

    fn kept(&self) -> MutexGuard<'_, BTreeSet<Version>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what was archived just now, as far as the store takes it soon.
    pub(super) async fn keep_soon(&self) {
        if timeout(KEPT_WITHIN, self.keep_all()).await.is_err() {
            tracing::warn!("the object store has not taken a diverged tail yet; its region has it");
        }
    }

    async fn keep(&self, version: Version) {
        let (Some(archive), path) = (&self.archive, &version.0) else { return };
        match archive.keep_file(&self.broker.config().region, path).await {
            Ok(object) => {
                tracing::info!(file = %path.display(), object, "a diverged tail is in the object store");
                self.kept().insert(version);
            }
            Err(error) => tracing::warn!(file = %path.display(), %error, "a diverged tail is not in the object store"),
        }
    }
}
