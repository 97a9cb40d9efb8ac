use crate::apply::Applying;
use crate::column::{number, signed};
use crate::reader::Reader;
use crate::view::{Touched, View};
use crate::{Answer, CatalogError, Command, Outcome, store};
use sqlx::sqlite::SqlitePool;
use sqlx::{Connection, Row, SqliteConnection};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::watch;

/// A command the council has decided, and where its log has it. Commands that were decided together share an index.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The place in the log.
    pub index: u64,
    /// The command.
    pub command: Command,
}

/// How far the council's log is applied. Stored with the effects, in the same transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The newest entry applied; 0 also before the first.
    pub index: u64,
    /// What the log wants to know of it again (its term, the members as of then). Never looked into; empty at first.
    pub token: Vec<u8>,
}

/// The council's state on this node. It applies; [`Reader`]s look on.
///
/// There is one per database file: the caller holds the lock of the data directory.
#[derive(Debug)]
pub struct Catalog {
    path: PathBuf,
    /// `None` only while the file is being replaced, and after that failed.
    writer: Option<SqliteConnection>,
    readers: watch::Sender<SqlitePool>,
    position: Position,
    view: watch::Sender<Arc<View>>,
    progress: watch::Sender<u64>,
    poisoned: bool,
}

impl Catalog {
    /// Opens the catalog at `path`; makes an empty one when there is none, and brings an older one up to date.
    ///
    /// # Errors
    /// [`CatalogError`] when the file cannot be opened, is damaged, or was written by a newer farshore.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, CatalogError> {
        let path = path.into();
        let mut writer = store::writer(&path).await?;
        let position = read_position(&mut writer).await?;
        let view = Arc::new(View::load(&mut writer).await?);
        Ok(Self {
            readers: watch::Sender::new(store::readers(&path)),
            progress: watch::Sender::new(position.index),
            view: watch::Sender::new(view),
            writer: Some(writer),
            poisoned: false,
            position,
            path,
        })
    }

    /// How far the log is applied, durably.
    pub fn applied(&self) -> &Position {
        &self.position
    }

    /// The council's decisions as of the last batch.
    pub fn view(&self) -> Arc<View> {
        self.view.borrow().clone()
    }

    /// Looks on: from any task, also while entries are applied or the file is replaced.
    pub fn reader(&self) -> Reader {
        Reader::new(self.readers.subscribe(), self.view.subscribe(), self.progress.subscribe())
    }

    /// Applies `entries`, in order, and moves to `position`; all of it in one transaction, durable on return. One outcome
    /// per entry. `entries` may be empty: the log has entries of its own.
    ///
    /// An entry at or below the index applied before is skipped ([`Answer::AppliedBefore`]).
    ///
    /// # Errors
    /// [`CatalogError`]: nothing took effect, and this node cannot go on. A refused command is an outcome.
    pub async fn apply(&mut self, entries: &[Entry], position: Position) -> Result<Vec<Outcome>, CatalogError> {
        self.check_order(entries, &position)?;
        let (applied, view) = (self.position.index, self.view());
        let mut transaction = live(&mut self.writer, self.poisoned)?.begin_with("BEGIN IMMEDIATE").await?;
        let mut touched = Touched::default();
        let mut outcomes = Vec::with_capacity(entries.len());
        for entry in entries {
            if entry.index <= applied && self.position.is_set() {
                outcomes.push(Ok(Answer::AppliedBefore));
                continue;
            }
            outcomes.push(Applying::entry(&mut transaction, entry, &mut touched).await?);
        }
        let view = next_view(&mut transaction, &view, &touched).await?;
        write_position(&mut transaction, &position).await?;
        if let Err(error) = transaction.commit().await {
            self.poisoned = true;
            return Err(error.into());
        }
        self.publish(position, view);
        Ok(outcomes)
    }

    /// Writes everything to the new file `image`.
    ///
    /// # Errors
    /// [`CatalogError`] when the file exists or cannot be written.
    pub async fn snapshot(&mut self, image: &Path) -> Result<(), CatalogError> {
        store::copy_into(live(&mut self.writer, self.poisoned)?, image).await
    }

    /// Replaces everything by what `image` holds, a file [`Catalog::snapshot`] wrote here or elsewhere, and moves to
    /// `position`. The image is copied. A crash leaves the old state or the new one.
    ///
    /// # Errors
    /// [`CatalogError`]: the state is the old one when the image cannot be used, and unknown (open it again) otherwise.
    pub async fn install(&mut self, image: &Path, position: Position) -> Result<(), CatalogError> {
        live(&mut self.writer, self.poisoned)?;
        let staged = store::stage(image, &self.path)?;
        prepare(&staged, &position).await?;
        self.poisoned = true;
        let readers = self.readers.borrow().clone();
        readers.close().await;
        if let Some(writer) = self.writer.take() {
            store::close_for_good(writer, &self.path).await?;
        }
        store::replace(&staged, &self.path)?;
        self.reopen().await
    }

    async fn reopen(&mut self) -> Result<(), CatalogError> {
        let mut writer = store::writer(&self.path).await?;
        let position = read_position(&mut writer).await?;
        let view = View::load(&mut writer).await?;
        self.writer = Some(writer);
        self.readers.send_replace(store::readers(&self.path));
        self.poisoned = false;
        self.publish(position, Some(view));
        Ok(())
    }

    /// Closes the file. Dropping the catalog is as safe, only slower to open again.
    ///
    /// # Errors
    /// [`CatalogError`] when the database cannot be closed in order.
    pub async fn close(mut self) -> Result<(), CatalogError> {
        let readers = self.readers.borrow().clone();
        readers.close().await;
        match self.writer.take() {
            Some(writer) => Ok(writer.close().await?),
            None => Ok(()),
        }
    }

    fn check_order(&self, entries: &[Entry], position: &Position) -> Result<(), CatalogError> {
        let indexes = entries.iter().map(|entry| entry.index).chain([position.index]);
        let mut last = 0;
        for index in indexes {
            if index < last {
                return Err(CatalogError::OutOfOrder { index, applied: last });
            }
            last = index;
        }
        if position.index < self.position.index {
            return Err(CatalogError::OutOfOrder { index: position.index, applied: self.position.index });
        }
        Ok(())
    }

    fn publish(&mut self, position: Position, view: Option<View>) {
        if let Some(view) = view {
            self.view.send_replace(Arc::new(view));
        }
        self.progress.send_replace(position.index);
        self.position = position;
    }
}

