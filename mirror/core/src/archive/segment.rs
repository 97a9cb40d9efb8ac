//! A segment object: raw batches in chunks, an index behind them, a trailer last. All numbers are big-endian.
//!
//! ```text
//! header   magic FARSHSEG, version u16, 0 u16, partition i32, topic id 16, first offset i64, crc32c u32     44 bytes
//! chunks   whole batches as they stand in the log; how a chunk is stored says its codec byte (0: as it is)
//! index    count u32, then per chunk 50 bytes, see `ChunkEntry`
//! trailer  index at u64, index length u32, index crc32c u32, SHA-256 of all before it 32, magic GESHSRAF    56 bytes
//! ```

mod format;
mod object;
mod writer;

pub use format::{ChunkEntry, SegmentIdentity, SegmentIndex};
pub use object::SegmentObject;
pub use writer::{SegmentSummary, SegmentWriter};
