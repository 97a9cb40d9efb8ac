//! The codec against an independent one, against hostile bytes, and against a broker made of a socket.

mod allocation;
mod client;
mod compare;
mod fake_broker;
mod frames;
mod hostile;
mod security;
mod split;
