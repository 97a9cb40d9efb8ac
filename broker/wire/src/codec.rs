//! How values become bytes and back: the bounded reader, the writer, and the table every message is declared with.

mod double;
mod fault;
mod message;
mod reader;
mod tags;
mod value;
mod version;
mod writer;

pub use double::Double;
pub use fault::{DecodeError, EncodeError, Reason};
pub use message::{Message, Request};
pub use reader::Reader;
pub use tags::Tags;
pub use value::{Records, Wire};
pub use version::{Version, Versions};
pub use writer::{Piece, Writer};

pub(crate) use message::{NEVER, message, within};
pub(crate) use value::{Nullable, read_maybe, write_maybe};

// What `message!` expands to.
#[cfg(any(test, feature = "testing"))]
pub(crate) use message::generate_field;
pub(crate) use message::{
    field_doc, if_versions, initial, read_field, read_tag, set_throttle, size_min, structure, write_field, write_tag,
};
