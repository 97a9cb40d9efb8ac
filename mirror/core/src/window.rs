//! One partition of a source region, followed as a follower of its leader would (KIP-595), at equal offsets and epochs.
//!
//! ```text
//!             answer: records           answer: diverging
//!   Fetching ----------------> Fetching ----------------> Archiving -archived-> Truncating -truncated-> Fetching
//!      |  ^                                                (everything from the common end on)
//!   much  | flushed          any state --seal / topic reset / log failed--> stopped for good
//!   unflushed                          --not owner--> stopped until the link comes up again
//!      v  |
//!     Full
//! ```
//!
//! What the shell has to keep:
//!
//! - commands are performed in the order they come, each finished (and durable, where it writes) before the next begins;
//!   only fetches run beside them;
//! - what happened to the log is told in the order it happened;
//! - after a restart the window begins again at what the log then holds.
//!
//! Invariants: an answer changes the log only when it answers a fetch of the newest run, begins where the copy ends, comes
//! from the grant this link follows and from no other leader than the rest of its run; its divergence is looked at first, and then nothing else of it counts;
//! batches follow each other without a hole but the one a LEADER_CHANGE batch crosses; nothing is cut off that was not
//! archived; the high watermark never goes back; what the source has forgotten is known before what comes behind it is here.

mod answer;
mod batches;
mod copy_log;
mod flight;
mod partition;

pub use answer::{Answer, Body, Command, Diverging, Event, Fault, Fetch, StopReason, Stream, Ticket};
pub use copy_log::LogState;
pub use partition::{LineageStart, Partition, Phase, Settings};
