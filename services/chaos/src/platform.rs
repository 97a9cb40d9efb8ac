//! A whole Farshore as child processes: `farshore up` in a directory and on ports of its own, with handles to kill, stop
//! and start its regions.
//!
//! Calls block. A guard process ends the platform when the process that started it dies, however it dies.

mod error;
pub(crate) mod guard;
mod ports;
pub(crate) mod process;

pub use api::endpoints::{Endpoints, RegionEndpoint};
pub use error::Error;
pub use ports::free_base;

use guard::Guard;
use rustix::process::Signal;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const READY_WITHIN: Duration = Duration::from_secs(120);
const GONE_WITHIN: Duration = Duration::from_secs(10);
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// How to start a platform.
#[derive(Clone, Debug)]
pub struct Options {
    /// The `farshore` binary.
    pub binary: PathBuf,
    /// The data directory; the output of `up` goes to `up.log` beside what it keeps there itself.
    pub directory: PathBuf,
    /// How many regions.
    pub regions: u16,
    /// How many brokers each of them has.
    pub brokers: u16,
    /// Whether the data directory goes when the platform ends.
    pub temporary: bool,
    /// Further arguments of `farshore up`.
    pub arguments: Vec<String>,
    /// Further variables in the environment of all its processes.
    pub environment: Vec<(String, String)>,
}

impl Options {
    /// Three regions of `binary` in a new directory under `parent` that goes with the platform.
    ///
    /// # Errors
    /// [`Error::System`] when the directory cannot be made.
    pub fn temporary(binary: PathBuf, parent: &Path) -> Result<Self, Error> {
        let nanos = std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos());
        let directory = parent.join(format!("platform-{}-{nanos}", std::process::id()));
        fs::create_dir_all(&directory).map_err(|e| Error::System(format!("cannot make {}", directory.display()), e))?;
        let (arguments, environment) = (Vec::new(), Vec::new());
        Ok(Self { binary, directory, regions: 3, brokers: 1, temporary: true, arguments, environment })
    }
}

/// A running platform. It ends when this is dropped.
#[derive(Debug)]
pub struct Platform {
    options: Options,
    base_port: u16,
    supervisor: Child,
    guard: Option<Guard>,
    endpoints: Endpoints,
    ready_after: Duration,
}

impl Platform {
    /// Starts a platform on free ports and waits until it is ready.
    ///
    /// # Errors
    /// [`Error`] says what was missing or went wrong.
    pub fn start(options: Options) -> Result<Self, Error> {
        let ports = ports_of(&options);
        let base_port = free_base(ports).ok_or(Error::NoPorts(ports))?;
        Self::start_at(options, base_port)
    }

    fn start_at(options: Options, base_port: u16) -> Result<Self, Error> {
        if !options.binary.is_file() {
            return Err(Error::NoBinary(options.binary));
        }
        let began = Instant::now();
        let supervisor = up(&options, base_port)?;
        let guard = Guard::over(supervisor.id(), options.temporary.then_some(&options.directory))
            .map_err(|e| Error::System("cannot start the guard".into(), e))?;
        let unknown = Endpoints { gateway: String::new(), api: String::new(), s3: String::new(), regions: Vec::new() };
        let mut platform = Self {
            options,
            base_port,
            supervisor,
            guard: Some(guard),
            endpoints: unknown,
            ready_after: Duration::ZERO,
        };
        platform.wait_ready()?;
        platform.ready_after = began.elapsed();
        Ok(platform)
    }

