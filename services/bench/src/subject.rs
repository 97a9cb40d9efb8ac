//! What is measured: a server process on a port of its own, with a directory that goes with it.

use anyhow::{Context, bail};
use chaos::peers;
use chaos::platform::free_base;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpStream};
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
        Self::kafka_at(&Place::new(parent, "kafka")?, "")
    }

    /// One of several brokers of Apache Kafka, which is a controller too.
    pub(crate) fn kafka_member(place: &Place, id: i32, voters: &str) -> anyhow::Result<Self> {
        // The last line with a name counts.
        let properties = [
            format!("node.id={id}"),
            format!("controller.quorum.voters={voters}"),
            "offsets.topic.replication.factor=3".to_owned(),
            "default.replication.factor=3".to_owned(),
        ];
        Self::kafka_at(place, &properties.join("\n"))
    }

    /// Apache Kafka that is also reached at `far`, where whoever asks there finds it again; socket buffers are sized by the
    /// system, which is better over a long line than its own 100 KiB.
    pub(crate) fn kafka_behind_line(place: &Place, far: Ipv4Addr) -> anyhow::Result<Self> {
        let (port, far_port) = (place.port, place.port + 2);
        let properties = [
            format!(
                "listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{},FAR://127.0.0.1:{far_port}",
                port + 1
            ),
            format!("advertised.listeners=PLAINTEXT://127.0.0.1:{port},FAR://{far}:{far_port}"),
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,FAR:PLAINTEXT".to_owned(),
            "socket.send.buffer.bytes=-1".to_owned(),
            "socket.receive.buffer.bytes=-1".to_owned(),
        ];
        Self::kafka_at(place, &properties.join("\n"))
    }

    /// MirrorMaker 2, which reads `source` and writes `target`.
    pub(crate) fn mirror_maker(place: &Place, source: &str, target: &str, topic: &str) -> anyhow::Result<Self> {
        let starter = starter()?.with_file_name("mirror-maker").to_string_lossy().into_owned();
        let at = place.directory.to_string_lossy().into_owned();
        let prepared = Command::new(&starter).args(["prepare", &at, source, target, topic]).status()?;
        anyhow::ensure!(prepared.success(), "MirrorMaker 2 could not be fetched or prepared (see above)");
        let (directory, port, command) = (place.directory.clone(), place.port, vec![starter, "run".into(), at]);
        Ok(Self { name: "mirror-maker", directory, port, command })
    }

    /// `farshore attach`, which reads `source` and writes `target`.
    pub(crate) fn attach(place: &Place, farshore: &Path, source: &str, target: &str, topic: &str) -> Self {
        let data = place.directory.join("data").to_string_lossy().into_owned();
        let words = ["attach", "--data-dir", &data, "--source", source, "--target", target, "--topics", topic];
        let command =
            std::iter::once(farshore.to_string_lossy().into_owned()).chain(words.map(str::to_owned)).collect();
        Self { name: "attach", directory: place.directory.clone(), port: place.port, command }
    }

    fn kafka_at(place: &Place, properties: &str) -> anyhow::Result<Self> {
        let Place { directory, port } = place;
        let starter = starter()?.to_string_lossy().into_owned();
        let at = directory.to_string_lossy().into_owned();
        let mut format = Command::new(&starter);
        format.args(["format", &at, &port.to_string()]).env("KAFKA_PROPERTIES", properties).stdout(Stdio::null());
        anyhow::ensure!(format.status()?.success(), "Apache Kafka could not be fetched or formatted (see above)");
        let command = vec![starter, "run".into(), at];
        Ok(Self { name: "kafka", directory: directory.clone(), port: *port, command })
    }

    /// One of several brokers of ours, with flush before ack.
    pub(crate) fn member(place: &Place, farshore: &Path, slot: usize, peers: &str) -> Self {
        let (data, farshore) = (place.directory.join("data"), farshore.to_string_lossy().into_owned());
        let (port, slot) = (place.port.to_string(), slot.to_string());
        let data = data.to_string_lossy().into_owned();
        let words =
            ["broker", "--data-dir", &data, "--port", &port, "--flush", "ack", "--slot", &slot, "--peers", peers];
        let command = std::iter::once(farshore.as_str()).chain(words).map(str::to_owned).collect();
        Self { name: "farshore", directory: place.directory.clone(), port: place.port, command }
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
        self.spawn()?.listening()
    }

    /// Starts it.
    pub(crate) fn spawn(self) -> anyhow::Result<Server> {
        let log = File::create(self.directory.join("server.log"))?;
        let child = Command::new(&self.command[0])
            .args(&self.command[1..])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", self.command.join(" ")))?;
        Ok(Server { name: self.name, directory: self.directory, port: self.port, child })
    }
}

/// The starter of Apache Kafka; the others lie beside it.
fn starter() -> anyhow::Result<PathBuf> {
    let cache = peers::cache().context("HOME, XDG_CACHE_HOME or FARSHORE_CACHE must be set")?;
    peers::unpack(&cache.join("peers")).context("cannot unpack the starters of peers")
}

/// Where one member of a cluster lives: a directory, and ten ports that nobody else is given.
#[derive(Debug)]
pub(crate) struct Place {
    directory: PathBuf,
    pub(crate) port: u16,
}

impl Place {
    /// A place of that name.
    pub(crate) fn new(parent: &Path, name: &str) -> anyhow::Result<Self> {
        let (directory, port) = place(parent, name)?;
        Ok(Self { directory, port })
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

    /// The same server once it listens.
    pub(crate) fn listening(mut self) -> anyhow::Result<Self> {
        self.wait_until_it_listens()?;
        Ok(self)
    }

    /// Ends it at once, as a power cut would.
    pub(crate) fn kill(&mut self) {
        // One that has ended by itself is as dead.
        let _ = self.child.kill();
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
