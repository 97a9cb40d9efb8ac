//! Proof that a copy is what its source is, kept up while both are written.
//!
//! ```text
//!   [0, 2^16)  [2^16, 2 x 2^16)  ...            each side hashes an interval once its high watermark has passed it,
//!    hash       hash                            and keeps the hash in a side file beside the log
//! ```
//!
//! What is hashed is what drills and restores compare too: the batches that begin in a range, each by its base offset,
//! size, leader epoch and checksum. Between native regions batches are never cut anew, so equal intervals have equal
//! hashes. Each interval has a hash of its own: retention takes intervals away and leaves the others comparable.
//!
//! What the shell does: on a partition's leader it asks [`due`] whenever the high watermark has moved, hashes that
//! range, and appends the [`Checkpoint`] to the side file ([`Checkpoints`]). A link fetches the source's checkpoints
//! above those it has heard ([`page`]), and its [`Prover`] [`compare`]s them with the copy's; the API shows the
//! [`Comparison`]: "identical up to offset N".
//!
//! Where they differ, each side is asked to read the interval once more and to say whether its own batches are what was
//! written ([`Judgements`]); the difference is blamed on the side that is damaged ([`Verdict`]). A sound copy of a damaged
//! source stays a standby: it may be all there is of that range.
//!
//! Of a compacted topic the cleaner takes batches away on each side in its own time, so unequal hashes prove nothing
//! there. Its [`KeyDigest`] says whether the latest value of every key is the same: the owner makes one now and then, of
//! what is decided by then ([`DigestOf`]), and whoever keeps a copy makes one of the same offsets and compares
//! ([`KeyProver`]).

mod checkpoint;
mod compare;
mod digest;
mod exchange;
mod file;
mod judge;
mod keys;
mod prover;

pub use checkpoint::{Checkpoint, Due, Interval, due};
pub use compare::{Comparison, Difference, Side, Unproven, WhyUnproven, compare};
pub use digest::{Digest, KeyDigest, TooManyKeys};
pub use exchange::{AskCheckpoints, CheckpointsPage, CheckpointsSince, Kept, page};
pub use file::{Checkpoints, FileDefect, FileIdentity};
pub use judge::{Judgements, Soundness, Verdict};
pub use keys::{DigestOf, DigestSide, KeyProver, MadeDigest};
pub use prover::Prover;

/// The hard limits of verification.
pub mod limits {
    use model::ByteCount;

    /// The largest side file: the checkpoints of 2^37 offsets.
    pub const FILE_BYTES_MAX: ByteCount = ByteCount::mib(64);
    /// The most keys a digest holds at a time: 13 MiB.
    pub const DIGEST_KEYS_MAX: usize = 450_000;
    /// How often a digest reads a log over at most, for keys that did not fit.
    pub const DIGEST_PASSES_MAX: u32 = 64;
    /// The most partitions one question names.
    pub const ASKED_MAX: usize = 256;
    /// The most checkpoints one answer carries, over all partitions.
    pub const PAGE_MAX: usize = 4096;
    /// How many unproven ranges a comparison names; it counts the rest.
    pub const UNPROVEN_MAX: usize = 100;
    /// How many ranges of a damaged source a comparison passes over; it ends at the next.
    pub const SOURCE_DAMAGED_MAX: usize = 100;
    /// How many intervals of one log are known as read once more.
    pub const JUDGED_MAX: usize = 64;
}
