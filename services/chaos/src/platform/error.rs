//! What can go wrong with a platform, and what to do about it.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

/// What could not be done with a platform.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The binary is not there.
    #[error("there is no farshore binary at {0}; build it, or name it with FARSHORE_BIN")]
    NoBinary(PathBuf),
    /// No range of free ports was found.
    #[error("no {0} free ports in a row below 32768")]
    NoPorts(u16),
    /// The supervisor ended before the platform was ready.
    #[error("farshore up ended with {status} before it was ready; its last words:\n{log}")]
    Ended {
        /// How it ended.
        status: ExitStatus,
        /// The end of its output.
        log: String,
    },
    /// Something did not come about in time.
    #[error("{what} not within {} s; the last words:\n{log}", within.as_secs())]
    Late {
        /// What was waited for.
        what: String,
        /// How long.
        within: Duration,
        /// The end of the supervisor's output.
        log: String,
    },
    /// There is no region of that name.
    #[error("no region is called {0}; endpoints.json names {1}")]
    NoRegion(String, String),
    /// A command of the CLI failed.
    #[error("`farshore {command}` failed: {output}")]
    Refused {
        /// Its arguments.
        command: String,
        /// What it printed.
        output: String,
    },
    /// The operating system refused.
    #[error("{0}: {1}")]
    System(String, #[source] io::Error),
}
