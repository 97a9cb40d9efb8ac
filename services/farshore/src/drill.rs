//! `farshore drill`

use crate::cli::Place;
use anyhow::Result;
use std::process::ExitCode;

/// Rehearses.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Shows the drills.
    List,
}

impl Command {
    pub(crate) async fn run(self, _place: &Place) -> Result<ExitCode> {
        Ok(ExitCode::SUCCESS)
    }
}
