//! Backups and restores.

use serde::{Deserialize, Serialize};

/// What a region is asked to do with an archive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum WorkCall {}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum WorkReply {}
