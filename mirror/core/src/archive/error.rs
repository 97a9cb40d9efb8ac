use super::hash::ObjectHash;
use model::{Offset, OffsetRange};
use record::BatchError;

/// Something is wrong with an object of an archive.
#[derive(Debug, thiserror::Error)]
#[error("object {object}: {defect}")]
pub struct ArchiveError {
    /// The object's name.
    pub object: String,
    /// What is wrong with it.
    pub defect: Defect,
}

/// What can be wrong with an object.
#[derive(Debug, thiserror::Error)]
pub enum Defect {
    /// Damaged, or another object.
    #[error("its hash is {found} but the manifest says {expected}")]
    Hash {
        /// What the manifest says.
        expected: ObjectHash,
        /// What its bytes give.
        found: ObjectHash,
    },
    /// Cut off, or another object.
    #[error("it has {found} bytes but the manifest says {expected}")]
    Size {
        /// What the manifest says.
        expected: u64,
        /// What it has.
        found: u64,
    },
    /// More than is ever written.
    #[error("{what} has {found} bytes; at most {limit} are read")]
    TooLarge {
        /// Which part.
        what: &'static str,
        /// What it says it has.
        found: u64,
        /// The limit.
        limit: u64,
    },
    /// Not what the name says.
    #[error("it is no {0}")]
    Kind(&'static str),
    /// Written by a newer Farshore.
    #[error("it has format {found}; this version reads up to {newest}")]
    Format {
        /// What it says.
        found: u32,
        /// What is known.
        newest: u32,
    },
    /// A damaged part.
    #[error("{what} at byte {at} does not match its checksum")]
    Checksum {
        /// Which part.
        what: &'static str,
        /// Where it begins.
        at: u64,
    },
    /// A damaged batch.
    #[error("chunk {chunk} holds an unsound batch: {error}")]
    Batch {
        /// The chunk's number.
        chunk: usize,
        /// What is wrong.
        error: BatchError,
    },
    /// Parts that do not fit together.
    #[error("{what}: expected {expected}, found {found}")]
    Mismatch {
        /// What was compared.
        what: &'static str,
        /// What had to be there.
        expected: String,
        /// What is.
        found: String,
    },
    /// Offsets that are neither there nor declared missing.
    #[error("offsets {missing} are missing and no gap or epoch explains it")]
    Hole {
        /// The offsets.
        missing: OffsetRange,
    },
    /// Offsets that come twice or out of order.
    #[error("offset {found} comes behind offset {tail}")]
    Order {
        /// Where the log had come.
        tail: Offset,
        /// What came.
        found: Offset,
    },
    /// Not readable as what it should be.
    #[error("it cannot be read: {0}")]
    Json(serde_json::Error),
}

impl Defect {
    /// The error of the object called `object`.
    pub fn of(self, object: &str) -> ArchiveError {
        ArchiveError { object: object.to_owned(), defect: self }
    }
}

/// Compares what has to be equal.
pub(super) fn same<T: PartialEq + ToString>(what: &'static str, expected: T, found: T) -> Result<(), Defect> {
    if expected == found {
        return Ok(());
    }
    Err(Defect::Mismatch { what, expected: expected.to_string(), found: found.to_string() })
}
