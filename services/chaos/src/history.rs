//! What happened, as those who took part saw it: one [`Entry`] per line of JSON.
//!
//! Times are nanoseconds of one host's monotonic clock, whatever process wrote the entry. A write that timed out or lost
//! its connection is [`Event::Unclear`], never [`Event::Refused`]: it may have happened.

use model::{Offset, OffsetRange, OwnershipEpoch, RegionName, TopicPartition};
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, Write};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, in nanoseconds of the host's monotonic clock.
    pub at: u64,
    /// Who saw it: the name of a client, drill or injector.
    pub process: String,
    /// What it was.
    #[serde(flatten)]
    pub event: Event,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// A producer hands in a record. Its value is unique in the whole history.
    Sent {
        /// The record.
        value: u64,
        /// Where it is to go.
        partition: TopicPartition,
        /// Whether the producer is idempotent: its records must not appear twice or out of order.
        idempotent: bool,
    },
    /// The producer has the acknowledgement of a record.
    Acked {
        /// The record.
        value: u64,
        /// The offset it was promised.
        offset: Offset,
        /// The region that answered, where the producer talks to one directly.
        region: Option<RegionName>,
    },
    /// The record was refused for good; it must never appear.
    Refused {
        /// The record.
        value: u64,
        /// The answer.
        reason: String,
    },
    /// Nobody knows whether the record was written.
    Unclear {
        /// The record.
        value: u64,
        /// What was seen instead of an answer.
        reason: String,
    },
    /// A reader (a consumer group, or a consumer alone) begins: from here on it must be given every record.
    Began {
        /// The reader.
        reader: String,
        /// The partition.
        partition: TopicPartition,
        /// The first offset it has a right to.
        from: Offset,
    },
    /// A reader was given a record.
    Polled {
        /// The reader.
        reader: String,
        /// The partition.
        partition: TopicPartition,
        /// Where the record stood.
        offset: Offset,
        /// The record.
        value: u64,
    },
    /// A fault was made, or was meant to be.
    Fault {
        /// For example `kill`.
        kind: String,
        /// What it struck, for example `r1`.
        target: String,
        /// Whether it took hold.
        outcome: Outcome,
    },
    /// A fault ended.
    Healed {
        /// What recovered.
        target: String,
    },
    /// A partition got a new owner.
    Promoted {
        /// The partition.
        partition: TopicPartition,
        /// The new owner.
        owner: RegionName,
        /// Its grant.
        ownership_epoch: OwnershipEpoch,
        /// The last offset both lineages share is below it.
        common_end: Offset,
        /// The first offset of the new lineage; equal to `common_end` after a planned switch.
        base: Offset,
    },
    /// What a run's report says was lost of one partition.
    LossReport {
        /// The partition.
        partition: TopicPartition,
        /// The grant that the failover ended with.
        ownership_epoch: OwnershipEpoch,
        /// The offsets of the old lineage that are gone. While not `settled`, everything behind the first of them may be.
        ranges: Vec<OffsetRange>,
        /// Whether the report is final: the old log has come back.
        settled: bool,
    },
    /// Offsets of an old lineage were copied aside before they were cut off.
    Archived {
        /// The partition.
        partition: TopicPartition,
        /// The offsets.
        range: OffsetRange,
    },
    /// The whole log of a partition in one region, read at the end.
    Scanned {
        /// The region.
        region: RegionName,
        /// The partition.
        partition: TopicPartition,
        /// The first offset kept.
        start: Offset,
        /// The next offset.
        tail: Offset,
        /// Every record of the load with its offset, in order.
        records: Vec<(Offset, u64)>,
        /// A hash over the batches, where the region was asked for one.
        hash: Option<String>,
    },
}

/// Whether a fault took hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It did.
    Installed,
    /// There was nothing to strike.
    Skipped,
    /// Nobody can tell.
    Indeterminate,
}

/// Writes a history, one entry per line.
///
/// # Errors
/// What the writer says.
pub fn write(entries: &[Entry], mut sink: impl Write) -> io::Result<()> {
    for entry in entries {
        serde_json::to_writer(&mut sink, entry)?;
        sink.write_all(b"\n")?;
    }
    sink.flush()
}

/// Reads a history; empty lines are skipped.
///
/// # Errors
/// What the reader says, or the number of a line that is no entry.
pub fn read(source: impl BufRead) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for (number, line) in source.lines().enumerate() {
        let line = line?;
        if line.is_empty() {
            continue;
        }
        let entry = serde_json::from_str(&line)
            .map_err(|e| io::Error::new(io::ErrorKind::InvalidData, format!("line {}: {e}", number + 1)))?;
        entries.push(entry);
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::story::{Story, topic};

    #[test]
    fn a_history_survives_its_file() {
        let mut story = Story::new();
        story.acked(1, 0).fault("kill", "r1").promoted("r2", 2, 1, 1 << 40).loses(1, 2).polled("g", 0, 1);
        story.scan("r2", &[(0, 1)]);
        let entries = story.entries();
        let mut file = Vec::new();
        write(&entries, &mut file).unwrap();
        assert_eq!(read(file.as_slice()).unwrap(), entries);
    }

    #[test]
    fn a_broken_line_is_named() {
        let good =
            Entry { at: 1, process: "p".into(), event: Event::Sent { value: 7, partition: topic(), idempotent: true } };
        let mut file = Vec::new();
        write(&[good], &mut file).unwrap();
        file.extend_from_slice(b"{\"at\":2}\n");
        assert!(read(file.as_slice()).unwrap_err().to_string().starts_with("line 2: "));
    }
}
