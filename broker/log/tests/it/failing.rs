use crate::support::*;
use broker_log::{AppendError, Config};
use model::{Offset, Timestamp};

/// Needs a small file system of its own: `mount -t tmpfs -o size=256k none /mnt/small` and
/// `FARSHORE_SMALL_DISK=/mnt/small cargo test -p broker-log -- --ignored full_disk`.
#[test]
#[ignore = "needs a small file system"]
fn a_full_disk_refuses_appends_and_nothing_else_and_goes_on_when_there_is_space() {
    let disk = std::env::var("FARSHORE_SMALL_DISK").expect("FARSHORE_SMALL_DISK names a small file system");
    let (dir, ballast) = (std::path::Path::new(&disk).join("log"), std::path::Path::new(&disk).join("ballast"));
    std::fs::write(&ballast, vec![1; 100 << 10]).unwrap();
    let mut log = open(&dir, Config { segment_bytes: model::ByteCount::kib(40), ..Config::default() });
    let mut refused = 0;
    for n in 0..2000 {
        match log.append(&checked(records(20, n).build()), EPOCH, Timestamp(n)) {
            Ok(_) => {}
            Err(AppendError::DiskFull(_)) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(refused > 0 && log.sealed().is_none());
    log.flush().unwrap();
    assert_eq!(contents(&log, Offset(0)).len() as u64, log.size_bytes(), "reads go on");
    std::fs::remove_file(&ballast).unwrap();
    let tail = log.tail();
    assert_eq!(append(&mut log, 1, 1).first_offset, tail);
    let (log, recovery) = kill(log, Config::default());
    assert_eq!((log.tail(), recovery.cut), (tail.plus(1), None));
    log.delete().unwrap();
}
