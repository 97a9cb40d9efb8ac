use super::*;
use std::io::Write;

/// A supervisor in shell: one sleeping process per region, `region start` makes a new one.
const STAND_IN: &str = r#"#!/bin/sh
write() {
  printf '{"gateway":"g","api":"a","s3":"s","regions":[{"name":"r1","bootstrap":"b","pids":[%s]}]}' "$1" > "$dir/endpoints.tmp"
  mv "$dir/endpoints.tmp" "$dir/endpoints.json"
}
case $1 in
  up) while [ "$1" != --data-dir ]; do shift; done; dir=$2; [ -f "$dir/broken" ] && { echo "the port is taken"; exit 3; }
      sleep 600 & child=$!; trap 'kill $child 2>/dev/null; rm -f "$dir/endpoints.json"; exit 0' TERM
      write $child; while :; do sleep 0.05; done ;;
  region) dir=$5; [ "$3" = r1 ] || { echo "no region $3" >&2; exit 1; }; sleep 600 > /dev/null 2>&1 & write $! ;;
esac
"#;

fn stand_in() -> (tempfile::TempDir, Options) {
    let home = tempfile::tempdir().unwrap();
    let binary = home.path().join("farshore");
    write_program(&binary);
    let options = Options::temporary(binary, home.path()).unwrap();
    (home, options)
}

/// A process of its own writes it: one that another test starts just then would hold it open for writing for a moment,
/// and what is held so cannot be run.
fn write_program(binary: &Path) {
    let script = r#"cat > "$0" && chmod 755 "$0""#;
    let mut writer = Command::new("sh").args(["-c", script]).arg(binary).stdin(Stdio::piped()).spawn().unwrap();
    writer.stdin.take().unwrap().write_all(STAND_IN.as_bytes()).unwrap();
    assert!(writer.wait().unwrap().success());
}

#[test]
fn a_region_is_killed_and_started_again() {
    let (_home, options) = stand_in();
    let mut platform = Platform::start(options).unwrap();
    let first = platform.region("r1").unwrap().pids.clone();
    platform.kill_region("r1").unwrap();
    platform.start_region("r1").unwrap();
    let second = platform.region("r1").unwrap().pids.clone();
    assert_ne!(first, second);
    assert!(!process::is_alive(first[0]) && process::is_alive(second[0]));
    platform.kill();
    assert!(!process::is_alive(second[0]));
}

#[test]
fn a_platform_ends_with_its_handle_and_takes_its_directory_with_it() {
    let (_home, options) = stand_in();
    let directory = options.directory.clone();
    let platform = Platform::start(options).unwrap();
    let pid = platform.region("r1").unwrap().pids[0];
    drop(platform);
    assert!(!process::is_alive(pid));
    assert!(!directory.exists());
}

#[test]
fn a_platform_that_does_not_come_up_says_why() {
    let (_home, options) = stand_in();
    fs::write(options.directory.join("broken"), "").unwrap();
    let error = Platform::start(options).unwrap_err().to_string();
    assert!(error.contains("exit status: 3") && error.contains("the port is taken"), "{error}");
}

#[test]
fn a_refused_command_and_an_unknown_region_are_named() {
    let (_home, options) = stand_in();
    let platform = Platform::start(options).unwrap();
    let error = platform.command(&["region", "start", "r9"]).unwrap_err().to_string();
    assert_eq!(error, "`farshore region start r9` failed: no region r9\n");
    let error = platform.region("r9").unwrap_err().to_string();
    assert_eq!(error, "no region is called r9; endpoints.json names r1");
}

#[test]
fn a_missing_binary_is_named() {
    let home = tempfile::tempdir().unwrap();
    let options = Options::temporary(home.path().join("nothing"), home.path()).unwrap();
    assert!(Platform::start(options).unwrap_err().to_string().contains("FARSHORE_BIN"));
}
