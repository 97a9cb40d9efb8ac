//! What is measured: a server process on a port of its own, with a directory that goes with it.

use anyhow::{Context, bail};
use chaos::peers;
use chaos::platform::free_base;
use std::fs::{self, File};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const START_WITHIN: Duration = Duration::from_secs(60);
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// How a server is started: a directory was prepared and a command is ready to run.
pub(crate) struct Recipe {
    name: &'static str,
    directory: PathBuf,
    port: u16,
    command: Vec<String>,
}

impl Recipe {
    /// Apache Kafka, formatted and ready to start.
    pub(crate) fn kafka(parent: &Path) -> anyhow::Result<Self> {
        let (directory, port) = place(parent, "kafka")?;
        let cache = peers::cache().context("HOME, XDG_CACHE_HOME or FARSHORE_CACHE must be set")?;
        let starter = peers::unpack(&cache.join("peers")).context("cannot unpack the starter of Apache Kafka")?;
        let starter = starter.to_string_lossy().into_owned();
        let at = directory.to_string_lossy().into_owned();
        let status = Command::new(&starter).args(["format", &at, &port.to_string()]).stdout(Stdio::null()).status();
        anyhow::ensure!(status?.success(), "Apache Kafka could not be fetched or formatted (see above)");
        Ok(Self { name: "kafka", directory, port, command: vec![starter, "run".into(), at] })
    }

    /// Our broker as the template says; `flush` is `os` or `ack`.
    pub(crate) fn ours(parent: &Path, template: &str, farshore: &Path, flush: &'static str) -> anyhow::Result<Self> {
        let (directory, port) = place(parent, flush)?;
        let data = directory.join("data");
        fs::create_dir_all(&data)?;
        let command = template.split_whitespace().map(|word| {
            word.replace("{farshore}", &farshore.to_string_lossy())
                .replace("{dir}", &data.to_string_lossy())
                .replace("{port}", &port.to_string())
                .replace("{flush}", flush)
        });
        let command: Vec<String> = command.collect();
        anyhow::ensure!(!command.is_empty(), "the command of our broker is empty");
        Ok(Self { name: if flush == "os" { "farshore flush=os" } else { "farshore" }, directory, port, command })
    }

    /// The broker that throws everything away.
    pub(crate) fn null(parent: &Path) -> anyhow::Result<Self> {
        let (directory, port) = place(parent, "null")?;
        let me = std::env::current_exe()?.to_string_lossy().into_owned();
        let command = vec![me, "null-broker".into(), "--port".into(), port.to_string()];
        Ok(Self { name: "null", directory, port, command })
    }

    /// Starts it and waits until it listens.
    pub(crate) fn start(self) -> anyhow::Result<Server> {
        let log = File::create(self.directory.join("server.log"))?;
        let child = Command::new(&self.command[0])
            .args(&self.command[1..])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", self.command.join(" ")))?;
        let mut server = Server { name: self.name, directory: self.directory, port: self.port, child };
        server.wait_until_it_listens().with_context(|| self.command.join(" "))?;
        Ok(server)
    }
}

/// An empty directory and a pair of free ports.
fn place(parent: &Path, name: &str) -> anyhow::Result<(PathBuf, u16)> {
    let directory = parent.join(name);
    if directory.exists() {
        fs::remove_dir_all(&directory)?;
    }
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    Ok((directory, free_base(10).context("no ten free ports in a row")?))
}

/// A running server; it ends, and its directory goes, when this is dropped.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    directory: PathBuf,
    port: u16,
    child: Child,
}

impl Server {
    pub(crate) fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn pids(&self) -> [i32; 1] {
        [self.child.id() as i32]
    }

    fn wait_until_it_listens(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_WITHIN;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if let Some(status) = self.child.try_wait()? {
                bail!("{} ended with {status}: {}", self.name, self.last_words());
            }
            if Instant::now() > deadline {
                bail!("{} does not listen after {} s: {}", self.name, START_WITHIN.as_secs(), self.last_words());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(self.directory.join("server.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _gone_already = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let deadline = Instant::now() + STOP_WITHIN;
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _gone_already = self.child.kill();
        let _reaped = self.child.wait();
        let _best_effort = fs::remove_dir_all(&self.directory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_filled_in() {
        let home = tempfile::tempdir().unwrap();
        let template = "{farshore} broker --data-dir {dir} --port {port} --flush {flush}";
        let recipe = Recipe::ours(home.path(), template, Path::new("/bin/farshore"), "ack").unwrap();
        let data = home.path().join("ack/data").to_string_lossy().into_owned();
        let port = recipe.port.to_string();
        assert_eq!(recipe.command, ["/bin/farshore", "broker", "--data-dir", &data, "--port", &port, "--flush", "ack"]);
    }

    #[test]
    fn a_server_that_ends_at_once_is_told_with_its_last_words() {
        let home = tempfile::tempdir().unwrap();
        let recipe = Recipe::ours(home.path(), "cat {dir}/nothing", Path::new("-"), "os").unwrap();
        let error = format!("{:#}", recipe.start().err().unwrap());
        assert!(error.contains("exit status: 1") && error.contains("No such file"), "{error}");
    }
}
