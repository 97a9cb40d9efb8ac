//! The council node in no region.

use super::asked_to_end;
use super::context::{Context, WITNESS};
use crate::canary::WireCanary;
use crate::salvor::WireSalvor;
use crate::up::addresses::loopback;
use anyhow::{Context as _, Result, bail};
use control_plane::council::{Config, Identity};
use control_plane::ports::Ports;
use control_plane::{ControlPlane, PlaneConfig};
use env::real::{SystemClock, SystemEntropy};
use std::sync::Arc;

/// Runs the council node until this process is asked to end.
///
/// # Errors
/// When it cannot start, or its disk fails.
pub(super) async fn run(context: Context) -> Result<()> {
    let mut founding = context.founding();
    let mut witness = founding.witness.clone().context("a platform with an odd number of regions has no witness")?;
    witness.disk_id = context.disk_id(WITNESS)?;
    if !founding.is_formed {
        founding.witness = Some(witness.clone());
    }
    let council = Config {
        identity: Identity::Witness(witness),
        founding,
        dir: context.data.join(WITNESS),
        listen: loopback(context.platform.addresses.witness),
    };
    let ports = Ports {
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
        region: None,
        canary: Arc::new(WireCanary::new()),
        salvor: Arc::new(WireSalvor::default()),
        archivist: None,
    };
    let plane = ControlPlane::start(PlaneConfig::new(council)?, ports).await?;
    let outcome = tokio::select! {
        asked = asked_to_end() => asked,
        reason = plane.failed() => fail(&reason),
    };
    plane.shutdown().await;
    outcome
}

fn fail(reason: &str) -> Result<()> {
    bail!("the council node failed: {reason}")
}
