//! Everything a node does without being asked, put together.

use crate::council::{Call, Council, Extension, Reply};
use crate::execute::failpoint::Failpoints;
use crate::execute::{Executor, Recovery, Reports};
use crate::observe::Observatory;
use crate::ports::Ports;
use crate::schedule::Schedules;
use crate::work::{Works, Workshop};
use env::PortFuture;
use std::sync::Arc;
use tokio::task::JoinSet;

/// How the automatic parts behave.
#[derive(Clone)]
pub struct Options {
    /// Where backups go, bucket and prefix, for people.
    pub repository: String,
    /// Where the executor may be made to die.
    pub failpoints: Failpoints,
}

/// The automatic parts of one node: watching, judging, carrying out runs, reports, long work, schedules. They end when
/// this is dropped.
pub struct Automation {
    observatory: Observatory,
    recovery: Recovery,
    works: Works,
    _tasks: JoinSet<()>,
}

impl Automation {
    /// Starts them all on the node of `council`.
    pub fn start(council: &Council, ports: &Ports, options: Options) -> Self {
        let observatory = Observatory::new(council.clone(), ports.clone());
        let recovery = Recovery::new(council.clone(), ports.clone());
        let works = Works::new(council.clone(), ports.clone(), recovery.clone(), options.repository);
        let workshop = Workshop::new(ports.archivist.clone());
        council.extend(Arc::new(Counter { observatory: observatory.clone(), workshop }));
        let mut tasks = JoinSet::new();
        tasks.spawn(observatory.clone().probe());
        tasks.spawn(observatory.clone().lead());
        tasks.spawn(Executor::new(council.clone(), ports.clone(), options.failpoints).serve());
        tasks.spawn(Reports::new(council.clone(), observatory.clone(), ports.clock.clone()).serve());
        tasks.spawn(works.clone().serve());
        tasks.spawn(Schedules::new(council.clone(), ports.clone(), works.clone()).serve());
        Self { observatory, recovery, works, _tasks: tasks }
    }

    /// What this node sees.
    pub fn observatory(&self) -> &Observatory {
        &self.observatory
    }

    /// Moves of protection groups, and their runs.
    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// Backups, restores and drills.
    pub fn works(&self) -> &Works {
        &self.works
    }
}

/// Answers the calls of other nodes that the automatic parts are there for.
struct Counter {
    observatory: Observatory,
    workshop: Workshop,
}

impl Extension for Counter {
    fn call(&self, call: Call) -> PortFuture<'_, Reply> {
        Box::pin(async move {
            match call {
                Call::Observations => Reply::Observations(self.observatory.observations()),
                Call::Picture => self.observatory.show(),
                Call::Work(call) => self.workshop.call(call).await,
                other => Reply::not_served(format!("{other:?} is not answered here")),
            }
        })
    }
}
