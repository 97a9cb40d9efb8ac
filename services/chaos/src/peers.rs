//! The starters of Apache Kafka (`peers/kafka`) and its MirrorMaker (`peers/mirror-maker`), carried along so that they are at hand wherever the binary is.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs};

const FILES: [(&str, &str, u32); 5] = [
    ("kafka", include_str!("../peers/kafka"), 0o755),
    ("mirror-maker", include_str!("../peers/mirror-maker"), 0o755),
    ("pom-mirror-maker.xml", include_str!("../peers/pom-mirror-maker.xml"), 0o644),
    ("pom.xml", include_str!("../peers/pom.xml"), 0o644),
    ("log4j2.properties", include_str!("../peers/log4j2.properties"), 0o644),
];

/// Where jars, environments and unpacked scripts are kept: FARSHORE_CACHE, or `farshore` in the user's cache directory.
pub fn cache() -> Option<PathBuf> {
    let set = |name: &str| env::var_os(name).map(PathBuf::from);
    set("FARSHORE_CACHE").or_else(|| {
        let user = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
        user.map(|user| user.join("farshore"))
    })
}

/// Writes the starters and what they read into `directory` and answers the path of `kafka`; without arguments each says its
/// verbs.
///
/// # Errors
/// When the directory cannot be written.
pub fn unpack(directory: &Path) -> io::Result<PathBuf> {
    /// Several may unpack at once.
    static CALLS: AtomicU32 = AtomicU32::new(0);
    fs::create_dir_all(directory)?;
    for (name, content, mode) in FILES {
        let (us, call) = (std::process::id(), CALLS.fetch_add(1, Ordering::Relaxed));
        let fresh = directory.join(format!("{name}.{us}.{call}"));
        fs::write(&fresh, content)?;
        fs::set_permissions(&fresh, fs::Permissions::from_mode(mode))?;
        fs::rename(fresh, directory.join(name))?;
    }
    Ok(directory.join("kafka"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unpacked_starter_says_its_verbs() {
        let home = tempfile::tempdir().unwrap();
        let kafka = unpack(home.path()).unwrap();
        for (starter, verb) in [("kafka", "kafka start DIR PORT"), ("mirror-maker", "mirror-maker run DIR")] {
            let ran = std::process::Command::new(kafka.with_file_name(starter)).output().unwrap();
            assert!(String::from_utf8_lossy(&ran.stdout).contains(verb));
        }
    }
}
