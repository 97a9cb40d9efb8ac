//! Councils of real nodes on loopback, in one process, with regions that only keep book.

mod boundaries;
mod openapi;
mod plane;
mod platform;
mod recovery;
mod region;
mod rest;
mod work;
