//! The numbered SQL files of `migrations/`, one concept each. Applied ones never change; a new concept is a new file.

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

macro_rules! migrations {
    ($($version:literal $name:literal),* $(,)?) => {
        &[$(($version, $name, include_str!(concat!("../../../migrations/", $name, ".sql")))),*]
    };
}

/// Version, file name and text of every migration.
pub(crate) const ALL: &[(i64, &str, &str)] = migrations![
    1 "0001_applied",
    2 "0002_platform",
    3 "0003_regions",
    4 "0004_gateways",
    5 "0005_protection_groups",
    6 "0006_topics",
    7 "0007_effects",
    8 "0008_audit",
    9 "0009_runs",
    10 "0010_evidence",
    11 "0011_schedules",
    12 "0012_backups",
    13 "0013_restores",
    14 "0014_drills",
    15 "0015_automation",
    16 "0016_modes",
    17 "0017_reinjections",
    18 "0018_publications",
    19 "0019_stopped_topics",
];

/// Brings a database of any earlier version to this one.
pub(crate) fn migrator(all: &[(i64, &'static str, &'static str)]) -> Migrator {
    let one = |(version, name, sql): &(i64, &'static str, &'static str)| {
        Migration::new(*version, (*name).into(), MigrationType::Simple, (*sql).into_sql_str(), false)
    };
    Migrator::with_migrations(all.iter().map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::ALL;

    #[test]
    fn every_migration_file_is_part_of_the_program() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations");
        let mut files: Vec<_> = std::fs::read_dir(directory)
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".sql"))
            .collect();
        files.sort();
        let known: Vec<_> = ALL.iter().map(|(version, name, _)| (format!("{name}.sql"), *version)).collect();
        assert_eq!(files, known.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>());
        assert!(known.iter().enumerate().all(|(at, (_, version))| *version == at as i64 + 1));
    }
}
