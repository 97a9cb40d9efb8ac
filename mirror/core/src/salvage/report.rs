use super::Fate;
use model::OffsetRange;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::HashMap;

/// How many different keys of a tail are followed.
const KEYS_MAX: usize = 200_000;
/// How many bytes of keys.
const KEY_BYTES_MAX: usize = 64 << 20;
/// How much of a key a report shows.
const KEY_SHOWN_MAX: usize = 120;

/// How many records met which fate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// The new lineage lacks them.
    pub lacking: u64,
    /// Nobody can tell whether it does: they have no producer id.
    pub unknown: u64,
    /// The new lineage holds them.
    pub held: u64,
    /// The new lineage has a newer record of their key; counted only where these are left out.
    pub newer_key: u64,
    /// Left out for having no producer id.
    pub unknown_left: u64,
    /// Of aborted transactions.
    pub aborted: u64,
    /// Of transactions without an end in the tail.
    pub open: u64,
}

impl Tally {
    /// Counts a record.
    pub fn count(&mut self, fate: Fate) {
        *match fate {
            Fate::Lacking => &mut self.lacking,
            Fate::Unknown => &mut self.unknown,
            Fate::Held => &mut self.held,
            Fate::NewerKey => &mut self.newer_key,
            Fate::UnknownLeft => &mut self.unknown_left,
            Fate::Aborted => &mut self.aborted,
            Fate::Open => &mut self.open,
        } += 1;
    }

    /// How many are written again.
    pub const fn sent(&self) -> u64 {
        self.lacking + self.unknown
    }

    /// How many there are.
    pub const fn records(&self) -> u64 {
        self.sent() + self.held + self.newer_key + self.unknown_left + self.aborted + self.open
    }
}

/// What was found out about a tail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// Its records by fate.
    pub tally: Tally,
    /// Control batches in it; they are never written again.
    pub control_batches: u64,
    /// What of the new lineage was read; `None` when it holds nothing since the common end.
    pub lineage: Option<OffsetRange>,
    /// How many different keys were followed.
    pub keys: u64,
    /// How many of these the new lineage has written since the common end.
    pub keys_held: u64,
    /// Whether every key of the tail was followed.
    pub keys_complete: bool,
    /// How many records have no key.
    pub keyless: u64,
    /// The keys of which most versions were cut off.
    pub top: Vec<KeyFinding>,
}

/// What was found out about a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyFinding {
    /// The key, as text as far as it is some, cut off when it is long.
    pub key: String,
    /// How many versions were cut off.
    pub versions: u64,
    /// Whether the new lineage has written it since the common end.
    pub held: bool,
}

/// The keys of a tail.
#[derive(Debug, Default)]
pub(super) struct Keys {
    known: HashMap<Box<[u8]>, Versions>,
    bytes: usize,
    keyless: u64,
    missed: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Versions {
    cut_off: u64,
    held: bool,
}

impl Keys {
    pub(super) fn note_tail(&mut self, key: Option<&[u8]>) {
        let Some(key) = key else {
            self.keyless += 1;
            return;
        };
        if let Some(known) = self.known.get_mut(key) {
            known.cut_off += 1;
            return;
        }
        if self.known.len() >= KEYS_MAX || self.bytes + key.len() > KEY_BYTES_MAX {
            self.missed = true;
            return;
        }
        self.bytes += key.len();
        self.known.insert(key.into(), Versions { cut_off: 1, held: false });
    }

    pub(super) fn note_lineage(&mut self, key: Option<&[u8]>) {
        if let Some(known) = key.and_then(|key| self.known.get_mut(key)) {
            known.held = true;
        }
    }

    pub(super) fn is_held(&self, key: &[u8]) -> bool {
        self.known.get(key).is_some_and(|known| known.held)
    }

    pub(super) const fn is_complete(&self) -> bool {
        !self.missed
    }

    pub(super) fn findings(
        &self,
        tally: Tally,
        control_batches: u64,
        lineage: Option<OffsetRange>,
        top: usize,
    ) -> Findings {
        let mut ranked: Vec<_> = self.known.iter().collect();
        ranked.sort_unstable_by_key(|(key, versions)| (Reverse(versions.cut_off), *key));
        let shown = ranked.iter().take(top).map(|(key, versions)| KeyFinding {
            key: shown(key),
            versions: versions.cut_off,
            held: versions.held,
        });
        Findings {
            tally,
            control_batches,
            lineage,
            keys: self.known.len() as u64,
            keys_held: self.known.values().filter(|versions| versions.held).count() as u64,
            keys_complete: self.is_complete(),
            keyless: self.keyless,
            top: shown.collect(),
        }
    }
}

fn shown(key: &[u8]) -> String {
    let text = String::from_utf8_lossy(&key[..key.len().min(KEY_SHOWN_MAX)]);
    if key.len() > KEY_SHOWN_MAX { format!("{text}...") } else { text.into_owned() }
}
