//! Keeps the processes of a platform running. It hosts no role itself, so nothing but their supervision dies with it.

use super::child::{self, Exit, Role};
use super::control::{self, Answer, Ask};
use super::data_dir::{DataDir, Platform};
use crate::output::remark;
use anyhow::Result;
use model::RegionName;
use rustix::process::Signal;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

const RESTART_PAUSE_MAX: Duration = Duration::from_secs(5);
const STABLE_AFTER: Duration = Duration::from_secs(30);
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// The processes that die with each region; none while it is down.
pub(crate) type RegionPids = BTreeMap<RegionName, Vec<u32>>;

/// The processes of one platform.
pub(crate) struct Supervisor {
    data: DataDir,
    platform: Platform,
    running: BTreeMap<Role, Process>,
    pauses: BTreeMap<Role, Duration>,
    exits: mpsc::UnboundedSender<Exit>,
    ended: mpsc::UnboundedReceiver<Exit>,
    restarts: mpsc::UnboundedSender<Role>,
    due: mpsc::UnboundedReceiver<Role>,
}

#[derive(Clone, Copy)]
struct Process {
    pid: u32,
    since: Instant,
}

impl Supervisor {
    /// Starts every process of `platform`.
    ///
    /// # Errors
    /// When one of them cannot be started.
    pub(crate) fn start(data: DataDir, platform: Platform) -> Result<Self> {
        let (exits, ended) = mpsc::unbounded_channel();
        let (restarts, due) = mpsc::unbounded_channel();
        let (running, pauses) = (BTreeMap::new(), BTreeMap::new());
        let mut this = Self { data, platform, running, pauses, exits, ended, restarts, due };
        for role in this.roles() {
            this.launch(&role)?;
        }
        Ok(this)
    }

    fn roles(&self) -> Vec<Role> {
        let witness = self.platform.has_witness().then_some(Role::Witness);
        let regions = self.platform.regions.iter().flat_map(|region| self.region_roles(region));
        std::iter::once(Role::S3).chain(witness).chain(regions).chain([Role::Gateway]).collect()
    }

    /// What dies with a region: its process and, where it has several, its brokers.
    fn region_roles(&self, region: &RegionName) -> Vec<Role> {
        let brokers = if self.platform.brokers > 1 { self.platform.brokers } else { 0 };
        let brokers = (0..brokers).map(|slot| Role::Broker(region.clone(), slot));
        std::iter::once(Role::Region(region.clone())).chain(brokers).collect()
    }

    fn launch(&mut self, role: &Role) -> Result<u32> {
        let pid = child::start(role, &self.data, self.exits.clone())?;
        self.running.insert(role.clone(), Process { pid, since: Instant::now() });
        Ok(pid)
    }

    /// The process ids of each region.
    fn region_pids(&self) -> RegionPids {
        let pids = |region: &RegionName| self.region_roles(region).iter().filter_map(|role| self.pid(role)).collect();
        self.platform.regions.iter().map(|region| (region.clone(), pids(region))).collect()
    }

    fn pid(&self, role: &Role) -> Option<u32> {
        self.running.get(role).map(|process| process.pid)
    }

    /// Watches until a signal asks for the end. Once `ready` is done, `announce` hears who runs, now and at every change.
    ///
    /// # Errors
    /// When the platform does not become ready, or signals or the control socket cannot be listened to.
    pub(crate) async fn watch(
        &mut self,
        ready: impl Future<Output = Result<()>>,
        mut announce: impl FnMut(&RegionPids) -> Result<()>,
    ) -> Result<()> {
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let mut asked = control::listen(&self.data)?;
        let (mut ready, mut is_ready) = (std::pin::pin!(ready), false);
        loop {
            tokio::select! {
                _ = interrupt.recv() => return Ok(()),
                _ = terminate.recv() => return Ok(()),
                outcome = &mut ready, if !is_ready => { outcome?; is_ready = true; }
                Some(exit) = self.ended.recv() => self.on_exit(&exit),
                Some(role) = self.due.recv() => self.on_restart_due(&role),
                Some((ask, reply)) = asked.recv() => {
                    // Whoever asked may be gone by now.
                    let _ = reply.send(self.on_ask(ask));
                }
            }
            if is_ready {
                announce(&self.region_pids())?;
            }
        }
    }

