//! The file `endpoints.json`: where a running platform is found.

use serde::{Deserialize, Serialize};

/// Where a platform listens. The file is there while the platform is ready, and gone when it has stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoints {
    /// `host:port` for Kafka clients.
    pub gateway: String,
    /// The REST API's base address.
    pub api: String,
    /// The S3 endpoint.
    pub s3: String,
    /// The regions.
    pub regions: Vec<RegionEndpoint>,
}

/// One region of a platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegionEndpoint {
    /// Its name.
    pub name: String,
    /// `host:port` of its own brokers.
    pub bootstrap: String,
    /// The processes that die with the region; none while it is down.
    pub pids: Vec<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_what_scripts_expect() {
        let endpoints = Endpoints {
            gateway: "127.0.0.1:9092".into(),
            api: "http://127.0.0.1:8080".into(),
            s3: "http://127.0.0.1:9000".into(),
            regions: vec![RegionEndpoint { name: "r1".into(), bootstrap: "127.0.0.1:19092".into(), pids: vec![7] }],
        };
        let json = serde_json::to_value(&endpoints).unwrap();
        assert_eq!(json["regions"][0]["pids"][0], 7);
        assert_eq!(json["gateway"], "127.0.0.1:9092");
    }
}
