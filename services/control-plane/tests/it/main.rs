//! Councils of real nodes on loopback, in one process, with regions that only keep book.

mod bird;
mod boundaries;
mod openapi;
mod plane;
mod platform;
mod recovery;
mod region;
mod rest;
mod work;
