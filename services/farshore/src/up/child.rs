//! One supervised process.

use super::data_dir::DataDir;
use anyhow::{Context, Result};
use model::RegionName;
use rustix::process::{Pid, Signal, kill_process};
use std::fmt;
use std::fs::OpenOptions;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use tokio::process::Command;
use tokio::sync::mpsc;

/// What a supervised process is there for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    /// The embedded S3 server.
    S3,
    /// The council node outside the regions.
    Witness,
    /// A region: broker, council node, mirror, REST. In a region of several brokers all but brokers and mirror.
    Region(RegionName),
    /// One of several brokers of a region, with its part of the mirror.
    Broker(RegionName, u16),
    /// The gateway and the front door of REST.
    Gateway,
}

impl Role {
    /// The region it dies with, if any. What dies of a region stays down until someone decides otherwise; everything else is
    /// started again when it ends.
    pub(crate) fn region(&self) -> Option<&RegionName> {
        match self {
            Self::Region(region) | Self::Broker(region, _) => Some(region),
            Self::S3 | Self::Witness | Self::Gateway => None,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::S3 => f.write_str("s3"),
            Self::Witness => f.write_str("witness"),
            Self::Region(region) => region.fmt(f),
            Self::Broker(region, slot) => write!(f, "{region}-{slot}"),
            Self::Gateway => f.write_str("gateway"),
        }
    }
}

/// A process that ended, and how.
#[derive(Debug)]
pub(crate) struct Exit {
    /// Which one.
    pub(crate) role: Role,
    /// Its process id.
    pub(crate) pid: u32,
    /// How it ended.
    pub(crate) status: ExitStatus,
}

impl Exit {
    /// How it ended, in words.
    pub(crate) fn reason(&self) -> String {
        match (self.status.code(), self.status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => "an unknown reason".to_owned(),
        }
    }
}

/// Starts the process of `role`; `exits` hears of its end. Returns its process id.
///
/// # Errors
/// When it cannot be started or its log file cannot be opened.
pub(crate) fn start(role: &Role, data: &DataDir, exits: mpsc::UnboundedSender<Exit>) -> Result<u32> {
    let log_path = data.join("logs").join(format!("{role}.log"));
    let log = OpenOptions::new().create(true).append(true).open(&log_path);
    let log = log.with_context(|| format!("cannot open {}", log_path.display()))?;
    // Not the path: the binary there may have been replaced since, and all processes have to be of one build.
    let mut command = Command::new("/proc/self/exe");
    command.arg("role").args(["--data-dir".as_ref(), data.path().as_os_str()]);
    command.args(["--supervisor", &std::process::id().to_string(), &role.to_string()]);
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true).process_group(0);
    let mut child = command.spawn().with_context(|| format!("cannot start {role}"))?;
    let pid = child.id().context("the process ended before it had a number")?;
    let role = role.clone();
    tokio::spawn(async move {
        if let Ok(status) = child.wait().await {
            // The supervisor stops listening when it stops itself.
            let _ = exits.send(Exit { role, pid, status });
        }
    });
    Ok(pid)
}

/// Sends `signal` to the process; one that is gone already is fine.
pub(crate) fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// Makes this process end when the supervisor `parent` does.
///
/// # Errors
/// When the supervisor is gone already.
pub(crate) fn end_with_supervisor(parent: u32) -> Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let alive = rustix::process::getppid().is_some_and(|pid| pid.as_raw_nonzero().get() as u32 == parent);
    anyhow::ensure!(alive, "supervisor {parent} is gone; roles are started by `farshore up`");
    Ok(())
}
