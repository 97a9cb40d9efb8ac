use super::Versions;
use std::fmt;

/// Bytes that are not the message they should be: which field, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct DecodeError(Box<Fault>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Fault {
    path: String,
    reason: Reason,
}

/// What is wrong with a field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// A length or a fixed-size value reaches past the end.
    #[error("{wanted} bytes are announced, {left} are left")]
    Truncated {
        /// How many bytes the value has.
        wanted: usize,
        /// How many bytes the input has left.
        left: usize,
    },
    /// A length below -1, or -1 where there is no null.
    #[error("the length {0} is negative")]
    NegativeLength(i32),
    /// Null where this version has none.
    #[error("null is not allowed in this version")]
    Null,
    /// An array that cannot fit in what is left.
    #[error("an array of {count} elements cannot fit in the {left} bytes that are left")]
    Count {
        /// The announced number of elements.
        count: usize,
        /// How many bytes the input has left.
        left: usize,
    },
    /// Many small elements that would take far more memory than the frame itself.
    #[error("the message would take {wanted} bytes of memory more, {budget} are allowed for its size")]
    Memory {
        /// The memory the array would take.
        wanted: usize,
        /// What may still be taken.
        budget: usize,
    },
    /// A variable-length integer of more than 32 bits.
    #[error("a variable-length integer is longer than 5 bytes or 32 bits")]
    Varint,
    /// Text that is not UTF-8.
    #[error("the text is not UTF-8")]
    Utf8,
    /// A presence marker that is neither -1 nor 1.
    #[error("the presence marker {0} is neither -1 nor 1")]
    Presence(i8),
    /// Tagged fields out of order.
    #[error("tag {tag} comes after tag {previous}; tags must ascend")]
    TagOrder {
        /// The tag that was read.
        tag: u32,
        /// The one before it.
        previous: u32,
    },
    /// Bytes after the end of the value.
    #[error("{0} bytes follow the end of the value")]
    Trailing(usize),
    /// A version this message does not have here.
    #[error("version {version} is not supported, only {versions} are")]
    Version {
        /// The version in question.
        version: i16,
        /// The supported ones.
        versions: Versions,
    },
    /// A key of no API that is known here.
    #[error("the api key {0} is unknown")]
    ApiKey(i16),
}

impl DecodeError {
    /// The fault `reason`, so far without a place.
    pub fn new(reason: Reason) -> Self {
        Self(Box::new(Fault { path: String::new(), reason }))
    }

    /// What is wrong.
    pub fn reason(&self) -> &Reason {
        &self.0.reason
    }

    /// Where: field names from the outside in, for example `topics[2].partitions[0].records`.
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// The same fault, seen from the structure that holds `field`.
    pub fn within(mut self, field: &str) -> Self {
        let path = &mut self.0.path;
        let dot = if path.is_empty() || path.starts_with('[') { "" } else { "." };
        *path = format!("{field}{dot}{path}");
        self
    }

    /// The same fault, seen from the array whose `index`-th element has it.
    pub(crate) fn at(self, index: usize) -> Self {
        self.within(&format!("[{index}]"))
    }
}

impl From<Reason> for DecodeError {
    fn from(reason: Reason) -> Self {
        Self::new(reason)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { self.reason.fmt(f) } else { write!(f, "{}: {}", self.path, self.reason) }
    }
}

/// A message that cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The message has no such version.
    #[error("{message} has no version {version}, only {versions}")]
    Version {
        /// The message.
        message: &'static str,
        /// The version in question.
        version: i16,
        /// The supported ones.
        versions: Versions,
    },
    /// A string, array or frame too long for its length field.
    #[error("a length of {len} does not fit, at most {limit} does")]
    TooLong {
        /// The length.
        len: usize,
        /// The most that fits.
        limit: usize,
    },
    /// Records that are to be sent from elsewhere, in a message that is written in one piece.
    #[error("records of {0} bytes are a placeholder; encode the message in pieces")]
    Placeholder(usize),
}
