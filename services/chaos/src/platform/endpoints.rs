//! `endpoints.json`, which `farshore up` writes last of all.

use serde::Deserialize;

/// `endpoints.json`: where a platform listens and which processes are whose.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Endpoints {
    /// The gateway's bootstrap address.
    pub gateway: String,
    /// The REST API.
    pub api: String,
    /// The S3 endpoint.
    pub s3: String,
    /// The regions.
    pub regions: Vec<Region>,
}

/// One region of a platform.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Region {
    /// Its name.
    pub name: String,
    /// The bootstrap address of its own broker.
    pub bootstrap: String,
    /// The processes that die with it.
    pub pids: Vec<i32>,
}