    fn wait_ready(&mut self) -> Result<(), Error> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            if let Some(endpoints) = self.read_endpoints() {
                self.endpoints = endpoints;
                return Ok(());
            }
            if let Some(status) = self.supervisor.try_wait().map_err(|e| Error::System("cannot wait".into(), e))? {
                return Err(Error::Ended { status, log: self.last_words() });
            }
            if Instant::now() > deadline {
                let what = "endpoints.json was written".to_owned();
                return Err(Error::Late { what, within: READY_WITHIN, log: self.logs() });
            }
            pause();
        }
    }

    /// How long it took from the start of the first process to `endpoints.json`.
    pub fn ready_after(&self) -> Duration {
        self.ready_after
    }

    /// The data directory.
    pub fn directory(&self) -> &Path {
        &self.options.directory
    }

    /// The first of its ports.
    pub fn base_port(&self) -> u16 {
        self.base_port
    }

    /// Where it listens, as last read.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// The region called `name`, as last read.
    ///
    /// # Errors
    /// [`Error::NoRegion`].
    pub fn region(&self, name: &str) -> Result<&RegionEndpoint, Error> {
        let all = || self.endpoints.regions.iter().map(|r| r.name.as_str()).collect::<Vec<_>>().join(", ");
        let found = self.endpoints.regions.iter().find(|region| region.name == name);
        found.ok_or_else(|| Error::NoRegion(name.to_owned(), all()))
    }

    /// Kills every process of a region with SIGKILL and waits until they are gone.
    ///
    /// # Errors
    /// [`Error::NoRegion`], or [`Error::Late`] when a process stays.
    pub fn kill_region(&mut self, name: &str) -> Result<(), Error> {
        let pids = self.signal_region(name, Signal::KILL)?;
        self.wait_for(&format!("the processes of {name} are gone"), GONE_WITHIN, || {
            pids.iter().all(|pid| !process::is_alive(*pid))
        })
    }

    /// Stops every process of a region with SIGSTOP: it is silent, but not dead.
    ///
    /// # Errors
    /// [`Error::NoRegion`], or [`Error::System`].
    pub fn stop_region(&mut self, name: &str) -> Result<(), Error> {
        self.signal_region(name, Signal::STOP).map(drop)
    }

    /// Lets a stopped region go on.
    ///
    /// # Errors
    /// [`Error::NoRegion`], or [`Error::System`].
    pub fn continue_region(&mut self, name: &str) -> Result<(), Error> {
        self.signal_region(name, Signal::CONT).map(drop)
    }

    /// Signals the processes the region has now, and answers which they are.
    fn signal_region(&mut self, name: &str, signal: Signal) -> Result<Vec<u32>, Error> {
        self.refresh();
        let pids = self.region(name)?.pids.clone();
        for pid in &pids {
            process::signal(*pid, signal).map_err(|e| Error::System(format!("cannot signal {pid} of {name}"), e))?;
        }
        Ok(pids)
    }

    /// The process of `role`: a region, `gateway`, `s3` or `witness`. `None` while it is down.
    pub fn process(&self, role: &str) -> Option<u32> {
        process::child_of(self.supervisor.id(), role)
    }

    /// Kills the process of `role` with SIGKILL, waits until the supervisor knows, and answers whether there was one. The
    /// supervisor starts all but regions again.
    ///
    /// # Errors
    /// [`Error::System`], or [`Error::Late`] when the process stays.
    pub fn kill_process(&self, role: &str) -> Result<bool, Error> {
        let Some(pid) = self.process(role) else { return Ok(false) };
        process::signal(pid, Signal::KILL).map_err(|e| Error::System(format!("cannot kill {pid} ({role})"), e))?;
        self.wait_for(&format!("the process of {role} is gone"), GONE_WITHIN, || !process::exists(pid))?;
        Ok(true)
    }

    /// Reads `endpoints.json` again; what was known stays known while the file is away.
    pub fn refresh(&mut self) {
        if let Some(endpoints) = self.read_endpoints() {
            self.endpoints = endpoints;
        }
    }

    /// Starts a dead region again and waits until `endpoints.json` names its new processes.
    ///
    /// # Errors
    /// [`Error::Refused`] when the command fails, [`Error::Late`] when no new process shows up.
    pub fn start_region(&mut self, name: &str) -> Result<(), Error> {
        self.refresh();
        let old = self.region(name)?.pids.clone();
        self.command(&["region", "start", name])?;
        let deadline = Instant::now() + READY_WITHIN;
        while Instant::now() < deadline {
            self.refresh();
            let pids = &self.region(name)?.pids;
            if !pids.is_empty() && *pids != old && pids.iter().all(|pid| process::is_alive(*pid)) {
                return Ok(());
            }
            pause();
        }
        Err(self.late(&format!("{name} has new processes"), READY_WITHIN))
    }

    /// Runs `farshore ARGUMENTS --data-dir ...` against this platform and answers what it printed.
    ///
    /// # Errors
    /// [`Error::Refused`] when it ends with anything but 0.
    pub fn command(&self, arguments: &[&str]) -> Result<String, Error> {
        let ran = Command::new(&self.options.binary)
            .args(arguments)
            .arg("--data-dir")
            .arg(&self.options.directory)
            .stdin(Stdio::null())
            .output()
            .map_err(|e| Error::System(format!("cannot run {}", self.options.binary.display()), e))?;
        let output = String::from_utf8_lossy(&ran.stdout).into_owned();
        if ran.status.success() {
            return Ok(output);
        }
        let output = output + &String::from_utf8_lossy(&ran.stderr);
        Err(Error::Refused { command: arguments.join(" "), output })
    }

    /// Asks the platform to end, waits, and kills it when it does not.
    ///
    /// # Errors
    /// [`Error::Late`] when it had to be killed.
    pub fn stop(&mut self) -> Result<(), Error> {
        self.end_supervisor(Signal::TERM)?;
        let deadline = Instant::now() + STOP_WITHIN;
        while self.is_running() {
            if Instant::now() > deadline {
                let late = self.late("farshore up ended", STOP_WITHIN);
                self.kill();
                return Err(late);
            }
            pause();
        }
        Ok(())
    }

    /// Kills every process of the platform at once, the supervisor first: as if the power went.
    pub fn kill(&mut self) {
        let _gone_already = self.supervisor.kill();
        let _reaped = self.supervisor.wait();
        self.refresh();
        let pids: Vec<u32> = self.endpoints.regions.iter().flat_map(|region| region.pids.clone()).collect();
        for pid in &pids {
            let _gone_already = process::signal(*pid, Signal::KILL);
        }
        let gone = || pids.iter().all(|pid| !process::is_alive(*pid));
        let _best_effort = self.wait_for("killed processes are gone", GONE_WITHIN, gone);
    }

    /// Starts the platform again on its old data and ports, after [`stop`](Self::stop) or [`kill`](Self::kill).
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn restart(&mut self) -> Result<(), Error> {
        if let Some(guard) = self.guard.take() {
            guard.dismiss();
        }
        let _left_by_a_kill = fs::remove_file(self.options.directory.join("endpoints.json"));
        let began = Instant::now();
        self.supervisor = up(&self.options, self.base_port)?;
        let guard = Guard::over(self.supervisor.id(), self.options.temporary.then_some(&self.options.directory));
        self.guard = Some(guard.map_err(|e| Error::System("cannot start the guard".into(), e))?);
        self.wait_ready()?;
        self.ready_after = began.elapsed();
        Ok(())
    }

    /// Whether the supervisor runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.supervisor.try_wait(), Ok(None))
    }

    fn end_supervisor(&mut self, signal: Signal) -> Result<(), Error> {
        if !self.is_running() {
            return Ok(());
        }
        let pid = self.supervisor.id();
        process::signal(pid, signal).map_err(|e| Error::System(format!("cannot signal farshore up ({pid})"), e))
    }

    fn read_endpoints(&self) -> Option<Endpoints> {
        let file = fs::read(self.options.directory.join("endpoints.json")).ok()?;
        serde_json::from_slice(&file).ok()
    }

    /// Waits until `condition` holds.
    ///
    /// # Errors
    /// [`Error::Late`] names `what` when it does not hold `within` that time.
    pub fn wait_for(&self, what: &str, within: Duration, mut condition: impl FnMut() -> bool) -> Result<(), Error> {
        let deadline = Instant::now() + within;
        while !condition() {
            if Instant::now() > deadline {
                return Err(self.late(what, within));
            }
            pause();
        }
        Ok(())
    }

    fn late(&self, what: &str, within: Duration) -> Error {
        Error::Late { what: what.to_owned(), within, log: self.last_words() }
    }

    /// The end of the supervisor's output.
    pub fn last_words(&self) -> String {
        last_lines(&self.options.directory.join("up.log"))
    }

    /// The ends of the supervisor's output and of every process's log, each under its name.
    pub fn logs(&self) -> String {
        let processes = fs::read_dir(self.options.directory.join("logs")).into_iter().flatten().flatten();
        let mut files: Vec<PathBuf> = processes.map(|entry| entry.path()).collect();
        files.sort();
        files.insert(0, self.options.directory.join("up.log"));
        files.iter().map(|file| format!("== {}\n{}\n", file.display(), last_lines(file))).collect()
    }
}