impl Position {
    /// Whether anything was applied yet.
    fn is_set(&self) -> bool {
        self.index > 0 || !self.token.is_empty()
    }
}

fn live(writer: &mut Option<SqliteConnection>, poisoned: bool) -> Result<&mut SqliteConnection, CatalogError> {
    match writer {
        Some(writer) if !poisoned => Ok(writer),
        _ => Err(CatalogError::Poisoned),
    }
}

async fn next_view(
    connection: &mut SqliteConnection,
    view: &View,
    touched: &Touched,
) -> Result<Option<View>, CatalogError> {
    let Some(index) = touched.index else { return Ok(None) };
    sqlx::query("UPDATE applied SET view_index = ?").bind(signed(index)).execute(&mut *connection).await?;
    view.refreshed(connection, touched, index).await.map(Some)
}

async fn read_position(connection: &mut SqliteConnection) -> Result<Position, CatalogError> {
    let row = sqlx::query("SELECT log_index, token FROM applied").fetch_one(connection).await?;
    Ok(Position { index: number(&row, "log_index")?, token: row.try_get("token")? })
}

async fn write_position(connection: &mut SqliteConnection, position: &Position) -> Result<(), CatalogError> {
    sqlx::query("UPDATE applied SET log_index = ?, token = ?")
        .bind(signed(position.index))
        .bind(&position.token)
        .execute(connection)
        .await?;
    Ok(())
}

/// Makes sure that `staged` is a catalog this program can use, and sets its position.
async fn prepare(staged: &Path, position: &Position) -> Result<(), CatalogError> {
    let mut connection = store::writer(staged).await?;
    let check = sqlx::query("PRAGMA quick_check").fetch_one(&mut connection).await?;
    let verdict: String = check.try_get(0)?;
    if verdict != "ok" {
        return Err(CatalogError::Corrupt { column: "snapshot".into(), value: verdict });
    }
    write_position(&mut connection, position).await?;
    View::load(&mut connection).await?;
    store::close_for_good(connection, staged).await
}
