use std::path::{Path, PathBuf};

/// The catalog cannot go on. Unlike a [`crate::Refusal`] this is about the machine, not about the request: nothing of
/// the batch took effect, or, if a commit failed, whether it did is known once the file is opened again.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The database failed.
    #[error("the catalog's database failed")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A file operation failed.
    #[error("cannot {doing} {path}")]
    File {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A column holds something this program does not understand.
    #[error("column {column} of the catalog holds {value:?}, which is not understood; update farshore on this node")]
    Corrupt {
        /// The column.
        column: String,
        /// Its value.
        value: String,
    },
    /// A commit failed earlier; what is on disk is unknown until the file is opened again.
    #[error("an earlier commit of the catalog failed; restart this node so that it reads its disk again")]
    Poisoned,
    /// An entry follows the wrong one.
    #[error("council entry {index} cannot follow entry {applied}: entries are applied in order")]
    OutOfOrder {
        /// The entry.
        index: u64,
        /// The newest one applied.
        applied: u64,
    },
}

impl CatalogError {
    pub(crate) fn file(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::File { doing, path: path.to_owned(), source }
    }
}

impl From<sqlx::Error> for CatalogError {
    fn from(source: sqlx::Error) -> Self {
        Self::Database(Box::new(source))
    }
}

impl From<sqlx::migrate::MigrateError> for CatalogError {
    fn from(source: sqlx::migrate::MigrateError) -> Self {
        Self::Database(Box::new(source))
    }
}
