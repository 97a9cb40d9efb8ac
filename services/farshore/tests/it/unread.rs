//! What becomes of a process whose output nobody reads, or has no room where it goes.

use std::fs::File;
use std::io::{self, PipeWriter};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::park_timeout;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
/// How shells show the end by SIGPIPE.
const UNREAD: Option<i32> = Some(141);

/// The end of a pipe to write to, whose reader has gone.
fn unread() -> PipeWriter {
    io::pipe().unwrap().1
}

/// A file on a disk without room.
fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

fn farshore(home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_farshore"));
    command.args(arguments).env_remove("FARSHORE_API").env("FARSHORE_DATA_DIR", home.join("data"));
    command.stdin(Stdio::null());
    command
}

fn asked(home: &Path, arguments: &[&str], output: impl Into<Stdio>) -> Output {
    farshore(home, arguments).stdout(output).stderr(Stdio::piped()).spawn().unwrap().wait_with_output().unwrap()
}

/// A region alone, until this is dropped.
struct Region {
    process: Child,
    home: tempfile::TempDir,
    port: u16,
}

impl Region {
    fn with(output: impl Into<Stdio>, errors: impl Into<Stdio>, log: &str) -> Self {
        let (home, port) = (tempfile::tempdir().unwrap(), chaos::platform::free_base(5).unwrap());
        let mut command = farshore(home.path(), &["broker", "--port", &port.to_string()]);
        let process = command.env("FARSHORE_LOG", log).stdout(output).stderr(errors).spawn().unwrap();
        Self { process, home, port }
    }

    /// Asks a command until it is done.
    fn until_done(&mut self, arguments: &[&str]) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let output = self.ask(arguments, Stdio::null());
            if output.status.success() {
                return;
            }
            let ended = self.process.try_wait().unwrap();
            let told = String::from_utf8_lossy(&output.stderr);
            assert!(ended.is_none() && Instant::now() < deadline, "{arguments:?}: {told}; the region: {ended:?}");
            park_timeout(Duration::from_millis(20));
        }
    }

    fn ask(&self, arguments: &[&str], output: impl Into<Stdio>) -> Output {
        let (rest, bootstrap) = (self.port + 4, format!("127.0.0.1:{}", self.port));
        let mut arguments: Vec<_> = arguments.iter().map(|word| word.replace("BOOTSTRAP", &bootstrap)).collect();
        arguments.extend(["--api".to_owned(), format!("http://127.0.0.1:{rest}")]);
        asked(self.home.path(), &arguments.iter().map(String::as_str).collect::<Vec<_>>(), output)
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_command_whose_answer_nobody_reads_ends_quietly() {
    let mut region = Region::with(Stdio::null(), Stdio::null(), "info");
    region.until_done(&["produce", "t", "hello", "--bootstrap", "BOOTSTRAP"]);
    region.until_done(&["topic", "describe", "t"]);
    let commands = [
        &["openapi"][..],
        &["topic", "list"],
        &["topic", "list", "--json"],
        &["topic", "describe", "t"],
        &["health"],
        &["link", "--watch"],
        &["produce", "t", "again", "--json", "--bootstrap", "BOOTSTRAP"],
        &["consume", "t", "--bootstrap", "BOOTSTRAP"],
        &["consume", "t", "--json", "--bootstrap", "BOOTSTRAP"],
    ];
    for command in commands {
        let output = region.ask(command, unread());
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*told), (UNREAD, ""), "{command:?}");
    }
}

#[test]
fn a_command_whose_answer_has_no_room_says_so() {
    let home = tempfile::tempdir().unwrap();
    let output = asked(home.path(), &["openapi"], full());
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(told.starts_with("error: the output cannot be written: No space left"), "{told}");
}

#[test]
fn a_region_serves_though_nobody_hears_of_it() {
    // Everything it does is told, so that whatever cannot bear to be unheard is found out.
    let mut region = Region::with(unread(), full(), "debug");
    region.until_done(&["produce", "t", "hello", "--bootstrap", "BOOTSTRAP"]);
    region.until_done(&["consume", "t", "--exit-at-end", "--bootstrap", "BOOTSTRAP"]);
    assert_eq!(region.process.try_wait().unwrap(), None);
}
