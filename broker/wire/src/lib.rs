//! The Kafka protocol, sans-IO and bounded: one file per API, plus a small async client.
//!
//! [`api`] holds a table per message, [`internal`] those that only Farshore's own processes speak. A [`Message`] is
//! decoded from and encoded into a body; [`frame`] puts headers and lengths around bodies. Nothing here allocates by a
//! number it was sent before it has held that number against the bytes that came with it.

pub mod api;
#[cfg(feature = "client")]
pub mod client;
pub mod codec;
mod error;
pub mod frame;
mod header;
pub mod internal;
mod key;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use codec::{DecodeError, EncodeError, Message, Piece, Records, Request, Versions};
pub use error::ErrorCode;
pub use header::{Peek, RequestHeader, decode_response_header};
pub use key::ApiKey;
