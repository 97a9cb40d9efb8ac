//! The data directory: what lies where, who holds it, and what a platform remembers of itself.

use super::addresses::Addresses;
use anyhow::{Context, Result, bail};
use model::{RegionName, TopicId};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The directory one platform lives in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DataDir(PathBuf);

/// What a platform remembers between two starts (`platform.json`).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Platform {
    /// The format of this file.
    pub(crate) version: u32,
    /// The cluster id clients see through the gateway, for ever.
    pub(crate) cluster_id: String,
    /// The regions, in the order of their numbers.
    pub(crate) regions: Vec<RegionName>,
    /// How many brokers each region has; with more than one each is a process of its own, and so is the region's desk.
    #[serde(default = "one_broker")]
    pub(crate) brokers: u16,
    /// The ports of the latest start.
    pub(crate) addresses: Addresses,
    /// Whether the council has been formed: from then on an empty region directory is a lost disk.
    pub(crate) formed: bool,
    /// The key of the embedded S3 server.
    pub(crate) s3_secret: String,
    /// The id of the canary topic of `default`.
    pub(crate) canary: TopicId,
    /// What the disks of the first hour call themselves, by role.
    pub(crate) disk_ids: BTreeMap<String, String>,
    /// How long every link holds records back, for drills.
    #[serde(default)]
    pub(crate) link_delay_ms: u64,
    /// Where links and gateways reach internal listeners, if not on 127.0.0.1.
    #[serde(default)]
    pub(crate) links_at: Option<IpAddr>,
    /// Where all processes reach each other, if not on 127.0.0.1.
    #[serde(default)]
    pub(crate) nodes_at: Option<IpAddr>,
    /// The region the gateway stands in.
    #[serde(default)]
    pub(crate) gateway_in: Option<RegionName>,
    /// How long logs wait for links, and how often they are cleaned.
    #[serde(default)]
    pub(crate) link_hold: LinkHold,
    /// How a broker keeps its promise before it acknowledges: `ack` or `os`.
    #[serde(default = "flush_before_ack")]
    pub(crate) flush: String,
    /// Where a broker that runs alone keeps its logs; empty for a place below its region's directory.
    #[serde(default)]
    pub(crate) log_dirs: Vec<PathBuf>,
}

/// How long logs wait for links before they are retired or compacted, and how often they are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LinkHold {
    /// So many seconds longer than configured.
    pub(crate) seconds: u64,
    /// So many MiB of each partition at most.
    pub(crate) mib: u64,
    /// They are cleaned every so many seconds.
    pub(crate) clean_every_s: u64,
    /// Those that are compacted are digested by their keys every so many seconds.
    #[serde(default = "digest_every_s")]
    pub(crate) digest_every_s: u64,
}

impl Default for LinkHold {
    fn default() -> Self {
        Self { seconds: 24 * 3600, mib: 10 * 1024, clean_every_s: 300, digest_every_s: digest_every_s() }
    }
}

fn digest_every_s() -> u64 {
    600
}

fn one_broker() -> u16 {
    1
}

fn flush_before_ack() -> String {
    "ack".to_owned()
}

impl Platform {
    /// Whether the council needs a node outside the regions to have a majority without any one of them.
    pub(crate) fn has_witness(&self) -> bool {
        self.regions.len().is_multiple_of(2)
    }

    /// The number of the region called `name`.
    ///
    /// # Errors
    /// When there is none; the message lists those there are.
    pub(crate) fn region_index(&self, name: &RegionName) -> Result<u16> {
        let known = || self.regions.iter().map(RegionName::as_str).collect::<Vec<_>>().join(", ");
        let index = self.regions.iter().position(|region| region == name);
        index.map(|index| index as u16).with_context(|| format!("there is no region {name}; there are {}", known()))
    }
}

/// Holds the data directory until it is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct Lock(#[allow(dead_code, reason = "the open file is the lock")] File);

