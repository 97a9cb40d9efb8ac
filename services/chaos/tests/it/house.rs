//! The rules of the house that Cargo can enforce: which crate may use which.

use serde_json::Value;
use std::process::Command;

/// Crates that decide: no runtime, no clock, no disk, no chance.
const CORES: [&str; 6] = ["broker-model", "broker-record", "broker-wire", "broker-core", "mirror-core", "dr-planner"];
/// What a core must not be able to call.
const EFFECTS: [&str; 8] = ["tokio", "rustix", "rand", "getrandom", "sqlx", "axum", "hyper", "openraft"];
/// Dependencies with one home each.
const HOMES: [(&str, &[&str]); 9] = [
    ("openraft", &["broker-quorum"]),
    ("memmap2", &["broker-log"]),
    ("sqlx", &["catalog"]),
    ("aws-sdk-s3", &["object-store"]),
    ("s3s", &["object-store"]),
    ("rdkafka", &["bench"]),
    ("tun-rs", &["chaos"]),
    ("rustls", &["broker-wire"]),
    ("ring", &["broker-wire"]),
];

struct Package {
    name: String,
    under_services: bool,
    /// Dependencies that are neither for tests nor for build scripts, and whether a feature turns them on.
    dependencies: Vec<(String, bool)>,
}

fn packages() -> Vec<Package> {
    let ran = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1", "--manifest-path"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .output()
        .expect("cargo runs");
    let metadata: Value = serde_json::from_slice(&ran.stdout).expect("cargo prints JSON");
    metadata["packages"].as_array().expect("packages").iter().map(package).collect()
}

fn package(package: &Value) -> Package {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let normal = package["dependencies"].as_array().expect("dependencies").iter().filter(|d| d["kind"].is_null());
    Package {
        name: text(&package["name"]),
        under_services: text(&package["manifest_path"]).contains("/services/"),
        dependencies: normal.map(|d| (text(&d["name"]), d["optional"] == true)).collect(),
    }
}

#[test]
fn nothing_outside_services_depends_on_services() {
    let packages = packages();
    let services: Vec<&str> = packages.iter().filter(|p| p.under_services).map(|p| p.name.as_str()).collect();
    assert!(services.contains(&"farshore"), "{services:?}");
    for package in packages.iter().filter(|package| !package.under_services) {
        for (dependency, _) in &package.dependencies {
            assert!(!services.contains(&dependency.as_str()), "{} depends on {dependency}", package.name);
        }
    }
}

#[test]
fn cores_cannot_do_anything() {
    let packages = packages();
    for core in CORES {
        let package = packages.iter().find(|package| package.name == core).unwrap_or_else(|| panic!("no {core}"));
        for (dependency, optional) in &package.dependencies {
            assert!(*optional || !EFFECTS.contains(&dependency.as_str()), "{core} can use {dependency}");
        }
    }
}

#[test]
fn heavy_dependencies_have_one_home_each() {
    let packages = packages();
    for (heavy, homes) in HOMES {
        for package in packages.iter().filter(|package| !homes.contains(&package.name.as_str())) {
            let uses = package.dependencies.iter().any(|(dependency, _)| dependency == heavy);
            assert!(!uses, "{} depends on {heavy}, whose home is {homes:?}", package.name);
        }
    }
}
