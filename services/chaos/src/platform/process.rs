//! Processes that are not our children.

use rustix::process::{Pid, Signal, kill_process};
use std::io;

/// Sends `signal` to the process.
pub(super) fn signal(pid: u32, signal: Signal) -> io::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "this is no process id"))?;
    Ok(kill_process(pid, signal)?)
}

/// Whether the process is there and more than a zombie. A zombie whose threads are not all gone still holds its files.
pub(super) fn is_alive(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    threads > 1 || !matches!(state, Some('Z' | 'X') | None)
}

#[cfg(test)]
mod tests {
    use super::*;

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
