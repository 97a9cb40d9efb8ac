//! Whose directory it is: written once, before anything else, and checked at every start.

use crate::journal::replace;
use crate::{Config, NodeId, StartError};
use rustix::fs::FlockOperation;
use std::fs::{self, File};
use std::io;
use std::path::Path;

#[derive(serde::Serialize, serde::Deserialize)]
struct Identity {
    format: u32,
    cluster: String,
    id: NodeId,
}

/// Holds the directory of a node against other processes.
pub(crate) struct Lock(#[expect(dead_code, reason = "the file is the lock")] File);

pub(crate) fn disk(path: &Path) -> impl Fn(io::Error) -> StartError {
    move |source| StartError::Disk { path: path.to_owned(), source }
}

/// Takes the directory of `config` for its node.
pub(crate) fn claim(config: &Config) -> Result<Lock, StartError> {
    let dir = &config.dir;
    fs::create_dir_all(dir.join("log")).map_err(disk(dir))?;
    let lock = lock(dir)?;
    let path = dir.join("node.json");
    match fs::read(&path) {
        Ok(json) => check(config, &path, &json)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => found(config, &path)?,
        Err(error) => return Err(disk(&path)(error)),
    }
    Ok(lock)
}

fn lock(dir: &Path) -> Result<Lock, StartError> {
    let path = dir.join("lock");
    let file = File::create(&path).map_err(disk(&path))?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Lock(file)),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StartError::InUse { path: dir.to_owned() }),
        Err(error) => Err(disk(&path)(error.into())),
    }
}

fn check(config: &Config, path: &Path, json: &[u8]) -> Result<(), StartError> {
    let found: Identity = serde_json::from_slice(json).map_err(|error| disk(path)(error.into()))?;
    if (found.id, &found.cluster) == (config.id, &config.cluster) {
        return Ok(());
    }
    Err(StartError::NotOurs {
        path: config.dir.clone(),
        found: found.id,
        cluster: found.cluster,
        wanted: config.id,
        wanted_cluster: config.cluster.clone(),
    })
}

fn found(config: &Config, path: &Path) -> Result<(), StartError> {
    if !config.is_new {
        return Err(StartError::NoIdentity { path: config.dir.clone(), id: config.id });
    }
    let identity = Identity { format: 1, cluster: config.cluster.clone(), id: config.id };
    let json = serde_json::to_vec(&identity).map_err(|error| disk(path)(error.into()))?;
    replace(path, &json).map_err(disk(path))
}

/// Whose directory `dir` is, if it is anybody's.
///
/// # Errors
/// [`StartError::Disk`] when the directory cannot be read.
pub fn owner_of(dir: &Path) -> Result<Option<NodeId>, StartError> {
    let path = dir.join("node.json");
    match fs::read(&path) {
        Ok(json) => {
            let identity: Identity = serde_json::from_slice(&json).map_err(|error| disk(&path)(error.into()))?;
            Ok(Some(identity.id))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(disk(&path)(error)),
    }
}
