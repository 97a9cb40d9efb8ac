//! One broker of Apache Kafka, which is its own controller, in a directory and on ports of its own.

use crate::peers;
use crate::platform::free_base;
use crate::platform::guard::Guard;
use std::fs::{self, File};
use std::io;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const LISTENS_WITHIN: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(20);

/// The process. It ends, and its directory goes, when this is dropped or when the process that holds it dies.
#[derive(Debug)]
pub struct Kafka {
    directory: PathBuf,
    port: u16,
    child: Child,
    guard: Option<Guard>,
}

/// What a broker has beyond the usual.
#[derive(Clone, Debug, Default)]
pub struct Extras {
    /// Further lines of its settings; of two of the same name the last one counts.
    pub properties: String,
    /// Users with a password for SCRAM, a line each: `SCRAM-SHA-512=[name=N,password=P]`.
    pub users: String,
}

impl Kafka {
    /// Starts a broker with its data in `directory` and waits until it listens. `properties` are further lines of its
    /// settings; of two of the same name the last one counts.
    ///
    /// # Errors
    /// When its jars cannot be fetched, or it does not come up; the message says what it last logged.
    pub fn start(directory: PathBuf, properties: &str) -> io::Result<Self> {
        Self::start_with(directory, 0, |_| Extras { properties: properties.to_owned(), users: String::new() })
    }

    /// The same with `ports` more ports behind its own two, and what `extras` make of the first of all of them.
    ///
    /// # Errors
    /// As [`Kafka::start`].
    pub fn start_with(directory: PathBuf, ports: u16, extras: impl FnOnce(u16) -> Extras) -> io::Result<Self> {
        fs::create_dir_all(&directory)?;
        let cache =
            peers::cache().ok_or_else(|| io::Error::other("HOME, XDG_CACHE_HOME or FARSHORE_CACHE must be set"))?;
        let starter = peers::unpack(&cache.join("peers"))?;
        let port = free_base(2 + ports).ok_or_else(|| io::Error::other("not as many free ports in a row"))?;
        let Extras { properties, users } = extras(port);
        let mut format = Command::new(&starter);
        format.arg("format").arg(&directory).arg(port.to_string()).env("KAFKA_PROPERTIES", properties);
        format.env("KAFKA_SCRAM", users);
        if !format.stdin(Stdio::null()).stdout(Stdio::null()).status()?.success() {
            return Err(io::Error::other("Apache Kafka could not be fetched or formatted (see above)"));
        }
        let log = File::create(directory.join("broker.log"))?;
        let mut run = Command::new(&starter);
        run.arg("run").arg(&directory).env("KAFKA_HEAP", "256m");
        let child = run.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn()?;
        let guard = Some(Guard::over(child.id(), Some(&directory))?);
        let mut kafka = Self { directory, port, child, guard };
        kafka.wait_until_it_listens()?;
        Ok(kafka)
    }

    fn wait_until_it_listens(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + LISTENS_WITHIN;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if let Some(status) = self.child.try_wait()? {
                return Err(io::Error::other(format!("Apache Kafka ended with {status}:\n{}", self.logs())));
            }
            if Instant::now() > deadline {
                let waited = LISTENS_WITHIN.as_secs();
                return Err(io::Error::other(format!(
                    "Apache Kafka does not listen after {waited} s:\n{}",
                    self.logs()
                )));
            }
            std::thread::park_timeout(PAUSE);
        }
        Ok(())
    }

    /// Where clients connect.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The first of its ports.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it last logged.
    pub fn logs(&self) -> String {
        let log = fs::read_to_string(self.directory.join("broker.log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }
}

impl Drop for Kafka {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _reaped = self.child.wait();
        if let Some(guard) = self.guard.take() {
            guard.dismiss();
        }
        let _best_effort = fs::remove_dir_all(&self.directory);
    }
}
