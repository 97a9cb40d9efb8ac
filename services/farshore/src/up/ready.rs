//! When a platform is ready: a record has gone through the gateway and through every link.

use super::addresses::loopback;
use super::data_dir::{DataDir, Platform};
use crate::canary::{canary_topic, fly};
use crate::http::Api;
use anyhow::{Context, Result, bail};
use api::Page;
use api::links::Link;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

const DEADLINE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);
/// An attempt that hangs does not hold up the next.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);
/// The group a fresh platform has.
const GROUP: &str = "default";

/// Waits until a canary was written and read through the gateway and every standby that is up has copied it.
///
/// # Errors
/// When that has not come about in a minute; the message says what is missing and where to look.
pub(super) async fn wait(data: DataDir, platform: Platform) -> Result<()> {
    let end = Instant::now() + DEADLINE;
    let gateway = loopback(platform.addresses.gateway).to_string();
    let api = Api::at(format!("http://{}", loopback(platform.addresses.rest)));
    let ready = async {
        until(end, || fly(&gateway, GROUP)).await.context("no canary has passed the gateway")?;
        until(end, || copied(&api, platform.regions.len() - 1)).await.context("no canary has passed the links")
    };
    ready.await.with_context(|| {
        format!("the platform is not ready after {DEADLINE:?}; see {}", data.join("logs/*.log").display())
    })
}

/// Tries until it succeeds; fails with the last failure when the time is up.
async fn until<T>(end: Instant, mut attempt: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    loop {
        let failed = match timeout(ATTEMPT_TIMEOUT, attempt()).await {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(failed)) => failed,
            Err(late) => late.into(),
        };
        if Instant::now() > end {
            return Err(failed);
        }
        sleep(PAUSE).await;
    }
}

/// Whether every standby has what the owner had of the canary topic when they last spoke.
async fn copied(api: &Api, standbys: usize) -> Result<()> {
    let links: Page<Link> = api.get("/v1/links?consistency=local").await?;
    let mut behind: BTreeMap<String, String> = BTreeMap::new();
    let mut caught_up = 0;
    for link in links.items.iter().filter(|link| link.group == GROUP) {
        let canary = link.partitions.iter().find(|partition| partition.topic == canary_topic(GROUP));
        match canary.map(|canary| (canary.tail_offset, canary.source_tail_offset)) {
            // The canary was written before anybody was asked: a source that has nothing has not been heard of since.
            Some((tail, Some(source))) if source > 0 && tail >= source => caught_up += 1,
            Some((tail, source)) => {
                behind.insert(link.name.clone(), format!("{} ({tail} of {source:?} records)", link.state));
            }
            None => {
                behind.insert(link.name.clone(), "does not know the canary topic".to_owned());
            }
        }
    }
    if caught_up < standbys {
        bail!("{caught_up} of {standbys} standbys have the canary; {behind:?}");
    }
    Ok(())
}
