//! Logs that the metadata places on other brokers, or nowhere: what moved away or was deleted while this broker was down.
//!
//! ```text
//!   t-0  --not placed here-->  t-0.<milliseconds>-stray  --a week later-->  gone
//! ```
//!
//! A stray is put aside first, for whoever finds that the metadata is wrong and not the log.

use crate::Broker;
use crate::log_dirs::LogDir;
use crate::replica::Place;
use model::Timestamp;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a stray is kept.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// The end of its name.
const STRAY: &str = "-stray";

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
            strays.for_each(|(_, path)| put_aside(&path, now));
            remove_old(dir.path(), now);
        }
    }

    /// Whether the log of a partition in `dir` is a copy of what is in another directory.
    fn is_elsewhere(&self, dir: &LogDir, place: Place) -> bool {
        let held = self.0.partitions.held();
        held.partition(place.0, place.1).is_some_and(|open| open.dir.path() != dir.path())
    }
}

fn put_aside(path: &Path, now: Timestamp) {
    let aside = path.with_added_extension(format!("{}{STRAY}", now.0));
    match fs::rename(path, &aside) {
        Ok(()) => {
            tracing::warn!(log = %path.display(), aside = %aside.display(),
                "a log that is placed on other brokers was put aside; it is removed after a week");
        }
        Err(error) => tracing::warn!(log = %path.display(), %error, "a log that is placed on other brokers stays"),
    }
}

fn remove_old(dir: &Path, now: Timestamp) {
    for path in strays(dir).into_iter().filter(|(_, since)| now.since(*since) >= KEPT).map(|(path, _)| path) {
        match fs::remove_dir_all(&path) {
            Ok(()) => tracing::info!(log = %path.display(), "a stray log was removed"),
            Err(error) => tracing::warn!(log = %path.display(), %error, "a stray log cannot be removed"),
        }
    }
}

/// The strays in `dir`, and since when they are.
fn strays(dir: &Path) -> Vec<(PathBuf, Timestamp)> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let stray = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let (_, millis) = name.strip_suffix(STRAY)?.rsplit_once('.')?;
        Some((entry.path(), Timestamp(millis.parse().ok()?)))
    };
    entries.filter_map(|entry| stray(entry.ok()?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stray_is_kept_for_a_week() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("my.topic-7");
        fs::create_dir(&log).unwrap();
        let week = KEPT.as_millis() as i64;
        put_aside(&log, Timestamp(1000));
        let aside = dir.path().join("my.topic-7.1000-stray");
        assert_eq!(strays(dir.path()), [(aside.clone(), Timestamp(1000))]);
        remove_old(dir.path(), Timestamp(week));
        assert!(aside.exists() && !log.exists());
        remove_old(dir.path(), Timestamp(1000 + week));
        assert!(!aside.exists());
    }
}
