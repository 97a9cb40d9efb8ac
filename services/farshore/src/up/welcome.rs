//! What `up` says once everything runs.

use super::data_dir::{DataDir, Platform};
use super::supervisor::RegionPids;
use anyhow::Result;
use api::endpoints::{Endpoints, RegionEndpoint};
use std::fmt::Write;

/// Writes `endpoints.json`, for scripts and for the command line.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn write_endpoints(data: &DataDir, platform: &Platform, pids: &RegionPids) -> Result<()> {
    data.write_whole("endpoints.json", &serde_json::to_vec_pretty(&endpoints(platform, pids))?)
}

fn endpoints(platform: &Platform, pids: &RegionPids) -> Endpoints {
    let addresses = &platform.addresses;
    let regions = platform.regions.iter().zip(&addresses.regions).map(|(name, ports)| RegionEndpoint {
        name: name.to_string(),
        bootstrap: host(ports.clients),
        pids: pids.get(name).cloned().unwrap_or_default(),
    });
    Endpoints {
        gateway: host(addresses.gateway),
        api: format!("http://{}", host(addresses.rest)),
        s3: format!("http://{}", host(addresses.s3)),
        regions: regions.collect(),
    }
}

fn host(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

/// Where everything is and what to try next.
pub(crate) fn table(data: &DataDir, platform: &Platform, pids: &RegionPids) -> String {
    let addresses = &platform.addresses;
    let (gateway, rest) = (host(addresses.gateway), host(addresses.rest));
    let mut text = format!(
        "\nFarshore is ready.\n\n  gateway      {gateway}    point your Kafka clients here\n  REST         \
         http://{rest}/v1\n  Swagger UI   http://{rest}/swagger-ui\n  console      http://{rest}/\n  S3           \
         http://{}\n",
        host(addresses.s3)
    );
    for (name, ports) in platform.regions.iter().zip(&addresses.regions) {
        let pid = pids.get(name).and_then(|pids| pids.first()).map_or("-".to_owned(), u32::to_string);
        // Writing to a string does not fail.
        let _ = writeln!(text, "  region {name:<5} {}   process {pid}", host(ports.clients));
    }
    let _ = write!(
        text,
        "  data         {}\n\nTry next:\n  farshore produce greetings hello      write through the gateway\n  farshore \
         consume greetings             read it back\n  kill -9 {}                      lose the home region and watch \
         `farshore run list`\n  farshore drill region-loss            rehearse it, measured\n",
        data.path().display(),
        pids.get(&platform.regions[0]).and_then(|pids| pids.first()).map_or("PID".to_owned(), u32::to_string)
    );
    text
}