impl DataDir {
    /// The directory at `path`, made if it is missing, for this user only.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn create(path: impl Into<PathBuf>) -> Result<Self> {
        let path = std::path::absolute(path.into())?;
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.with_context(|| format!("cannot make the data directory {}", path.display()))?;
        Ok(Self(path))
    }

    /// Where a platform lives that was not told otherwise.
    pub(crate) fn default_path() -> PathBuf {
        let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
        let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
        state.or_else(home).unwrap_or_else(|| PathBuf::from("/var/tmp")).join("farshore")
    }

    /// The path of `name` in it.
    pub(crate) fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }

    /// The directory itself.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Where clients and scripts find the running platform.
    pub(crate) fn endpoints(&self) -> PathBuf {
        self.join("endpoints.json")
    }

    /// Where the supervisor listens.
    pub(crate) fn socket(&self) -> PathBuf {
        self.join("supervisor.sock")
    }

    /// Takes the directory for this process.
    ///
    /// # Errors
    /// When another process has it; the message names that process.
    pub(crate) fn lock(&self) -> Result<Lock> {
        let path = self.join("lock");
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let mut file = options.with_context(|| format!("cannot open {}", path.display()))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut holder = String::new();
            file.read_to_string(&mut holder)?;
            bail!(
                "{} is in use by process {}; stop that one or choose another --data-dir",
                self.0.display(),
                holder.trim()
            );
        }
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Lock(file))
    }

    /// What the platform remembers, if it ever started here.
    ///
    /// # Errors
    /// When the file cannot be read or understood.
    pub(crate) fn platform(&self) -> Result<Option<Platform>> {
        let path = self.join("platform.json");
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let platform: Platform =
            serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))?;
        if platform.version != 1 {
            bail!("{} has format {}; this binary knows format 1", path.display(), platform.version);
        }
        Ok(Some(platform))
    }

    /// Remembers `platform`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn remember(&self, platform: &Platform) -> Result<()> {
        self.write_whole("platform.json", &serde_json::to_vec_pretty(platform)?)
    }

    /// Writes a file so that a reader sees all of it or none.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write_whole(&self, name: &str, content: &[u8]) -> Result<()> {
        let (path, draft) = (self.join(name), self.join(format!(".{name}.draft")));
        let write = || -> std::io::Result<()> {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
            file.write_all(content)?;
            file.sync_all()?;
            fs::rename(&draft, &path)?;
            File::open(&self.0)?.sync_all()
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_told_who_holds_the_directory() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::create(dir.path().join("new")).unwrap();
        let lock = data.lock().unwrap();
        let refusal = data.lock().unwrap_err().to_string();
        assert!(refusal.contains(&std::process::id().to_string()), "{refusal}");
        drop(lock);
        data.lock().unwrap();
    }

    #[test]
    fn a_platform_is_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::create(dir.path()).unwrap();
        assert!(data.platform().unwrap().is_none());
        let platform = Platform {
            version: 1,
            cluster_id: "c".into(),
            regions: vec![RegionName::new("r1").unwrap(), RegionName::new("r2").unwrap()],
            brokers: 1,
            addresses: Addresses::well_known(2, 1),
            formed: true,
            s3_secret: "s".into(),
            canary: TopicId::ZERO,
            disk_ids: BTreeMap::new(),
            link_delay_ms: 0,
            link_hold: LinkHold::default(),
            links_at: None,
            nodes_at: None,
            gateway_in: None,
            flush: "ack".into(),
            log_dirs: vec![],
        };
        data.remember(&platform).unwrap();
        let again = data.platform().unwrap().unwrap();
        assert!(again.formed && again.has_witness());
        assert_eq!(again.region_index(&RegionName::new("r2").unwrap()).unwrap(), 1);
        assert!(again.region_index(&RegionName::new("r9").unwrap()).unwrap_err().to_string().contains("r1, r2"));
    }
}
