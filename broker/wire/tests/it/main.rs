//! The codec against an independent one, against hostile bytes, and against a broker made of a socket.

mod allocation;
mod compare;
mod hostile;
mod split;
