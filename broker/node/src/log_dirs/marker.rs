//! `.kafka_cleanshutdown`: a broker stopped in order, with everything in this directory on disk (KIP-966).
//!
//! ```text
//!   start:  read and removed, durably, before anything is written
//!   stop:   written, durably, behind everything else
//! ```
//!
//! It names the session that ended so. A directory without it, or with that of an earlier session, may lack what was
//! acknowledged and never synced.

use crate::durably;
use broker_core::metadata::BrokerEpoch;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// Its name, which is Kafka's.
const NAME: &str = ".kafka_cleanshutdown";
/// The most of it that is read.
const BYTES_MAX: u64 = 1024;

/// What it says.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Word {
    version: u32,
    broker_epoch: BrokerEpoch,
}

/// Takes the marker out of `dir`: the session that ended in order; `None` where there is no such word, or none that can be
/// read.
///
/// # Errors
/// What the system says: the marker may be there again after a crash.
pub(super) fn take(dir: &Path) -> io::Result<Option<BrokerEpoch>> {
    let path = dir.join(NAME);
    let mut text = Vec::new();
    match File::open(&path) {
        Ok(file) => file.take(BYTES_MAX).read_to_end(&mut text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    fs::remove_file(&path)?;
    File::open(dir)?.sync_all()?;
    Ok(serde_json::from_slice(&text).ok().filter(|word: &Word| word.version == 0).map(|word| word.broker_epoch))
}

/// Leaves the marker in `dir`; durable on return.
///
/// # Errors
/// What the system says.
pub(super) fn leave(dir: &Path, session: BrokerEpoch) -> io::Result<()> {
    let word = serde_json::to_vec(&Word { version: 0, broker_epoch: session }).map_err(io::Error::other)?;
    durably::replace(&dir.join(NAME), &word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_taken_once() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(take(dir.path()).unwrap(), None);
        leave(dir.path(), BrokerEpoch(7)).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join(NAME)).unwrap(), r#"{"version":0,"brokerEpoch":7}"#);
        assert_eq!(take(dir.path()).unwrap(), Some(BrokerEpoch(7)));
        assert_eq!(take(dir.path()).unwrap(), None);
    }

    #[test]
    fn a_marker_that_cannot_be_read_is_none() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["", "{", r#"{"version":1,"brokerEpoch":7}"#] {
            fs::write(dir.path().join(NAME), text).unwrap();
            assert_eq!(take(dir.path()).unwrap(), None);
            assert!(!dir.path().join(NAME).exists());
        }
    }
}
