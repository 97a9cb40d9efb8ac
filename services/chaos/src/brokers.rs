//! A region of several `farshore broker` processes, in a directory and on ports of its own, with handles to kill, pause,
//! isolate, stop and start each of them.
//!
//! What the brokers say to each other goes over wires that can be held; clients reach them directly.

mod disks;
mod wires;

use crate::platform::guard::Guard;
use crate::platform::{Error, free_base, process};
use disks::Disks;
use rustix::process::Signal;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use wires::Wires;

const LISTENS_WITHIN: Duration = Duration::from_secs(60);
const STOPS_WITHIN: Duration = Duration::from_secs(30);
/// How many ports each of them takes.
const PORTS: u16 = 5;

/// Which way a broker is cut off from the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// It neither hears them nor is heard.
    Both,
    /// It hears nobody.
    In,
    /// Nobody hears it.
    Out,
}

/// The processes. They end when this is dropped, or when the process that holds it dies.
#[derive(Debug)]
pub struct Brokers {
    binary: PathBuf,
    directory: PathBuf,
    /// The first port of each.
    ports: Vec<u16>,
    /// Where the others reach the controller of each, and its listener for brokers.
    doors: Vec<(SocketAddr, SocketAddr)>,
    wires: Wires,
    running: Vec<Option<Running>>,
    /// What their data lie on, if it is disks of their own.
    disks: Option<Disks>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    guard: Guard,
}

impl Brokers {
    /// Starts `count` brokers of `binary` with their data in `directory`, and waits until they listen.
    ///
    /// # Errors
    /// [`Error`] says what was missing or went wrong.
    pub fn start(binary: PathBuf, directory: PathBuf, count: usize) -> Result<Self, Error> {
        let mut brokers = Self::prepare(binary, directory, count)?;
        brokers.start_all()?;
        Ok(brokers)
    }

    /// The same, each on an ext4 of its own whose power can be cut; `None` where none can be mounted, and why.
    ///
    /// # Errors
    /// [`Error`] says what else was missing or went wrong.
    pub fn start_on_disks(binary: PathBuf, directory: PathBuf, count: usize) -> Result<Result<Self, Error>, Error> {
        let mut brokers = Self::prepare(binary, directory, count)?;
        match Disks::mount(&(0..count).map(|slot| brokers.data_path(slot)).collect::<Vec<_>>()) {
            Ok(disks) => brokers.disks = Some(disks),
            Err(error) => return Ok(Err(error)),
        }
        brokers.start_all()?;
        Ok(Ok(brokers))
    }

    fn prepare(binary: PathBuf, directory: PathBuf, count: usize) -> Result<Self, Error> {
        if !binary.is_file() {
            return Err(Error::NoBinary(binary));
        }
        fs::create_dir_all(&directory).map_err(system(format!("cannot make {}", directory.display())))?;
        let wires = Wires::default();
        let (mut ports, mut doors) = (Vec::new(), Vec::new());
        for slot in 0..count {
            let port = free_base(PORTS).ok_or(Error::NoPorts(PORTS))?;
            let door = |port| wires.lead_to(slot, port).map_err(system("cannot lay a wire".to_owned()));
            doors.push((door(port + 3)?, door(port + 2)?));
            ports.push(port);
        }
        let running = (0..count).map(|_| None).collect();
        Ok(Self { binary, directory, ports, doors, wires, running, disks: None })
    }

    /// How many there are, running or not.
    pub fn count(&self) -> usize {
        self.ports.len()
    }

    /// Where Kafka clients connect.
    pub fn bootstrap(&self) -> String {
        (0..self.count()).map(|slot| self.address(slot)).collect::<Vec<_>>().join(",")
    }

    /// Where Kafka clients connect to one of them.
    pub fn address(&self, slot: usize) -> String {
        format!("127.0.0.1:{}", self.ports[slot])
    }

