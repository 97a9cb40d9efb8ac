//! Which platform is meant.

use crate::http::Api;
use crate::up::data_dir::DataDir;
use anyhow::{Context, Result};
use api::Page;
use api::endpoints::Endpoints;
use serde::de::DeserializeOwned;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use wire::client::{Cluster, Options};

const DEFAULT_API: &str = "http://127.0.0.1:8080";
const DEFAULT_GATEWAY: &str = "127.0.0.1:9092";
/// How many pages of a list are read at most; the server's pages hold a hundred or more.
const PAGES_MAX: usize = 1000;

/// Where the platform is, and how answers are printed.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Place {
    /// The REST API [default: that of the platform in --data-dir, else http://127.0.0.1:8080]
    #[arg(long, global = true, env = "FARSHORE_API", value_name = "URL", help_heading = "Platform")]
    api: Option<String>,
    /// The data directory of a platform on this machine [default: farshore under the user's state directory]
    #[arg(long, global = true, env = "FARSHORE_DATA_DIR", value_name = "DIR", help_heading = "Platform")]
    data_dir: Option<PathBuf>,
    /// Prints JSON instead of tables.
    #[arg(long, global = true, help_heading = "Platform")]
    pub(crate) json: bool,
}

impl Place {
    /// The platform whose data directory is `path`.
    pub(crate) fn in_directory(path: PathBuf, json: bool) -> Self {
        Self { api: None, data_dir: Some(path), json }
    }

    /// The data directory that was named.
    pub(crate) fn given_directory(&self) -> Option<PathBuf> {
        self.data_dir.clone()
    }

    fn directory(&self) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(DataDir::default_path)
    }

    /// The data directory of a platform that was started on this machine.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn data_dir(&self) -> Result<DataDir> {
        let path = self.directory();
        anyhow::ensure!(
            path.is_dir(),
            "there is no data directory {}; start a platform with `farshore up` or name one with --data-dir",
            path.display()
        );
        DataDir::create(path)
    }

    /// What the running platform says of itself.
    ///
    /// # Errors
    /// When no platform runs there, or it is not ready yet.
    pub(crate) fn endpoints(&self) -> Result<Endpoints> {
        let path = self.directory().join("endpoints.json");
        let text = std::fs::read(&path).with_context(|| {
            format!("no platform is ready: {} cannot be read; start one with `farshore up`", path.display())
        })?;
        serde_json::from_slice(&text).with_context(|| format!("{} is damaged", path.display()))
    }

    /// The REST API.
    pub(crate) fn api(&self) -> Api {
        let found = || self.endpoints().ok().map(|endpoints| endpoints.api);
        Api::at(self.api.clone().or_else(found).unwrap_or_else(|| DEFAULT_API.to_owned()))
    }

    /// A Kafka client of the gateway, or of `bootstrap` where one is named.
    pub(crate) fn cluster(&self, bootstrap: Option<&str>) -> Arc<Cluster> {
        let found = || self.endpoints().map(|endpoints| endpoints.gateway);
        let peer = bootstrap.map_or_else(|| found().unwrap_or_else(|_| DEFAULT_GATEWAY.to_owned()), str::to_owned);
        let options = Options {
            client_id: "farshore-cli".to_owned(),
            call_timeout: Duration::from_secs(10),
            ..Options::default()
        };
        Arc::new(Cluster::new(&peer, options))
    }
}

/// Reads a whole list, page by page.
///
/// # Errors
/// As [`Api::get`], or when the list does not end.
pub(crate) async fn list<T: DeserializeOwned>(api: &Api, path: &str) -> Result<Vec<T>> {
    let (mut items, mut after) = (Vec::new(), None::<String>);
    let separator = if path.contains('?') { '&' } else { '?' };
    for _ in 0..PAGES_MAX {
        let place =
            after.map_or_else(|| path.to_owned(), |after| format!("{path}{separator}after={}", escaped(&after)));
        let page: Page<T> = api.get(&place).await?;
        items.extend(page.items);
        after = page.next;
        if after.is_none() {
            return Ok(items);
        }
    }
    anyhow::bail!("{path} has more than {PAGES_MAX} pages")
}

/// `name` as one segment of a path or value of a query.
pub(crate) fn escaped(name: &str) -> String {
    let keep = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    name.bytes().map(|byte| if keep(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped_for_a_path() {
        assert_eq!(escaped("orders.eu-1_a"), "orders.eu-1_a");
        assert_eq!(escaped("r1->r2/x"), "r1-%3Er2%2Fx");
    }

    #[test]
    fn a_platform_that_is_not_there_is_named() {
        let home = tempfile::tempdir().unwrap();
        let place = Place::in_directory(home.path().join("none"), false);
        assert!(place.endpoints().unwrap_err().to_string().contains("farshore up"));
        assert!(place.data_dir().unwrap_err().to_string().contains("--data-dir"));
        assert_eq!(place.api().base(), DEFAULT_API);
    }

    #[test]
    fn the_endpoints_of_the_data_directory_are_used() {
        let home = tempfile::tempdir().unwrap();
        let text = r#"{"gateway":"127.0.0.1:1","api":"http://127.0.0.1:2","s3":"http://127.0.0.1:3","regions":[]}"#;
        std::fs::write(home.path().join("endpoints.json"), text).unwrap();
        assert_eq!(Place::in_directory(home.path().into(), false).api().base(), "http://127.0.0.1:2");
    }
}
