//! The log of one partition: append, fetch, index, recover, epochs, producer state. Synchronous.
//!
//! ```text
//!   start                       flushed        tail
//!     |                            |             |
//!     | segment | segment | segment (active) ....|
//!     [ durable, shown to others   ][ page cache ]
//! ```
//!
//! - `start <= flushed <= tail`. All three only grow, but for [`Log::truncate_to`] and [`Log::restart_at`].
//! - Batches are stored as received: an append changes base offset and leader epoch, and the time where the topic asks
//!   for append time, nothing else.
//! - The files are Apache Kafka's own formats.
//! - After a failed flush, or a write that left the file in doubt, the log is sealed for good; reads go on.
//! - [`Log`] is owned by one task. A [`Reader`] reads beside it, a [`FlushJob`] flushes beside it.
//!
//! The log knows nothing of replicas, watermarks, leases and clients: its caller says what time it is and how far a
//! reader may see.

mod append;
mod append_times;
mod baseline;
mod compact;
mod config;
mod copy;
mod epochs;
mod error;
mod files;
mod flush;
mod hash;
mod index;
mod keys;
mod log;
mod log_start;
mod lookup;
mod metadata;
mod open;
mod producers;
mod reader;
mod recover;
mod recovery_point;
mod retain;
mod segment;
mod snapshots;
mod tail;
mod truncate;
mod txn_index;
mod view;
mod walk;

pub use append::Appended;
pub use compact::{Cleaned, Compacted, Compaction, CompactionJob};
pub use config::{Config, TimestampType};
pub use copy::Copied;
pub use epochs::{EpochEnd, EpochStart};
pub use error::{
    AppendError, CopyError, FileError, FlushError, HoleError, OpenError, ReadError, Sealed, TruncateError,
    is_disk_failure,
};
pub use flush::{FlushJob, Flushed};
pub use hash::{ContentHash, StoredHash};
pub use log::Log;
pub use lookup::TimestampedOffset;
pub use metadata::topic_of;
pub use open::{Cut, Recovery};
pub use producers::{ActiveProducer, Jump, OpenTransaction};
pub use reader::{Reader, Slice, forget, warm};
pub use retain::{Retention, Retired};
pub use truncate::CopiedRange;
pub use txn_index::AbortedTransaction;
