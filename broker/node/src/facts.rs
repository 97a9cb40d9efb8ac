//! Facts the council has to hear of: diverged tails and gaps. Kept on disk until it has stored them.

use crate::durably;
use model::{DivergedTail, Gap};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The facts of a region that are not yet stored by the council.
pub(crate) struct Facts {
    path: PathBuf,
    kept: Mutex<Kept>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    diverged: Vec<DivergedTail>,
    gaps: Vec<Gap>,
}

impl Facts {
    /// Reads what is kept in `data_dir`.
    ///
    /// # Errors
    /// When the file cannot be read: a fact must not be lost in silence.
    pub(crate) fn open(data_dir: &Path) -> io::Result<Self> {
        let path = data_dir.join("facts.json");
        let kept = match fs::read(&path) {
            Ok(json) => serde_json::from_slice(&json)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Kept::default(),
            Err(error) => return Err(error),
        };
        Ok(Self { path, kept: Mutex::new(kept) })
    }

    /// Keeps a diverged tail. The same one again changes nothing.
    ///
    /// # Errors
    /// When it cannot be made durable.
    pub(crate) fn record_diverged(&self, tail: DivergedTail) -> io::Result<()> {
        self.change(|kept| {
            if !kept.diverged.contains(&tail) {
                kept.diverged.push(tail);
            }
        })
    }

    /// Keeps a gap. The same one again changes nothing.
    ///
    /// # Errors
    /// When it cannot be made durable.
    pub(crate) fn record_gap(&self, gap: Gap) -> io::Result<()> {
        self.change(|kept| {
            if !kept.gaps.contains(&gap) {
                kept.gaps.push(gap);
            }
        })
    }

    /// The council has stored these.
    ///
    /// # Errors
    /// When that cannot be made durable; they are reported again then.
    pub(crate) fn acknowledge(&self, diverged: &[DivergedTail], gaps: &[Gap]) -> io::Result<()> {
        self.change(|kept| {
            kept.diverged.retain(|tail| !diverged.contains(tail));
            kept.gaps.retain(|gap| !gaps.contains(gap));
        })
    }

    /// What the council has not stored yet.
    pub(crate) fn pending(&self) -> (Vec<DivergedTail>, Vec<Gap>) {
        let kept = self.kept();
        (kept.diverged.clone(), kept.gaps.clone())
    }

    fn change(&self, change: impl FnOnce(&mut Kept)) -> io::Result<()> {
        let mut kept = self.kept();
        let mut next = kept.clone();
        change(&mut next);
        if next != *kept {
            self.write(&next)?;
            *kept = next;
        }
        Ok(())
    }

    fn write(&self, kept: &Kept) -> io::Result<()> {
        durably::replace(&self.path, &serde_json::to_vec_pretty(kept)?)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Offset, OffsetRange, PartitionId, TopicId};

    #[test]
    fn a_fact_is_kept_until_it_is_acknowledged() {
        let dir = tempfile::tempdir().unwrap();
        let range = OffsetRange::new(Offset(3), Offset(9));
        let gap = Gap { topic: TopicId::ZERO, partition: PartitionId(0), range, reason: "retention".into() };
        let facts = Facts::open(dir.path()).unwrap();
        facts.record_gap(gap.clone()).unwrap();
        facts.record_gap(gap.clone()).unwrap();
        let facts = Facts::open(dir.path()).unwrap();
        assert_eq!(facts.pending().1, std::slice::from_ref(&gap));
        facts.acknowledge(&[], &[gap]).unwrap();
        assert!(Facts::open(dir.path()).unwrap().pending().1.is_empty());
    }
}
