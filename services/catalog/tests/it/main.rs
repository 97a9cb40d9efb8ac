//! The catalog on real SQLite files in temporary directories.

mod active;
mod commands;
mod council;
mod durability;
mod groups;
mod modes;
mod ownership;
mod regions;
mod runs;
mod story;
mod topics;
mod work;
