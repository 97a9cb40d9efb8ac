//! Quotas: how much clients may send, read and ask for per second (Kafka's client quotas, KIP-13, KIP-124, KIP-546,
//! KIP-612).
//!
//! ```text
//!   request of (user, client id) --> Quotas::limit_of --> the one entity whose quota counts, and who shares it
//!                                                              |
//!                                         Meters: a bucket per share --> how long the client is to be silent
//! ```
//!
//! A client that exceeds its quota is answered all the same; it is told to wait, and not heard meanwhile. Nothing here
//! knows of connections, of time passing, or of where the quotas are stored.

mod bucket;
mod entity;
mod limit;
mod meters;
mod table;

pub use bucket::{BURST, Bucket};
pub use entity::{BadEntity, Entity, Part};
pub use limit::{BadLimit, Limit, Rate};
pub use meters::Meters;
pub use table::{Change, Quotas};
