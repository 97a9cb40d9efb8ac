//! Starting a broker of a region, and stopping it.

use crate::control::{Control, ControlError};
use crate::controller::Controller;
use crate::doors::Doors;
use crate::{Broker, Config, Ports};
use env::{BootInstant, PortFuture};
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
    pub fn start(config: Config, ports: Ports) -> PortFuture<'static, Result<Self, StartError>> {
        // Boxed, it is compiled here with all it spawns, and not with the program around it, which is built for a short build.
        Box::pin(Self::begin(config, ports))
    }

    async fn begin(config: Config, ports: Ports) -> Result<Self, StartError> {
        let doors = Doors::bind(&config.listeners()).await?;
        let addresses = doors.addresses()?;
        let controller = Controller::start(&config).await?;
        let broker = Self::idle(config, ports)?;
        let _ = broker.0.addresses.set(addresses);
        let control = Control::start(broker.clone(), controller, addresses);
        let _ = broker.0.control.set(control);
        broker.answer_peers();
        if broker.0.config.is_clustered() {
            broker.spawn(broker.clone().hold_office());
            broker.spawn(broker.clone().beat());
            broker.spawn(broker.clone().borrow_leases());
            if let Some(desk) = broker.0.config.desk.filter(|desk| *desk != broker.0.config.slot) {
                broker.spawn(broker.clone().follow_assignment(desk));
            }
        }
        broker.replicate();
        broker.coordinate_groups();
        broker.spawn(broker.clone().tell_leaders());
        doors.open(&broker)?;
        broker.keep_up();
        Ok(broker)
    }

    /// Hands over what it leads, stops serving, then closes logs and metadata in an orderly way.
    pub async fn shutdown(&self) {
        self.leave().await;
        let session = self.0.heart.session();
        if self.close_storage().await
            && let Some(session) = session
        {
            let broker = self.clone();
            let leaving = tokio::task::spawn_blocking(move || broker.0.storage.dirs.leave_word(session.epoch));
            _ = leaving.await;
        }
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
        let assigned = self.control().assign(assignment.clone()).await;
        // Links follow even where a partition could not be made real.
        self.0.newest.note(assignment);
        assigned
    }

    /// The council confirmed the grant: writes may be acknowledged until then, on the region's other brokers too.
    pub fn extend_lease(&self, group: &ProtectionGroup, epoch: OwnershipEpoch, until: BootInstant) {
        self.0.gates.extend(group, epoch, until);
    }

    /// Waits until the region's metadata can be written no more, and says why: the process has to be started again then.
    pub async fn metadata_failed(&self) -> String {
        self.control().failed().await
    }

    /// Ends the broker at once, as far as that goes within a process: nobody is told, nothing is closed in an orderly way.
    /// For tests of what the region does without it.
    pub async fn abandon(&self) {
        if let Some(control) = self.0.control.get() {
            control.shutdown().await;
        }
        self.close_storage().await;
    }

    pub(crate) fn control(&self) -> &Control {
        self.0.control.get().expect("a broker of a region is started with its control side")
    }
}
