//! One partition on this broker: its log, what the broker is to it, and how far others may see.

mod gate;

pub(crate) use gate::{Gate, Pass, Shut};

/// One partition.
pub(crate) struct Partition {}
