//! A small ext4 of its own for each broker, whose power can be cut: what was not flushed is gone then.

use super::system;
use crate::platform::Error;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Its image is sparse: only what is written takes space.
const BYTES: u64 = 2 << 30;
/// Stops processes, and at once shuts file systems down without writing their journals (`EXT4_IOC_SHUTDOWN`,
/// `EXT4_GOING_FLAGS_NOLOGFLUSH`), all of them opened before the first. A process that ran on would not be without
/// power: it could hear of the end of a flush that was under way and lost, for ext4 tells some of them that all is well
/// (`jbd2_complete_transaction` does not ask whether the journal was given up), and acknowledge what is gone.
const SHUT_DOWN: &str = "import fcntl, os, signal, struct, sys
processes, places = sys.argv[1].split(), sys.argv[2:]
opened = [os.open(place, os.O_RDONLY) for place in places]
for process in processes: os.kill(int(process), signal.SIGSTOP)
for disk in opened: fcntl.ioctl(disk, 0x8004587D, struct.pack('I', 2))";

/// Mounted disks; unmounted when dropped.
#[derive(Debug)]
pub(super) struct Disks {
    /// Image and mount point of each.
    disks: Vec<(PathBuf, PathBuf)>,
}

impl Disks {
    /// Makes and mounts one at each of `places`.
    pub(super) fn mount(places: &[PathBuf]) -> Result<Self, Error> {
        let mut mounted = Self { disks: Vec::new() };
        for place in places {
            let image = place.with_extension("ext4");
            fs::create_dir_all(place).map_err(system(format!("cannot make {}", place.display())))?;
            let made = File::create(&image).and_then(|file| file.set_len(BYTES));
            made.map_err(system(format!("cannot make {}", image.display())))?;
            run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image))?;
            mount(&image, place)?;
            mounted.disks.push((image, place.clone()));
        }
        Ok(mounted)
    }

    fn places(&self) -> impl Iterator<Item = &Path> {
        self.disks.iter().map(|(_, place)| &**place)
    }

    /// Takes the power away from all of them at once, and from `processes`, which only remain to be killed.
    pub(super) fn cut_power(&self, processes: &[u32]) -> Result<(), Error> {
        let processes: Vec<_> = processes.iter().map(u32::to_string).collect();
        run(Command::new("python3").args(["-c", SHUT_DOWN, &processes.join(" ")]).args(self.places()))
    }

    /// Gives it back. Nobody may use them.
    pub(super) fn restore_power(&self) -> Result<(), Error> {
        self.places().try_for_each(|place| run(Command::new("umount").arg(place)))?;
        self.disks.iter().try_for_each(|(image, place)| mount(image, place))
    }
}

impl Drop for Disks {
    fn drop(&mut self) {
        for place in self.places() {
            let _best_effort = run(Command::new("umount").arg("-l").arg(place));
        }
    }
}

fn mount(image: &Path, place: &Path) -> Result<(), Error> {
    run(Command::new("mount").args(["-o", "loop"]).arg(image).arg(place))
}

fn run(command: &mut Command) -> Result<(), Error> {
    let ran = command.output().map_err(system(format!("cannot run {command:?}")))?;
    if ran.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&ran.stderr).trim().to_owned();
    Err(Error::System(format!("{command:?}"), std::io::Error::other(said)))
}
