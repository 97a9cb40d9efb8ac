//! The catalog on real SQLite files in temporary directories.

mod council;
mod groups;
mod ownership;
mod regions;
mod topics;
