//! An S3 server over a directory: what a platform uses that brings no S3 of its own.
//!
//! What it answers is durable: bodies, names and directories are flushed before. Conditional writes (`If-None-Match: *`)
//! have one winner. One server uses a directory at a time; one pair of credentials opens it.

mod api;
mod backend;
mod errors;
mod key;
mod list;
mod staged;
mod upload;

use crate::Credentials;
use crate::limits::{CONNECTIONS_MAX, DRAIN_TIMEOUT, HEADER_TIMEOUT};
use api::Service;
use backend::Backend;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// How long accepting rests after it failed, for example because no file handle was left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The server could not begin.
#[derive(Debug, thiserror::Error)]
#[error("the object store cannot use {}: {reason}", directory.display())]
pub struct OpenError {
    /// Its directory.
    pub directory: PathBuf,
    /// What is wrong with it.
    pub reason: io::Error,
}

/// A server whose directory is open.
#[derive(Debug)]
pub struct Server {
    backend: Backend,
}

impl Server {
    /// Opens or makes the directory of a server.
    ///
    /// # Errors
    /// [`OpenError`] when another server uses the directory or the disk refuses.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        let backend = Backend::open(directory);
        backend.map(|backend| Self { backend }).map_err(|reason| OpenError { directory: directory.to_owned(), reason })
    }

    /// Serves S3 on `listener` until `shutdown` is done; what is in flight then may end within ten seconds.
    pub async fn serve(self, listener: TcpListener, credentials: Credentials, shutdown: impl Future<Output = ()>) {
        let mut builder = S3ServiceBuilder::new(Service::new(self.backend));
        builder.set_auth(SimpleAuth::from_single(credentials.access_key, credentials.secret_key));
        let connections = Connections::new(builder.build());
        tokio::select! {
            () = connections.accept(&listener) => {}
            () = shutdown => {}
        }
        drop(listener);
        if tokio::time::timeout(DRAIN_TIMEOUT, connections.graceful.shutdown()).await.is_err() {
            tracing::warn!("requests to the object store were cut off at its shutdown");
        }
    }
}

/// Opens `root` and serves it: [`Server::open`] and [`Server::serve`] in one.
///
/// # Errors
/// [`OpenError`] when the directory cannot be used.
pub async fn serve(
    listener: TcpListener,
    root: &Path,
    credentials: Credentials,
    shutdown: impl Future<Output = ()>,
) -> Result<(), OpenError> {
    Server::open(root)?.serve(listener, credentials, shutdown).await;
    Ok(())
}

struct Connections {
    http: Builder<TokioExecutor>,
    service: S3Service,
    graceful: GracefulShutdown,
    free: Arc<Semaphore>,
}

impl Connections {
    fn new(service: S3Service) -> Self {
        let mut http = Builder::new(TokioExecutor::new()).http1_only();
        http.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
        Self { http, service, graceful: GracefulShutdown::new(), free: Arc::new(Semaphore::new(CONNECTIONS_MAX)) }
    }

    /// Takes connections for ever, as many as may be open at a time.
    async fn accept(&self, listener: &TcpListener) {
        loop {
            let place = Arc::clone(&self.free).acquire_owned().await.expect("nobody closes this semaphore");
            match listener.accept().await {
                Ok((stream, _)) => self.handle(stream, place),
                Err(error) => {
                    tracing::warn!(%error, "the object store could not accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn handle(&self, stream: TcpStream, place: tokio::sync::OwnedSemaphorePermit) {
        // Small answers wait for nothing; a socket that refuses this still works.
        let _without_delay = stream.set_nodelay(true);
        let connection = self.http.serve_connection(TokioIo::new(stream), self.service.clone()).into_owned();
        let connection = self.graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the object store broke");
            }
            drop(place);
        });
    }
}