    /// Starts all that do not run, and waits until they listen. One alone may wait for others before it does.
    ///
    /// # Errors
    /// [`Error`] says what was missing or went wrong.
    pub fn start_all(&mut self) -> Result<(), Error> {
        let missing: Vec<_> = (0..self.count()).filter(|slot| self.running[*slot].is_none()).collect();
        missing.iter().try_for_each(|slot| self.spawn(*slot))?;
        missing.into_iter().try_for_each(|slot| self.wait_until_it_listens(slot))
    }

    fn spawn(&mut self, slot: usize) -> Result<(), Error> {
        let log = self.log_path(slot);
        let log = File::options().create(true).append(true).open(&log);
        let log = log.map_err(system(format!("cannot write the log of broker {slot}")))?;
        let child = Command::new(&self.binary)
            .args(["broker", "--port", &self.ports[slot].to_string(), "--slot", &slot.to_string()])
            .args(["--peers", &self.peers_of(slot), "--internal-at", &self.doors[slot].1.to_string()])
            .arg("--data-dir")
            .arg(self.data_path(slot))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(system(format!("cannot start {}", self.binary.display())))?;
        self.wires.know(slot, Some(child.id()));
        let guard = Guard::over(child.id(), None).map_err(system("cannot start the guard".to_owned()))?;
        self.running[slot] = Some(Running { child, guard });
        Ok(())
    }

    /// The controllers as one broker reaches them: its own directly.
    fn peers_of(&self, slot: usize) -> String {
        let peer = |other: usize| match other == slot {
            true => format!("127.0.0.1:{}", self.ports[slot] + 3),
            false => self.doors[other].0.to_string(),
        };
        (0..self.count()).map(peer).collect::<Vec<_>>().join(",")
    }

