//! Links between regions in memory, and the archive over a store in memory.

mod archive;
mod logs;
mod shelf;
