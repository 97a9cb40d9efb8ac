//! Gives memory back that only starting needed.
//!
//! One binary holds every role, and a start runs through much of it once: command line, documents, routers. The kernel maps
//! sixteen pages around each that is touched, so a broker would keep most of the binary's code mapped for ever. Pages of
//! code are clean copies of the file: given back, those that are needed come back from the page cache when they are run.

use rustix::mm::{Advice, madvise};
use std::time::Duration;
use std::{fs, io};

/// Starting is over by then.
const SETTLED: Duration = Duration::from_secs(2);

/// Waits until a start is over, then gives its code back.
pub(crate) async fn settle() {
    tokio::time::sleep(SETTLED).await;
    if let Err(error) = give_code_back() {
        tracing::debug!(%error, "pages of code are kept");
    }
}

fn give_code_back() -> io::Result<()> {
    let binary = std::env::current_exe()?;
    let maps = fs::read_to_string("/proc/self/maps")?;
    let ours = maps.lines().filter(|line| binary.to_str().is_some_and(|binary| line.ends_with(binary)));
    ours.filter_map(code).try_for_each(|(start, end)| give_back(start, end - start))
}

/// The addresses of a line of `maps` that describes code: pages that can be run and never be written.
fn code(line: &str) -> Option<(usize, usize)> {
    let (range, rest) = line.split_once(' ')?;
    let (start, end) = range.split_once('-')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    rest.starts_with("r-xp ").then_some((address(start)?, address(end)?))
}

#[expect(unsafe_code, reason = "the only way to give pages back")]
fn give_back(start: usize, length: usize) -> io::Result<()> {
    let pages = std::ptr::with_exposed_provenance_mut(start);
    // SAFETY: the range is a private mapping of the binary's own code, which nobody writes: what is dropped is read from
    // the file again, unchanged, whenever it is run.
    Ok(unsafe { madvise(pages, length, Advice::LinuxDontNeed) }?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_is_given_back() {
        let line = "55d7fc16f000-55d7fe527000 r-xp 0120e000 fe:00 9979951    /usr/bin/farshore";
        assert_eq!(code(line), Some((0x55d7_fc16_f000, 0x55d7_fe52_7000)));
        assert_eq!(code(&line.replace("r-xp", "rw-p")), None);
        assert_eq!(code(&line.replace("r-xp", "r--p")), None);
        assert_eq!(code("55d7fc16f000"), None);
        assert_eq!(code(""), None);
    }

    /// Kilobytes of this binary's code that are in this process's memory.
    fn resident() -> usize {
        let binary = std::env::current_exe().unwrap();
        let smaps = fs::read_to_string("/proc/self/smaps").unwrap();
        let mut lines =
            smaps.lines().skip_while(|line| code(line).is_none() || !line.ends_with(binary.to_str().unwrap()));
        let rss = lines.find_map(|line| line.strip_prefix("Rss:")).unwrap();
        rss.trim().trim_end_matches(" kB").parse().unwrap()
    }

    #[test]
    fn code_is_given_back_and_still_runs() {
        // Other tests of this process fetch theirs again at the same time.
        let is_less = (0..100).any(|_| {
            let before = resident();
            give_code_back().unwrap();
            resident() < before
        });
        assert!(is_less, "{} kB", resident());
    }
}
