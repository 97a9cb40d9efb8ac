//! Starting a broker of a region, and stopping it.

use crate::control::{Control, ControlError};
use crate::controller::Controller;
use crate::doors::Doors;
use crate::{Broker, Config, Ports};
use env::BootInstant;
use model::{Assignment, OwnershipEpoch, ProtectionGroup};
use std::io;

/// Why a broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port is taken, or a directory cannot be used.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The region's metadata cannot be opened.
    #[error("the region's metadata cannot be opened: {0}")]
    Metadata(#[from] quorum::StartError),
}

impl Broker {
    /// Starts a broker: it listens, and serves nothing before its first [`assignment`](Self::assign).
    ///
    /// # Errors
    /// [`StartError`] says what is in the way.
    pub async fn start(config: Config, ports: Ports) -> Result<Self, StartError> {
        let doors = Doors::bind(&config.listeners()).await?;
        let addresses = doors.addresses()?;
        let cluster = format!("{}/{}", config.cluster_id, config.region);
        let controller = Controller::start(&cluster, config.slot, config.data_dir.join("metadata")).await?;
        let broker = Self::idle(config, ports)?;
        let _ = broker.0.addresses.set(addresses);
        let control = Control::start(broker.clone(), controller, addresses);
        let _ = broker.0.control.set(control);
        broker.coordinate_groups();
        broker.spawn(broker.clone().tell_leaders());
        doors.open(&broker)?;
        broker.keep_up();
        Ok(broker)
    }

    /// Stops serving, then closes logs and metadata in an orderly way.
    pub async fn shutdown(&self) {
        self.close_storage().await;
        if let Some(control) = self.0.control.get() {
            control.shutdown().await;
        }
    }

    /// Makes the council's decisions real. An assignment with a smaller council index than an earlier one changes
    /// nothing.
    ///
    /// # Errors
    /// What is in the way; it can be tried again.
    pub async fn assign(&self, assignment: Assignment) -> Result<(), ControlError> {
        self.control().assign(assignment).await
    }

    /// The council confirmed the grant: writes may be acknowledged until then.
    pub fn extend_lease(&self, group: &ProtectionGroup, epoch: OwnershipEpoch, until: BootInstant) {
        self.0.gates.extend(group, epoch, until);
    }

    /// Waits until the region's metadata can be written no more, and says why: the process has to be started again then.
    pub async fn metadata_failed(&self) -> String {
        self.control().failed().await
    }

    pub(crate) fn control(&self) -> &Control {
        self.0.control.get().expect("a broker of a region is started with its control side")
    }
}
