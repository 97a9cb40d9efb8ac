//! The real client against the real server, on a free port and a directory of its own.

mod backend;
mod hostile;
mod lost;
mod objects;
mod platform;
