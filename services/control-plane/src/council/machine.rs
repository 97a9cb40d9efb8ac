//! The catalog as the state machine of the council's quorum.

use catalog::{Catalog, CatalogError, Command, Entry, Outcome, Position, Reader};
use quorum::{Applied, Batch, StateError, StateMachine};
use std::path::{Path, PathBuf};

/// The catalog, applied to by the quorum.
pub(super) struct Machine(Catalog);

impl Machine {
    /// Opens the catalog at `path`, and a reader of it.
    ///
    /// # Errors
    /// As [`Catalog::open`].
    pub(super) async fn open(path: PathBuf) -> Result<(Self, Reader), CatalogError> {
        let catalog = Catalog::open(path).await?;
        let reader = catalog.reader();
        Ok((Self(catalog), reader))
    }
}

/// The quorum's own bookkeeping goes into the catalog as a token nobody looks into.
fn position(applied: &Applied) -> Result<Position, StateError> {
    let token = serde_json::to_vec(applied).map_err(|error| StateError::new("writing the position", error))?;
    Ok(Position { index: applied.position().map_or(0, |position| position.index), token })
}

impl StateMachine for Machine {
    type Command = Command;
    type Answer = Outcome;

    async fn applied(&mut self) -> Result<Applied, StateError> {
        let token = &self.0.applied().token;
        if token.is_empty() {
            return Ok(Applied::default());
        }
        serde_json::from_slice(token).map_err(|error| StateError::new("reading the position", error))
    }

    async fn apply(&mut self, batch: Batch<Command>) -> Result<Vec<Outcome>, StateError> {
        let position = position(&batch.applied)?;
        let entries = batch.entries.into_iter();
        let entries: Vec<Entry> =
            entries.map(|entry| Entry { index: entry.position.index, command: entry.command }).collect();
        let applied = self.0.apply(&entries, position).await;
        applied.map_err(|error| StateError::new("applying to the catalog", error))
    }

    async fn snapshot(&mut self, image: &Path) -> Result<(), StateError> {
        self.0.snapshot(image).await.map_err(|error| StateError::new("copying the catalog", error))
    }

    async fn install(&mut self, image: &Path, applied: Applied) -> Result<(), StateError> {
        let installed = self.0.install(image, position(&applied)?).await;
        installed.map_err(|error| StateError::new("replacing the catalog", error))
    }
}
