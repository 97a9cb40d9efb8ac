//! A small process that outlives ours just long enough to end what we started.

use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Reads its standard input until we are gone, then ends the supervisor and removes the directory, if one is named.
const SCRIPT: &str = r#"
read -r _
kill -TERM "$1" 2> /dev/null
for _ in 1 2 3 4 5 6 7 8 9 10; do
  kill -0 "$1" 2> /dev/null || break
  sleep 0.5
done
kill -KILL "$1" 2> /dev/null
[ -n "$2" ] && rm -rf "$2"
"#;

/// Ends a supervisor when the process that holds this dies. The pipe to it closes with us, whatever kills us.
#[derive(Debug)]
pub(crate) struct Guard(Child);

impl Guard {
    pub(crate) fn over(supervisor: u32, directory: Option<&PathBuf>) -> io::Result<Self> {
        let child = Command::new("sh")
            .args(["-c", SCRIPT, "guard", &supervisor.to_string()])
            .arg(directory.map(|path| path.as_os_str().to_owned()).unwrap_or_default())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self(child))
    }

    /// Sends the guard away: the supervisor has ended in good order, its process id may be somebody else's soon.
    pub(crate) fn dismiss(mut self) {
        let _gone_already = self.0.kill();
        let _reaped = self.0.wait();
    }
}
