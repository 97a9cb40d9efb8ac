//! What the council remembers, asked of every one of its nodes in a region.

use crate::rest::{get, list};
use api::backups::{Backup, WorkState};
use api::health::Health;
use api::protection_groups::ProtectionGroup;
use api::regions::Region;
use api::runs::{Run, RunEvent, RunReport};
use api::schedules::{Schedule, ScheduleSpec};
use api::topics::Topic;
use chaos::platform::Platform;
use std::collections::BTreeMap;
use std::time::Duration;

/// Where each region's own REST API is, by region.
pub(crate) fn apis(platform: &Platform) -> BTreeMap<String, String> {
    let regions = list::<Region>(&platform.endpoints().api, "/v1/regions", "").expect("the regions are listed");
    regions.into_iter().map(|region| (region.name, format!("http://{}", region.addresses.rest))).collect()
}

/// Waits until every other region could take over from the owner, as the node at `api` sees it.
pub(crate) fn wait_for_standbys(platform: &Platform, api: &str) {
    let standbys = platform.endpoints().regions.len() - 1;
    let ready = || {
        let health: Result<Health, _> = get(api, "/v1/health");
        let groups = health.map(|health| health.groups).unwrap_or_default();
        groups.iter().any(|group| group.name == "default" && group.writable && group.ready_standbys.len() == standbys)
    };
    let waited = platform.wait_for("every standby is ready", Duration::from_secs(60), ready);
    waited.unwrap_or_else(|error| panic!("{error}\n{}", platform.logs()));
}

/// Everything the council keeps.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Books {
    /// The least advanced node's place in the council's log.
    index: u64,
    voters: u64,
    topics: Vec<Topic>,
    groups: Vec<ProtectionGroup>,
    runs: BTreeMap<String, (Run, Vec<RunEvent>, RunReport)>,
    schedules: BTreeMap<String, (ScheduleSpec, u64)>,
    backups: Vec<Backup>,
}

/// Waits until the council has a quorum and all its nodes tell the same.
pub(crate) fn wait_for_books(platform: &Platform) -> Books {
    let apis = apis(platform);
    let mut last = Err("nothing was asked yet".to_owned());
    let waited = platform.wait_for("all nodes of the council tell the same", Duration::from_secs(60), || {
        last = agreed(&apis);
        last.is_ok()
    });
    waited.unwrap_or_else(|error| panic!("{error}\n{last:?}\n{}", platform.logs()));
    last.expect("they agree")
}

fn agreed(apis: &BTreeMap<String, String>) -> Result<Books, String> {
    let books: Vec<Books> = apis.values().map(|api| books(api)).collect::<Result<_, _>>()?;
    let index = books.iter().map(|books| books.index).min().ok_or("there is no region")?;
    let first = Books { index, ..books[0].clone() };
    match books.into_iter().find(|other| Books { index, ..other.clone() } != first) {
        Some(other) => Err(format!("{first:?}\ndiffers from\n{other:?}")),
        None => Ok(first),
    }
}

/// What the node at `api` has applied, whatever the others have.
fn books(api: &str) -> Result<Books, String> {
    const LOCAL: &str = "&consistency=local";
    let health: Health = get(api, "/v1/health?consistency=local")?;
    if !health.council.quorum {
        return Err(format!("{} has no quorum", health.node));
    }
    let mut runs = BTreeMap::new();
    for run in list::<Run>(api, "/v1/runs", LOCAL)? {
        let events = list(api, &format!("/v1/runs/{}/events", run.id), LOCAL)?;
        let report = get(api, &format!("/v1/runs/{}/report?consistency=local", run.id))?;
        runs.insert(run.id.clone(), (run, events, report));
    }
    let schedules = list::<Schedule>(api, "/v1/schedules", LOCAL)?;
    let backups = list::<Backup>(api, "/v1/backups", LOCAL)?;
    Ok(Books {
        index: health.council.applied_index,
        voters: health.council.voters,
        topics: list(api, "/v1/topics", LOCAL)?,
        groups: list(api, "/v1/protection-groups", LOCAL)?,
        runs,
        schedules: schedules.into_iter().map(|kept| (kept.name, (kept.spec, kept.revision))).collect(),
        backups: backups.into_iter().filter(|backup| backup.state == WorkState::Completed).collect(),
    })
}

impl Books {
    /// Nothing that stood here is missing or different in `later`, and nobody moved a group meanwhile.
    pub(crate) fn check_kept_in(&self, later: &Self) {
        assert!(later.index >= self.index, "the council's log went back from {} to {}", self.index, later.index);
        println!("the council's log went from {} to {}", self.index, later.index);
        assert_eq!(Self { index: self.index, ..later.clone() }, *self, "the council's books");
    }
}
