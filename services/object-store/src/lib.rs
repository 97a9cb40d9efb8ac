//! S3: a client over the AWS SDK, and a small durable server for platforms that bring no S3 of their own.
//!
//! [`Client`] is the only way to objects, whoever serves them; [`server`] is reached through it like any other endpoint.
//! Nothing of the SDK is in the public interface, so that only this crate pays for building it.

mod client;
mod credentials;
mod limits;
pub mod server;

pub use client::{Client, Location};
pub use credentials::Credentials;
