//! What processes use, as the kernel counts it.

use anyhow::Context;
use std::fs;
use std::time::Duration;

/// The processor time that `pids` have used so far, all threads, user and system.
pub(crate) fn cpu(pids: &[i32]) -> anyhow::Result<Duration> {
    let ticks = pids.iter().map(|pid| ticks(*pid)).sum::<anyhow::Result<u64>>()?;
    Ok(Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
}

fn ticks(pid: i32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    // The name in parentheses may hold anything; the fields counted from 1 in proc(5) are 14 and 15, the name is field 2.
    let (_, fields) = stat.rsplit_once(')').with_context(|| format!("{path} has no name"))?;
    let mut numbers = fields.split_ascii_whitespace().skip(11).map(str::parse::<u64>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(user)), Some(Ok(system))) => Ok(user + system),
        _ => anyhow::bail!("{path} has no times"),
    }
}

/// The memory that `pids` hold, resident, in bytes. Pages of files that are mapped count too.
pub(crate) fn resident(pids: &[i32]) -> anyhow::Result<u64> {
    pids.iter().map(|pid| resident_of(*pid)).sum()
}

fn resident_of(pid: i32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/statm");
    let statm = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1).and_then(|field| field.parse().ok()).unwrap_or_default();
    Ok(pages * rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_shows_as_processor_time() {
        let me = [std::process::id() as i32];
        let before = cpu(&me).unwrap();
        let began = std::time::Instant::now();
        while cpu(&me).unwrap() < before + Duration::from_millis(50) {
            assert!(began.elapsed() < Duration::from_secs(10), "no processor time is counted");
        }
        assert!(resident(&me).unwrap() > 1_000_000);
    }
}
