use object_store::server::Server;
use object_store::{Client, Credentials, Location};
use std::path::Path;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// A running server.
pub(crate) struct Platform {
    pub(crate) endpoint: String,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<()>,
}

impl Platform {
    pub(crate) async fn start(directory: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let server = Server::open(directory).unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(server.serve(listener, credentials(), async {
            let _stop = stopped.await;
        }));
        Self { endpoint, stop: Some(stop), running }
    }

    pub(crate) async fn stop(mut self) {
        self.stop.take().unwrap().send(()).unwrap();
        self.running.await.unwrap();
    }

    pub(crate) fn client(&self) -> Client {
        self.client_as(credentials())
    }

    pub(crate) fn client_as(&self, credentials: Credentials) -> Client {
        let location =
            Location { endpoint: self.endpoint.clone(), region: "here".into(), bucket: "backups".into(), credentials };
        Client::new(&location)
    }
}

pub(crate) fn credentials() -> Credentials {
    Credentials { access_key: "farshore".into(), secret_key: "open sesame".into() }
}

/// A server with a bucket, and its directory.
pub(crate) async fn fresh() -> (TempDir, Platform, Client) {
    let directory = tempfile::tempdir().unwrap();
    let platform = Platform::start(directory.path()).await;
    let client = platform.client();
    client.create_bucket().await.unwrap();
    (directory, platform, client)
}
