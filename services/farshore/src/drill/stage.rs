//! The platform a drill is played on: one of its own, or a running one.

use crate::cli::{Place, escaped, list};
use crate::http::{Api, Refused};
use crate::output::remark;
use anyhow::{Context, Result, bail};
use api::endpoints::{Endpoints, RegionEndpoint};
use api::protection_groups::ProtectionGroup;
use api::runs::{Run, RunReport, Standing};
use api::topics::{Replica, Topic};
use chaos::platform::{Options, Platform};
use model::RegionName;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const POLL: Duration = Duration::from_millis(100);

/// A platform, and the group that is rehearsed with.
pub(super) struct Stage {
    place: Place,
    api: Api,
    group: String,
    own: Option<Platform>,
}

/// What a platform of the drill's own is like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scenery {
    /// How many regions.
    pub(super) regions: u16,
    /// How many brokers each of them has.
    pub(super) brokers: u16,
    /// How long every link holds records back.
    pub(super) link_delay_ms: u64,
    /// Whether its directory stays.
    pub(super) keep: bool,
}

impl Stage {
    /// The running platform of `place`.
    ///
    /// # Errors
    /// When none is ready there.
    pub(super) fn attach(place: &Place, group: &str) -> Result<Self> {
        place.endpoints().context("--attach needs a platform on this machine")?;
        Ok(Self { place: place.clone(), api: place.api(), group: group.to_owned(), own: None })
    }

    /// A platform on free ports in a temporary directory. It ends with this process.
    ///
    /// # Errors
    /// When it does not become ready.
    pub(super) fn build(scenery: Scenery, group: &str, json: bool) -> Result<Self> {
        let mut options = Options::temporary(std::env::current_exe()?, &std::env::temp_dir())?;
        options.regions = scenery.regions;
        options.brokers = scenery.brokers;
        options.temporary = !scenery.keep;
        options.arguments = vec!["--link-delay-ms".to_owned(), scenery.link_delay_ms.to_string()];
        let platform = Platform::start(options)?;
        let place = Place::in_directory(platform.directory().to_owned(), json);
        let each = if scenery.brokers > 1 { format!(" of {} brokers", scenery.brokers) } else { String::new() };
        remark!("a platform of {} regions{each} in {}", scenery.regions, platform.directory().display());
        Ok(Self { api: place.api(), place, group: group.to_owned(), own: Some(platform) })
    }

    /// Ends a platform of the drill's own.
    pub(super) fn strike(&mut self) {
        if let Some(mut platform) = self.own.take()
            && let Err(error) = platform.stop()
        {
            remark!("{error}");
        }
    }

    /// The ends of the logs of a platform of its own.
    pub(super) fn logs(&self) -> Option<String> {
        self.own.as_ref().map(Platform::logs)
    }

    /// Where it listens.
    pub(super) fn endpoints(&self) -> Result<Endpoints> {
        self.place.endpoints()
    }

    /// A region, as it is now.
    pub(super) fn region(&self, name: &str) -> Result<RegionEndpoint> {
        let found = self.endpoints()?.regions.into_iter().find(|region| region.name == name);
        found.with_context(|| format!("endpoints.json names no region {name}"))
    }

    /// The rehearsed group.
    pub(super) async fn group(&self) -> Result<ProtectionGroup> {
        self.api.get(&self.group_path("")).await
    }

    fn group_path(&self, rest: &str) -> String {
        format!("/v1/protection-groups/{}{rest}", escaped(&self.group))
    }

    /// Moves the group; answers the run's name.
    pub(super) async fn begin(&self, kind: &str) -> Result<String> {
        let asked = serde_json::json!({"reason": "a drill"});
        let run: Run = self.api.post(&self.group_path(&format!("/{kind}")), &asked).await?;
        Ok(run.id)
    }

    /// Lets automatic failover act again after it has acted: a person looks on.
    pub(super) async fn acknowledge(&self) -> Result<()> {
        let nothing = serde_json::json!({});
        self.api.post::<Option<serde_json::Value>>(&self.group_path("/acknowledge"), &nothing).await.map(drop)
    }

    /// Waits until the group can be moved: it is served, no run is in progress, and every standby follows closely.
    pub(super) async fn settled(&self, topic: &str, within: Duration) -> Result<()> {
        until("the copies follow", within, async || {
            let group = self.group().await?;
            if let Some(run) = group.run {
                bail!("run {run} is in progress");
            }
            let regions = self.endpoints()?.regions.len();
            self.api.get::<Topic>(&format!("/v1/topics/{}", escaped(topic))).await.and_then(|topic| {
                let there: BTreeSet<&str> = topic.replicas.iter().map(|replica| replica.region.as_str()).collect();
                if there.len() < regions {
                    bail!("{} is only in {there:?}", topic.name);
                }
                Ok(())
            })
        })
        .await
    }

