//! Links between regions in memory, and the archive over a store in memory.

mod archive;
mod links;
mod logs;
mod region;
mod shelf;
mod verify;
mod world;
