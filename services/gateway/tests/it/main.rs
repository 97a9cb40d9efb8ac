//! A gateway between real sockets: a council that says what the test wants, and regions that answer or do not.

mod bootstrap;
mod council;
mod fencing;
mod slots;
