//! Regions of one broker, and commands asked of them.

use std::io::{self, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::park_timeout;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);

fn farshore(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_farshore"));
    command.args(arguments).env_remove("FARSHORE_API").env("FARSHORE_DATA_DIR", home.join("data"));
    command.stdin(Stdio::null());
    command
}

/// What comes of a command whose answer goes to `output`.
pub(crate) fn asked(home: &Path, arguments: &[&str], output: impl Into<Stdio>) -> Output {
    answer(farshore(home, arguments), output)
}

fn answer(mut command: Command, output: impl Into<Stdio>) -> Output {
    command.stdout(output).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap()
}

/// A region alone, until this is dropped.
pub(crate) struct Region {
    pub(crate) process: Process,
    home: tempfile::TempDir,
    port: u16,
}

impl Region {
    pub(crate) fn with(output: impl Into<Stdio>, errors: impl Into<Stdio>, log: &str) -> Self {
        let (home, port) = (tempfile::tempdir().unwrap(), chaos::platform::free_base(5).unwrap());
        let mut command = farshore(home.path(), &["broker", "--port", &port.to_string()]);
        let process = command.env("FARSHORE_LOG", log).stdout(output).stderr(errors).spawn().unwrap();
        Self { process: Process(process), home, port }
    }

    /// Asks a command until it is done.
    pub(crate) fn until_done(&mut self, arguments: &[&str]) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let output = self.ask(arguments, Stdio::null());
            if output.status.success() {
                return;
            }
            let ended = self.process.0.try_wait().unwrap();
            let told = String::from_utf8_lossy(&output.stderr);
            assert!(ended.is_none() && Instant::now() < deadline, "{arguments:?}: {told}; the region: {ended:?}");
            park_timeout(Duration::from_millis(20));
        }
    }

    pub(crate) fn ask(&self, arguments: &[&str], output: impl Into<Stdio>) -> Output {
        answer(self.command(arguments), output)
    }

    /// Starts a command that does not end by itself.
    pub(crate) fn start(&self, arguments: &[&str]) -> Process {
        Process(self.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let (rest, bootstrap) = (self.port + 4, format!("127.0.0.1:{}", self.port));
        let mut command = farshore(self.home.path(), &["--api", &format!("http://127.0.0.1:{rest}")]);
        command.args(arguments.iter().map(|word| word.replace("BOOTSTRAP", &bootstrap)));
        command
    }

    /// Waits until the region's metrics have this line.
    pub(crate) fn until_measured(&self, line: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.get("/metrics").unwrap_or_else(|error| error.to_string());
            if answer.lines().any(|found| found == line) {
                return;
            }
            assert!(Instant::now() < deadline, "no {line} in\n{answer}");
            park_timeout(Duration::from_millis(20));
        }
    }

    fn get(&self, path: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port + 4))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: region\r\n\r\n")?;
        io::read_to_string(stream)
    }
}

/// A process, until this is dropped.
pub(crate) struct Process(pub(crate) Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
