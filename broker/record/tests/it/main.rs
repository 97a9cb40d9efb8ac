//! Batches that others made, well meant and not.

mod bombs;
mod golden;
