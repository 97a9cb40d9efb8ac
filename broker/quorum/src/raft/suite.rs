//! openraft's own storage suite, run on our journal and our state machine's adapter.

use super::machine::{Images, Machine};
use super::store::Store;
use super::{StorageError, Types};
use crate::journal::{Journal, Writer};
use crate::{Applied, Batch, StateError, StateMachine};
use openraft::testing::{StoreBuilder, Suite};
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

struct Nothing(Applied);

impl StateMachine for Nothing {
    type Command = ();
    type Answer = ();

    async fn applied(&mut self) -> Result<Applied, StateError> {
        Ok(self.0.clone())
    }

    async fn apply(&mut self, batch: Batch<()>) -> Result<Vec<()>, StateError> {
        self.0 = batch.applied;
        Ok(batch.entries.into_iter().map(|_| ()).collect())
    }

    async fn snapshot(&mut self, image: &Path) -> Result<(), StateError> {
        std::fs::write(image, "nothing").map_err(|error| StateError::new("write the image", error))
    }

    async fn install(&mut self, _image: &Path, applied: Applied) -> Result<(), StateError> {
        self.0 = applied;
        Ok(())
    }
}

struct Builder;

impl StoreBuilder<Types, Store, Machine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, Store, Machine), StorageError> {
        let dir = TempDir::new().unwrap();
        let journal = Journal::open(dir.path()).unwrap();
        let store = Store::new(Writer::start(journal, dir.path()).unwrap());
        let (progress, _) = tokio::sync::watch::channel(None);
        let (orders, owner) = super::machine::start(Nothing(Applied::default()), progress).await.unwrap();
        tokio::spawn(owner.run());
        let images = Arc::new(Images::open(dir.path().join("snapshots")).unwrap());
        Ok((dir, store, Machine::new(orders, images)))
    }
}

#[test]
fn the_storage_passes_the_suite_of_the_consensus() {
    Suite::test_all(Builder).unwrap();
}
