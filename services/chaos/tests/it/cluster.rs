//! The cluster under test, and the ways to it.

use chaos::platform::{Options, Platform};
use std::env;
use std::path::PathBuf;
use std::sync::LazyLock;

/// A cluster and the addresses under which the same client must find the same behaviour.
pub(crate) struct Cluster {
    /// `farshore` or `kafka`.
    pub(crate) kind: String,
    /// Names of the ways to it, with a bootstrap address each.
    pub(crate) routes: Vec<(&'static str, String)>,
    platform: Option<Platform>,
}

/// Started by the first test that asks for it; its guard ends it with the test process.
pub(crate) static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| match env::var("FARSHORE_TEST_BOOTSTRAP") {
    Ok(bootstrap) => external(bootstrap),
    Err(_) => own(),
});

impl Cluster {
    /// What helps to understand a failure: the platform's own logs.
    pub(crate) fn logs(&self) -> String {
        self.platform.as_ref().map(Platform::logs).unwrap_or_default()
    }
}

fn external(bootstrap: String) -> Cluster {
    let kind = env::var("FARSHORE_TEST_PLATFORM").unwrap_or_else(|_| "farshore".into());
    Cluster { kind, routes: vec![("directly", bootstrap)], platform: None }
}

fn own() -> Cluster {
    let platform = start();
    let direct = platform.region("r1").expect("a platform has a first region").bootstrap.clone();
    let routes = vec![("directly", direct), ("through the gateway", platform.endpoints().gateway.clone())];
    Cluster { kind: "farshore".into(), routes, platform: Some(platform) }
}

/// A platform of its own for one test.
pub(crate) fn start() -> Platform {
    start_with(|_| {})
}

/// The same, with other options.
pub(crate) fn start_with(change: impl FnOnce(&mut Options)) -> Platform {
    let parent = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let mut options = Options::temporary(binary(), &parent).expect("the target directory can be written");
    change(&mut options);
    Platform::start(options).unwrap_or_else(|error| panic!("the platform does not start: {error}"))
}

/// FARSHORE_BIN, or the binary of the profile these tests were built with.
pub(crate) fn binary() -> PathBuf {
    if let Ok(binary) = env::var("FARSHORE_BIN") {
        return binary.into();
    }
    let test = env::current_exe().expect("a test knows its own file");
    let profile = test.parent().and_then(|deps| deps.parent()).expect("tests lie in target/<profile>/deps");
    profile.join("farshore")
}
