//! A long line on one machine, as packets see it: delay, jitter, bandwidth, loss and cuts, each direction by itself.
//!
//! ```text
//!   a process connects to far():port                             a server listens at 127.0.0.1:port
//!        '--> kernel --> TUN --> lane there (delay, loss, ...) --> TUN --> kernel --'
//!             kernel <-- TUN <-- lane back  <-------------------- TUN <-- kernel
//! ```
//!
//! TCP on both sides is the kernel's own, and meets a lost packet as it would on a real line; kernels without netem can do
//! it, too. Packets come out of the TUN device they went into, with other addresses: what was sent to the far address
//! reaches this machine's loopback, and seems to come from the far address. So nothing has to be moved into namespaces,
//! and every process of a platform can stand at either end. The three addresses are chosen so that checksums stay true.
//!
//! It takes the right to make network devices (root, or CAP_NET_ADMIN) and `/dev/net/tun`.

mod forwarder;
mod island;
mod packet;
mod shape;

use forwarder::Shared;
pub use island::Island;
pub use shape::{Count, Shape};
use std::fs;
use std::io::{self, ErrorKind};
use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use tun_rs::{DeviceBuilder, SyncDevice};

/// Lines that may be open at once; each has a network of its own, 10.64.0.0 and what follows.
const LINES: std::ops::Range<u8> = 64..128;
/// How many packets wait in the kernel to be read.
const KERNEL_QUEUE: &str = "20000";
/// What most networks carry (RFC 894).
const USUAL_MTU: u16 = 1500;

/// Why there is no line.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The system does not let this process make one.
    #[error("a line needs a TUN device of its own ({0}): run as root with /dev/net/tun and the `ip` command at hand")]
    Forbidden(io::Error),
    /// A command that sets it up failed.
    #[error("`{command}` failed: {output}")]
    Command {
        /// The command.
        command: String,
        /// What it said.
        output: String,
    },
    /// Something else of the system failed.
    #[error("cannot set a line up: {0}")]
    System(#[from] io::Error),
    /// As many are open as can be.
    #[error("{} lines are open on this machine already: close one of them", LINES.len())]
    TooMany,
}

/// A direction of a line, as seen by who connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From who connects to who listens.
    There,
    /// From who listens to who connected.
    Back,
}

/// How to open a line.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How both directions begin.
    pub shape: Shape,
    /// The largest packet in bytes.
    pub mtu: u16,
    /// What decides which packets are lost: the same seed, the same throws.
    pub seed: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Self { shape: Shape::default(), mtu: USUAL_MTU, seed: 1 }
    }
}

/// An open line. It is gone, and its connections with it, when this is dropped.
#[derive(Debug)]
pub struct Line {
    ends: Ends,
    shared: Arc<Shared>,
    forwarder: Option<JoinHandle<()>>,
}

/// The addresses of a line.
#[derive(Clone, Copy, Debug)]
struct Ends {
    /// Of who connects.
    near: Ipv4Addr,
    /// What is connected to.
    far: Ipv4Addr,
}

impl Ends {
    /// Those of the line of that number. In checksums, near counts as much as the loopback address.
    fn of(number: u8) -> Self {
        let [high, low] = (0x7f01 - 0x0a00 - u16::from(number)).to_be_bytes();
        Self { near: Ipv4Addr::new(10, number, high, low), far: Ipv4Addr::new(10, number, 255, 1) }
    }

    /// Where a packet goes, and the addresses under which it arrives; `None` for what does not belong on the line.
    fn way_of(&self, packet: &[u8]) -> Option<(Direction, Ipv4Addr, Ipv4Addr)> {
        match packet::addresses(packet)? {
            (source, target) if source == self.near && target == self.far => {
                Some((Direction::There, self.far, Ipv4Addr::LOCALHOST))
            }
            (source, target) if source == Ipv4Addr::LOCALHOST && target == self.far => {
                Some((Direction::Back, self.far, self.near))
            }
            _ => None,
        }
    }
}

impl Line {
    /// Opens a line of this machine to itself.
    ///
    /// # Errors
    /// [`LineError`] names what is missing and the remedy.
    pub fn open(plan: Plan) -> Result<Self, LineError> {
        let (number, device) = device()?;
        let (name, ends) = (name(number), Ends::of(number));
        set_up(&name, &ends, plan.mtu)?;
        let shared = Shared::new(plan.shape, plan.seed);
        let carried = shared.clone();
        let forwarder = std::thread::Builder::new().name(name.clone()).spawn(move || {
            if let Err(error) = forwarder::run(&device, &ends, &carried) {
                eprintln!("line {name} is broken: {error}");
            }
        })?;
        Ok(Self { ends, shared, forwarder: Some(forwarder) })
    }

