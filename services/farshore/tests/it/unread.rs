//! What becomes of a process whose output nobody reads, or has no room where it goes.

use crate::region::{Region, asked};
use std::fs::File;
use std::io::{self, PipeWriter};
use std::process::Stdio;

/// How shells show the end by SIGPIPE.
const UNREAD: Option<i32> = Some(141);

/// The end of a pipe to write to, whose reader has gone.
fn unread() -> PipeWriter {
    io::pipe().unwrap().1
}

/// A file on a disk without room.
fn full() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

#[test]
fn a_command_whose_answer_nobody_reads_ends_quietly() {
    let mut region = Region::with(Stdio::null(), Stdio::null(), "info");
    region.until_done(&["produce", "t", "hello", "--bootstrap", "BOOTSTRAP"]);
    region.until_done(&["topic", "describe", "t"]);
    let commands = [
        &["openapi"][..],
        &["topic", "list"],
        &["topic", "list", "--json"],
        &["topic", "describe", "t"],
        &["health"],
        &["link", "--watch"],
        &["produce", "t", "again", "--json", "--bootstrap", "BOOTSTRAP"],
        &["consume", "t", "--bootstrap", "BOOTSTRAP"],
        &["consume", "t", "--json", "--bootstrap", "BOOTSTRAP"],
    ];
    for command in commands {
        let output = region.ask(command, unread());
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*told), (UNREAD, ""), "{command:?}");
    }
}

#[test]
fn a_command_whose_answer_has_no_room_says_so() {
    let home = tempfile::tempdir().unwrap();
    let output = asked(home.path(), &["openapi"], full());
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(told.starts_with("error: the output cannot be written: No space left"), "{told}");
}

#[test]
fn a_region_serves_though_nobody_hears_of_it() {
    // Everything it does is told, so that whatever cannot bear to be unheard is found out.
    let mut region = Region::with(unread(), full(), "debug");
    region.until_done(&["produce", "t", "hello", "--bootstrap", "BOOTSTRAP"]);
    region.until_done(&["consume", "t", "--exit-at-end", "--bootstrap", "BOOTSTRAP"]);
    assert_eq!(region.process.0.try_wait().unwrap(), None);
}
