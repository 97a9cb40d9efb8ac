//! Processes that are not our children.

use rustix::process::{Pid, Signal, kill_process};
use std::io;
use std::path::Path;

/// Sends `signal` to the process.
pub(crate) fn signal(pid: u32, signal: Signal) -> io::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "this is no process id"))?;
    Ok(kill_process(pid, signal)?)
}

/// Whether the process is there and more than a zombie. A zombie whose threads are not all gone still holds its files.
pub(crate) fn is_alive(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    threads > 1 || !matches!(state, Some('Z' | 'X') | None)
}

/// Whether there is a process of that number, a zombie that nobody has waited for included.
pub(crate) fn exists(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// The child of `parent` whose last argument is `name`.
pub(crate) fn child_of(parent: u32, name: &str) -> Option<u32> {
    let entries = std::fs::read_dir("/proc").ok()?.flatten();
    let mut pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.find(|pid| parent_of(*pid) == Some(parent) && last_argument(*pid).as_deref() == Some(name.as_bytes()))
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

fn last_argument(pid: u32) -> Option<Vec<u8>> {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    line.strip_suffix(&[0])?.rsplit(|byte| *byte == 0).next().map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_found_by_its_last_argument() {
        let mut child = std::process::Command::new("sleep").args(["600", "0.25"]).spawn().unwrap();
        let us = std::process::id();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
        // Until it has become `sleep` it has our arguments.
        while child_of(us, "0.25") != Some(child.id()) {
            assert!(std::time::Instant::now() < deadline, "{} is not found", child.id());
            std::thread::park_timeout(std::time::Duration::from_millis(5));
        }
        assert_eq!(child_of(us, "25"), None);
        assert!(exists(child.id()));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!exists(child.id()));
    }

    #[test]
    fn a_killed_child_is_not_alive_even_before_it_is_reaped() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let pid = child.id();
        assert!(is_alive(pid));
        signal(pid, Signal::KILL).unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
        while is_alive(pid) {
            assert!(std::time::Instant::now() < deadline, "{pid} is still alive");
            std::thread::park_timeout(std::time::Duration::from_millis(5));
        }
        child.wait().unwrap();
        assert!(signal(pid, Signal::CONT).is_err());
    }
}
