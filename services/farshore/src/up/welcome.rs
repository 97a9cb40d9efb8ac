//! What `up` says once everything runs.

use super::addresses::RegionPorts;
use super::data_dir::{DataDir, Platform};
use super::supervisor::RegionPids;
use anyhow::Result;
use api::endpoints::{Endpoints, RegionEndpoint};
use model::RegionName;
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
        bootstrap: bootstrap(platform, ports),
        pids: pids.get(name).cloned().unwrap_or_default(),
    });
    Endpoints {
        gateway: host(addresses.gateway),
        api: format!("http://{}", host(addresses.rest)),
        s3: format!("http://{}", host(addresses.s3)),
        regions: regions.collect(),
    }
}

/// Where clients of a region begin: the addresses of all of its brokers.
fn bootstrap(platform: &Platform, ports: &RegionPorts) -> String {
    crate::roles::region_addresses(ports, platform.brokers).clients
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
        // Writing to a string does not fail.
        let _ =
            writeln!(text, "  region {name:<5} {}   process {}", bootstrap(platform, ports), listed(pids, name, "-"));
    }
    let (farshore, home) = (command(data), listed(pids, &platform.regions[0], "PID"));
    let tries = [
        (format!("{farshore} produce greetings hello"), "writes through the gateway"),
        (format!("{farshore} consume greetings"), "reads it back"),
        (format!("kill -9 {home}"), "loses the home region; clients go on"),
        (format!("{farshore} run list"), "says what was done about it"),
        (format!("{farshore} drill region-loss"), "rehearses it on a platform of its own, measured"),
    ];
    let width = tries.iter().map(|(line, _)| line.len()).max().unwrap_or_default();
    let _ = writeln!(text, "  data         {}\n\nTry next, in another terminal:", data.path().display());
    for (line, what) in tries {
        let _ = writeln!(text, "  {line:<width$}   {what}");
    }
    text
}

/// The processes of a region, or `none`.
fn listed(pids: &RegionPids, region: &RegionName, none: &str) -> String {
    let pids = pids.get(region).filter(|pids| !pids.is_empty());
    let text = |pids: &Vec<u32>| pids.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
    pids.map_or_else(|| none.to_owned(), text)
}

/// How this binary is called for this platform from the current directory.
fn command(data: &DataDir) -> String {
    let binary = std::env::current_exe().unwrap_or_else(|_| "farshore".into());
    let here = std::env::current_dir().unwrap_or_default();
    let binary = binary.strip_prefix(&here).unwrap_or(&binary).display();
    match data.path() == DataDir::default_path() {
        true => format!("{binary}"),
        false => format!("{binary} --data-dir {}", data.path().display()),
    }
}