    fn on_exit(&mut self, exit: &Exit) {
        if self.pid(&exit.role) != Some(exit.pid) {
            return;
        }
        let process = self.running.remove(&exit.role);
        let (role, reason, log) =
            (&exit.role, exit.reason(), self.data.join("logs").join(format!("{}.log", exit.role)));
        if let Some(region) = role.region() {
            let what = if matches!(role, Role::Broker(..)) { "broker" } else { "region" };
            let log = log.display();
            remark!("{what} {role} is down ({reason}, see {log}); `farshore region start {region}` brings it back");
            return;
        }
        let pause = self.pause_before_restart(role, process.map_or(Duration::ZERO, |process| process.since.elapsed()));
        remark!("{role} ended ({reason}, see {}); starting it again", log.display());
        let (role, restarts) = (role.clone(), self.restarts.clone());
        tokio::spawn(async move {
            sleep(pause).await;
            // A supervisor that no longer listens is stopping.
            let _ = restarts.send(role);
        });
    }

    fn pause_before_restart(&mut self, role: &Role, lived: Duration) -> Duration {
        let pause = self.pauses.entry(role.clone()).or_default();
        *pause = match lived > STABLE_AFTER {
            true => Duration::ZERO,
            false => (*pause * 2 + Duration::from_millis(50)).min(RESTART_PAUSE_MAX),
        };
        *pause
    }

    fn on_restart_due(&mut self, role: &Role) {
        if self.running.contains_key(role) {
            return;
        }
        if let Err(error) = self.launch(role) {
            remark!("{role} cannot be started: {error:#}");
        }
    }

    fn on_ask(&mut self, ask: Ask) -> Answer {
        match ask {
            Ask::StartRegion(region) => self.start_region(region),
        }
    }

    fn start_region(&mut self, region: RegionName) -> Answer {
        if let Err(error) = self.platform.region_index(&region) {
            return Answer::Refused(format!("{error:#}"));
        }
        let roles = self.region_roles(&region);
        let (running, missing): (Vec<_>, Vec<_>) = roles.into_iter().partition(|role| self.pid(role).is_some());
        if missing.is_empty() {
            let pids: Vec<_> = running.iter().filter_map(|role| self.pid(role)).map(|pid| pid.to_string()).collect();
            let noun = if pids.len() == 1 { "process" } else { "processes" };
            return Answer::Refused(format!("{region} is running as {noun} {}", pids.join(", ")));
        }
        let started: Result<Vec<u32>> = missing.iter().map(|role| self.launch(role)).collect();
        match started.as_deref() {
            Ok([pid, ..]) => Answer::Started { pid: *pid },
            Ok([]) => Answer::Refused(format!("{region} has no processes")),
            Err(error) => Answer::Refused(format!("{error:#}")),
        }
    }

    /// Asks every process to end and waits; those that do not are killed.
    pub(crate) async fn stop(mut self) {
        for process in self.running.values() {
            child::signal(process.pid, Signal::TERM);
            // A stopped process cannot hear SIGTERM.
            child::signal(process.pid, Signal::CONT);
        }
        if timeout(STOP_TIMEOUT, self.all_ended()).await.is_err() {
            for process in self.running.values() {
                child::signal(process.pid, Signal::KILL);
            }
            let _ = timeout(STOP_TIMEOUT, self.all_ended()).await;
        }
    }

    async fn all_ended(&mut self) {
        while !self.running.is_empty() {
            let Some(exit) = self.ended.recv().await else { return };
            self.running.remove(&exit.role);
        }
    }
}
