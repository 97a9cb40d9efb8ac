//! Watching: every node probes every other region; the leader puts together what all of them see and what regions say,
//! and decides whether something has to be done though nobody asked.
//!
//! ```text
//!  every node:  ping each region / 250 ms -> Watch (dr_planner::health::Observer, boot clock)
//!                                              |
//!  the leader:  observations, links, statuses -+-> Picture (Inventory, detections, scores) -> judge -> StartRun
//! ```
//!
//! A [`Picture`] is facts; what they mean is [`dr_planner`]'s to say. It exists on the leader only, which gives it to
//! any node that asks.

mod collect;
mod facts;
mod judge;
mod modes;
mod picture;
mod watch;

pub use picture::{Picture, RegionHealth};

use crate::council::{Council, Reply};
use crate::ports::Ports;
use crate::tenure::{node_name, while_leading};
use dr_planner::health::Observation;
use mirror_core::mode::auto::Judgement;
use model::ProtectionGroup;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::sync::watch as latest;
use watch::Watch;

/// What this node sees, and, while it leads, what all of them see.
#[derive(Clone)]
pub struct Observatory {
    council: Council,
    ports: Ports,
    watch: Arc<Watch>,
    picture: latest::Sender<Option<Arc<Picture>>>,
    /// Why nothing is done automatically about each group, in words.
    idle: Arc<Mutex<BTreeMap<ProtectionGroup, String>>>,
    /// What becomes of each group that leaves its mode to the line.
    auto: Arc<Mutex<BTreeMap<ProtectionGroup, Judgement>>>,
}

impl Observatory {
    /// The observatory of this node.
    pub fn new(council: Council, ports: Ports) -> Self {
        let watch = Arc::new(Watch::new(ports.clock.clone()));
        Self { council, ports, watch, picture: latest::Sender::new(None), idle: Arc::default(), auto: Arc::default() }
    }

    /// Probes all other regions, for ever.
    pub async fn probe(self) {
        watch::probe(&self.council, &self.watch).await;
    }

    /// Collects what all nodes see, and judges it, whenever this node leads, for ever.
    pub async fn lead(self) {
        while_leading(&self.council, || async {
            let _blind_again = Forget(&self);
            tokio::join!(collect::collect(&self), judge::judge(&self), modes::keep(&self));
        })
        .await;
    }

    /// The newest picture, while this node leads.
    pub fn picture(&self) -> Option<Arc<Picture>> {
        self.picture.borrow().clone()
    }

    /// Follows the picture.
    pub fn watch_picture(&self) -> latest::Receiver<Option<Arc<Picture>>> {
        self.picture.subscribe()
    }

    /// What this node itself sees of the regions.
    pub fn observations(&self) -> Vec<Observation> {
        let Some(observer) = node_name(&self.council) else { return vec![] };
        let view = self.council.view();
        let others = view.regions.iter().map(|region| &region.address.region).filter(|region| **region != observer);
        self.watch.observe(&observer, others, self.ports.clock.now())
    }

    /// Answers another node that asks for the picture.
    pub(crate) fn show(&self) -> Reply {
        let Some(picture) = self.picture() else {
            return Reply::not_served("this node does not lead the council, or has only begun to");
        };
        let mut picture = (*picture).clone();
        picture.idle = self.idle.lock().expect("no holder of this lock panics").clone();
        picture.auto = self.auto.lock().expect("no holder of this lock panics").clone();
        Reply::Picture(Box::new(picture))
    }
}

/// Takes the picture down when a tenure ends.
struct Forget<'a>(&'a Observatory);

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        self.0.picture.send_replace(None);
        self.0.idle.lock().expect("no holder of this lock panics").clear();
        self.0.auto.lock().expect("no holder of this lock panics").clear();
    }
}
