//! Looking on: the view in memory, and queries for everything else.

mod evidence;
pub(crate) mod exposures;
mod page;
mod publications;
mod records;
mod reinjections;
mod runs;
mod schedules;
mod topics;
mod work;

pub(crate) use evidence::tail_id;
pub use evidence::{RecordedGap, RecordedTail};
pub use page::{Page, PageOf};
pub use publications::Publication;
pub use records::{AuditRecord, GrantRecord};
pub use reinjections::Reinjection;
pub use runs::{PlanSummary, RunSummary, StoredEvent, StoredReport};
pub use schedules::{Firing, FiringState, StoredSchedule};
pub use topics::{RemadeTopic, StoredTopic};
pub use work::{Backup, Drill, Restore, WorkState};

use crate::{CatalogError, View};
use sqlx::Sqlite;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqlitePool;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The longest the file may be missing while a snapshot takes its place.
const REPLACEMENT_TIME_MAX: Duration = Duration::from_secs(30);

/// Reads the catalog from any task. Every query sees whole batches only.
#[derive(Clone, Debug)]
pub struct Reader {
    pool: watch::Receiver<SqlitePool>,
    view: watch::Receiver<Arc<View>>,
    progress: watch::Receiver<u64>,
}

impl Reader {
    pub(crate) fn new(
        pool: watch::Receiver<SqlitePool>,
        view: watch::Receiver<Arc<View>>,
        progress: watch::Receiver<u64>,
    ) -> Self {
        Self { pool, view, progress }
    }

    /// The council's decisions as of the last batch that changed them.
    pub fn view(&self) -> Arc<View> {
        self.view.borrow().clone()
    }

    /// Follows the view.
    pub fn watch_view(&self) -> watch::Receiver<Arc<View>> {
        self.view.clone()
    }

    /// The index of the newest entry applied.
    pub fn applied_index(&self) -> u64 {
        *self.progress.borrow()
    }

    /// Follows the index of the newest entry applied: what is not in the view (events, reports, backups, …) may have
    /// changed whenever it does.
    pub fn watch_progress(&self) -> watch::Receiver<u64> {
        self.progress.clone()
    }

    /// A connection to the file. While a snapshot takes its place, this waits.
    pub(crate) async fn connection(&self) -> Result<PoolConnection<Sqlite>, CatalogError> {
        let mut pools = self.pool.clone();
        let pool = pools.borrow_and_update().clone();
        match pool.acquire().await {
            Err(sqlx::Error::PoolClosed) => {
                let replaced = tokio::time::timeout(REPLACEMENT_TIME_MAX, pools.changed()).await;
                replaced.ok().and_then(Result::ok).ok_or(sqlx::Error::PoolClosed)?;
                let pool = pools.borrow().clone();
                Ok(pool.acquire().await?)
            }
            other => Ok(other?),
        }
    }
}
