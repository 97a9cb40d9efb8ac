//! Threads of their own for connections.
//!
//! Appends and reads block for as long as the kernel takes to copy, and when the disk is far behind for a fifth of a second
//! at a time. Whatever keeps a lease or a quorum alive must not wait for that: it runs on the threads of whoever
//! started the broker.

use std::io;
use std::sync::{Mutex, PoisonError};
use tokio::runtime::{Builder, Handle, Runtime};

/// The threads that serve connections. They end when this is dropped.
pub(crate) struct DataPlane {
    handle: Handle,
    runtime: Mutex<Option<Runtime>>,
}

impl DataPlane {
    /// Starts as many threads as there are processors.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub(crate) fn start() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread().thread_name("data-plane").enable_all().build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Mutex::new(Some(runtime)) })
    }

    /// To run something on these threads.
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for DataPlane {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Waiting for the threads could be waiting for this one.
            runtime.shutdown_background();
        }
    }
}
