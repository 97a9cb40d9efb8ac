//! Small disks that fill up and fail as real ones do: file systems of their own.

use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A small file system, unmounted when dropped.
pub(crate) struct Disk {
    dir: TempDir,
    /// The ext4 image that is mounted; a tmpfs has none.
    image: Option<PathBuf>,
}

fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// Says why a test does nothing.
fn skip(what: &str) {
    eprintln!("SKIPPED: {what}; run the tests as root where file systems can be mounted");
}

impl Disk {
    /// A tmpfs of `size`, for example `16m`; `None`, and says so, where none can be mounted.
    pub(crate) fn tmpfs(size: &str) -> Option<Self> {
        let dir = TempDir::new().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "small"]).arg(dir.path().join(""));
        let mounted = succeeds(&mut mount);
        if !mounted {
            skip("no tmpfs can be mounted");
        }
        mounted.then_some(Self { dir, image: None })
    }

    /// An ext4 of so many MiB in a file; `None`, and says so, where none can be mounted.
    pub(crate) fn ext4(mib: u64) -> Option<Self> {
        let dir = TempDir::new().unwrap();
        let (image, mount_point) = (dir.path().join("image"), dir.path().join("mounted"));
        std::fs::File::create(&image).unwrap().set_len(mib << 20).unwrap();
        std::fs::create_dir(&mount_point).unwrap();
        let made = succeeds(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image));
        let disk = Self { dir, image: Some(image) };
        let mounted = made && disk.mount();
        if !mounted {
            skip("no ext4 image can be mounted");
        }
        mounted.then_some(disk)
    }

    fn mount(&self) -> bool {
        let Some(image) = &self.image else { return false };
        succeeds(Command::new("mount").args(["-o", "loop"]).arg(image).arg(self.path()))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> PathBuf {
        match self.image {
            Some(_) => self.dir.path().join("mounted"),
            None => self.dir.path().to_owned(),
        }
    }

    /// From now on every write, flush and read of it is an input/output error, also of open files, and what was not
    /// flushed is gone: the kernel shuts the file system down, as it does when its disk stops to answer.
    pub(crate) fn fail(&self) {
        const SHUTDOWN: &str = "import fcntl, os, struct, sys; \
            fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587d, struct.pack('I', 2))";
        assert!(succeeds(Command::new("python3").args(["-c", SHUTDOWN]).arg(self.path())), "the disk fails");
    }

    /// Another disk is put in after a failure, with all that was flushed to the first. Nobody may use it.
    pub(crate) fn mend(&self) {
        assert!(succeeds(Command::new("umount").arg("-l").arg(self.path())));
        assert!(self.mount(), "the disk is mended");
    }

    /// Takes so much of it away, until the file is removed.
    pub(crate) fn ballast(&self, bytes: usize) -> PathBuf {
        let ballast = self.path().join("ballast");
        std::fs::write(&ballast, vec![1; bytes]).unwrap();
        ballast
    }

    /// Makes a tmpfs larger.
    pub(crate) fn resize(&self, size: &str) {
        assert!(succeeds(Command::new("mount").args(["-o", &format!("remount,size={size}")]).arg(self.path())));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let path: &Path = &self.path();
        succeeds(Command::new("umount").arg("-l").arg(path));
    }
}
