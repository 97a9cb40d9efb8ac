//! The window against a model of a source and of a copy's log, in any order of events; the archive there and back.

mod active;
mod archive;
mod cleaned;
mod copy;
mod rules;
mod source;
mod window;
