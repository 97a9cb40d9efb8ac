//! How the command line reaches a running supervisor: one JSON line each way over a socket in the data directory.

use super::data_dir::DataDir;
use anyhow::{Context, Result, bail};
use model::RegionName;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

const LINE_BYTES_MAX: u64 = 4096;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// What the supervisor is asked to do.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ask {
    /// Bring a dead region back.
    StartRegion(RegionName),
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// The process runs.
    Started {
        /// As this process.
        pid: u32,
    },
    /// It does not, for this reason.
    Refused(String),
}

/// Asks, each with the way to answer it.
pub(crate) type Asks = mpsc::Receiver<(Ask, oneshot::Sender<Answer>)>;

/// Listens for asks from now on.
///
/// # Errors
/// When the socket cannot be made.
pub(crate) fn listen(data: &DataDir) -> Result<Asks> {
    let path = data.socket();
    // The lock on the directory is ours, so a socket that is there is a dead one's.
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).with_context(|| format!("cannot listen on {}", path.display()))?;
    let (asks, asked) = mpsc::channel(1);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let asks = asks.clone();
            tokio::spawn(async move { timeout(ANSWER_TIMEOUT, serve(stream, asks)).await });
        }
    });
    Ok(asked)
}

async fn serve(stream: UnixStream, asks: mpsc::Sender<(Ask, oneshot::Sender<Answer>)>) -> Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    BufReader::new(read.take(LINE_BYTES_MAX)).read_line(&mut line).await?;
    let answer = match serde_json::from_str(&line) {
        Ok(ask) => {
            let (reply, answer) = oneshot::channel();
            asks.send((ask, reply)).await?;
            answer.await?
        }
        Err(error) => Answer::Refused(format!("not understood: {error}")),
    };
    write.write_all(&serde_json::to_vec(&answer)?).await?;
    Ok(())
}

/// Asks the supervisor of `data` and returns the process id it answers with.
///
/// # Errors
/// When none runs, or it refuses.
pub(crate) async fn ask(data: &DataDir, ask: &Ask) -> Result<u32> {
    let path = data.socket();
    let stream = UnixStream::connect(&path).await;
    let mut stream = stream.with_context(|| {
        format!(
            "no platform runs in {}; start one with `farshore up` or name it with --data-dir",
            data.path().display()
        )
    })?;
    let mut line = serde_json::to_vec(ask)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    let mut answer = Vec::new();
    timeout(ANSWER_TIMEOUT, stream.take(LINE_BYTES_MAX).read_to_end(&mut answer)).await??;
    match serde_json::from_slice(&answer).context("the supervisor broke off")? {
        Answer::Started { pid } => Ok(pid),
        Answer::Refused(reason) => bail!(reason),
    }
}
