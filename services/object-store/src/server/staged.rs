//! Bodies that have no name yet.

use super::backend::Backend;
use crate::limits::{BODY_SILENCE_MAX, OBJECT_BYTES_MAX, PIECE_BYTES};
use futures::StreamExt;
use s3s::dto::StreamingBlob;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use tokio::fs::File;
use tokio::io::{AsyncWriteExt, BufWriter};
use tokio::time::timeout;

/// A flushed file without a name; it goes away with this value unless it was given one.
#[derive(Debug)]
pub(crate) struct Staged {
    path: PathBuf,
}

impl Staged {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A file that `fill` writes, flushed.
    pub(crate) fn fill(backend: &Backend, fill: impl FnOnce(&mut fs::File) -> io::Result<()>) -> io::Result<Self> {
        let staged = Self { path: backend.staging_path() };
        let mut file = fs::File::create_new(&staged.path)?;
        fill(&mut file)?;
        file.sync_data()?;
        Ok(staged)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Gone already when it was renamed; what cannot be removed goes at the next start.
        let _removed = fs::remove_file(&self.path);
    }
}

/// Why a body did not arrive.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReceiveError {
    #[error("the body did not arrive whole: {0}")]
    Broken(s3s::StdError),
    #[error("the body stood still for {} s", BODY_SILENCE_MAX.as_secs())]
    Silent,
    #[error("the body has more than {OBJECT_BYTES_MAX} bytes")]
    TooLarge,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Receives a body and flushes it. At its end the stream has compared it with the hash that was signed.
pub(crate) async fn receive(backend: &Backend, body: Option<StreamingBlob>) -> Result<Staged, ReceiveError> {
    let staged = Staged { path: backend.staging_path() };
    let mut file = BufWriter::with_capacity(PIECE_BYTES, File::create_new(&staged.path).await?);
    if let Some(body) = body {
        copy(body, &mut file).await?;
    }
    file.flush().await?;
    file.get_ref().sync_data().await?;
    Ok(staged)
}

async fn copy(mut body: StreamingBlob, file: &mut BufWriter<File>) -> Result<(), ReceiveError> {
    let mut received = 0;
    while let Some(piece) = timeout(BODY_SILENCE_MAX, body.next()).await.map_err(|_| ReceiveError::Silent)? {
        let piece = piece.map_err(ReceiveError::Broken)?;
        received += piece.len() as u64;
        if received > OBJECT_BYTES_MAX {
            return Err(ReceiveError::TooLarge);
        }
        file.write_all(&piece).await?;
    }
    Ok(())
}
