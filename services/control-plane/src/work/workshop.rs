//! Where a region's node does the work.

use super::{JobState, WorkCall, WorkReply};
use crate::council::Reply;
use crate::ports::{Archivist, BackupRequest, Progress, RestoreRequest};
use futures::FutureExt;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use tokio::task::JoinSet;

/// How many jobs that have ended are remembered.
const ENDED_JOBS_MAX: usize = 1000;

type Slot = Arc<Mutex<JobState>>;

/// The jobs of this process, by name. Dropping it ends them.
pub(crate) struct Workshop {
    archivist: Option<Arc<dyn Archivist>>,
    jobs: Mutex<Jobs>,
}

#[derive(Default)]
struct Jobs {
    states: BTreeMap<String, Slot>,
    /// Names in the order in which they came.
    order: Vec<String>,
    tasks: JoinSet<()>,
}

impl Workshop {
    pub(crate) fn new(archivist: Option<Arc<dyn Archivist>>) -> Self {
        Self { archivist, jobs: Mutex::default() }
    }

    pub(crate) async fn call(&self, call: WorkCall) -> Reply {
        let Some(archivist) = self.archivist.clone() else {
            return Reply::not_served("this node belongs to no region and keeps no archive");
        };
        Reply::Work(match call {
            WorkCall::State(work) => WorkReply::State(self.state(&work)),
            WorkCall::Inspect(backup) => WorkReply::Inspected(archivist.inspect(&backup).await),
            WorkCall::Backup(request) => {
                WorkReply::State(self.begin(&request.backup.clone(), |slot| back_up(archivist, request, slot)))
            }
            WorkCall::Restore(request) => {
                WorkReply::State(self.begin(&request.restore.clone(), |slot| restore(archivist, request, slot)))
            }
        })
    }

    fn state(&self, work: &str) -> JobState {
        let jobs = self.jobs.lock().expect("no holder of this lock panics");
        jobs.states.get(work).map_or(JobState::Unknown, read)
    }

    /// Begins the job unless it has begun.
    fn begin<F: Future<Output = ()> + Send + 'static>(&self, work: &str, job: impl FnOnce(Slot) -> F) -> JobState {
        let mut jobs = self.jobs.lock().expect("no holder of this lock panics");
        while jobs.tasks.try_join_next().is_some() {}
        if let Some(slot) = jobs.states.get(work) {
            return read(slot);
        }
        jobs.forget_oldest();
        let slot: Slot = Arc::new(Mutex::new(JobState::Running(Progress::default())));
        jobs.states.insert(work.to_owned(), slot.clone());
        jobs.order.push(work.to_owned());
        let job = guarded(job(slot.clone()), slot.clone());
        jobs.tasks.spawn(job);
        read(&slot)
    }
}

impl Jobs {
    fn forget_oldest(&mut self) {
        if self.order.len() < ENDED_JOBS_MAX {
            return;
        }
        let ended = |name: &String| !matches!(read(&self.states[name]), JobState::Running(_));
        if let Some(at) = self.order.iter().position(ended) {
            let name = self.order.remove(at);
            self.states.remove(&name);
        }
    }
}

fn read(slot: &Slot) -> JobState {
    slot.lock().expect("no holder of this lock panics").clone()
}

fn write(slot: &Slot, state: JobState) {
    *slot.lock().expect("no holder of this lock panics") = state;
}

/// A job that panics has failed.
async fn guarded(job: impl Future<Output = ()> + Send + 'static, slot: Slot) {
    if AssertUnwindSafe(job).catch_unwind().await.is_err() {
        write(&slot, JobState::Failed("the job died; see the log of this node".to_owned()));
    }
}

async fn back_up(archivist: Arc<dyn Archivist>, request: BackupRequest, slot: Slot) {
    let progress = |progress| write(&slot, JobState::Running(progress));
    let done = archivist.backup(request, &progress).await;
    write(&slot, done.map_or_else(|error| JobState::Failed(error.0), JobState::BackedUp));
}

async fn restore(archivist: Arc<dyn Archivist>, request: RestoreRequest, slot: Slot) {
    let progress = |progress| write(&slot, JobState::Running(progress));
    let done = archivist.restore(request, &progress).await;
    write(&slot, done.map_or_else(|error| JobState::Failed(error.0), JobState::Restored));
}
