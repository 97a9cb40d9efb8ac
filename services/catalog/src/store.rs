//! The database file: opening, copying and replacing it.

use crate::CatalogError;
use crate::migrations;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use std::path::{Path, PathBuf};
use std::time::Duration;

const READERS: u32 = 4;
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .busy_timeout(BUSY_TIMEOUT)
        .foreign_keys(true)
        .synchronous(SqliteSynchronous::Full)
        .disable_statement_logging()
}

/// Opens the one connection that writes, making or migrating the file as needed.
pub(crate) async fn writer(path: &Path) -> Result<SqliteConnection, CatalogError> {
    if !path.exists() {
        found(path).await?;
    }
    let mut connection = options(path).journal_mode(SqliteJournalMode::Wal).connect().await?;
    migrations::migrator(migrations::ALL).run_direct(None, &mut connection, false).await?;
    Ok(connection)
}

/// Makes an empty catalog at `path`, in one piece: what a crash leaves of it bears another name. So it is flushed once, and
/// not with every table.
async fn found(path: &Path) -> Result<(), CatalogError> {
    let draft = beside(path, "-founding");
    remove_if_there(&draft)?;
    let options = options(&draft).create_if_missing(true).synchronous(SqliteSynchronous::Off);
    let mut connection = options.journal_mode(SqliteJournalMode::Memory).connect().await?;
    migrations::migrator(migrations::ALL).run_direct(None, &mut connection, false).await?;
    connection.close().await?;
    sync_file(&draft)?;
    // A write-ahead log that a catalog removed by hand has left would be played into the new one.
    remove_logs_of(path)?;
    replace(&draft, path)
}

/// Connections that only read.
pub(crate) fn readers(path: &Path) -> SqlitePool {
    SqlitePoolOptions::new().max_connections(READERS).connect_lazy_with(options(path).read_only(true))
}

/// Writes a copy of the database that `connection` sees to the new file `image`.
pub(crate) async fn copy_into(connection: &mut SqliteConnection, image: &Path) -> Result<(), CatalogError> {
    let name = image.to_str().ok_or_else(|| {
        let reason = std::io::Error::new(std::io::ErrorKind::InvalidInput, "the path is not UTF-8");
        CatalogError::file("copy the catalog to", image)(reason)
    })?;
    sqlx::query("VACUUM INTO ?").bind(name).execute(connection).await?;
    sync_file(image)
}

/// Copies `image` beside `path`, so that it can take its place by a rename.
pub(crate) fn stage(image: &Path, path: &Path) -> Result<PathBuf, CatalogError> {
    let staged = beside(path, "-incoming");
    remove_logs_of(&staged)?;
    std::fs::copy(image, &staged).map_err(CatalogError::file("copy a snapshot to", &staged))?;
    sync_file(&staged)?;
    Ok(staged)
}

/// Empties and removes the write-ahead log of `path`, which nobody else may have open: otherwise it would be played into
/// whatever file is there next.
pub(crate) async fn close_for_good(mut connection: SqliteConnection, path: &Path) -> Result<(), CatalogError> {
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await?;
    connection.close().await?;
    remove_if_there(&beside(path, "-wal"))?;
    remove_if_there(&beside(path, "-shm"))?;
    sync_directory_of(path)
}

/// Puts `staged` in the place of `path`.
pub(crate) fn replace(staged: &Path, path: &Path) -> Result<(), CatalogError> {
    std::fs::rename(staged, path).map_err(CatalogError::file("put a snapshot in the place of", path))?;
    sync_directory_of(path)
}

fn remove_logs_of(path: &Path) -> Result<(), CatalogError> {
    ["-wal", "-shm", "-journal"].into_iter().try_for_each(|suffix| remove_if_there(&beside(path, suffix)))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn remove_if_there(path: &Path) -> Result<(), CatalogError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(CatalogError::file("remove", path)(error)),
        _ => Ok(()),
    }
}

fn sync_file(path: &Path) -> Result<(), CatalogError> {
    std::fs::File::open(path).and_then(|file| file.sync_all()).map_err(CatalogError::file("flush", path))
}

fn sync_directory_of(path: &Path) -> Result<(), CatalogError> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    sync_file(directory)
}
