//! What only the council's leader does: begun with its tenure, dropped at once when that ends.

use crate::council::Council;
use model::RegionName;
use std::time::Duration;
use tokio::time::sleep;

/// How long a leader waits before it takes up a duty again that ended by itself.
const AGAIN_AFTER: Duration = Duration::from_millis(200);

/// Does `duty` whenever this node leads, for ever. What the duty has under way is dropped with it: its tasks have to
/// belong to it.
pub(crate) async fn while_leading<D: Future<Output = ()>>(council: &Council, mut duty: impl FnMut() -> D) {
    let mut leadership = council.leadership();
    loop {
        let Ok(tenure) = leadership.wait_for(|now| now.tenure.is_some()).await.map(|now| now.tenure) else { return };
        let on_duty = async {
            loop {
                // Before this, the node may not have applied what an earlier leader decided.
                match council.ensure_linearizable().await {
                    Ok(()) => duty().await,
                    Err(error) => tracing::debug!(%error, "the new leader waits for its council"),
                }
                sleep(AGAIN_AFTER).await;
            }
        };
        tokio::select! {
            biased;
            _ = leadership.wait_for(|now| now.tenure != tenure) => {}
            () = on_duty => {}
        }
    }
}

/// The name of this node: its region's, or the witness's; `None` before the platform is formed.
pub(crate) fn node_name(council: &Council) -> Option<RegionName> {
    let (view, id) = (council.view(), u64::from(council.id()));
    let region = view.regions.iter().find(|region| region.node_id == id).map(|region| region.address.region.clone());
    let witness = || view.witness.as_ref().filter(|witness| witness.node_id == id);
    region.or_else(|| RegionName::new(&witness()?.name).ok())
}

/// The name under which this node's automatic parts ask the council for changes.
pub(crate) fn system_name(council: &Council) -> String {
    node_name(council).map_or_else(|| format!("system:{}", council.id()), |name| format!("system:{name}"))
}
