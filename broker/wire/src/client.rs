//! A small async client: enough for a command line, a canary, a gateway and a link, not a general one.
//!
//! A [`Connection`] carries requests and matches the answers; several may be in flight. A [`Cluster`] finds the right
//! broker and tries again until a deadline, over TLS and as an authenticated user where [`Security`] says so. [`Producer`] and [`Consumer`] are one topic's writer and one partition's
//! reader on top of it.

mod cluster;
mod connection;
mod consumer;
mod fault;
mod groups;
mod partitions;
mod producer;
mod security;
mod topics;

pub use cluster::{Cluster, Options, Trouble};
pub use connection::Connection;
pub use consumer::{Consumer, Start};
pub use fault::{ClientError, Outcome};
pub use groups::GroupOffset;
pub use partitions::{AbortedTransaction, FetchLimits, Fetched, ListedOffset, Produced};
pub use producer::Producer;
pub use security::{Credentials, Mechanism, Password, Security, SecurityFault, Tls, TlsError, TlsFiles};
pub use topics::TopicSetting;
