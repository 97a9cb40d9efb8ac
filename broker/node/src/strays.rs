//! Logs that the metadata places on other brokers, or nowhere: what moved away or was deleted while this broker was down;
//! and copies of topics that were deleted.
//!
//! ```text
//!   t-0  --not placed here-->                     t-0.<milliseconds>-stray  --a week later-->  gone
//!   t-0  --another region has the topic deleted-> t-0.<milliseconds>-kept   --a day later, or when disk is short--> gone
//!   t-0  --the copy is made anew------------------^  (and goes on)
//! ```
//!
//! A stray is put aside first, for whoever finds that the metadata is wrong and not the log; a copy, for whoever finds that
//! the topic should not have been deleted, or loses the source before the new copy is complete. Such a directory is a whole
//! log of the topic it was.

use crate::Broker;
use crate::log_dirs::LogDir;
use crate::replica::Place;
use model::Timestamp;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why a log was put aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aside {
    /// It is placed elsewhere.
    Stray,
    /// It is a copy, and the topic was deleted, or it is copied anew.
    Copy,
}

impl Aside {
    const ALL: [Self; 2] = [Self::Stray, Self::Copy];

    /// How long it is kept.
    const fn kept(self) -> Duration {
        match self {
            Self::Stray => Duration::from_secs(7 * 24 * 3600),
            Self::Copy => Duration::from_secs(24 * 3600),
        }
    }

    /// The end of its name.
    const fn suffix(self) -> &'static str {
        match self {
            Self::Stray => "-stray",
            Self::Copy => "-kept",
        }
    }

    /// Where the log at `path` is put at `now`.
    pub(crate) fn place(self, path: &Path, now: Timestamp) -> PathBuf {
        path.with_added_extension(format!("{}{}", now.0, self.suffix()))
    }

    /// What there is of it in `dir`, and since when.
    fn found(self, dir: &Path) -> Vec<(PathBuf, Timestamp)> {
        let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
        let found = |entry: fs::DirEntry| {
            let name = entry.file_name().into_string().ok()?;
            let (_, millis) = name.strip_suffix(self.suffix())?.rsplit_once('.')?;
            Some((entry.path(), Timestamp(millis.parse().ok()?)))
        };
        entries.filter_map(|entry| found(entry.ok()?)).collect()
    }
}

impl Broker {
    /// Puts strays aside and removes those that were for long enough. It may block.
    pub(crate) fn sweep_strays(&self) {
        let Some(control) = self.0.control.get() else { return };
        if self.0.heart.session().is_none_or(|session| !session.ready && self.0.config.is_clustered()) {
            return;
        }
        let now = self.0.clock.now();
        for dir in self.0.storage.dirs.online() {
            // Listed before the metadata is looked at: whatever is being made here is in it then.
            let logs = dir.logs();
            let (image, held) = (control.controller().image(), self.0.partitions.held());
            let is_placed = |(topic, number): &Place| {
                let slot = self.0.config.slot;
                let placed = image.partition(*topic, *number).is_some_and(|known| known.replicas.contains(&slot));
                placed || held.partition(*topic, *number).is_some()
            };
            let strays = logs.into_iter().filter(|(place, _)| !is_placed(place) || self.is_elsewhere(dir, *place));
            strays.for_each(|(_, path)| put_aside(&path, Aside::Stray, now));
            Aside::ALL.into_iter().for_each(|why| remove_old(dir.path(), why, now));
            if !dir.disk().has_room() {
                remove(Aside::Copy.found(dir.path()).into_iter());
            }
        }
    }

    /// Whether the log of a partition in `dir` is a copy of what is in another directory.
    fn is_elsewhere(&self, dir: &LogDir, place: Place) -> bool {
        let held = self.0.partitions.held();
        held.partition(place.0, place.1).is_some_and(|open| open.dir.path() != dir.path())
    }
}

/// Puts the log at `path` aside.
pub(crate) fn put_aside(path: &Path, why: Aside, now: Timestamp) {
    let aside = why.place(path, now);
    match fs::rename(path, &aside) {
        Ok(()) => {
            tracing::warn!(log = %path.display(), aside = %aside.display(), ?why, kept = ?why.kept(),
                "a log was put aside; it is removed later");
        }
        Err(error) => tracing::warn!(log = %path.display(), %error, "a log that is not wanted here stays"),
    }
}

fn remove_old(dir: &Path, why: Aside, now: Timestamp) {
    remove(why.found(dir).into_iter().filter(|(_, since)| now.since(*since) >= why.kept()));
}

fn remove(logs: impl Iterator<Item = (PathBuf, Timestamp)>) {
    for (path, _) in logs {
        match fs::remove_dir_all(&path) {
            Ok(()) => tracing::info!(log = %path.display(), "a log that was put aside is removed"),
            Err(error) => tracing::warn!(log = %path.display(), %error, "a log that was put aside cannot be removed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_aside_is_kept_for_its_time() {
        let dir = tempfile::tempdir().unwrap();
        for (why, name) in [(Aside::Stray, "my.topic-7.1000-stray"), (Aside::Copy, "my.topic-7.1000-kept")] {
            let log = dir.path().join("my.topic-7");
            fs::create_dir(&log).unwrap();
            put_aside(&log, why, Timestamp(1000));
            let (aside, kept) = (dir.path().join(name), why.kept().as_millis() as i64);
            assert_eq!(why.found(dir.path()), [(aside.clone(), Timestamp(1000))]);
            remove_old(dir.path(), why, Timestamp(kept));
            assert!(aside.exists() && !log.exists());
            remove_old(dir.path(), why, Timestamp(1000 + kept));
            assert!(!aside.exists());
        }
    }
}