    /// Sends `signal` to everything that dies with a region; answers whether there was anything.
    pub(super) fn signal(&self, region: &str, signal: Signal) -> Result<bool> {
        let pids = self.region(region)?.pids;
        for pid in &pids {
            let process = i32::try_from(*pid).ok().and_then(Pid::from_raw).context("a process id")?;
            kill_process(process, signal).with_context(|| format!("process {pid} of {region} cannot be signalled"))?;
        }
        Ok(!pids.is_empty())
    }

    /// Starts a dead region again.
    pub(super) async fn restart(&self, region: &RegionName) -> Result<()> {
        crate::cli::start_region(&self.place, region).await.map(drop)
    }

    /// The names of all runs.
    pub(super) async fn runs(&self) -> Result<BTreeSet<String>> {
        let runs: Vec<Run> = list(&self.api, "/v1/runs").await?;
        Ok(runs.into_iter().map(|run| run.id).collect())
    }

    /// Waits for a run of the group away from `source` that is none of `before`; answers its name.
    pub(super) async fn new_run(&self, source: &str, before: &BTreeSet<String>, within: Duration) -> Result<String> {
        until("a failover begins by itself", within, async || {
            let runs: Vec<Run> = list(&self.api, "/v1/runs").await?;
            let ours = |run: &Run| run.source == source && run.group == self.group && !before.contains(&run.id);
            runs.into_iter().find(ours).map(|run| run.id).context("there is no new run")
        })
        .await
    }

    /// Waits until a run is over.
    pub(super) async fn over(&self, run: &str, within: Duration) -> Result<Run> {
        until("the run ends", within, async || {
            let run: Run = self.api.get(&format!("/v1/runs/{}", escaped(run))).await?;
            if !run.state.is_over() {
                let current = run.steps.iter().find(|step| step.state == api::runs::StepState::Running);
                bail!("{} is at {:?}", run.id, current);
            }
            Ok(run)
        })
        .await
    }

    /// The report of a run, final if it becomes so in time.
    pub(super) async fn report(&self, run: &str, within: Duration) -> Result<RunReport> {
        let path = format!("/v1/runs/{}/report", escaped(run));
        let settled = until("the report is final", within, async || {
            let report: RunReport = self.api.get(&path).await?;
            if report.standing != Standing::Final {
                bail!("{:?}", report.standing);
            }
            Ok(report)
        });
        match settled.await {
            Ok(report) => Ok(report),
            Err(late) => {
                remark!("{late:#}");
                self.api.get(&path).await
            }
        }
    }

    /// Waits until every region holds the same of every partition; answers the hashes by region, and the topic's id.
    pub(super) async fn equal(&self, topic: &str, within: Duration) -> (BTreeMap<String, Option<String>>, String) {
        let regions: Vec<String> =
            self.endpoints().map(|found| found.regions.into_iter().map(|r| r.name).collect()).unwrap_or_default();
        let path = format!("/v1/topics/{}?hashes=true", escaped(topic));
        let mut last = (BTreeMap::new(), String::new());
        let equal = until("all regions hold the same", within, async || {
            let found: Topic = self.api.get(&path).await?;
            let hashes = regions.iter().map(|region| (region.clone(), hash_of(region, &found))).collect();
            last = (hashes, found.id);
            let mut known = last.0.values();
            let first = known.next().context("there is no region")?;
            if first.is_none() || known.any(|hash| hash != first) {
                bail!("{:?}", found.replicas.iter().map(short).collect::<Vec<_>>());
            }
            Ok(())
        });
        if let Err(late) = equal.await {
            remark!("{late:#}");
        }
        last
    }
}

/// One hash for what a region holds of a topic; none while it does not say all.
fn hash_of(region: &str, topic: &Topic) -> Option<String> {
    let mut ours: Vec<&Replica> = topic.replicas.iter().filter(|replica| replica.region == region).collect();
    ours.sort_by_key(|replica| replica.partition);
    let hashes: Option<Vec<String>> =
        ours.iter().map(|replica| replica.hash.as_ref().map(|hash| hash.chars().take(10).collect())).collect();
    hashes.filter(|hashes| hashes.len() == topic.partitions as usize).map(|hashes| hashes.join("-"))
}

fn short(replica: &Replica) -> String {
    format!("{}/{}: {}..{}", replica.region, replica.partition, replica.start_offset, replica.tail_offset)
}

/// Tries until it succeeds; after `within`, says what was waited for and why it is not so.
pub(super) async fn until<T>(what: &str, within: Duration, mut attempt: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let end = Instant::now() + within;
    loop {
        match attempt().await {
            Ok(done) => return Ok(done),
            Err(failed) if Instant::now() > end => {
                return Err(failed.context(format!("waited {within:?} until {what}")));
            }
            // What the platform refuses for good does not get better by asking again.
            Err(failed) if failed.downcast_ref::<Refused>().is_some_and(|refused| refused.status == 400) => {
                return Err(failed);
            }
            Err(_) => sleep(POLL).await,
        }
    }
}