fn last_lines(file: &Path) -> String {
    const LINES: usize = 30;
    let log = fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&log);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

impl Drop for Platform {
    fn drop(&mut self) {
        if self.stop().is_err() {
            self.kill();
        }
        if let Some(guard) = self.guard.take() {
            guard.dismiss();
        }
        if self.options.temporary && !std::thread::panicking() {
            let _best_effort = fs::remove_dir_all(&self.options.directory);
        }
    }
}

/// How many ports a platform packs from its base on: 20 shared ones and 10 per region; brokers that are processes of their
/// own have 20 per region behind the first 100.
fn ports_of(options: &Options) -> u16 {
    if options.brokers > 1 { 100 + 20 * options.regions } else { 20 + 10 * options.regions }
}

fn up(options: &Options, base_port: u16) -> Result<Child, Error> {
    let path = options.directory.join("up.log");
    let open = || File::options().create(true).append(true).open(&path);
    let file = |e| Error::System(format!("cannot write {}", path.display()), e);
    Command::new(&options.binary)
        .args(["up", "--base-port", &base_port.to_string(), "--regions", &options.regions.to_string()])
        .args(["--brokers", &options.brokers.to_string()])
        .arg("--data-dir")
        .arg(&options.directory)
        .args(&options.arguments)
        .envs(options.environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(open().map_err(file)?)
        .stderr(open().map_err(file)?)
        .spawn()
        .map_err(|e| Error::System(format!("cannot run {}", options.binary.display()), e))
}

fn pause() {
    std::thread::sleep(Duration::from_millis(10));
}

#[cfg(test)]
mod tests;