    fn wait_until_it_listens(&mut self, slot: usize) -> Result<(), Error> {
        let (address, deadline) = (self.address(slot), Instant::now() + LISTENS_WITHIN);
        while TcpStream::connect(&address).is_err() {
            let Some(running) = &mut self.running[slot] else { return Ok(()) };
            let ended = running.child.try_wait().map_err(system("cannot wait".to_owned()))?;
            if let Some(status) = ended {
                return Err(Error::Ended { status, log: self.logs() });
            }
            if Instant::now() > deadline {
                let what = format!("broker {slot} listens at {address}");
                return Err(Error::Late { what, within: LISTENS_WITHIN, log: self.logs() });
            }
            std::thread::park_timeout(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Kills it with SIGKILL, and waits until it is gone.
    pub fn kill(&mut self, slot: usize) {
        self.kill_all_of(&[slot]);
    }

    /// Kills all of them at the same moment.
    pub fn kill_all(&mut self) {
        self.kill_all_of(&(0..self.count()).collect::<Vec<_>>());
    }

    /// Takes the power away from all brokers and their disks at the same moment, and gives the disks back: they hold what
    /// was flushed.
    ///
    /// # Errors
    /// [`Error::System`].
    pub fn cut_power(&mut self) -> Result<(), Error> {
        let running: Vec<_> = self.running.iter().flatten().map(|running| running.child.id()).collect();
        self.disks.as_ref().map_or(Ok(()), |disks| disks.cut_power(&running))?;
        self.kill_all();
        self.disks.as_ref().map_or(Ok(()), Disks::restore_power)
    }

    fn kill_all_of(&mut self, slots: &[usize]) {
        let struck: Vec<_> = slots.iter().filter_map(|slot| self.take(*slot)).collect();
        for running in &struck {
            let _gone_already = process::signal(running.child.id(), Signal::KILL);
        }
        struck.into_iter().for_each(|running| drop(ended(running)));
    }

    /// Asks it to end with SIGTERM, and waits until it has handed over and is gone.
    ///
    /// # Errors
    /// [`Error::Late`] when it had to be killed.
    pub fn stop(&mut self, slot: usize) -> Result<(), Error> {
        let Some(mut running) = self.take(slot) else { return Ok(()) };
        let _gone_already = process::signal(running.child.id(), Signal::TERM);
        let deadline = Instant::now() + STOPS_WITHIN;
        while matches!(running.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::park_timeout(Duration::from_millis(10));
        }
        let in_time = Instant::now() < deadline;
        drop(ended(running));
        let what = format!("broker {slot} ends");
        if in_time { Ok(()) } else { Err(Error::Late { what, within: STOPS_WITHIN, log: self.logs() }) }
    }

    fn take(&mut self, slot: usize) -> Option<Running> {
        self.wires.know(slot, None);
        self.running[slot].take()
    }

    /// Stops its process where it is: silent, but not dead.
    ///
    /// # Errors
    /// [`Error::System`].
    pub fn pause(&self, slot: usize) -> Result<(), Error> {
        self.signal(slot, Signal::STOP)
    }

    /// Lets a paused one go on.
    ///
    /// # Errors
    /// [`Error::System`].
    pub fn resume(&self, slot: usize) -> Result<(), Error> {
        self.signal(slot, Signal::CONT)
    }

    fn signal(&self, slot: usize, signal: Signal) -> Result<(), Error> {
        let Some(running) = &self.running[slot] else { return Ok(()) };
        process::signal(running.child.id(), signal).map_err(system(format!("cannot signal broker {slot}")))
    }

    /// Cuts it off from the other brokers, and nobody else; clients still reach it.
    pub fn isolate(&self, slot: usize, cut: Cut) {
        let others = (0..self.count()).filter(|other| *other != slot);
        let ways = others.flat_map(|other| match cut {
            Cut::Both => vec![(slot, other), (other, slot)],
            Cut::In => vec![(other, slot)],
            Cut::Out => vec![(slot, other)],
        });
        self.wires.hold(ways);
    }

    /// Joins all of them again.
    pub fn heal(&self) {
        self.wires.hold(std::iter::empty());
    }

    /// The broker whose controller took office last, as far as the logs say.
    pub fn active_controller(&self) -> Option<usize> {
        let terms = (0..self.count()).filter(|slot| self.running[*slot].is_some());
        let terms = terms.filter_map(|slot| Some((last_term(&fs::read_to_string(self.log_path(slot)).ok()?)?, slot)));
        terms.max().map(|(_, slot)| slot)
    }

    /// The ends of the brokers' logs.
    pub fn logs(&self) -> String {
        let end = |slot: usize| {
            let log = fs::read_to_string(self.log_path(slot)).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            format!("--- broker {slot}\n{}\n", lines[lines.len().saturating_sub(40)..].join("\n"))
        };
        (0..self.count()).map(end).collect()
    }

    fn data_path(&self, slot: usize) -> PathBuf {
        self.directory.join(slot.to_string())
    }

    fn log_path(&self, slot: usize) -> PathBuf {
        self.directory.join(format!("{slot}.log"))
    }
}

impl Drop for Brokers {
    fn drop(&mut self) {
        self.heal();
        self.kill_all();
        drop(self.disks.take());
        let _best_effort = fs::remove_dir_all(&self.directory);
    }
}

/// Kills what still runs, waits for its end and sends its guard away.
fn ended(mut running: Running) -> std::io::Result<std::process::ExitStatus> {
    let _gone_already = running.child.kill();
    let status = running.child.wait();
    running.guard.dismiss();
    status
}

fn system(what: String) -> impl FnOnce(std::io::Error) -> Error {
    move |error| Error::System(what, error)
}

/// The last term for which a broker says in its log that its controller is active.
fn last_term(log: &str) -> Option<u64> {
    let line = log.lines().rev().find(|line| line.contains("this broker's controller is active"))?;
    let digits = line.rsplit_once("term")?.1.chars().skip_while(|c| !c.is_ascii_digit());
    // What a terminal shows in colours has numbers of its own, before the one that counts.
    let plain: String = digits.collect();
    plain.rsplit(|c: char| !c.is_ascii_digit()).find(|word| !word.is_empty())?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_term_is_read_from_a_log() {
        let line = |term| format!("2026 INFO broker: this broker's controller is active term={term}\n");
        assert_eq!(last_term(&(line(3) + "x\n" + &line(12) + "y\n")), Some(12));
        assert_eq!(last_term("nothing of it\n"), None);
    }
}
