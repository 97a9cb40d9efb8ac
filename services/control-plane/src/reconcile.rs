//! Makes the council's decisions real in this node's region, and tells the council what the region found.

use crate::council::Council;
use crate::ports::{PortError, Region};
use catalog::command::{RecordDiverged, RecordGaps};
use model::RegionName;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval, sleep};

const RETRY_PAUSE: Duration = Duration::from_millis(200);
const FACTS_INTERVAL: Duration = Duration::from_millis(500);

/// Hands the region every newer assignment, for ever; of several waiting ones only the latest.
pub(crate) async fn assign(council: Council, name: RegionName, region: Arc<dyn Region>) {
    let mut views = council.watch_view();
    loop {
        let assignment = views.borrow_and_update().assignment(&name);
        let assigned = match assignment {
            Some(assignment) => region.assign(assignment).await,
            None => Ok(()),
        };
        match assigned {
            Ok(()) => {
                if views.changed().await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the council's decisions are not real here yet");
                sleep(RETRY_PAUSE).await;
            }
        }
    }
}

/// Tells the council of diverged tails and gaps until it has stored them, for ever.
pub(crate) async fn report(council: Council, name: RegionName, region: Arc<dyn Region>) {
    let mut ticks = interval(FACTS_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = report_once(&council, &name, &*region).await {
            tracing::debug!(%error, "facts are not stored yet");
        }
    }
}

async fn report_once(council: &Council, name: &RegionName, region: &dyn Region) -> Result<(), PortError> {
    let (diverged, gaps) = region.pending_facts().await;
    if diverged.is_empty() && gaps.is_empty() {
        return Ok(());
    }
    let by = format!("system:{name}");
    let not_stored = |error: crate::council::CouncilError| PortError(error.to_string());
    if !diverged.is_empty() {
        let record = RecordDiverged { region: name.clone(), tails: diverged.clone() };
        council.propose(&by, record).await.map_err(not_stored)?;
    }
    if !gaps.is_empty() {
        let record = RecordGaps { region: name.clone(), gaps: gaps.clone() };
        council.propose(&by, record).await.map_err(not_stored)?;
    }
    region.acknowledge(diverged, gaps).await
}