    /// The address at the far end: what listens at 127.0.0.1 is reached there through the line.
    pub fn far(&self) -> Ipv4Addr {
        self.ends.far
    }

    /// Changes a direction.
    pub fn reshape(&self, direction: Direction, change: impl FnOnce(&mut Shape)) {
        self.shared.reshape(direction, change);
    }

    /// Changes both.
    pub fn reshape_both(&self, change: impl Fn(&mut Shape)) {
        [Direction::There, Direction::Back].into_iter().for_each(|direction| self.reshape(direction, &change));
    }

    /// Lets nothing through in a direction, or everything again.
    pub fn cut(&self, direction: Direction, cut: bool) {
        self.reshape(direction, |shape| shape.cut = cut);
    }

    /// Forgets the connections there are, as a firewall does that starts again: nothing of theirs passes, in no direction,
    /// and neither end is told; new ones pass. Both ends are left with half-open connections.
    pub fn forget_connections(&self) {
        self.shared.forget();
    }

    /// Lets forgotten connections pass again.
    pub fn remember_connections(&self) {
        self.shared.remember();
    }

    /// Cuts an island off: nothing passes between it and everybody else on the line, in no direction, and neither is told.
    /// Among themselves all pass, on both sides. An island that was cut off before is no more.
    pub fn part(&self, island: Island) {
        self.shared.part(Some(island));
    }

    /// Lets everything pass again that an island was cut off from.
    pub fn join(&self) {
        self.shared.part(None);
    }

    /// What became of packets in a direction since the line was opened.
    pub fn count(&self, direction: Direction) -> Count {
        self.shared.count(direction)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
        // The device goes with the thread that holds it.
        let _ended = self.forwarder.take().map(JoinHandle::join);
    }
}

fn name(number: u8) -> String {
    format!("fsline{number}")
}

/// A device that nobody else has, and its number.
fn device() -> Result<(u8, SyncDevice), LineError> {
    for number in LINES {
        if fs::exists(format!("/sys/class/net/{}", name(number)))? {
            continue;
        }
        match DeviceBuilder::new().name(name(number)).inherit_enable_state().build_sync() {
            Ok(device) => {
                device.set_nonblocking(true)?;
                return Ok((number, device));
            }
            // Somebody else was quicker.
            Err(error) if error.kind() == ErrorKind::ResourceBusy => {}
            Err(error) => return Err(LineError::Forbidden(error)),
        }
    }
    Err(LineError::TooMany)
}

fn set_up(device: &str, ends: &Ends, mtu: u16) -> Result<(), LineError> {
    let set = |name: &str, value: &str| fs::write(format!("/proc/sys/net/ipv4/conf/{device}/{name}"), value);
    // Loopback addresses are let in from this device and out to it.
    set("route_localnet", "1")?;
    set("rp_filter", "0")?;
    ip(&["addr", "add", &format!("{}/32", ends.near), "peer", &ends.far.to_string(), "dev", device])?;
    ip(&["link", "set", device, "mtu", &mtu.to_string(), "txqueuelen", KERNEL_QUEUE, "up"])
}

fn ip(arguments: &[&str]) -> Result<(), LineError> {
    let ran = Command::new("ip").args(arguments).output().map_err(LineError::Forbidden)?;
    if ran.status.success() {
        return Ok(());
    }
    let command = format!("ip {}", arguments.join(" "));
    Err(LineError::Command { command, output: String::from_utf8_lossy(&ran.stderr).trim().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What two addresses add to a checksum (RFC 1071).
    fn sum(one: Ipv4Addr, other: Ipv4Addr) -> u32 {
        let words = [one, other].map(Ipv4Addr::to_bits).map(|bits| (bits >> 16) + (bits & 0xffff));
        (words[0] + words[1]) % 0xffff
    }

    #[test]
    fn changing_the_addresses_of_a_packet_keeps_its_checksums() {
        for number in LINES {
            let Ends { near, far } = Ends::of(number);
            assert_eq!(sum(near, far), sum(far, Ipv4Addr::LOCALHOST));
            assert!(near != far && near.octets()[..2] == far.octets()[..2]);
        }
    }

    #[test]
    fn only_what_belongs_on_the_line_is_carried() {
        let ends = Ends::of(64);
        let way = |source, target| {
            let mut bytes = [0; 20];
            bytes[0] = 0x45;
            packet::readdress(&mut bytes, source, target);
            ends.way_of(&bytes).map(|(direction, ..)| direction)
        };
        assert_eq!(way(ends.near, ends.far), Some(Direction::There));
        assert_eq!(way(Ipv4Addr::LOCALHOST, ends.far), Some(Direction::Back));
        assert_eq!(way(ends.far, ends.near), None);
        assert_eq!(way(ends.near, Ipv4Addr::BROADCAST), None);
    }
}
