//! Judges a history: a pure function from what was seen to a [`Report`].
//!
//! There are three verdicts. *Violation*: a promise was broken. *Unknown*: none was seen broken, but the history does not
//! show enough to say more (a required fault did not take hold, a log was not read at the end, nothing was at stake).
//! *Pass*: everything required was there and every promise held. One rule per file:
//!
//! | rule | what must never be |
//! |---|---|
//! | [`offsets`] | two values at one offset, at any time, in any region |
//! | [`duplicates`] | a record of an idempotent producer twice in one log |
//! | [`phantoms`] | a record nobody sent, or that was refused |
//! | [`loss`] | an acknowledged record gone that no report names, or named though it is there |
//! | [`writers`] | an acknowledgement of an older owner after the first of a newer one |
//! | [`order`] | records of one idempotent producer out of order |
//! | [`readers`] | a surviving record that a reader was never given |
//! | [`copies`] | two regions whose logs differ at the end |

mod copies;
mod duplicates;
mod evidence;
mod loss;
mod offsets;
mod order;
mod phantoms;
mod readers;
#[cfg(test)]
pub(crate) mod story;
mod writers;

use crate::history::Entry;
use evidence::Evidence;
use model::{RegionName, TopicPartition};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a history has to show before it can pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requirements {
    /// How many acknowledged records, at least.
    pub acked_min: u64,
    /// How many faults that took hold, at least.
    pub faults_min: u64,
    /// Regions whose logs must have been read at the end, for every partition that was written.
    pub scanned: Vec<RegionName>,
    /// Whether acknowledged records must have been lost: a drill with nothing at stake proves nothing.
    pub stake: bool,
    /// How many readers, at least.
    pub readers_min: u64,
}

/// Which promise was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// Two values at one offset.
    InconsistentOffsets,
    /// A record of an idempotent producer stands twice in one log.
    Duplicate,
    /// A record that nobody sent.
    Phantom,
    /// A record that was refused is there.
    RefusedYetWritten,
    /// An acknowledged record is gone and no report names it.
    UndeclaredLoss,
    /// A report names an offset that is still there.
    PhantomLoss,
    /// A final report names offsets that were not archived.
    Unarchived,
    /// Two regions acknowledged at the same time.
    DualWriter,
    /// Records of one idempotent producer are out of order.
    OutOfOrder,
    /// A reader got a later record but never this one.
    ConsumerSkip,
    /// A reader never got to the end.
    Unseen,
    /// Logs of two regions differ.
    DivergedCopies,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::InconsistentOffsets => "inconsistent-offsets",
            Self::Duplicate => "duplicate",
            Self::Phantom => "phantom",
            Self::RefusedYetWritten => "refused-yet-written",
            Self::UndeclaredLoss => "undeclared-loss",
            Self::PhantomLoss => "phantom-loss",
            Self::Unarchived => "unarchived",
            Self::DualWriter => "dual-writer",
            Self::OutOfOrder => "out-of-order",
            Self::ConsumerSkip => "consumer-skip",
            Self::Unseen => "unseen",
            Self::DivergedCopies => "diverged-copies",
        };
        f.write_str(name)
    }
}

/// A broken promise, with how often and the first cases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anomaly {
    /// Which promise.
    pub class: Class,
    /// Where.
    pub partition: TopicPartition,
    /// How many cases.
    pub count: u64,
    /// The first few, in words.
    pub examples: Vec<String>,
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {} ({}): {}", self.class, self.partition, self.count, self.examples.join("; "))
    }
}

/// The judgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Everything required was seen, and every promise held.
    Pass,
    /// A promise was broken.
    Violation,
    /// The history does not show enough.
    Unknown,
}

/// What was counted on the way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Records handed in.
    pub sent: u64,
    /// Records acknowledged.
    pub acked: u64,
    /// Writes whose outcome nobody knows.
    pub unclear: u64,
    /// Acknowledged records that are gone and that a report names.
    pub declared_lost: u64,
    /// Acknowledged records below a log's start: retired, not lost.
    pub retired: u64,
    /// Records of producers without idempotence that stand more than once in a log.
    pub repeated: u64,
    /// Records a reader was given again.
    pub redelivered: u64,
    /// The longest time without any acknowledgement, in nanoseconds.
    pub ack_gap_max_ns: u64,
    /// From each fault that took hold to the next acknowledgement of a record handed in after it, in nanoseconds.
    pub recovery_ns: Vec<u64>,
}

/// What the checker found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The judgement.
    pub verdict: Verdict,
    /// Every broken promise.
    pub anomalies: Vec<Anomaly>,
    /// What the history would have had to show and does not.
    pub uncovered: Vec<String>,
    /// What was counted.
    pub figures: Figures,
}

/// Judges `history`. The entries may come in any order; their times decide.
pub fn check(history: &[Entry], requirements: &Requirements) -> Report {
    let evidence = Evidence::gather(history);
    let mut figures = evidence.figures();
    let mut anomalies = [
        offsets::check(&evidence),
        duplicates::check(&evidence, &mut figures),
        phantoms::check(&evidence),
        loss::check(&evidence, &mut figures),
        writers::check(&evidence),
        order::check(&evidence),
        readers::check(&evidence, &mut figures),
        copies::check(&evidence),
    ]
    .concat();
    anomalies.sort_by(|a, b| (a.class, &a.partition).cmp(&(b.class, &b.partition)));
    let uncovered = evidence.uncovered(requirements, &figures);
    let verdict = match (anomalies.is_empty(), uncovered.is_empty()) {
        (false, _) => Verdict::Violation,
        (true, false) => Verdict::Unknown,
        (true, true) => Verdict::Pass,
    };
    Report { verdict, anomalies, uncovered, figures }
}

/// Collects the cases of one class, partition by partition.
struct Cases<'a> {
    partition: &'a TopicPartition,
    found: Vec<(Class, u64, Vec<String>)>,
}

impl<'a> Cases<'a> {
    const EXAMPLES_MAX: usize = 5;

    fn of(partition: &'a TopicPartition) -> Self {
        Self { partition, found: Vec::new() }
    }

    fn add(&mut self, class: Class, example: impl FnOnce() -> String) {
        let index = self.found.iter().position(|(known, ..)| *known == class).unwrap_or_else(|| {
            self.found.push((class, 0, Vec::new()));
            self.found.len() - 1
        });
        let (_, count, examples) = &mut self.found[index];
        *count += 1;
        if examples.len() < Self::EXAMPLES_MAX {
            examples.push(example());
        }
    }

    fn into_anomalies(self) -> Vec<Anomaly> {
        let partition = self.partition;
        self.found
            .into_iter()
            .map(|(class, count, examples)| Anomaly { class, partition: partition.clone(), count, examples })
            .collect()
    }
}
